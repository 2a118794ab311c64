"""How near the boundaries that a chunker found are to those that are known.

A segmentation of `turns` turns is a set of turn numbers from 2 to `turns`: at each of them a new chunk begins.
`reference` is what is known, `found` is what is judged. Boundaries outside 2..turns are an error.
"""

from collections.abc import Collection
from itertools import pairwise


def pk(reference: Collection[int], found: Collection[int], turns: int, k: int | None = None) -> float:
    """Pk: how often two turns that are `k` apart are wrongly said to be in one chunk, or in two; 0 is perfect.

    Beeferman, Berger and Lafferty, "Statistical models for text segmentation", Machine Learning 34 (1999). `k` is by
    default half of the mean length of a chunk in the reference.
    """
    windows = _window_counts(reference, found, turns, k)
    return sum(bool(known) != bool(ours) for known, ours in windows) / len(windows) if windows else 0.0


def window_diff(reference: Collection[int], found: Collection[int], turns: int, k: int | None = None) -> float:
    """WindowDiff: how often the number of boundaries between turns that are `k` apart is wrong; 0 is perfect.

    Pevzner and Hearst, "A critique and improvement of an evaluation metric for text segmentation", Computational
    Linguistics 28 (2002): unlike Pk it punishes every boundary too many.
    """
    windows = _window_counts(reference, found, turns, k)
    return sum(known != ours for known, ours in windows) / len(windows) if windows else 0.0


def boundary_f1(
    reference: Collection[int], found: Collection[int], turns: int, tolerance: int = 1
) -> tuple[float, float, float]:
    """(precision, recall, F1) of boundaries, where one that is `tolerance` turns off still counts as found.

    Each boundary is matched at most once. Matching the sorted boundaries from the left finds the largest number of
    pairs, since all have the same tolerance. With nothing to find and nothing found all three are 1.
    """
    known, ours = _checked(reference, turns), _checked(found, turns)
    if not known and not ours:
        return 1.0, 1.0, 1.0
    matched = k = f = 0
    while k < len(known) and f < len(ours):
        if abs(known[k] - ours[f]) <= tolerance:
            matched, k, f = matched + 1, k + 1, f + 1
        elif known[k] < ours[f]:
            k += 1
        else:
            f += 1
    precision = matched / len(ours) if ours else 0.0
    recall = matched / len(known) if known else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if matched else 0.0


def boundary_density(found: Collection[int], turns: int) -> float:
    """Boundaries found for each place where one could be; 0 for a conversation of one turn."""
    return len(_checked(found, turns)) / (turns - 1) if turns > 1 else 0.0


def purity(reference: Collection[int], found: Collection[int], turns: int) -> float:
    """Share of the turns that belong to what fills most of their found chunk; 1 where no found chunk is mixed.

    With the two exchanged it is the coverage: 1 where no chunk of the reference is torn.
    """
    known, ours = ([1, *_checked(boundaries, turns), turns + 1] for boundaries in (reference, found))
    pure = 0
    for start, end in pairwise(ours):
        pure += max(min(end, b) - max(start, a) for a, b in pairwise(known))
    return pure / turns if turns else 1.0


def _checked(boundaries: Collection[int], turns: int) -> list[int]:
    ordered = sorted(set(boundaries))
    if ordered and not 2 <= ordered[0] <= ordered[-1] <= turns:
        raise ValueError(f"boundaries {ordered} in a conversation of {turns} turns")
    return ordered


def _window_counts(
    reference: Collection[int], found: Collection[int], turns: int, k: int | None
) -> list[tuple[int, int]]:
    """For each pair of turns (i, i + k): (boundaries known, boundaries found) between them."""
    known, ours = _checked(reference, turns), _checked(found, turns)
    if k is None:
        k = max(round(turns / (len(known) + 1) / 2), 1)
    if k < 1:
        raise ValueError(f"a window of {k} turns")
    sums = []
    for boundaries in (set(known), set(ours)):
        running = [0, 0]
        for turn in range(2, turns + 1):
            running.append(running[-1] + (turn in boundaries))
        sums.append(running)
    return [(sums[0][i + k] - sums[0][i], sums[1][i + k] - sums[1][i]) for i in range(1, turns - k + 1)]
