"""Windows: overlapping runs of units that fit a model, as few as possible and of about equal size."""

from collections.abc import Sequence
from itertools import pairwise

from ..errors import ConfigError
from .conversation import Unit, Window

OVERLAP = 0.12  # share of a window's tokens that the window before it contains, too


def split_windows(units: Sequence[Unit], max_tokens: int, overlap: float = OVERLAP) -> tuple[Window, ...]:
    """Windows of at most `max_tokens` tokens that cover consecutive `units` in order. Raises a `ConfigError`.

    Neighbours share at least one unit, about the share `overlap` of a window's tokens, except where that cannot fit:
    beside a unit that is larger than `max_tokens` and has a window of its own, and between two units too large for one
    window. Every window has a unit that no window before it has.
    """
    if max_tokens < 1 or not 0 <= overlap < 0.5:
        raise ConfigError(
            f"windows of {max_tokens} tokens, overlap {overlap}: expected at least 1 token, overlap from 0 to below 0.5"
        )
    spans: list[tuple[int, int]] = []
    start = 0
    for index, unit in enumerate(units):
        if unit.tokens > max_tokens:
            spans += [*_balanced(units, start, index, max_tokens, overlap), (index, index)]
            start = index + 1
    spans += _balanced(units, start, len(units), max_tokens, overlap)
    return tuple(Window(units[first].number, units[last].number) for first, last in spans)


def _balanced(units: Sequence[Unit], start: int, end: int, max_tokens: int, overlap: float) -> list[tuple[int, int]]:
    """The greedy windows of the smallest capacity that needs no more windows or gaps than `max_tokens` does."""
    if start == end:
        return []
    best = _greedy(units, start, end, max_tokens, overlap)
    low, high = max(unit.tokens for unit in units[start:end]), max_tokens
    while low < high:
        capacity = (low + high) // 2
        spans = _greedy(units, start, end, capacity, overlap)
        if len(spans) <= len(best) and _gaps(spans) <= _gaps(best):
            best, high = spans, capacity
        else:
            low = capacity + 1
    return best


def _gaps(spans: list[tuple[int, int]]) -> int:
    """The number of neighbours that share no unit."""
    return sum(left[1] < right[0] for left, right in pairwise(spans))


def _greedy(units: Sequence[Unit], start: int, end: int, capacity: int, overlap: float) -> list[tuple[int, int]]:
    """Fill each window, then step back by the overlap; (first, last) indices of the units, inclusive."""
    spans = []
    first, tokens, last = start, 0, start - 1
    while last + 1 < end:
        while last + 1 < end and tokens + units[last + 1].tokens <= capacity:
            last += 1
            tokens += units[last].tokens
        spans.append((first, last))
        if last + 1 == end:
            break
        # The overlap leaves room for at least one more unit, so that the next window advances.
        room = capacity - units[last + 1].tokens
        previous, first, tokens = first, last + 1, 0
        while first - 1 > previous and tokens < overlap * capacity and tokens + units[first - 1].tokens <= room:
            if tokens and tokens + units[first - 1].tokens > 2 * overlap * capacity:
                break
            first -= 1
            tokens += units[first].tokens
    return spans
