"""The calls that this process makes now, and how long what is left of them will take.

All times are seconds of one clock that never goes back (`time.monotonic` in a run), given by the caller.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from time import monotonic

Kind = tuple[str, str]  # stage, id of the model


@dataclass(slots=True)
class Flight:
    """A call for a generation of a kind: since when it is `wanted`, and since when the model has it (None: it waits for
    its turn)."""

    gen_id: str
    kind: Kind
    model_id: str  # that of a fallback may answer
    provider: str
    wanted: float
    sent: float | None = None


class Flights:
    """The calls of this process that are not answered yet. Its methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._guard, self._clock = threading.Lock(), clock
        self._now: dict[int, Flight] = {}
        self.work = Work()

    @contextmanager
    def flight(self, gen_id: str, kind: Kind, model_id: str, provider: str, *, is_local: bool) -> Iterator[Flight]:
        """A call, from when it is wanted until it is answered or given up."""
        now = self._clock()
        flight = Flight(gen_id, kind, model_id, provider, now)
        with self._guard:
            self._now[id(flight)] = flight
            self.work.begin(kind, now, is_local=is_local)
        try:
            yield flight
        finally:
            with self._guard:
                del self._now[id(flight)]
                self.work.end(kind, self._clock(), flight.wanted)

    def now(self) -> list[Flight]:
        """The calls, the one that is wanted for longest first."""
        with self._guard:
            return sorted(self._now.values(), key=lambda flight: flight.wanted)

    def seconds_left(self, left: Counter[Kind], made: Counter[Kind]) -> tuple[float, float] | None:
        """As `Work.seconds_left`, now."""
        with self._guard:
            return self.work.seconds_left(left, made, self._clock())


class Work:
    """What the calls of each stage and model took, as they ran side by side.

    A model of this process and a server do not slow each other down, so there are two lanes: the calls in this process
    and those to servers. While n calls of a lane are in flight, each of them takes an n-th of its time. So the seconds
    of a call are what it adds to the time of its lane, at the parallelism that was really reached.
    """

    def __init__(self) -> None:
        self.flying: Counter[Kind] = Counter()
        self.share: defaultdict[Kind, float] = defaultdict(float)  # seconds of its lane
        self.whole: defaultdict[Kind, float] = defaultdict(float)  # seconds of its calls, from wanted to answered
        self.calls: Counter[Kind] = Counter()
        self._lane: dict[Kind, bool] = {}  # whether in this process
        self._in_lane: Counter[bool] = Counter()
        self._busy: defaultdict[bool, float] = defaultdict(float)  # seconds in which a lane had any call
        self._since = 0.0

    def begin(self, kind: Kind, now: float, *, is_local: bool) -> None:
        """Note that a call is wanted."""
        self._pass(now)
        self.flying[kind] += 1
        self._in_lane[self._lane.setdefault(kind, is_local)] += 1

    def end(self, kind: Kind, now: float, wanted: float) -> None:
        """Note that a call has ended."""
        self._pass(now)
        self.flying[kind] -= 1
        self._in_lane[self._lane[kind]] -= 1
        self.calls[kind] += 1
        self.whole[kind] += now - wanted

    def _pass(self, now: float) -> None:
        """Divide the time since the last event among the calls in flight."""
        passed, self._since = now - self._since, now
        for lane, total in self._in_lane.items():
            if total:
                self._busy[lane] += passed
        for kind, count in self.flying.items():
            if count:
                self.share[kind] += passed * count / self._in_lane[self._lane[kind]]

    def seconds_left(self, left: Counter[Kind], made: Counter[Kind], now: float) -> tuple[float, float] | None:
        """The least and the most time that the generations that are `left` will probably take; None if that is unknown,
        as for a stage and model none of whose generations was `made` by calls so far.

        The calls in flight are half done, and what n of them have done is uncertain by 1 / (2 sqrt(n)), as are the
        means of the n calls that were made and of those that are left. The least: both lanes work side by side. The
        most (Graham's bound for any order of the work): one lane after the other, and a last call of each stage that
        nothing runs beside. A server takes as long for it as ever; in this process it has the processors for itself.
        """
        self._pass(now)
        least, most, last = Counter(), 0.0, Counter()
        for kind, count in left.items():
            if count <= 0:
                continue
            done, lane = made[kind], self._lane.get(kind)
            if not done or not self.calls[kind]:
                return None
            flying, share = min(self.flying[kind], count), self.share[kind]
            doubt, error = sqrt(flying) / 2, min(sqrt(1 / done + 1 / count) / 2, 1)
            most_done, least_done = flying / 2 + doubt, flying / 2 - doubt
            least[lane] += (1 - error) * share / (done + most_done) * (count - most_done)
            most += (1 + error) * share / (done + least_done) * (count - least_done)
            alone = share / done if lane else self.whole[kind] / self.calls[kind]
            last[kind[0]] = max(last[kind[0]], alone * (1 - 1 / self._parallelism(lane)))
        return max(least.values(), default=0.0), most + last.total()

    def _parallelism(self, lane: bool) -> float:
        """How many calls of a lane were in flight at a time, while there were any."""
        seconds = sum(share_of for kind, share_of in self.whole.items() if self._lane[kind] == lane)
        return max(seconds / self._busy[lane], 1.0) if self._busy[lane] else 1.0
