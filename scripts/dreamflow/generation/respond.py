"""Get a usable answer, from the store or else from a provider. Each kind of failure has one policy:

| failure                          | policy                                                                    |
|----------------------------------|---------------------------------------------------------------------------|
| retryable (429, 5xx, connection) | the same call again after a wait (Retry-After, else exponential back-off) |
| terminal (other 4xx, no key)     | the job fails; nothing is written; the next run calls again               |
| refusal, too short, unparsable   | the next sample                                                           |
| unparsable, the row has `repair` | once: the answer is sent back with the error and the row's request        |
| truncated                        | the next sample with twice the limit, up to the model's limit; if the row |
|                                  | has `keep_truncated`, the truncated answer is used                        |
| no attempts left                 | the next fallback model, if the row has another                           |

Samples are tried in order and every answer stays in the store, so the result of a generation is a pure function of
its plan row and the store: a rerun repeats the same steps without a call. If no sample is usable, the generation has
failed; `redraw` allows as many new samples after those in the store.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from .backoff import call_with_retries
from .model import Attempt, Call, Candidate, Generation, Message, Question, Record, Response, Usage
from .models import Model
from .parsers import Parsed, ParseError, parse
from .providers import CallError, Pending, Request, provider
from .store import SCHEMA_VERSION, load_response, request_key, response_path, save_response

SAMPLES_PER_REPLICATE = 1000  # replicate r draws the samples from (r - 1) * 1000 on
STOPPING = threading.Event()  # set on Ctrl-C: calls in flight finish, no call begins, waits for busy servers end


class NeedsCall(Exception):
    """Raised with the question's key if the store has no answer and no call may be made."""


@dataclass
class Outcome:
    """The result of all samples. `record` is the store's record of the last answer, `key` that record's key.

    If the outcome is pending, `key` is that of the question whose answer is awaited, and `allowed` the number of
    samples that may be drawn in all."""

    status: str  # ok | failed | skipped | pending
    reason: str = ""
    raw: str = ""
    parsed: Parsed = field(default_factory=lambda: Parsed(""))
    key: str = ""
    record: Record | None = None
    attempts: list[Attempt] = field(default_factory=list)
    allowed: int = 0


Ask = Callable[[Question, str], Record]


def respond(
    generation: Generation,
    prompt: str,
    store: Path,
    ask: Ask,
    *,
    models: Mapping[str, Model],
    redraw: bool = False,
    up_to: int = 0,
    read_only: bool = False,
) -> Outcome:
    """Try the samples of a generation's model until an answer is usable, then those of its fallback models, in order.

    `ask(question, key)` returns the record of an answer that the store lacks, or raises `Pending`; with `read_only`
    nothing else writes to the store. `redraw` requests samples after those in the store: as many as a generation may
    have or, if `up_to` is not 0, until there are that many.

    A usable answer in the store is used whichever candidate gave it; otherwise a model that was down once
    would be called again whenever the generation is rebuilt.
    """
    candidates = generation.candidates
    if len(candidates) > 1 and not redraw:
        for candidate in candidates:
            outcome = _walk(generation, candidate, prompt, store, None, models, read_only=read_only)
            if outcome.status == "ok":
                return outcome
    problem = None
    for candidate in candidates:
        try:
            options = {"redraw": redraw, "up_to": up_to, "read_only": read_only}
            outcome = _walk(generation, candidate, prompt, store, ask, models, **options)
        except CallError as error:
            if len(candidates) == 1 or STOPPING.is_set():
                raise
            problem = problem or error
            continue
        if outcome.status in ("ok", "pending"):
            return outcome
    if problem is not None:  # a model could not be called: the next run calls it again
        raise problem
    return outcome


def _walk(
    generation: Generation,
    candidate: Candidate,
    prompt: str,
    store: Path,
    ask: Ask | None,
    models: Mapping[str, Model],
    *,
    redraw: bool = False,
    up_to: int = 0,
    read_only: bool = False,
) -> Outcome:
    """Try the samples of one model; without `ask`, only those in the store."""
    model, sampling = models[candidate.model.model_id], dict(candidate.sampling)
    first = messages = [*generation.turns, Message("user", prompt)]
    may_repair = bool(generation.repair)
    outcome = Outcome("failed")
    allowed = generation.max_attempts
    for number in range(SAMPLES_PER_REPLICATE):
        sample = (generation.replicate - 1) * SAMPLES_PER_REPLICATE + number
        question = Question(candidate.model, messages, sampling, generation.response_format, sample)
        key = request_key(question)
        record = load_response(store, question, key, read_only=read_only)
        if record is None:
            if redraw:
                allowed, redraw = max(allowed, up_to or number + generation.max_attempts), False
            if number >= allowed or ask is None:
                break
            try:
                record = ask(question, key)
            except Pending as waits:
                outcome.status, outcome.reason, outcome.key, outcome.record = "pending", str(waits), key, None
                outcome.allowed = allowed
                return outcome
        kind, reason, parsed = judge(generation, record.response)
        outcome.raw, outcome.key, outcome.record = record.response.text, key, record
        path = response_path(store, key).relative_to(store.parent).as_posix()
        unusable = {"error": kind, "reason": f"{kind}: {reason}"} if kind else {"error": None}
        outcome.attempts.append(Attempt(sample=sample, response_key=key, response=path, **unusable))
        if not kind:
            outcome.status, outcome.reason, outcome.parsed = "ok", "", parsed
            return outcome
        outcome.reason = f"{kind}: {reason}"
        messages = first
        if kind == "unparsable" and may_repair:
            may_repair, complaint = False, f"That cannot be read: {reason}. {generation.repair}"
            messages = [*first, Message("assistant", record.response.text), Message("user", complaint)]
        if kind == "truncated":
            limit = sampling["max_tokens"]
            sampling = {**sampling, "max_tokens": max(limit, min(2 * limit, model.longest_answer))}
    return outcome


def judge(generation: Generation, response: Response) -> tuple[str, str, Parsed]:
    """(error class, reason, parsed) of an answer; the class is empty if the answer is usable."""
    nothing = Parsed("")
    text = response.text
    if response.finish_reason == "refusal":
        return "refusal", f"the model declined: {text[:200]!r}", nothing
    if response.finish_reason == "length" and not generation.keep_truncated:
        return "truncated", f"cut off after {response.usage.completion} tokens", nothing
    lines = sum(1 for line in text.splitlines() if line.strip())
    if lines < generation.min_lines:
        return "too_short", f"{lines} non-empty lines; at least {generation.min_lines} expected", nothing
    try:
        return "", "", parse(generation.parser.split("/")[0], text, generation.parser_options)
    except ParseError as error:
        return "unparsable", str(error), nothing


_in_flight: dict[str, threading.Lock] = {}
_in_flight_guard = threading.Lock()


@contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    """Let one thread at a time work on a question: other threads wait, then read the answer from the store."""
    with _in_flight_guard:
        lock = _in_flight.setdefault(key, threading.Lock())
    with lock:
        yield
    with _in_flight_guard:
        _in_flight.pop(key, None)


def caller(
    generation: Generation,
    models: Mapping[str, Model],
    store: Path,
    cohort_id: str,
    call_attempts: int,
    on_answer: Callable[[Record], None],
    before_call: Callable[[Question, str, Generation, str], None] = lambda *question: None,
) -> Ask:
    """An `Ask` that calls the provider of the question's model, and stores the answer before anything reads it.

    The record names `generation` and the spec that plans it, `cohort_id`. `on_answer(record)` is called with every new
    answer. `before_call(question, key, generation, cohort_id)` raises `Pending` if the question waits for a batch.
    """

    def ask(question: Question, key: str) -> Record:
        with _one_at_a_time(key):
            record = load_response(store, question, key)
            if record is None:
                before_call(question, key, generation, cohort_id)
                model = models[question.model.model_id]
                record = _call(question, model, generation, cohort_id, call_attempts)
                save_response(store, key, record)
                on_answer(record)
        return record

    return ask


def _call(question: Question, model: Model, generation: Generation, cohort_id: str, call_attempts: int) -> Record:
    request = Request(
        model=model,
        messages=question.messages,
        sampling=question.sampling,
        sample=question.sample,
        response_format=question.response_format,
        gen_id=generation.gen_id,
    )
    complete = provider(model.provider).complete

    def timed() -> tuple[Response, float]:
        started = time.monotonic()
        return complete(request), round(time.monotonic() - started, 3)

    (response, latency_s), waits = call_with_retries(timed, call_attempts, STOPPING)
    call = Call(
        gen_id=generation.gen_id,
        stage=generation.stage,
        cohort_id=cohort_id,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        latency_s=latency_s,
        waits=waits,
        price=model.prices,
        cost_usd=cost(response, model.prices),
    )
    return record_of(question, response, call)


def record_of(question: Question, response: Response, call: Call) -> Record:
    """The store's record of an answer."""
    stored = replace(response, text=_storable(response.text), model_name=_storable(response.model_name), cost_usd=UNSET)
    service = "" if provider(question.model.provider).base_url and not question.model.service else UNSET
    return Record(schema_version=SCHEMA_VERSION, request=question, response=stored, call=call, service=service)


def _storable(text: str) -> str:
    """`text` with a "?" for each lone surrogate, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cost(response: Response, price: Mapping[str, float] | None, *, batch: bool = False) -> float | None:
    """The cost of an answer in US dollars: as the provider reports it, else that of its tokens, half in a batch."""
    if isinstance(response.cost_usd, int | float):
        return response.cost_usd
    if price is None:
        return None
    return price_of(response.usage, price) / (2 if batch else 1)


def price_of(usage: Usage, price: Mapping[str, float]) -> float:
    """The cost of tokens in US dollars; `price` is in US dollars per million tokens."""
    total = (
        (usage.prompt - usage.cached) * price["prompt"]
        + usage.cached * price.get("cached_prompt", price["prompt"])
        + usage.completion * price["completion"]
    )
    return round(total / 1e6, 9)
