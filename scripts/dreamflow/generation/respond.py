"""Getting a usable answer: from the store, else by asking; one policy for each way in which that can go wrong.

| what went wrong                  | what is done                                                             |
|----------------------------------|--------------------------------------------------------------------------|
| retryable (429, 5xx, connection) | the same call again after a wait (Retry-After, else exponential back-off) |
| terminal (other 4xx, no key)     | the job fails; nothing is written; the next run asks again                |
| refusal, too short, unparsable   | the next sample                                                           |
| unparsable, the row has `repair` | once: the answer is sent back with the error, and the row's request       |
| truncated                        | the next sample with twice the limit, up to the model's; where the row    |
|                                  | has `keep_truncated`, what there is counts                                |
| any of these, to the end         | the row's next fallback model, if it has one                              |

Samples are walked in order and every answer stays in the store, so what a generation becomes is a pure function of
its plan row and the store: a rerun repeats the walk without a call. A generation whose samples are all unusable has
failed; drawing it anew (`redraw`) allows as many samples again, after those that are there.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .parsers import Parsed, ParseError, parse
from .providers import CallError, Request, Response, provider
from .store import load_response, request_key, save_response

SAMPLES_PER_REPLICATE = 1000  # replicate r draws the samples from (r - 1) * 1000 on
STOPPING = threading.Event()  # set on Ctrl-C: calls in flight end, no other begins, nobody waits for a busy server
LONGEST_WAIT_S = 60.0  # of our own back-off
LONGEST_RETRY_AFTER_S = 600.0  # a server that wants more than this is tried again by the next run


class NeedsCall(Exception):
    """Raised with the question's key instead of asking, where nobody may ask and the store has no answer."""


@dataclass
class Outcome:
    """What became of a generation. `record` is the store's record of its last answer, `key` that record's key."""

    status: str  # ok | failed
    reason: str = ""
    raw: str = ""
    parsed: Parsed = field(default_factory=lambda: Parsed(""))
    key: str = ""
    record: Mapping[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)


Ask = Callable[[Mapping[str, Any], str], Mapping[str, Any]]


def respond(
    row: Mapping[str, Any],
    prompt: str,
    store: Path,
    ask: Ask,
    *,
    models: Mapping[str, Mapping[str, Any]],
    redraw: bool = False,
) -> Outcome:
    """Walk the samples of a generation until one can be used; then those of its fallback models, in their order.

    `ask(question, key)` gets an answer's record. A usable answer that is there already is taken whoever gave it:
    else a model that was down once would be asked again whenever the generation is rebuilt.
    """
    chain = [row, *({**row, **other} for other in row.get("fallbacks", ()))]
    if len(chain) > 1 and not redraw:
        for link in chain:
            outcome = _walk(link, prompt, store, None, models)
            if outcome.status == "ok":
                return outcome
    problem = None
    for link in chain:
        try:
            outcome = _walk(link, prompt, store, ask, models, redraw=redraw)
        except CallError as error:
            if len(chain) == 1 or STOPPING.is_set():
                raise
            problem = problem or error
            continue
        if outcome.status == "ok":
            return outcome
    if problem is not None:  # somebody was not asked: the next run tries again
        raise problem
    return outcome


def _walk(
    row: Mapping[str, Any],
    prompt: str,
    store: Path,
    ask: Ask | None,
    models: Mapping[str, Mapping[str, Any]],
    *,
    redraw: bool = False,
) -> Outcome:
    """The samples of one model; without `ask`, those that are stored."""
    model = models[row["model"]["model_id"]]
    sampling = dict(row["sampling"])
    first = messages = [*row.get("turns", ()), {"role": "user", "content": prompt}]
    repaired = "repair" not in row
    outcome = Outcome("failed")
    allowed = row["attempts"]
    for attempt in range(SAMPLES_PER_REPLICATE):
        question = {
            "model": row["model"],
            "messages": messages,
            "sampling": sampling,
            "response_format": row["response_format"],
            "sample": (row["replicate"] - 1) * SAMPLES_PER_REPLICATE + attempt,
        }
        key = request_key(question)
        record = load_response(store, key)
        if record is None:
            if redraw:
                allowed, redraw = attempt + row["attempts"], False
            if attempt >= allowed or ask is None:
                break
            record = ask(question, key)
        kind, reason, parsed = judge(row, record["response"])
        outcome.raw, outcome.key, outcome.record = record["response"]["text"], key, record
        outcome.attempts.append({"sample": question["sample"], "response_key": key, "error": kind or None})
        if not kind:
            outcome.status, outcome.reason, outcome.parsed = "ok", "", parsed
            return outcome
        outcome.attempts[-1]["reason"] = outcome.reason = f"{kind}: {reason}"
        messages = first
        if kind == "unparsable" and not repaired:
            repaired, complaint = True, f"That cannot be read: {reason}. {row['repair']}"
            answer = {"role": "assistant", "content": record["response"]["text"]}
            messages = [*first, answer, {"role": "user", "content": complaint}]
        if kind == "truncated":
            sampling = {**sampling, "max_tokens": _larger(sampling["max_tokens"], model)}
    return outcome


def _larger(max_tokens: int, model: Mapping[str, Any]) -> int:
    return max(max_tokens, min(2 * max_tokens, model.get("max_output_tokens", model["context_length"] // 2)))


def judge(row: Mapping[str, Any], response: Mapping[str, Any]) -> tuple[str, str, Parsed]:
    """(error class, reason, parsed) of an answer; the class is empty if the answer can be used."""
    nothing = Parsed("")
    text = response["text"]
    if response["finish_reason"] == "refusal":
        return "refusal", f"the model declined: {text[:200]!r}", nothing
    if response["finish_reason"] == "length" and not row.get("keep_truncated"):
        tokens = response["usage"].get("completion_tokens", 0)
        return "truncated", f"cut off after {tokens} tokens", nothing
    lines = sum(1 for line in text.splitlines() if line.strip())
    if lines < row["min_lines"]:
        return "too_short", f"{lines} non-empty lines; at least {row['min_lines']} expected", nothing
    try:
        return "", "", parse(row["parser"].split("/")[0], text, row["parser_options"])
    except ParseError as error:
        return "unparsable", str(error), nothing


# --- asking ---------------------------------------------------------------------------------------------------------

_asking: dict[str, threading.Lock] = {}
_asking_guard = threading.Lock()


@contextmanager
def _alone(key: str) -> Iterator[None]:
    """Two generations may ask the same question at once: the second waits and finds the answer in the store."""
    with _asking_guard:
        lock = _asking.setdefault(key, threading.Lock())
    with lock:
        yield
    with _asking_guard:
        _asking.pop(key, None)


def asker(
    models: Mapping[str, Mapping[str, Any]],
    store: Path,
    asked_by: Mapping[str, str],
    call_attempts: int,
    on_answer: Callable[[Mapping[str, Any]], None],
) -> Ask:
    """An `ask` that calls the provider of the question's model and keeps the answer before anyone sees it.

    `asked_by` is recorded with the answer (gen_id, stage, cohort_id); `on_answer(record)` hears of new answers.
    """

    def ask(question: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        with _alone(key):
            record = load_response(store, key)
            if record is None:
                record = _call(question, models[question["model"]["model_id"]], asked_by, call_attempts)
                save_response(store, key, record)
                on_answer(record)
        return record

    return ask


def _call(
    question: Mapping[str, Any], model: Mapping[str, Any], asked_by: Mapping[str, str], call_attempts: int
) -> dict[str, Any]:
    complete = provider(model["provider"])
    request = Request(
        model=model,
        messages=question["messages"],
        sampling=question["sampling"],
        sample=question["sample"],
        response_format=question["response_format"],
        gen_id=asked_by["gen_id"],
    )
    waits: list[dict[str, Any]] = []
    while True:
        if STOPPING.is_set():
            raise CallError("the run was stopped before it was asked", retryable=False)
        started = time.monotonic()
        try:
            response = complete(request)
            break
        except CallError as error:
            too_long = (error.retry_after or 0) > LONGEST_RETRY_AFTER_S
            if not error.retryable or too_long or len(waits) + 1 >= call_attempts:
                raise
            wait = error.retry_after
            if wait is None:
                wait = min(LONGEST_WAIT_S, 2.0 ** len(waits)) * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)
            waits.append({"error": "retryable", "status": error.status, "wait_s": round(wait, 3)})
            STOPPING.wait(wait)
    response = replace(response, text=_storable(response.text), model_name=_storable(response.model_name))
    return {
        "request": dict(question),
        "response": {
            "text": response.text,
            "finish_reason": response.finish_reason,
            "usage": dict(response.usage),
            "model_name": response.model_name,
        },
        "asked": {
            **asked_by,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "latency_s": round(time.monotonic() - started, 3),
            "attempts": waits,
            "price": model.get("price"),
            "cost_usd": cost(response, model.get("price")),
        },
    }


def _storable(text: str) -> str:
    """`text` without the lone halves of characters that JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cost(response: Response, price: Mapping[str, float] | None) -> float | None:
    """US dollars for an answer: what the provider says that it billed, else tokens times price (USD per million)."""
    if response.cost_usd is not None:
        return response.cost_usd
    if price is None:
        return None
    prompt = response.usage.get("prompt_tokens", 0)
    cached = response.usage.get("cached_tokens", 0)
    total = (
        (prompt - cached) * price["prompt"]
        + cached * price.get("cached_prompt", price["prompt"])
        + response.usage.get("completion_tokens", 0) * price["completion"]
    )
    return round(total / 1e6, 9)
