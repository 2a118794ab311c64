"""Which chunks to re-chunk with a better model within limits, and how to replace the old chunks.

A *region* is a run of neighbouring chunks of one conversation that match the filter and are below the target quality,
no longer than the limit of chunks. It is re-chunked as a whole, and its two ends stay where they are.

Regions are ordered by value for money. The value of a region is the sum over its chunks of

    (1 - confidence) * (1 + use) * priority * steps

confidence: as measured, else 0.5; use: the mean, over the chunk's labels, of the label's frequency among all archives,
divided by that of the most frequent label (0 without labels); priority: the largest factor in the configuration for its
conversation or one of its labels, else 1; steps: 2 from basic to premium, else 1. Money: the estimated dollars, or the
tokens if the model is free or its price unknown.

Estimates are expectations: what an upgrade takes if every first answer is usable. They decide which regions fit the
limits. The bounds beside them (`at_most`) hold whatever the model answers; the budget of the run enforces max_tokens.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import ConfigError
from ..generation.model import Json
from .conversation import LEVELS, Archive, ArchivedChunk, Chunk
from .filters import parse_filter
from .prompt import SMALLEST
from .stitch import PartitionError, level_of

_DEFAULT_CONFIDENCE = 0.5
UNIT_TOKENS = 5  # for the number before each unit, see prompt.numbered_units
ANSWER_TOKENS = 90  # for a chunk: numbers, labels, entities and a sentence; never the text
_OVERLAP_FACTOR = 1.125  # windows overlap: an eighth of the text occurs in two windows
_SCHEMA_VERSION = 1
AT_MOST = ("tokens", "cost_usd")
_ESTIMATES = ("calls", "prompt_tokens", "answer_tokens", "tokens", "cost_usd", "seconds")

Region = dict[str, Json]  # an item of a plan's `regions` and `skipped`
Limits = Mapping[str, Json]  # limit (chunks), max_tokens, max_duration_s, and deadline with now (ISO 8601)


@dataclass(frozen=True)
class Estimates:
    """The cost of a call at the target level. `price` is in US dollars per million tokens (None: unknown),
    `template_tokens` counts the fixed text of the prompt, `window_tokens` the text of a window; `repeats_text` says
    that an answer repeats the text."""

    model_id: str
    price: Mapping[str, float] | None
    template_tokens: int
    window_tokens: int
    seconds_per_call: float
    repeats_text: bool = False


@dataclass(frozen=True)
class Outlook:
    """What the answers in the store leave to ask of a region: its calls, and the most tokens and US dollars (None:
    unknown) that they take with every attempt. `unusable` is the reason if all of its windows are answered and no
    answer can be used, `too_large` if a call is too large to be begun."""

    calls: int
    tokens: int
    usd: float | None
    unusable: str = ""
    too_large: str = ""


def plan_upgrades(
    archives: Iterable[Archive],
    filter_text: str,
    target: str,
    limits: Limits,
    estimates: Estimates,
    look: Callable[[str, int, int], Outlook],
    priorities: Mapping[str, float] | None = None,
) -> dict[str, Json]:
    """The plan of an upgrade, a pure function of its arguments: the ordered regions, the skipped ones with reasons, and
    those with unusable answers, for which only new samples could do anything.

    Each limit is optional. `look(conversation_id, first, last)` is the outlook of a region. `priorities`: factors by
    label or conversation id. Raises a `ConfigError`.
    """
    if target not in LEVELS[1:]:
        raise ConfigError(f"unknown upgrade target {target!r}; known: {', '.join(LEVELS[1:])}")
    archives = sorted(archives, key=lambda archive: archive["conversation_id"])
    level, longest = LEVELS.index(target), limits.get("limit") or math.inf
    runs, matching, done = _runs(archives, parse_filter(filter_text), level, longest)
    value = _value_function(archives, level, priorities or {})
    candidates = [_candidate(archive, run, estimates, value) for archive, run in runs]
    candidates.sort(key=lambda region: (-region["value_for_money"], region["conversation_id"], region["first"]))
    chosen, skipped, unusable = _within_limits(candidates, limits, look)
    return {
        "schema_version": _SCHEMA_VERSION,
        "filter": filter_text,
        "target": target,
        "model_id": estimates.model_id,
        "limits": dict(limits),
        "regions": chosen,
        "skipped": skipped,
        "unusable": unusable,
        "totals": {
            "conversations": len({region["conversation_id"] for region in chosen}),
            "chunks": sum(len(region["chunks"]) for region in chosen),
            "matched_chunks": matching,
            "already_at_target": done,
            "skipped_chunks": sum(len(region["chunks"]) for region in skipped),
            **{key: known_total(region["estimate"][key] for region in chosen) for key in _ESTIMATES},
            "at_most": {key: known_total(region["at_most"][key] for region in chosen) for key in AT_MOST},
        },
    }


def known_total(values: Iterable[float | None]) -> float | None:
    """The sum; None if one of the values is unknown."""
    values = list(values)
    return None if None in values else round(sum(values), 9)


def _runs(
    archives: Sequence[Archive], matches: Callable[[ArchivedChunk], bool], target: int, longest: float
) -> tuple[list[tuple[Archive, list[ArchivedChunk]]], int, int]:
    """(archive, chunks) of each region; the number of matching chunks; how many of them are at the target already."""
    runs, matching, done = [], 0, 0
    for archive in archives:
        run: list[ArchivedChunk] = []  # the current region; empty between regions
        for chunk in archive["b_chunks"]:
            is_match = matches(chunk)
            is_below = LEVELS.index(chunk["quality_level"]) < target
            matching += is_match
            done += is_match and not is_below
            if not (is_match and is_below):
                run = []
            elif run and len(run) < longest:
                run.append(chunk)
            else:
                run = [chunk]
                runs.append((archive, run))
    return runs, matching, done


def _value_function(
    archives: Sequence[Archive], target: int, priorities: Mapping[str, float]
) -> Callable[[ArchivedChunk], float]:
    factors = {name.casefold(): factor for name, factor in priorities.items()}
    counts = Counter(
        label.casefold() for archive in archives for chunk in archive["b_chunks"] for label in chunk["labels"]
    )
    most = max(counts.values(), default=1)

    def value(chunk: ArchivedChunk) -> float:
        labels = [label.casefold() for label in chunk["labels"]]
        use = sum(counts[label] for label in labels) / most / len(labels) if labels else 0.0
        own_factors = [factors[name] for name in (chunk["parent_id"].casefold(), *labels) if name in factors]
        confidence = _DEFAULT_CONFIDENCE if chunk["confidence"] is None else chunk["confidence"]
        steps = target - LEVELS.index(chunk["quality_level"])
        return (1 - confidence) * (1 + use) * max(own_factors, default=1.0) * steps

    return value


def _candidate(
    archive: Archive, run: Sequence[ArchivedChunk], estimates: Estimates, value: Callable[[ArchivedChunk], float]
) -> Region:
    first, last = run[0]["unit_range"][0], run[-1]["unit_range"][1]
    text_tokens = run[-1]["token_range"][1] - run[0]["token_range"][0]
    estimate = estimate_region(text_tokens, last - first + 1, estimates)
    total = sum(map(value, run))
    return {
        "conversation_id": archive["conversation_id"],
        "archive_version": archive["version"],
        "first": first,
        "last": last,
        "chunks": [chunk["id"] for chunk in run],
        "text_tokens": text_tokens,
        "estimate": estimate,
        "value": round(total, 6),
        "value_for_money": round(total / (estimate["cost_usd"] or estimate["tokens"]), 6),
    }


def estimate_region(text_tokens: int, units: int, estimates: Estimates) -> dict[str, float]:
    """What a text of this size takes if each first answer is usable and has as many chunks as fit: {calls,
    prompt_tokens, answer_tokens, tokens, cost_usd (None: unknown), seconds}."""
    calls = math.ceil(text_tokens * _OVERLAP_FACTOR / estimates.window_tokens) or 1
    repeated = _OVERLAP_FACTOR if calls > 1 else 1.0
    prompt = math.ceil((text_tokens + units * UNIT_TOKENS) * repeated) + calls * estimates.template_tokens
    answer = (math.ceil(text_tokens * repeated / SMALLEST) + calls) * ANSWER_TOKENS
    if estimates.repeats_text:
        answer += math.ceil(text_tokens * repeated)
    price = estimates.price
    cost = round((prompt * price["prompt"] + answer * price["completion"]) / 1e6, 9) if price else None
    seconds = round(calls * estimates.seconds_per_call, 3)
    return dict(zip(_ESTIMATES, (calls, prompt, answer, prompt + answer, cost, seconds), strict=True))


def _within_limits(
    candidates: Sequence[Region], limits: Limits, look: Callable[[str, int, int], Outlook]
) -> tuple[list[Region], list[Region], list[Region]]:
    """The candidates that fit the limits, the others with reasons, and those with unusable answers. One that does not
    fit stops no later one."""
    names = {"chunks": "the limit of chunks", "tokens": "max_tokens", "seconds": "the time"}
    left = {"chunks": limits.get("limit"), "tokens": limits.get("max_tokens"), "seconds": available_seconds(limits)}
    chosen, skipped, unusable = [], [], []
    for region in candidates:
        outlook = look(region["conversation_id"], region["first"], region["last"])
        if outlook.unusable:
            unusable.append({**region, "reason": outlook.unusable})
            continue
        if not outlook.calls:  # answered already, so it takes nothing
            region = {**region, "estimate": dict.fromkeys(_ESTIMATES, 0)}
        needs = {**region["estimate"], "chunks": len(region["chunks"])}
        over = [key for key, room in left.items() if room is not None and needs[key] > room]
        if over:
            reason = "; ".join(f"would exceed {names[k]}: needs {needs[k]:,} {k}, {left[k]:,} left" for k in over)
            skipped.append({**region, "reason": reason})
        elif outlook.too_large:
            skipped.append({**region, "reason": outlook.too_large})
        else:
            left = {key: None if room is None else room - needs[key] for key, room in left.items()}
            at_most = dict(zip(AT_MOST, (outlook.tokens, outlook.usd), strict=True))
            chosen.append({**region, "at_most": at_most})
    return chosen, skipped, unusable


def available_seconds(limits: Limits) -> float | None:
    """The seconds that max_duration_s and the deadline (from now on) leave; None without both."""
    available = [limits["max_duration_s"]] if limits.get("max_duration_s") is not None else []
    if limits.get("deadline") is not None:
        if limits.get("now") is None:
            raise ConfigError("a deadline needs the current time (now)")
        remaining = (_moment(limits["deadline"]) - _moment(limits["now"])).total_seconds()
        available.append(max(remaining, 0.0))
    return min(available, default=None)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ConfigError(f"{text!r} is not a time; expected: such as 2026-02-13T04:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def merge_upgrade(chunks: Sequence[Chunk], region: tuple[int, int], new: Sequence[Chunk]) -> list[Chunk]:
    """The chunks of an archive with `new` in place of those of `region` (first and last unit).

    The old chunks stay unless the new ones are better: no unit may lose quality, and at least one must gain. So rules
    that replace a failed answer never replace the chunks of a better level.
    """
    first, last = region
    before = [chunk for chunk in chunks if chunk.last < first]
    old = [chunk for chunk in chunks if first <= chunk.first and chunk.last <= last]
    after = [chunk for chunk in chunks if chunk.first > last]
    if len(before) + len(old) + len(after) != len(chunks):
        raise PartitionError(f"region {first}-{last} does not begin and end at chunk boundaries")
    old_levels, new_levels = _unit_levels(old), _unit_levels(new)
    if old_levels.keys() != new_levels.keys() or sum(chunk.last - chunk.first + 1 for chunk in new) != len(new_levels):
        raise PartitionError(f"the new chunks do not partition region {first}-{last}")
    better = all(new_levels[unit] >= level for unit, level in old_levels.items()) and new_levels != old_levels
    return [*before, *(new if better else old), *after]


def _unit_levels(chunks: Sequence[Chunk]) -> dict[int, int]:
    return {unit: level_of(chunk) for chunk in chunks for unit in range(chunk.first, chunk.last + 1)}
