"""Get a usable answer, from the store or else from a provider. Each kind of failure has one policy:

| failure                          | policy                                                                    |
|----------------------------------|---------------------------------------------------------------------------|
| retryable (429, 5xx, connection) | the same call again after a wait (Retry-After, else exponential back-off) |
| terminal (other 4xx, no key),    | the job fails; nothing is written; the next run calls again               |
| budget used up, store unwritable |                                                                           |
| refusal, too short, unparsable,  | the next sample                                                           |
| unfinished, unreadable           |                                                                           |
| the prompt is too long           | no further sample of this model: the generation has failed                |
| unparsable, the row has `repair` | once: the answer is sent back with the error and the row's request        |
| unconfirmed: the row has `agree` | the next sample, until so many are equal; the last model needs one        |
| truncated, reasoning only        | the next sample with twice the limit, up to the model's limit; if the row |
|                                  | has `keep_truncated`, the truncated answer is used                        |
| no attempts left                 | the next fallback model, if the row has another                           |

Samples are tried in order and every answer stays in the store, so the result of a generation is a pure function of
its plan row and the store: a rerun repeats the same steps without a call. If no sample is usable, the generation has
failed; `redraw` allows as many new samples after those in the store.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .model import SAMPLES_PER_REPLICATE, Attempt, Candidate, Generation, Message, Question, Record, Response
from .models import Model
from .parsers import Parsed, ParseError, parse
from .providers import CallError, Pending
from .store import load_response, request_key

TOO_LONG = "too_long"  # the class of an answer after which no further sample is drawn
COMPLAINT_TOKENS = 1000  # of what is said of an unreadable answer, at most
NO_FALLBACK = ("stopped", "budget", "waiting")  # kinds of errors after which no other model is called


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

    A usable answer of a fallback in the store is used if the models before it gave none, or if it was asked for this
    generation; otherwise a model that was down once would be called again whenever the generation is rebuilt. The
    answer of a fallback to another generation's question stands in for nobody. The attempts are those of all models up
    to the one that answered: they were all paid for.
    """
    candidates = generation.candidates

    def stored(candidate: Candidate) -> Outcome:
        return _walk(generation, candidate, prompt, store, None, models, read_only=read_only)

    def with_earlier(outcome: Outcome, place: int) -> Outcome:
        earlier = [attempt for candidate in candidates[:place] for attempt in stored(candidate).attempts]
        outcome.attempts = [*earlier, *outcome.attempts]
        return outcome

    if len(candidates) > 1 and not redraw:
        all_tried = True
        for place, candidate in enumerate(candidates):
            outcome = stored(candidate)
            is_own = outcome.record is not None and outcome.record.call.gen_id == generation.gen_id
            if outcome.status == "ok" and (all_tried or is_own):
                return with_earlier(outcome, place)
            is_given_up = any(attempt.error == TOO_LONG for attempt in outcome.attempts)
            all_tried = all_tried and (is_given_up or len(outcome.attempts) >= generation.max_attempts)
    problem = None
    for place, candidate in enumerate(candidates):
        try:
            options = {"redraw": redraw, "up_to": up_to, "read_only": read_only}
            outcome = _walk(generation, candidate, prompt, store, ask, models, **options)
        except CallError as error:
            if len(candidates) == 1 or error.kind in NO_FALLBACK:
                raise
            problem = problem or error
            continue
        if outcome.status in ("ok", "pending"):
            return with_earlier(outcome, place)
    if problem is not None:  # a model could not be called: the next run calls it again
        raise problem
    return with_earlier(outcome, len(candidates) - 1)


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
    first = messages = [*(candidate.model.examples or ()), *generation.turns, Message("user", prompt)]
    may_repair, may_ask = bool(generation.repair), ask is not None
    outcome = Outcome("failed")
    allowed = generation.max_attempts
    is_last = candidate == generation.candidates[-1]
    needed, equal = 1 if is_last else generation.agree, Counter()
    for number in range(SAMPLES_PER_REPLICATE):
        sample = (generation.replicate - 1) * SAMPLES_PER_REPLICATE + number
        question = Question(candidate.model, messages, sampling, generation.response_format, sample)
        key = request_key(question)
        record = load_response(store, question, key, read_only=read_only)
        if record is None:
            if redraw:
                allowed, redraw = max(allowed, up_to or number + generation.max_attempts), False
                may_ask = True
            if number >= allowed or not may_ask:
                break
            try:
                record = ask(question, key)
            except Pending as waits:
                outcome.status, outcome.reason, outcome.key, outcome.record = "pending", str(waits), key, None
                outcome.allowed = allowed
                return outcome
        kind, reason, parsed = judge(generation, record.response)
        if not kind and needed > 1:
            equal[parsed.text.strip()] += 1
            if (found := equal[parsed.text.strip()]) < needed:
                kind, reason = "unconfirmed", f"{found} of {needed} equal samples"
        outcome.raw, outcome.key, outcome.record = record.response.text, key, record
        unusable = {"error": kind, "reason": f"{kind}: {reason}"} if kind else {"error": None}
        outcome.attempts.append(Attempt(sample=sample, response_key=key, **unusable))
        if not kind:
            outcome.status, outcome.reason, outcome.parsed = "ok", "", parsed
            return outcome
        outcome.reason = f"{kind}: {reason}"
        may_ask = may_ask and kind != TOO_LONG
        messages = first
        if kind == "unparsable" and may_repair:
            may_repair, complaint = False, f"That cannot be read: {reason}. {generation.repair}"
            messages = [*first, Message("assistant", record.response.text), Message("user", complaint)]
        if kind == "truncated":
            limit = sampling["max_tokens"]
            sampling = {**sampling, "max_tokens": model.answer_limits(limit, 2)[1]}
    return outcome


def judge(generation: Generation, response: Response) -> tuple[str, str, Parsed]:
    """(error class, reason, parsed) of an answer; the class is empty if the answer is usable."""
    nothing = Parsed("")
    text = response.text
    if response.finish_reason == "refusal":
        return "refusal", f"the model declined: {text[:200]!r}", nothing
    if response.reasoning and not text.strip() and response.finish_reason in ("stop", "length"):
        used = response.usage.completion
        return "truncated", f"the model only reasoned, and gave no answer within {used} tokens", nothing
    if response.finish_reason == "length" and not generation.keep_truncated:
        return "truncated", f"cut off after {response.usage.completion} tokens", nothing
    if response.finish_reason == "unreadable":
        return "unreadable", f"the provider's answer cannot be read: {text[:200]}", nothing
    if response.finish_reason == "context":
        return TOO_LONG, f"the prompt does not fit the model's context: {text[:200]}", nothing
    if response.finish_reason not in ("stop", "length"):
        said = (
            f"the provider ended the answer with {response.finish_reason!r}" if response.finish_reason else "no reason"
        )
        return "unfinished", said, nothing
    lines = sum(1 for line in text.splitlines() if line.strip())
    if lines < generation.min_lines:
        return "too_short", f"{lines} non-empty lines; at least {generation.min_lines} expected", nothing
    try:
        return "", "", parse(generation.parser.split("/")[0], text, generation.parser_options)
    except ParseError as error:
        return "unparsable", str(error), nothing
