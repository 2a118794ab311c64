"""The confidence of a chunk: measured, never a constant.

Three signals of a model's chunk, each between 0 and 1, or None where it cannot be measured:

- windows: the agreement of two readings of the same units (overlapping windows, or several samples of one window): of
  their boundaries at or inside the chunk, the share that both have;
- rules: of the chunk's two ends, except the ends of the conversation, the share within one unit of a boundary of the
  rule-based chunker;
- validity: the share of the answer that needed no repair.

Confidence is the mean of the measured signals, or None. It does not depend on the quality level. A chunk by rules keeps
the rules' own confidence: the probability of the chunk among all segmentations. Do not compare it with a model's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean

from .conversation import Chunk, Window
from .stitch import boundaries_of

Reading = tuple[Window, Collection[int]]  # a window, and the boundaries in it


def signals(
    chunk: Chunk, readings: Sequence[Reading], rules: Collection[int], validity: float | None, last: int
) -> dict[str, float | None]:
    """The signals of one chunk. `rules` are the boundaries of the rule-based chunker, `last` is the number of the
    conversation's last unit."""
    ends = [unit for unit in (chunk.first, chunk.last + 1) if 1 < unit <= last]
    near = [any(unit + step in rules for step in (-1, 0, 1)) for unit in ends]
    return {"windows": _agreement(chunk, readings), "rules": mean(near) if near else None, "validity": validity}


def _agreement(chunk: Chunk, readings: Sequence[Reading]) -> float | None:
    both = either = 0
    near = [reading for reading in readings if reading[0].first <= chunk.last and reading[0].last >= chunk.first]
    for (window, boundaries), (other, other_boundaries) in combinations(near, 2):
        # The first unit of a window always begins a chunk in it.
        first = max(window.first + 1, other.first + 1, chunk.first)
        last = min(window.last, other.last, chunk.last + 1)
        left = {unit for unit in boundaries if first <= unit <= last}
        right = {unit for unit in other_boundaries if first <= unit <= last}
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
    """The chunks with their confidence. `windows` and `answers` are as for `stitch`, plus a pair for each further
    sample of a window; `rules` are the boundaries of the rule-based chunker; `validity` is by gen_id."""
    # Rules that replace a failed answer are no second reading of the window.
    readings = [
        (window, boundaries_of(answer))
        for window, answer in zip(windows, answers, strict=True)
        if answer and answer[0].made_by["method"] == "llm"
    ]
    last = max((chunk.last for chunk in chunks), default=0)
    result = []
    for chunk in chunks:
        if chunk.made_by["method"] == "llm":
            values = signals(chunk, readings, rules, validity.get(chunk.made_by["gen_id"]), last).values()
            known = [value for value in values if value is not None]
            chunk = replace(chunk, confidence=round(mean(known), 4) if known else None)
        result.append(chunk)
    return result
