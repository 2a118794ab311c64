"""Reading what a model's server answered, whatever that is: a paid answer is read as far as it can be.

Nothing here raises. Whatever is odd becomes a warning, a short text in the list that the functions are given.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..model import Json, Response, Usage

MOST_TOKENS = 10**9  # of one answer: a larger count is an error of the server
MOST_USD = 1e6
OTHER_MODEL = "another model answered"  # how a warning begins, see `check_model`
_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.S)
_OPEN_THINK = re.compile(r"\s*<think>(.*)", re.S)
# What may follow a model's name: a date, a version, latest. (gpt-4o-2024-08-06, gpt-4-0613, claude-sonnet-4@20250514)
_VERSION = re.compile(r"[-_@.:](\d{4}-\d\d-\d\d|\d{8}|\d{6}|\d{4}|\d{3}|\d\d-\d\d(-\d{4})?|latest|preview|exp|v\d+)$")


def decode(body: bytes, warnings: list[str]) -> Json:
    """The JSON value of a body. Raises `ValueError` or `RecursionError` if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):  # also NaN, lone surrogates, bytes that are not UTF-8
        text = body.decode("utf-8-sig", "replace")
        value = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 400 else math.inf)
        if "\ufffd" in text and b"\xef\xbf\xbd" not in body:
            warnings.append("the body has bytes that are not UTF-8")
        return value


def decode_or_text(body: bytes) -> Json:
    """The JSON value of a body; the beginning of its text if it is not JSON."""
    try:
        return decode(body, [])
    except (ValueError, RecursionError):
        return body[:4000].decode("utf-8", "replace")


def total(read: Callable[[Json, list[str]], Response], body: bytes) -> Response:
    """`read(value, warnings)` of the JSON value in `body`; a `Response` that is "unreadable" if there is none."""
    warnings: list[str] = []
    try:
        value = decode(body, warnings)
        response = read(value, warnings)
    except RecursionError:
        response = unreadable("it is nested too deeply")
    except ValueError as error:
        response = unreadable(f"it is not JSON ({_short(error)}); it begins with {_short(body[:100])}")
    return replace(
        response,
        text=storable(response.text),
        finish_reason=storable(response.finish_reason),
        model_name=storable(response.model_name),
        reasoning=storable(response.reasoning) if response.reasoning else UNSET,
        warnings=[storable(warning) for warning in warnings] or UNSET,
    )


def unreadable(why: str, paid: Response | None = None) -> Response:
    """The response for a body that has no answer; `paid` has what is known of its price. `why` begins with "it"."""
    return replace(paid or Response(""), text=why, finish_reason="unreadable")


def fields(value: Json, what: str, warnings: list[str]) -> dict[str, Json]:
    """A JSON object; {} for null, and with a warning for anything else."""
    if value is not None and not isinstance(value, dict):
        warnings.append(f"{what} is not an object: {_short(value)}")
    return value if isinstance(value, dict) else {}


def words(value: Json, what: str, warnings: list[str]) -> str:
    """A text; "" for null, and with a warning its JSON for anything else."""
    if value is None or isinstance(value, str):
        return value or ""
    warnings.append(f"{what} is not a text: {_short(value)}")
    return as_text(value)


def content(value: Json, warnings: list[str]) -> tuple[str, str]:
    """(text, reasoning) of a message's content: a text, or a list of parts, or with a warning anything else."""
    if isinstance(value, dict):
        warnings.append(f"the content is an object: {_short(value)}")
        return (value["text"] if isinstance(value.get("text"), str) else as_text(value)), ""
    if not isinstance(value, list):
        return words(value, "the content", warnings), ""
    text, reasoning = "", ""
    for part in value:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        inner = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if kind in ("text", "output_text") and isinstance(inner, str):
            text += inner
        elif kind in ("thinking", "redacted_thinking", "reasoning"):
            reasoning += _thought(part)
        else:
            warnings.append(f"a part of the content is not a text: {_short(part)}")
    return text, reasoning


def thoughts(*values: Json) -> str:
    """The first of these that has a text: a text or a list of {"text" or "summary": text}; else ""."""
    for value in values:
        found = "".join(map(_thought, value)) if isinstance(value, list) else value
        if isinstance(found, str) and found:
            return found
    return ""


def split_thinking(text: str, reasoning: str, finish_reason: str) -> tuple[str, str]:
    """(text, reasoning) with a <think> block at the beginning of the text moved to the reasoning; also one that
    was cut off before its end."""
    match = _THINK.match(text) or (_OPEN_THINK.fullmatch(text) if finish_reason == "length" else None)
    if match is None:
        return text, reasoning
    return text[match.end() :], "\n\n".join(part for part in (reasoning, match[1].strip()) if part)


def reason(
    value: Json, warnings: list[str], good: Collection[str], cut: Collection[str], refused: Collection[str]
) -> str:
    """A `finish_reason` for what the server calls it; what is in no list stays as it is."""
    said = words(value, "the finish reason", warnings)[:60]
    for ours, names in (("stop", good), ("length", cut), ("refusal", refused)):
        if said in names:
            return ours
    # A server that uses one of our own words in another sense has not said that the answer is good.
    return f"other: {said}" if said in ("stop", "length", "refusal", "context", "unreadable") else said


def count(value: Json, what: str, warnings: list[str]) -> int | UnsetType:
    """A number of tokens; absent for null, and with a warning for what is no such number."""
    number = _amount(value, MOST_TOKENS, f"{what} is not a number of tokens", warnings)
    if number is UNSET:
        return UNSET
    if not isinstance(value, int):
        warnings.append(f"{what} is not a whole number: {_short(value)}")
    return math.ceil(number)


def plausible(usage: Usage, text: str, warnings: list[str]) -> Usage:
    """`usage` without counts that cannot be true, so that no price is made of them: then they are unknown."""
    unknown = {}
    if usage.prompt_tokens == 0:
        unknown["prompt_tokens"] = "no tokens for a prompt"
    if usage.completion_tokens == 0 and text:
        unknown["completion_tokens"] = "no tokens for a text"
    if usage.cached + (usage.cache_write_tokens or 0) > usage.prompt:
        unknown["cached_tokens"] = unknown["cache_write_tokens"] = "more cached tokens than the prompt has"
    if (usage.reasoning_tokens or 0) > usage.completion:
        unknown["reasoning_tokens"] = "more tokens of reasoning than of the answer"
    warnings += [f"the usage has {why}" for why in dict.fromkeys(unknown.values())]
    return replace(usage, **dict.fromkeys(unknown, UNSET))


def dollars(value: Json, what: str, warnings: list[str]) -> float | UnsetType:
    """An amount in US dollars; absent for null, and with a warning for what is no such amount."""
    return _amount(value, MOST_USD, f"{what} is not an amount in dollars", warnings)


def logprob(tokens: Json, warnings: list[str]) -> float | UnsetType:
    """The sum of the log-probabilities in a list of tokens; absent if there is no list or one is missing in it."""
    if not tokens:
        return UNSET
    values = [token.get("logprob") if isinstance(token, dict) else None for token in _listed(tokens)]
    if not values or any(isinstance(value, str) or _number(value) is None or abs(value) > 1e6 for value in values):
        warnings.append(f"the log-probabilities cannot be read: {_short(tokens)}")
        return UNSET
    return sum(values)


def check_model(asked: str, answered: str, warnings: list[str]) -> None:
    """Warn if the name that the server reports is that of another model."""
    if answered and _bare(asked) != _bare(answered):
        warnings.append(f"{OTHER_MODEL}: {_short(answered)}, asked was {_short(asked)}")


def _bare(name: str) -> str:
    """A model's name without the vendor before it and the variant, date and version after it."""
    bare = name.lower().rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")
    bare = re.sub(r":[a-z][a-z0-9._-]*$", "", bare)  # :free, :nitro, :latest
    while (shorter := _VERSION.sub("", bare)) != bare:
        bare = shorter
    return bare


def _amount(value: Json, most: float, problem: str, warnings: list[str]) -> float | UnsetType:
    """A number from 0 to `most`; absent for null, and with the warning `problem` for anything else."""
    if value is None:
        return UNSET
    number = _number(value)
    if number is None or not 0 <= number <= most:
        warnings.append(f"{problem}: {_short(value)}")
        return UNSET
    return number


def _number(value: Json) -> float | None:
    """A number, also one that is written as a text; None for anything else, NaN and infinities."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (isinstance(value, str) and len(value) > 40)
    ):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _thought(part: Json) -> str:
    if isinstance(part, str):
        return part
    inner = [part.get(name) for name in ("text", "summary", "thinking")] if isinstance(part, dict) else []
    return thoughts(*inner)


def _listed(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list) else ()


def as_text(value: Json) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def _short(value: object) -> str:
    """At most 80 characters of a value."""
    text = " ".join(repr(value).split() if not isinstance(value, Exception) else str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def storable(text: str) -> str:
    """`text` with a "?" for each lone surrogate, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
