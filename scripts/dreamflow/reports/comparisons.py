"""Comparisons of pairs of things in words: which is better, by how much, and whether that is shown at all.

A comparison is a mapping: level_a, level_b, difference (of a to b, between 0 and 1), its 95% interval ci_low, ci_high
(NaN if unknown), the number of `pairs`, and `combos`, the independent clusters of pairs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..generation.model import Json
from .markdown import count

ENOUGH = 6  # clusters; fewer can all agree by chance: the two-sided sign test has p = 2 * 0.5^n > 0.05 for n < 6
SHOWN = 3  # comparisons in words of one kind


@dataclass(frozen=True)
class Words:
    """How comparisons are said. Differences are multiplied by `width` and are `unit`s. `noun` is what is compared, ""
    if its names say it. `table` has all comparisons, and pairs and clusters are counted by their names."""

    width: float
    unit: str
    noun: str
    table: str
    verb: str = "is better than"
    pair: str = "pair"
    cluster: str = "combination of concepts"
    clusters: str = "combinations of concepts"

    def span(self, *values: float) -> str:
        """A difference and its interval; never rounded to zero if they are not zero."""
        values = tuple(round(value * self.width, 9) for value in values)
        digits = 1 if self.width >= 5 else 2
        while digits < 5 and any(value and not round(value, digits) for value in values):
            digits += 1
        first, *ends = (f"{round(value, digits) + 0.0:.{digits}f}" for value in values)
        return f"{first} [{', '.join(ends)}]" if ends else first

    def counted(self, pairs: int, clusters: int) -> str:
        """The size of a comparison."""
        return f"{count(pairs, self.pair)} in {clusters:,} {self.cluster if clusters == 1 else self.clusters}"


def oriented(row: Mapping[str, Json]) -> dict[str, Json]:
    """A comparison with the better level as `first`."""
    row = {**row, "difference": round(row["difference"], 9) + 0.0}
    if row["difference"] >= 0:
        return {**row, "first": row["level_a"], "second": row["level_b"]}
    turned = {"difference": -row["difference"], "ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
    return {**row, **turned, "first": row["level_b"], "second": row["level_a"]}


def is_enough(row: Mapping[str, Json]) -> bool:
    """Whether a comparison has enough clusters to say anything."""
    return row["combos"] >= ENOUGH and not np.isnan(row["ci_low"])


def is_clear(row: Mapping[str, Json]) -> bool:
    """Whether an oriented comparison shows a difference."""
    return is_enough(row) and row["ci_low"] > 0


def sentences(rows: Sequence[Mapping[str, Json]], words: Words, *, only_largest: bool = False) -> list[str]:
    """Oriented comparisons of one kind in words: all if they are few, else the best level and its closest rivals."""
    if not rows:
        return []
    if len(rows) <= (1 if only_largest else SHOWN):
        ordered = sorted(rows, key=lambda row: (not is_clear(row), not is_enough(row), -row["difference"]))
        return [sentence(row, words) for row in ordered]
    levels = sorted(set(chain.from_iterable((row["first"], row["second"]) for row in rows)))
    clear = [row for row in rows if is_clear(row)]
    if only_largest or not clear:
        return [_largest(rows, clear, levels, words)]
    return _best(rows, clear, levels, words)


def _largest(
    rows: Sequence[Mapping[str, Json]], clear: Sequence[Mapping[str, Json]], levels: Sequence[str], words: Words
) -> str:
    largest = max(clear or rows, key=lambda row: (is_enough(row), row["difference"]))
    found = "No difference is shown" if any(map(is_enough, rows)) else "Not enough to say"
    head = f"{found} between any of {len(levels)} {words.noun}s in {len(rows)} comparisons ({words.table})"
    if clear:
        head = f"{len(clear)} of {len(rows)} comparisons of {words.noun}s show a difference ({words.table})"
    return f"{head}; the largest: {sentence(largest, words, start=False)}"


def _best(
    rows: Sequence[Mapping[str, Json]], clear: Sequence[Mapping[str, Json]], levels: Collection[str], words: Words
) -> list[str]:
    wins = dict.fromkeys(levels, 0)
    for row in clear:
        wins[row["first"]] += 1
        wins[row["second"]] -= 1
    sums = {level: sum(_towards(row, level) for row in rows) for level in levels}
    best = max(levels, key=lambda level: (wins[level], sums[level]))
    own = [row for row in rows if best in (row["first"], row["second"])]
    beaten = sum(is_clear(row) and row["first"] == best for row in own)
    lost = sum(is_clear(row) and row["second"] == best for row in own)
    rivals = sorted(own, key=lambda row: _towards(row, best))[:SHOWN]
    said = f"{name(best)} {words.verb} {beaten} of the {len(own)} {words.noun}s that it is compared with"
    said += f", worse than {lost}" if lost else ""
    said += f"; no difference is shown from {len(own) - beaten - lost}" if len(own) > beaten + lost else ""
    more = f"{len(rows) - len(rivals):,} more comparisons of {words.noun}s: {words.table}."
    return [f"{said}.", *(sentence(row, words) for row in rivals), more]


def _towards(row: Mapping[str, Json], level: str) -> float:
    """By how much a level is ahead in a comparison."""
    return row["difference"] * ((row["first"] == level) - (row["second"] == level))


def name(level: str) -> str:
    """A level as a reader calls it: the same model for draft and essay is named once."""
    parts = [part for part in level.split(" → ") if part]
    return parts[0] if len(set(parts)) == 1 else " → ".join(parts)


def sentence(row: Mapping[str, Json], words: Words, *, start: bool = True) -> str:
    """An oriented comparison in words; `start` makes the first letter a capital."""
    first, second = name(row["first"]), name(row["second"])
    size_of = words.counted(row["pairs"], row["combos"])
    kind, kinds = ("", "") if words.noun == "model" else (f"{words.noun} ", f"{words.noun}s ")
    known = not np.isnan(row["ci_low"])
    size = f"{words.span(row['difference'], *((row['ci_low'], row['ci_high']) if known else ()))} {words.unit}"
    ahead = f"{first} is ahead by {size}" if row["difference"] else size
    if is_clear(row):
        said = f"{kind}{first} {words.verb} {second} by {size}, {size_of}."
    elif is_enough(row):
        said = f"no difference shown between {kinds}{first} and {second}: {ahead}, {size_of}."
    else:
        said = f"not enough to say whether {kind}{first} {words.verb} {second}: {ahead}, but in only {size_of}."
    if start and not said.startswith(first):  # an id keeps its letters
        said = said[0].upper() + said[1:]
    return said
