"""From the chances that a subject begins at each unit to chunks of the right sizes."""

import bisect
import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

_TOO_SMALL = 1e4  # outweighs any chances: a smaller piece is made only if it is unavoidable
_RAREST = 1e-6  # a chance below counts as this
_PER_CUT = 1.0  # cost of a cut besides its chance: as few pieces as possible


def cut(
    wanted: Iterable[int], chances: Sequence[float], tokens: Sequence[int], least: int, most: int
) -> tuple[list[int], set[int]]:
    """(Starts of chunks as indices of units, the first of them 0; those which only a chunk's size explains).

    Chunks start where it is `wanted`. A chunk of fewer than `least` tokens is joined to the neighbour across its weaker
    end, that with the lower chance. One of more than `most` is divided where the chances are best, into pieces between
    `least` and `most` if units are small enough.
    """
    before = [0, *accumulate(tokens)]
    starts = _joined([0, *sorted(i for i in wanted if i > 0)], chances, before, least)
    limits: set[int] = set()
    for start, end in pairwise([*starts, len(tokens)]):
        if before[end] - before[start] > most:
            limits.update(_divided(start, end, chances, before, least, most))
    return sorted({*starts, *limits}), limits


def _joined(starts: list[int], chances: Sequence[float], before: Sequence[int], least: int) -> list[int]:
    """The starts without those beside a chunk that is too small, the weakest first."""
    following = dict(pairwise([*starts, len(before) - 1]))
    previous = {after: start for start, after in following.items()}
    for start in sorted(starts[1:], key=lambda start: (chances[start], start)):
        left, right = previous[start], following[start]
        if min(before[start] - before[left], before[right] - before[start]) < least:
            following[left], previous[right] = right, left
            del following[start], previous[start]
    return sorted(following)


def _divided(start: int, end: int, chances: Sequence[float], before: Sequence[int], least: int, most: int) -> list[int]:
    """Where to cut the units from `start` to before `end`: of all cuts into pieces of the right sizes the likeliest."""
    import numpy as np

    offsets = np.array(before[start : end + 1])
    costs = np.array([_PER_CUT - math.log(max(chances[i], _RAREST)) for i in range(start, end)])
    costs[0] = 0.0
    best, cuts = np.zeros(len(offsets)), np.zeros(len(offsets), int)
    for stop in range(1, len(offsets)):
        first = min(bisect.bisect_left(offsets, offsets[stop] - most, 0, stop), stop - 1)
        sizes = offsets[stop] - offsets[first:stop]
        small = np.where(sizes < least, _TOO_SMALL * (1 - sizes / (2 * least)), 0.0)
        totals = best[first:stop] + costs[first:stop] + small
        choice = int(totals.argmin())
        best[stop], cuts[stop] = totals[choice], first + choice
    found, place = [], len(offsets) - 1
    while (place := int(cuts[place])) > 0:
        found.append(start + place)
    return found
