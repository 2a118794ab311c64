"""When a call of a model may start: the limits that models.yaml sets, those that the server reports, and the pace that
is learned from its refusals (`pace.py`). Other processes with the same data folder take their share (`shares.py`).

Threads wait in one queue per model, in order. A model whose calls stay in this process has only configured limits.
Times are of the monotonic clock, and a pause is at most ten minutes: if a server wants more, calls fail until then.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf
from types import TracebackType

from .circuit import Circuits
from .database import Database, DatabaseError
from .models import Model
from .pace import Pace, Start
from .providers import CallError, provider
from .settings import LimitSettings
from .shares import BEAT_S, LONGEST_PAUSE_S, LOOK_S, Shares, seconds_to_midnight
from .waiting_line import WaitingLine

SHORTEST_SHARED_PAUSE_S = 0.9
JITTER = 0.1  # of a pause, so that processes do not come back at one time
LONGEST_JITTER_S = 5.0
LEAST_USED = 5  # requests of a limit, to see what time it is for
MINUTE_SHARE = 0.1  # of the tokens of a minute may be used at once; of the requests, 1 in 600


class Bucket:
    """`per_minute` units, evenly: `level` may be taken now, and refills up to `most`."""

    def __init__(self, per_minute: float, burst: float, now: float) -> None:
        self.rate, self.most = per_minute / 60, max(1.0, per_minute * burst)
        self.level, self._at = self.most, now

    def delay(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken. More than `most` may be taken from a full bucket."""
        self.level, self._at = min(self.most, self.level + (now - self._at) * self.rate), now
        missing = min(amount, self.most) - self.level
        return missing / self.rate if missing > 1e-9 else 0.0


class Gate:
    """The limits of one model, or those of all models of a provider together. `name` is for messages."""

    def __init__(self, name: str, settings: LimitSettings | None, pace: Pace | None, shares: Shares) -> None:
        self.name, self.pace, self.shares = name, pace, shares
        self.line = WaitingLine()
        self.in_flight = 0
        self.settings = settings or LimitSettings()
        self.reported: dict[str, float] = {}  # requests and tokens a minute by the server's headers
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._most_in_flight = inf
        self._processes = 1
        self._look_at = self._beat_at = -inf
        self._closed_until = -inf
        self._is_of_a_minute = True

    def enter(
        self, tokens: int, is_blocked: Callable[[], bool], allow: Callable[[float], None] = lambda seconds: None
    ) -> Start | None:
        """Wait for the turn of a call. Raises `CallError`, and `Blocked` as soon as `is_blocked()`. `allow(seconds)`
        raises the error of a call that cannot wait so long."""
        start: Start | None = None

        def ready() -> float:
            nonlocal start
            if is_blocked():
                raise Blocked
            now = time.monotonic()
            wait = self._delay(tokens, now)
            if wait > 0:
                allow(wait if wait < inf else 0.0)
                return wait
            if (most := self.settings.requests_per_day) and not self.shares.take_request(
                self.name, most, self._processes
            ):
                raise self._day_is_used(most)
            self.in_flight += 1
            if self._requests:
                self._requests.level -= 1
            if self._tokens:
                self._tokens.level -= tokens
            start = self.pace.start(now) if self.pace else None
            return 0.0

        self.line.enter(ready)
        return start

    def leave(self, tell: Callable[[Pace, float], None] | None = None) -> None:
        """The call has ended; `tell(pace, now)` says how."""
        with self.line.lock:
            self.in_flight -= 1
            if self.pace and tell:
                tell(self.pace, time.monotonic())
            self.line.look()

    def pause(self, seconds: float) -> None:
        """No call starts for a while; for more than ten minutes, calls fail."""
        with self.line.lock:
            self._pause(seconds, time.monotonic())

    def report(self, limits: Mapping[str, float]) -> None:
        """What the headers of an answer say about limits.

        Some servers report the requests of a second or a day where others report those of a minute. A limit is one of
        a minute if the used part of it takes the right time to come back.
        """
        most, left, reset_s = (limits.get(key) for key in ("requests_per_minute", "requests_left", "reset_s"))
        if not most or left is None or reset_s is None or most - left < LEAST_USED:
            return
        is_of_a_minute = 0.5 < reset_s / ((most - left) * 60 / most) < 20
        per_minute = {key: limits[key] for key in ("requests_per_minute", "tokens_per_minute") if limits.get(key)}
        with self.line.lock:
            self._is_of_a_minute = self._is_of_a_minute and is_of_a_minute
            if (reported := per_minute if self._is_of_a_minute else {}) != self.reported:
                self.reported = reported
                self._look_at = self._beat_at = -inf  # the next call divides them

    def correct(self, tokens: int) -> None:
        """A call took `tokens` more than was expected of it."""
        with self.line.lock:
            if self._tokens:
                self._tokens.level -= tokens

    def closed(self, now: float) -> CallError | None:
        """Why calls fail, if the server takes none for more than ten minutes."""
        if now >= self._closed_until:
            return None
        back = datetime.now(UTC) + timedelta(seconds=self._closed_until - now)
        text = f"the server of {self.name} takes no calls before {back:%Y-%m-%d %H:%M} UTC. Run again after that"
        return CallError(text, kind="busy", retry_after=self._closed_until - now, cause=text)

    def _delay(self, tokens: int, now: float) -> float:
        if now >= self._look_at:
            self._look(now)
        if closed := self.closed(now):
            raise closed
        if self.in_flight >= self._most_in_flight:
            return inf
        wait = self.pace.delay(now) if self.pace else 0.0
        if self._requests:
            wait = max(wait, self._requests.delay(1, now))
        if self._tokens:
            wait = max(wait, self._tokens.delay(tokens, now))
        return wait

    def _look(self, now: float) -> None:
        """Look at what other processes say."""
        self._look_at = now + LOOK_S
        try:
            if self.pace and (seconds := self.shares.new_pause(self.name)):
                self._pause(seconds, now)
            if now >= self._beat_at:
                self._beat_at = now + BEAT_S
                self._divide(now)
        except DatabaseError as error:
            raise CallError(str(error), kind="store", cause=str(error)) from None

    def _divide(self, now: float) -> None:
        """Take this process's share of the configured limits."""
        own = self.settings
        per_minute = {
            key: min(given) if (given := [x for x in (getattr(own, key), self.reported.get(key)) if x]) else 0
            for key in ("requests_per_minute", "tokens_per_minute")
        }
        if not (any(per_minute.values()) or own.in_flight or own.requests_per_day):
            self._requests = self._tokens = None
            return
        self._processes, place = self.shares.share(self.name)
        parts = self._processes
        self._requests = _resized(self._requests, per_minute["requests_per_minute"] / parts, 1 / 600, now)
        self._tokens = _resized(self._tokens, per_minute["tokens_per_minute"] / parts, MINUTE_SHARE, now)
        if own.in_flight:
            self._most_in_flight = own.in_flight // parts + (place < own.in_flight % parts)

    def _pause(self, seconds: float, now: float) -> None:
        if seconds > LONGEST_PAUSE_S:
            self._closed_until = max(self._closed_until, now + seconds)
        elif self.pace:
            self.pace.pause(now + seconds + jitter(seconds))
        self.line.look()

    def _day_is_used(self, most: int) -> CallError:
        text = (
            f"the {most:,} requests a day of {self.name} are used (requests_per_day in models.yaml). "
            "Run again after 00:00 UTC"
        )
        return CallError(text, kind="busy", retry_after=seconds_to_midnight(), cause=text)


class Blocked(Exception):
    """The model's circuit is not closed any more."""


class Turn:
    """A call that may start, as a context manager. The caller says how it ended."""

    __slots__ = ("_allow", "_entered", "_limits", "_model", "_start", "_tokens")

    def __init__(self, limits: "Limits", model: Model, tokens: int, allow: Callable[[float], None]) -> None:
        self._limits, self._model, self._tokens, self._allow = limits, model, tokens, allow
        self._start: Start | None = None
        self._entered: tuple[Gate, ...] = ()

    def __enter__(self) -> "Turn":
        gates, circuits, model = self._limits.gates(self._model), self._limits.circuits, self._model
        while True:
            circuits.enter(model)
            try:
                for gate in gates:
                    start = gate.enter(self._tokens, lambda: circuits.is_blocked(model), self._allow)
                    self._start = self._start or start
                    self._entered = (*self._entered, gate)
                return self
            except Blocked:
                self._withdraw()
            except BaseException:
                self._withdraw()
                circuits.withdrawn(model)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered:
            self._withdraw()
            self._limits.circuits.withdrawn(self._model)

    def succeeded(self, headers: Mapping[str, str]) -> None:
        """The server has answered."""
        start = self._start
        self._leave(lambda pace, now: pace.answered(start, now))
        self._limits.circuits.succeeded(self._model)
        if headers:
            self._report(headers, time.monotonic() - start.at if start else 0.0)

    def failed(self, error: CallError) -> CallError:
        """The call gave no answer. Returns the error to raise, which may say more."""
        start, pause = self._start, 0.0
        if error.kind == "busy":
            wanted = error.retry_after or 0.0

            def tell(pace: Pace, now: float) -> None:
                nonlocal pause
                pause = pace.refused(start, now, min(wanted + jitter(wanted), LONGEST_PAUSE_S) if wanted else None)

            self._leave(tell)
            if wanted > LONGEST_PAUSE_S:
                self._pause(wanted)
            elif pause >= SHORTEST_SHARED_PAUSE_S:
                self._limits.announce_pause(self._model, pause)
        elif error.kind in ("server", "connection"):
            self._leave(lambda pace, now: pace.failed(now))
        else:
            self._leave(lambda pace, _now: pace.withdrawn())
        if error.headers:
            self._report(error.headers, 0.0)
        told = self._limits.circuits.failed(self._model, error)
        gates = self._limits.gates(self._model) if error.kind == "busy" else ()
        return next((closed for gate in gates if (closed := gate.closed(time.monotonic()))), told)

    def used(self, tokens: int) -> None:
        """The tokens that the answer took, if they differ from what was expected."""
        if tokens != self._tokens:
            for gate in self._limits.gates(self._model):
                gate.correct(tokens - self._tokens)
            self._tokens = tokens

    def _report(self, headers: Mapping[str, str], age_s: float) -> None:
        limits = provider(self._model.provider).limits_from(headers)
        if not limits:
            return
        self._limits.gates(self._model)[0].report(limits)
        if "reset_s" in limits and min(limits.get("requests_left", 1), limits.get("tokens_left", 1)) <= 0:
            self._pause(limits["reset_s"] - age_s)  # servers count when a call begins

    def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._limits.gates(self._model)[0].pause(seconds)
        if SHORTEST_SHARED_PAUSE_S <= seconds <= LONGEST_PAUSE_S:
            self._limits.announce_pause(self._model, seconds)

    def _withdraw(self) -> None:
        self._leave(lambda pace, _now: pace.withdrawn())

    def _leave(self, tell: Callable[[Pace, float], None]) -> None:
        entered, self._entered, self._start = self._entered, (), None
        for gate in entered:
            gate.leave(tell)


class Limits:
    """The limits of all models, and whether it makes sense to call them (`circuits`)."""

    def __init__(self, database: Database | None = None, circuits: Circuits | None = None) -> None:
        self.circuits = circuits or Circuits()
        self.shares = Shares(database)
        self._gates: dict[str, tuple[Gate, ...]] = {}
        self._of_providers: dict[str, Gate] = {}
        self._guard = threading.Lock()

    def turn(self, model: Model, tokens: int, allow: Callable[[float], None] = lambda seconds: None) -> Turn:
        """A context manager that waits until a call of `tokens` (prompt and longest answer) may start, unless
        `allow(seconds)` raises an error: it is asked before it waits for so long.

        The call says how it ended, with `turn.succeeded(headers)` or `turn.failed(error)`; so the model's circuit knows
        it too. Entering raises a `CallError`: "stopped" if the run ends, "busy" if the requests of the day are used or
        the server takes no calls for more than ten minutes, "store" if the database fails, and what opened the model's
        circuit.
        """
        return Turn(self, model, tokens, allow)

    def gates(self, model: Model) -> tuple[Gate, ...]:
        """The model's own gate, then that of its provider if that has limits; none if nothing can limit the model."""
        gates = self._gates.get(model.model_id)
        if gates is None:
            with self._guard:
                gates = self._gates.setdefault(model.model_id, self._make(model))
        return gates

    def announce_pause(self, model: Model, seconds: float) -> None:
        """Tell other processes to pause too."""
        with suppress(DatabaseError):  # a paid answer may have said so; the next call meets the error
            self.shares.announce_pause(model.model_id, seconds)

    def close(self) -> None:
        """Give this process's share of the limits to others."""
        self.shares.close()

    def _make(self, model: Model) -> tuple[Gate, ...]:
        sends = provider(model.provider).sends
        gates = []
        if sends or model.limits:
            gates.append(Gate(model.model_id, model.limits, Pace() if sends else None, self.shares))
        if model.provider_limits:
            name = f"provider {model.provider}"
            if name not in self._of_providers:
                self._of_providers[name] = Gate(name, model.provider_limits, None, self.shares)
            gates.append(self._of_providers[name])
        return tuple(gates)


def jitter(seconds: float) -> float:
    """A random time to add to a pause."""
    return random.uniform(0, min(JITTER * seconds, LONGEST_JITTER_S))  # noqa: S311


def _resized(bucket: Bucket | None, per_minute: float, burst: float, now: float) -> Bucket | None:
    """The bucket with another rate; None if there is no limit."""
    if not per_minute:
        return None
    if bucket is None:
        return Bucket(per_minute, burst, now)
    if bucket.rate != per_minute / 60:
        changed = Bucket(per_minute, burst, now)
        changed.level = min(bucket.level, changed.most)
        return changed
    return bucket
