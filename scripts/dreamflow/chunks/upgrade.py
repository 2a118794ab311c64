"""Which chunks to re-chunk with a better model within limits, and putting the new chunks in their place.

A *region* is a run of neighbouring chunks of one conversation that match the filter and whose quality is below the
target, no longer than the limit of chunks: it is re-chunked as a whole, and its two ends stay where they are.

Order: most value for money first. A region's value is the sum over its chunks of

    (1 - confidence) * (1 + use) * priority * steps

confidence: measured, 0.5 where it could not be; use: how often the chunk's labels stand on chunks of all archives,
as a share of the most frequent label's count, the mean over its labels (0 without labels); priority: the largest
factor that the user gives to its conversation or one of its labels, 1 without any; steps: 2 from basic to premium,
else 1. Money: the estimated dollars, or the tokens where the model costs nothing.
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

_UNKNOWN = 0.5  # the confidence of a chunk for which it could not be measured
UNIT_TOKENS = 5  # the number before each unit, see prompt.numbered_units
ANSWER_TOKENS = 90  # of a chunk: numbers, labels, entities and a sentence; never the text
_SCHEMA_VERSION = 1

Region = dict[str, Json]  # an item of a plan's `regions` and `skipped`
Limits = Mapping[str, Json]  # limit (chunks), max_tokens, max_duration_s, and deadline with now (ISO 8601)


@dataclass(frozen=True)
class Estimates:
    """What a call of the target's tier takes. `price` is in US dollars per million tokens, `template_tokens` are those
    of the prompt's fixed text, `window_tokens` those of the text that a call reads."""

    model_id: str
    price: Mapping[str, float] | None
    template_tokens: int
    window_tokens: int
    seconds_per_call: float


def plan_upgrades(
    archives: Iterable[Archive],
    filter_text: str,
    target: str,
    limits: Limits,
    estimates: Estimates,
    priorities: Mapping[str, float] | None = None,
) -> dict[str, Json]:
    """The plan of an upgrade, a pure function of its arguments: regions in their order, what was skipped and why.

    Each limit may be missing. Budgets are kept by the most that a region can need: as many chunks as its size allows.
    `priorities`: factors by label or conversation id.
    """
    if target not in LEVELS[1:]:
        raise ConfigError(f"upgrade target {target!r}; there are {', '.join(LEVELS[1:])}")
    archives = sorted(archives, key=lambda archive: archive["conversation_id"])
    longest = limits.get("limit") or math.inf
    regions, matched, done = _regions(archives, parse_filter(filter_text), LEVELS.index(target), longest)
    value = _valuer(archives, LEVELS.index(target), priorities or {})
    candidates = [_candidate(archive, run, estimates, value) for archive, run in regions]
    candidates.sort(key=lambda region: (-region["value_for_money"], region["conversation_id"], region["first"]))
    chosen, skipped = _within(candidates, limits)
    return {
        "schema_version": _SCHEMA_VERSION,
        "filter": filter_text,
        "target": target,
        "model_id": estimates.model_id,
        "limits": dict(limits),
        "regions": chosen,
        "skipped": skipped,
        "totals": {
            "conversations": len({region["conversation_id"] for region in chosen}),
            "chunks": sum(len(region["chunks"]) for region in chosen),
            "matched_chunks": matched,
            "already_at_target": done,
            "skipped_chunks": sum(len(region["chunks"]) for region in skipped),
            **_estimate_sum([region["estimate"] for region in chosen]),
        },
    }


def _regions(
    archives: Sequence[Archive], matches: Callable[[ArchivedChunk], bool], target: int, longest: float
) -> tuple[list[tuple[Archive, list[ArchivedChunk]]], int, int]:
    """(archive, run of at most `longest` chunks) for each region; how many chunks match; how many of
    these are at the target already."""
    regions, matched, done = [], 0, 0
    for archive in archives:
        run: list[ArchivedChunk] = []
        for chunk in archive["b_chunks"]:
            meets = matches(chunk)
            below = LEVELS.index(chunk["quality_level"]) < target
            matched += meets
            done += meets and not below
            if run and (len(run) == longest or not (meets and below)):
                regions.append((archive, run))
                run = []
            if meets and below:
                run.append(chunk)
        if run:
            regions.append((archive, run))
    return regions, matched, done


def _valuer(
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
        named = [factors[name] for name in (chunk["parent_id"].casefold(), *labels) if name in factors]
        confidence = _UNKNOWN if chunk["confidence"] is None else chunk["confidence"]
        return (1 - confidence) * (1 + use) * max(named, default=1.0) * (target - LEVELS.index(chunk["quality_level"]))

    return value


def _candidate(
    archive: Archive,
    run: Sequence[ArchivedChunk],
    estimates: Estimates,
    value: Callable[[ArchivedChunk], float],
) -> Region:
    first, last = run[0]["unit_range"][0], run[-1]["unit_range"][1]
    text_tokens = run[-1]["token_range"][1] - run[0]["token_range"][0]
    estimate = estimate_region(text_tokens, last - first + 1, estimates)
    worth = sum(map(value, run))
    return {
        "conversation_id": archive["conversation_id"],
        "archive_version": archive["version"],
        "first": first,
        "last": last,
        "chunks": [chunk["id"] for chunk in run],
        "text_tokens": text_tokens,
        "estimate": estimate,
        "value": round(worth, 6),
        "value_for_money": round(worth / (estimate["cost_usd"] or estimate["tokens"]), 6),
    }


def estimate_region(text_tokens: int, units: int, estimates: Estimates) -> dict[str, float]:
    """What it takes at most to chunk so many tokens of text: {calls, prompt_tokens, answer_tokens, tokens, cost_usd,
    seconds}; `estimates` as for `plan_upgrades`. Windows overlap, so an eighth of the text is read twice."""
    calls = math.ceil(text_tokens * 1.125 / estimates.window_tokens) or 1
    repeated = 1.125 if calls > 1 else 1.0
    prompt = math.ceil((text_tokens + units * UNIT_TOKENS) * repeated) + calls * estimates.template_tokens
    answer = (math.ceil(text_tokens * repeated / SMALLEST) + calls) * ANSWER_TOKENS
    price = estimates.price or {"prompt": 0, "completion": 0}
    return {
        "calls": calls,
        "prompt_tokens": prompt,
        "answer_tokens": answer,
        "tokens": prompt + answer,
        "cost_usd": round((prompt * price["prompt"] + answer * price["completion"]) / 1e6, 9),
        "seconds": round(calls * estimates.seconds_per_call, 3),
    }


def _estimate_sum(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = ("calls", "prompt_tokens", "answer_tokens", "tokens", "cost_usd", "seconds")
    return {key: round(sum(part[key] for part in parts), 9) for key in keys}


def _within(candidates: Sequence[Region], limits: Limits) -> tuple[list[Region], list[Region]]:
    """Candidates that fit, in their order, and those that do not, each with the reason; one that does not fit stops
    none that comes later."""
    left = {
        "chunks": limits.get("limit"),
        "tokens": limits.get("max_tokens"),
        "seconds": available_seconds(limits),
    }
    names = {"chunks": "the limit of chunks", "tokens": "max_tokens", "seconds": "the time"}
    chosen, skipped = [], []
    for region in candidates:
        needs = {
            "chunks": len(region["chunks"]),
            "tokens": region["estimate"]["tokens"],
            "seconds": region["estimate"]["seconds"],
        }
        over = [key for key, room in left.items() if room is not None and needs[key] > room]
        if over:
            reason = "; ".join(f"would exceed {names[k]}: needs {needs[k]:,} {k}, {left[k]:,} left" for k in over)
            skipped.append({**region, "reason": reason})
            continue
        left = {key: None if room is None else room - needs[key] for key, room in left.items()}
        chosen.append(region)
    return chosen, skipped


def available_seconds(limits: Limits) -> float | None:
    """The seconds that max_duration_s and the deadline (from now on) leave; None where neither is given."""
    available = [limits["max_duration_s"]] if limits.get("max_duration_s") is not None else []
    if limits.get("deadline") is not None:
        if limits.get("now") is None:
            raise ConfigError("a deadline needs the time from which it is counted (now)")
        remaining = (_moment(limits["deadline"]) - _moment(limits["now"])).total_seconds()
        available.append(max(remaining, 0.0))
    return min(available, default=None)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ConfigError(f"{text!r} is no time such as 2026-02-13T04:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def merge_upgrade(chunks: Sequence[Chunk], region: tuple[int, int], new: Sequence[Chunk]) -> list[Chunk]:
    """The chunks of an archive with `new` in place of those of `region` (first and last unit).

    The old ones stay where the new ones are no better: every unit must keep at least its quality level, and one must
    gain. So rules that stood in for a failed answer never replace what a better tier had made.
    """
    first, last = region
    before = [chunk for chunk in chunks if chunk.last < first]
    old = [chunk for chunk in chunks if first <= chunk.first and chunk.last <= last]
    after = [chunk for chunk in chunks if chunk.first > last]
    if len(before) + len(old) + len(after) != len(chunks):
        raise PartitionError(f"region {first}-{last} does not begin and end where chunks do")
    levels = {unit: level_of(chunk) for chunk in old for unit in range(chunk.first, chunk.last + 1)}
    gains = {unit: level_of(chunk) for chunk in new for unit in range(chunk.first, chunk.last + 1)}
    if levels.keys() != gains.keys() or sum(chunk.last - chunk.first + 1 for chunk in new) != len(gains):
        raise PartitionError(f"the new chunks do not partition region {first}-{last}")
    better = all(gains[unit] >= level for unit, level in levels.items()) and gains != levels
    return [*before, *(new if better else old), *after]
