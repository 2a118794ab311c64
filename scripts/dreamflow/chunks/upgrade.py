"""Which chunks to re-chunk with a better model within limits, and how to replace the old chunks.

A *region* is a run of neighbouring chunks of one conversation that match the filter and are below the target quality,
no longer than the limit of chunks. It is re-chunked as a whole, and its two ends stay where they are.

What is answered already and not in an archive yet comes first, since it costs nothing. Then come regions that no
upgrade has tried, then those that upgrades have tried in vain, the fewest times first; and among these the regions with
the highest value for money. The value of a region is the sum over its chunks of

    tokens * (1 - confidence) * (1 + use) * priority * steps

so it is the tokens that are likely to be cut badly, where the measured confidence is a probability. confidence: as
measured, else 0.5; use: how often the chunk is likely to be found, by the mean, over its labels, of the label's
frequency among all archives, divided by that of the most frequent label (0 without labels; nobody counts searches);
priority: the largest factor in the configuration for its conversation or one of its labels, else 1; steps: 2 from basic
to premium, else 1. Money: the dollars that are expected, or the tokens if the model is free or its price unknown.

Estimates are expectations: what an upgrade takes if every first answer is usable and as long as expected. They decide
which regions fit the limits, with the room that the budgets reserve for each call. The bounds beside them (`at_most`)
hold whatever the model answers.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

from ..errors import ConfigError
from ..generation.budget_use import amount
from ..generation.model import Json
from .conversation import LEVELS, Archive, ArchivedChunk, Chunk
from .filters import parse_filter
from .stitch import PartitionError, level_of
from .upgrade_tried import is_about

_DEFAULT_CONFIDENCE = 0.5
_SCHEMA_VERSION = 2
AT_MOST = ("tokens", "cost_usd")
ESTIMATES = ("calls", "prompt_tokens", "answer_tokens", "tokens", "cost_usd", "seconds")
PAID = ("answers", "tokens", "cost_usd")

Region = dict[str, Json]  # an item of a plan's `regions`, `skipped` and `unusable`
Limits = Mapping[str, Json]  # limit (chunks), max_tokens, max_duration_s, and deadline with now (ISO 8601)


@dataclass(frozen=True)
class Outlook:
    """What the answers in the store leave to ask of a region. US dollars are None if a price is unknown.

    `calls` that are to be made, with the tokens and dollars that they are expected to take, the `most` that they take
    with every attempt, and the most that the call with the largest reserve takes beyond what is expected of it: a
    budget has to have that room. `waiting` questions are in batches, and paid from there.

    `unusable` is the reason if no further answer will come and none can be used, or those that can have changed
    nothing; `paid` sums the answers that could not be used. `blocked` is the reason if it cannot be asked now.
    """

    calls: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    most_tokens: int = 0
    most_usd: float | None = 0.0
    reserve_tokens: int = 0
    reserve_usd: float = 0.0
    unusable: str = ""
    blocked: str = ""
    paid: Mapping[str, Json] | None = None

    @property
    def estimate(self) -> dict[str, Json]:
        """What the calls are expected to take."""
        tokens = self.prompt_tokens + self.answer_tokens
        values = (self.calls, self.prompt_tokens, self.answer_tokens, tokens, self.usd, self.seconds)
        return dict(zip(ESTIMATES, values, strict=True))


@dataclass(frozen=True)
class Room:
    """What a budget leaves for an upgrade, in "tokens" or "usd"; `name` is its key in the configuration."""

    name: str
    unit: str
    left: float


@dataclass
class _Purse:
    """A room, and what the regions that were chosen have taken of it: `used` is expected, `reserve` is what the call
    that may take most beyond that needs in addition."""

    room: Room
    used: float = 0.0
    reserve: float = 0.0

    def needs(self, estimate: Mapping[str, Json], outlook: Outlook) -> tuple[float, float]:
        """What a region takes, and its reserve."""
        if self.room.unit == "tokens":
            return estimate["tokens"], outlook.reserve_tokens
        return estimate["cost_usd"] or 0.0, outlook.reserve_usd

    def over(self, estimate: Mapping[str, Json], outlook: Outlook) -> str:
        """Why a region does not fit; "" if it does."""
        takes, reserve = self.needs(estimate, outlook)
        reserve = max(reserve, self.reserve)
        left = self.room.left - self.used
        if not takes or round(takes + reserve, 9) <= round(left, 9):
            return ""
        show = partial(amount, unit=self.room.unit)
        kept = f", and {show(reserve)} in reserve for a longer answer" if takes <= left else ""
        return f"would exceed {self.room.name}: needs {show(takes)}{kept}, {show(max(left, 0))} left"

    def is_short(self, estimate: Mapping[str, Json]) -> bool:
        """Whether a region does not fit even without its reserve."""
        takes = estimate["tokens"] if self.room.unit == "tokens" else estimate["cost_usd"] or 0.0
        return round(takes, 9) > round(self.room.left - self.used, 9)

    def take(self, estimate: Mapping[str, Json], outlook: Outlook) -> None:
        """Take what a region needs."""
        takes, reserve = self.needs(estimate, outlook)
        self.used += takes
        self.reserve = max(self.reserve, reserve)


Look = Callable[[Archive, int, int], Outlook]


def plan_upgrades(
    archives: Iterable[Archive],
    filter_text: str,
    target: str,
    limits: Limits,
    look: Look,
    *,
    model_id: str = "",
    priorities: Mapping[str, float] | None = None,
    rooms: Sequence[Room] = (),
    tried: Sequence[Mapping[str, Json]] = (),
) -> dict[str, Json]:
    """The plan of an upgrade, a pure function of its arguments: the ordered regions, the skipped ones with reasons, and
    those with unusable answers, for which only new samples could do anything.

    Each limit is optional. `look(archive, first, last)` is the outlook of a region. `priorities`: factors by label or
    conversation id; `rooms`: what budgets leave; `tried`: what upgrades have tried in vain, as `tried_again` counts it.
    Raises a `ConfigError`.
    """
    if target not in LEVELS[1:]:
        raise ConfigError(f"unknown upgrade target {target!r}; known: {', '.join(LEVELS[1:])}")
    archives = sorted(archives, key=lambda archive: archive["conversation_id"])
    level, longest = LEVELS.index(target), limits.get("limit") or math.inf
    runs, matching, done = _runs(archives, parse_filter(filter_text), level, longest)
    value = _value_function(archives, level, priorities or {})
    candidates = []
    for archive, run in runs:
        first, last = run[0]["unit_range"][0], run[-1]["unit_range"][1]
        outlook = look(archive, first, last)
        candidates.append((_candidate(archive, run, target, outlook, value, tried), outlook))
    candidates.sort(key=lambda pair: _order(*pair))
    chosen, skipped, unusable = _within_limits(candidates, limits, rooms)
    return {
        "schema_version": _SCHEMA_VERSION,
        "filter": filter_text,
        "target": target,
        "model_id": model_id,
        "limits": dict(limits),
        "regions": chosen,
        "skipped": skipped,
        "unusable": unusable,
        "totals": {
            "conversations": len({region["conversation_id"] for region in chosen}),
            "chunks": _chunks(chosen),
            "matched_chunks": matching,
            "already_at_target": done,
            "skipped_chunks": _chunks(skipped),
            "unusable_chunks": _chunks(unusable),
            **sums_of(chosen),
            "waiting": sum(region["waiting"] for region in chosen),
            "at_most": {key: known_total(region["at_most"][key] for region in chosen) for key in AT_MOST},
            "skipped": sums_of(skipped),
            "unusable_paid": {key: known_total(region["paid"][key] for region in unusable) for key in PAID},
        },
    }


def sums_of(regions: Iterable[Region]) -> dict[str, Json]:
    """The sums of the regions' estimates."""
    regions = list(regions)
    return {key: known_total(region["estimate"][key] for region in regions) for key in ESTIMATES}


def _chunks(regions: Iterable[Region]) -> int:
    return sum(len(region["chunks"]) for region in regions)


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
        tokens = chunk["token_range"][1] - chunk["token_range"][0]
        return tokens * (1 - confidence) * (1 + use) * max(own_factors, default=1.0) * steps

    return value


def _candidate(
    archive: Archive,
    run: Sequence[ArchivedChunk],
    target: str,
    outlook: Outlook,
    value: Callable[[ArchivedChunk], float],
    tried: Sequence[Mapping[str, Json]],
) -> Region:
    total, estimate = sum(map(value, run)), outlook.estimate
    chars = [run[0]["char_range"][0], run[-1]["char_range"][1]]
    own = [entry for entry in tried if is_about(entry, archive, target, chars)]
    times = max((entry["times"] for entry in own), default=0)
    price = estimate["cost_usd"] or estimate["tokens"]
    return {
        "conversation_id": archive["conversation_id"],
        "archive_version": archive["version"],
        "text_sha256": archive["metadata"]["text_sha256"],
        "first": run[0]["unit_range"][0],
        "last": run[-1]["unit_range"][1],
        "chars": chars,
        "chunks": [chunk["id"] for chunk in run],
        "text_tokens": run[-1]["token_range"][1] - run[0]["token_range"][0],
        "estimate": estimate,
        "at_most": dict(zip(AT_MOST, (outlook.most_tokens, outlook.most_usd), strict=True)),
        "waiting": outlook.waiting,
        "paid": dict(outlook.paid or dict.fromkeys(PAID, 0)),
        "value": round(total, 6),
        "value_for_money": round(total / price, 6) if price else None,
        "failed": times,
        "problem": max(own, key=lambda entry: entry["times"])["reason"] if own else "",
    }


def _order(region: Region, outlook: Outlook) -> tuple[Json, ...]:
    """What costs nothing, then what was never tried, then what failed least often; the best value for money first."""
    worth = math.inf if region["value_for_money"] is None else region["value_for_money"]
    return (outlook.calls > 0, region["failed"], -worth, region["conversation_id"], region["first"])


def _within_limits(
    candidates: Sequence[tuple[Region, Outlook]], limits: Limits, rooms: Sequence[Room]
) -> tuple[list[Region], list[Region], list[Region]]:
    """The candidates that fit the limits, the others with reasons, and those with unusable answers. One that does not
    fit stops no later one.

    If nothing that has to be asked fits with its reserve, the first region that fits without it is chosen: some of its
    calls can be made, and the next upgrade needs the others alone.
    """
    names = {"chunks": "the limit of chunks", "seconds": "the time"}
    left = {"chunks": limits.get("limit"), "seconds": available_seconds(limits)}
    cap = limits.get("max_tokens")
    purses = [*([_Purse(Room("max_tokens", "tokens", cap))] if cap is not None else []), *map(_Purse, rooms)]
    chosen, skipped, unusable = [], [], []
    tight: Region | None = None
    for region, outlook in candidates:
        if outlook.unusable:
            unusable.append({**region, "reason": outlook.unusable})
            continue
        estimate = region["estimate"]
        needs = {**estimate, "chunks": len(region["chunks"])}
        over = [
            f"would exceed {names[key]}: needs {needs[key]:,} {key}, {room:,} left"
            for key, room in left.items()
            if room is not None and needs[key] > room
        ]
        beyond = [purse for purse in purses if purse.over(estimate, outlook)]
        if over or beyond or outlook.blocked:
            if (
                tight is None
                and not (over or outlook.blocked)
                and not any(purse.is_short(estimate) for purse in beyond)
            ):
                tight = region
            over += [purse.over(estimate, outlook) for purse in beyond]
            skipped.append({**region, "reason": outlook.blocked or "; ".join(over)})
            continue
        left = {key: None if room is None else room - needs[key] for key, room in left.items()}
        for purse in purses:
            purse.take(estimate, outlook)
        chosen.append(region)
    if tight is not None and not any(region["estimate"]["calls"] for region in chosen):
        chosen.append(tight)
        skipped = [region for region in skipped if region["chunks"] != tight["chunks"]]
    return chosen, skipped, unusable


def available_seconds(limits: Limits) -> float | None:
    """The seconds that max_duration_s and the deadline (from now on) leave; None without both."""
    available = [limits["max_duration_s"]] if limits.get("max_duration_s") is not None else []
    if limits.get("deadline") is not None:
        if limits.get("now") is None:
            raise ConfigError("a deadline needs the current time (now)")
        remaining = (moment(limits["deadline"]) - moment(limits["now"])).total_seconds()
        available.append(max(remaining, 0.0))
    return min(available, default=None)


def moment(text: str) -> datetime:
    """A time in ISO 8601, in UTC if it names no zone. Raises a `ConfigError`."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ConfigError(f"{text!r} is not a time; expected: such as 2026-02-13T04:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def merge_upgrade(chunks: Sequence[Chunk], region: tuple[int, int], new: Sequence[Chunk]) -> list[Chunk]:
    """The chunks of an archive with `new` in place of those of `region` (first and last unit), where they are better.

    Old and new chunks are compared in parts, from a unit at which both have a chunk begin to the next. The old ones
    stay unless the new ones are better: no unit may lose quality, and at least one must gain. So rules that replace a
    failed answer never replace the chunks of a better level, and the other answers of the region are not lost with it.
    """
    first, last = region
    before = [chunk for chunk in chunks if chunk.last < first]
    old = [chunk for chunk in chunks if first <= chunk.first and chunk.last <= last]
    after = [chunk for chunk in chunks if chunk.first > last]
    if len(before) + len(old) + len(after) != len(chunks):
        raise PartitionError(f"region {first}-{last} does not begin and end at chunk boundaries")
    units = range(old[0].first, old[-1].last + 1) if old else range(0)
    if [unit for chunk in new for unit in range(chunk.first, chunk.last + 1)] != list(units):
        raise PartitionError(f"the new chunks do not partition region {first}-{last}")
    cuts = sorted({chunk.first for chunk in old} & {chunk.first for chunk in new})
    merged = []
    for begin, end in pairwise([*cuts, last + 1]):
        parts = [[chunk for chunk in side if begin <= chunk.first < end] for side in (old, new)]
        old_levels, new_levels = map(_unit_levels, parts)
        better = all(new_levels[unit] >= level for unit, level in old_levels.items()) and new_levels != old_levels
        merged += parts[better]
    return [*before, *merged, *after]


def _unit_levels(chunks: Sequence[Chunk]) -> dict[int, int]:
    return {unit: level_of(chunk) for chunk in chunks for unit in range(chunk.first, chunk.last + 1)}
