"""One call of a model: claim the question, reserve its cost, wait for its turn, send it, store the answer.

    claim and reserve (budgets) -> circuit -> turn (limits) -> send -> read -> store and book (store)

The bytes that the provider sent are stored with what was read from them, before anything else uses the answer. If the
store cannot be written, no further call is made.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from .backoff import call_with_retries
from .budgets import (
    BATCHES,
    EMPTY,
    NOTHING,
    Budget,
    Claim,
    Deadline,
    Labels,
    WorstCase,
    claim_all,
    covering,
    end_dead_claims,
    lose,
    question_atp,
    release,
    reserve,
    settle_all,
    settle_unclaimed,
    worst_case,
)
from .circuit import Circuits
from .database import Database, DatabaseError
from .flights import Flight, Flights
from .limits import Limits
from .model import Generation, Question, Record, Response
from .models import Model
from .providers import CallError, Pending, Request, provider
from .records import in_a_batch, record_of, request_of
from .stopping import STOPPING, stopped
from .store import database, ledger_entry, load_response, time_scopes

if TYPE_CHECKING:
    from .batches import Batches

LAST_S = 0.5  # before a call takes the rest of a budget that does not hold its further attempts
LONGEST_POLL_S = 2.0  # between two looks at what other processes do
FREE_BYTES = 4_000_000  # of the disk, besides the expected size of the answers in flight
LOOK_S = 1.0  # between two looks at the free space, for recorded answers
BYTES_PER_TOKEN = 8  # of an answer: its text in the record and in the body

Ask = Callable[[Question, str], Record]
Traced = Callable[[Question, Model, Generation], AbstractContextManager[Callable[[Record], object]]]


@contextmanager
def _untraced(question: Question, model: Model, generation: Generation) -> Iterator[Callable[[Record], object]]:
    """Call without a span."""
    yield id


@dataclass
class Calls:
    """How this process calls models. `labels(generation)` says what a call belongs to; `on_answer(record)` is called
    with every new answer; `flights` has the calls that are not answered yet; `traced(question, model, generation)`
    surrounds each call, and what it gives takes the answer's record. Questions for `batches` are queued there."""

    store: Path
    models: Mapping[str, Model]
    attempts: int = 5
    run: str = ""
    budgets: Sequence[Budget] = ()
    labels: Callable[[Generation], Labels] = lambda generation: Labels()
    on_answer: Callable[[Record], None] = lambda record: None
    batches: "Batches | None" = None
    flights: Flights = field(default_factory=Flights)
    traced: Traced = _untraced
    circuits: Circuits = field(default_factory=Circuits)

    def __post_init__(self) -> None:
        self.database: Database = database(self.store)
        self.limits = Limits(self.database, self.circuits)
        self._claim_all = partial(claim_all, self.store)
        self._settled = threading.Condition()
        self._has_ended_dead_claims = False
        self._free, self._look_at = 0, 0.0
        self._overrun: dict[str, float] = {}  # of models: how many times of what a request allowed was billed, if more

    def ask_for(self, generation: Generation) -> Ask:
        """An `Ask` that calls the provider of the question's model for this generation."""

        def ask(question: Question, key: str) -> Record:
            with _one_at_a_time(key) as others:  # which may have stored the answer
                record = load_response(self.store, question, key) if others else None
                return record or self._ask(question, key, generation)

        return ask

    def _ask(self, question: Question, key: str, generation: Generation) -> Record:
        model, labels = self.models[question.model.model_id], self.labels(generation)
        in_batch = self.batches is not None and self.batches.takes(question, key, generation)
        self._check_store(question)
        if not in_batch:
            self.circuits.check(model)
            _check_time(labels.time)
        scopes = [*labels.scopes, *time_scopes(datetime.now(UTC).isoformat())]
        budgets = covering(self.budgets, scopes)
        if provider(model.provider).is_instant and not (in_batch or budgets or self.limits.gates(model)):
            return self._answer_at_once(question, key, generation, model, labels, scopes)
        worst = worst_case(question, generation, model, batch=in_batch)
        call = {
            "gen_id": generation.gen_id,
            "model_id": model.model_id,
            "spec": labels.spec,
            "run": self.run,
            "scopes": scopes,
            "tokens": worst.tokens,
            "usd": worst.usd,
            "atp": worst.atp,
            "bills": provider(model.provider).sends and not in_batch,  # a batch bills only what is collected
            "batch": in_batch,
        }
        claim = Claim(key, worst, budgets, call)
        record = self._claim(claim, question)
        if record is not None:
            return record
        if in_batch:
            self.batches.put(question, key, generation, labels, scopes)
        kind = (generation.stage, (generation.model or question.model).model_id)
        local = provider(model.provider).is_local
        try:
            flying = self.flights.flight(generation.gen_id, kind, model.model_id, model.provider, is_local=local)
            with flying as flight:
                record, body = self._call(question, model, generation, labels, claim, flight)
        except BaseException:
            self.database.write(lambda connection: release(connection, key))
            self._wake()
            raise
        record = self._heed_overrun(record, worst)
        entry = ledger_entry(key, record, family=labels.family, tier=labels.tier, run=self.run, atp=worst.atp)
        self.database.write_together(settle_all, ((key, record, body), (entry, scopes)))
        self._wake()
        self.on_answer(record)
        return record

    def _heed_overrun(self, record: Record, worst: WorstCase) -> Record:
        """The record, with a warning if the server has billed more tokens than the request allowed. Further calls of
        the model then reserve as many times more, so that it can exceed a budget only by what was in flight."""
        usage = record.response.usage
        billed = usage.prompt + usage.completion
        if usage.estimated is True or not worst.tokens or billed <= worst.tokens:
            return record
        model_id = record.request.model.model_id
        self._overrun[model_id] = max(self._overrun.get(model_id, 1.0), billed / worst.tokens)
        warning = f"{billed:,} tokens were billed, although the request allowed at most {worst.tokens:,}"
        response = replace(record.response, warnings=[*(record.response.warnings or []), warning])
        return replace(record, response=response)

    def _answer_at_once(
        self,
        question: Question,
        key: str,
        generation: Generation,
        model: Model,
        labels: Labels,
        scopes: Sequence[str],
    ) -> Record:
        """The record of an answer that costs neither time nor money: nobody claims such a question, and if two
        processes answer it, the first answer stays."""
        self._end_dead_claims()
        record, body = self._call(question, model, generation, labels, Claim(key, NOTHING, (), {}), None)
        atp = question_atp(question, model)
        entry = ledger_entry(key, record, family=labels.family, tier=labels.tier, run=self.run, atp=atp)
        settled = (key, record, body), (entry, scopes)
        if not self.database.write_together(settle_unclaimed, settled, is_durable=False):
            return load_response(self.store, question, key) or record
        self.on_answer(record)
        return record

    def _claim(self, claim: Claim, question: Question) -> Record | None:
        """Claim a question; or the record, if another process has stored the answer meanwhile. Waits while the question
        is in flight elsewhere, and while reservations of other calls are in the way."""
        self._end_dead_claims()
        is_durable = bool(claim.call["bills"] or claim.call["batch"] or claim.budgets)
        wait = 0.1
        while True:
            whole = self._as_billed(claim, question)
            state = self.database.write_together(self._claim_all, whole, is_durable=is_durable)
            if state == "claimed":
                return None
            if isinstance(state, Budget):
                raise self._refusal(state, whole.worst)
            if state == "batched":
                raise Pending(in_a_batch(question.model.model_id))
            if state == "answered" and (record := load_response(self.store, question, claim.key)):
                return record
            if state == "last":  # unless a call that has just ended goes on with its next attempt
                STOPPING.wait(LAST_S)
            else:
                wait = self._wait(wait)
            claim = dataclasses.replace(claim, alone=state == "last")

    def _end_dead_claims(self) -> None:
        """Once, before the first question."""
        if not self._has_ended_dead_claims:
            self.database.write(lambda connection: end_dead_claims(connection, self.store))
            self._has_ended_dead_claims = True

    def _as_billed(self, claim: Claim, question: Question) -> Claim:
        """The claim, with what the server bills beyond a request's limits."""
        factor = self._overrun.get(question.model.model_id, 1.0)
        return claim if factor <= 1 else dataclasses.replace(claim, worst=claim.worst.times(factor))

    def _reserve_again(self, claim: Claim, question: Question) -> None:
        """Reserve the repetition of a lost call. Waits as `_claim` does."""
        wait, claim = 0.1, dataclasses.replace(self._as_billed(claim, question), alone=True)
        while True:
            state = self.database.write(lambda connection: reserve(connection, self.store, claim))
            if isinstance(state, Budget):
                raise self._refusal(state, claim.worst)
            if state != "full":
                return
            wait = self._wait(wait)

    def _wait(self, seconds: float) -> float:
        """Wait until another call ends, for at most `seconds`; returns the next wait. Raises if the run is stopped."""
        if STOPPING.is_set():
            raise stopped()
        with self._settled:
            self._settled.wait(seconds)
        return min(2 * seconds, LONGEST_POLL_S)

    def _call(
        self,
        question: Question,
        model: Model,
        generation: Generation,
        labels: Labels,
        claim: Claim,
        flight: Flight | None,
    ) -> tuple[Record, bytes]:
        """Ask the provider: the record of its answer, and the bytes that it sent."""
        request, deadline = request_of(question, model, generation.gen_id), labels.time
        chosen = provider(model.provider)
        is_lost = False

        def attempt() -> tuple[Response, bytes, float]:
            nonlocal is_lost
            if is_lost:
                self._reserve_again(claim, question)
                is_lost = False
            with self.limits.turn(model, claim.worst.tokens, partial(_check_time, deadline)) as turn:
                timely = _in_time(request, deadline)
                started = time.monotonic()
                if flight is not None:
                    flight.sent = started
                try:
                    if chosen.sends:
                        reply = chosen.send(timely)
                    else:
                        response = chosen.complete(timely)
                except CallError as error:
                    if flight is not None:
                        flight.sent = None
                    final = turn.failed(error)
                    if error.may_be_billed:
                        is_lost, reason = True, str(error)
                        self.database.write(lambda connection: lose(connection, claim, reason))
                        self._wake()
                    if final.retryable:  # not to wait in vain
                        _check_time(deadline, final.retry_after or 0.0)
                    raise final from None
                turn.succeeded(reply.headers if chosen.sends else {})
            latency_s = round(time.monotonic() - started, 3)
            if not chosen.sends:
                return response, b"", latency_s
            response = chosen.read(request, reply.body)
            if response.usage.is_known:
                turn.used(response.usage.prompt + response.usage.completion)
            return response, reply.body, latency_s

        with self.traced(question, model, generation) as answered:
            (response, body, latency_s), waits = call_with_retries(attempt, self.attempts, STOPPING)
            called = {"gen_id": generation.gen_id, "stage": generation.stage, "cohort_id": labels.spec}
            called |= {"latency_s": latency_s, "waits": waits}
            record = record_of(question, model, response, body, called)
            answered(record)
        return record, body

    def _refusal(self, budget: Budget, worst: WorstCase) -> CallError:
        """The error of a call that a budget does not allow."""
        rows = self.database.read("SELECT usd, tokens, atp FROM spent WHERE scope = ?", (budget.scope,))
        usd, tokens, atp = rows[0] if rows else EMPTY
        rows = self.database.read(
            "SELECT usd, tokens, atp FROM reserved WHERE (scope, key) = (?, ?)", (budget.scope, BATCHES)
        )
        kept_usd, kept_tokens, kept_atp = rows[0] if rows else EMPTY
        parts = []
        if budget.usd is not None:
            kept = f", ${kept_usd:.4f} are reserved for batches" if kept_usd else ""
            parts.append(f"${usd:.4f} of ${budget.usd:g} are spent{kept} and the call may cost ${worst.usd:.4f}")
        if budget.tokens is not None:
            kept = f", {kept_tokens:,} are reserved for batches" if kept_tokens else ""
            parts.append(
                f"{tokens:,} of {budget.tokens:,} tokens are spent{kept} and the call may take {worst.tokens:,}"
            )
        if budget.atp is not None:
            kept = f", {kept_atp:,.1f} are reserved for batches" if kept_atp else ""
            parts.append(f"{atp:,.1f} of {budget.atp:,g} ATP are spent{kept} and the call takes {worst.atp:,.1f}")
        refused = f"the budget {budget.key} does not allow"
        cause = f"{refused} the calls that are left. Raise it or lower max_tokens, then run again"
        return CallError(f"{refused} this call: {'; '.join(parts)}", kind="budget", cause=cause)

    def _check_store(self, question: Question) -> None:
        """Raise a `DatabaseError` if the answer could not be stored: it would be paid and lost. The free space is read
        before each call, and once a second for answers that cost nothing."""
        if self.database.failed is not None:
            raise self.database.failed
        now = time.monotonic()
        if now >= self._look_at or not provider(question.model.provider).is_instant:
            folder = self.store
            while not folder.exists():
                folder = folder.parent
            free = os.statvfs(folder)
            self._free, self._look_at = free.f_bavail * free.f_frsize, now + LOOK_S
        if self._free < FREE_BYTES + question.sampling["max_tokens"] * BYTES_PER_TOKEN:
            what = "the disk is nearly full, so no answer could be stored. Free some space, then run again"
            raise DatabaseError(f"{self.store}: {what}")

    def _wake(self) -> None:
        """Wake some of those that wait for reservations or for this answer."""
        with self._settled:
            self._settled.notify(8)


def _check_time(deadline: Deadline | None, wait_s: float = 0.0) -> None:
    """Raise a `CallError` if a call that begins after `wait_s` seconds would not end in time."""
    if deadline is not None and deadline.left_s < wait_s + deadline.call_s:
        seconds = f"a call takes about {deadline.call_s:g} s"
        cause = f"{deadline.key} does not allow the calls that are left: none may end after {deadline.until}"
        raise CallError(f"{cause}, and {seconds}", kind="budget", cause=f"{cause}. Run again to continue")


def _in_time(request: Request, deadline: Deadline | None) -> Request:
    """A request that is given up at the deadline, if it has not ended before."""
    if deadline is None:
        return request
    _check_time(deadline)
    timeout_s = min(request.model.timeout_s, max(deadline.left_s, 0.001))
    return dataclasses.replace(request, model=request.model.model_copy(update={"timeout_s": timeout_s}))


_in_flight: dict[str, threading.Lock] = {}
_in_flight_guard = threading.Lock()


@contextmanager
def _one_at_a_time(key: str) -> Iterator[bool]:
    """Let one thread at a time work on a question; others wait. Whether another has worked on it meanwhile."""
    with _in_flight_guard:
        others = key in _in_flight
        lock = _in_flight.setdefault(key, threading.Lock())
    with lock:
        try:
            yield others
        finally:
            with _in_flight_guard:
                _in_flight.pop(key, None)
