"""How sure it is that a chunk is where it should be: measured, never a constant.

Signals of a chunk that a model made, each between 0 and 1, or None where it cannot be measured:

- windows: of the boundaries that two readings of the same units have at or inside the chunk (overlapping windows, or
  several samples of one window), the share that both have;
- rules: of the chunk's two ends, those of the conversation left out, the share at which the rule-based chunker also
  has a boundary, or has one a unit away;
- validity: the share of the answer that needed no repair.

Confidence is the mean of the signals that there are, None where there is none. The quality level is no part of it:
no level is above or below another by construction. A chunk made by rules keeps the rules' own confidence, which is
the probability of the chunk among all ways to cut the text, and must not be compared with a model's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean

from .conversation import Chunk, Window
from .stitch import boundaries_of


def signals(
    chunk: Chunk,
    readings: Sequence[tuple[Window, Collection[int]]],
    rules: Collection[int],
    validity: float | None,
    last: int,
) -> dict[str, float | None]:
    """The signals of one chunk. `readings` are windows with the boundaries found in each, `rules` those of the
    rule-based chunker, `last` the number of the conversation's last unit."""
    ends = [unit for unit in (chunk.first, chunk.last + 1) if 1 < unit <= last]
    near = [any(unit + step in rules for step in (-1, 0, 1)) for unit in ends]
    return {"windows": _agreement(chunk, readings), "rules": mean(near) if near else None, "validity": validity}


def _agreement(chunk: Chunk, readings: Sequence[tuple[Window, Collection[int]]]) -> float | None:
    both = either = 0
    there = [(window, found) for window, found in readings if window.first <= chunk.last and window.last >= chunk.first]
    for (one, found), (other, found_too) in combinations(there, 2):
        # The first unit of a window begins a chunk in it whatever the text says.
        first = max(one.first + 1, other.first + 1, chunk.first)
        last = min(one.last, other.last, chunk.last + 1)
        left = {unit for unit in found if first <= unit <= last}
        right = {unit for unit in found_too if first <= unit <= last}
        both += len(left & right)
        either += len(left | right)
    return both / either if either else None


def with_confidence(
    chunks: Sequence[Chunk],
    windows: Sequence[Window],
    answers: Sequence[Sequence[Chunk]],
    rules: Collection[int],
    validity: Mapping[str, float],
) -> list[Chunk]:
    """The chunks with their confidence. `windows` and `answers` as for `stitch`, further samples of a window being
    further pairs; `rules` are the boundaries of the rule-based chunker; `validity` is by gen_id."""
    made = [(window, boundaries_of(answer)) for window, answer in zip(windows, answers, strict=True)]
    # Rules that stand in for an answer are no second reading of it.
    readings = [
        reading
        for reading, answer in zip(made, answers, strict=True)
        if answer and answer[0].made_by["method"] == "llm"
    ]
    last = max((chunk.last for chunk in chunks), default=0)
    result = []
    for chunk in chunks:
        if chunk.made_by["method"] == "llm":
            found = signals(chunk, readings, rules, validity.get(chunk.made_by["gen_id"]), last)
            known = [value for value in found.values() if value is not None]
            chunk = replace(chunk, confidence=round(mean(known), 4) if known else None)
        result.append(chunk)
    return result
