"""From the chunks of overlapping windows to one list of chunks of the right sizes that partitions the conversation.

Each overlap of two windows gets one switch point: before it the first window decides, after it the second. It is the
boundary nearest to the middle that both windows have, else that either has; without any boundary it is the middle, and
the chunks on both sides are joined. Then the sizes are corrected for the whole conversation at once: of the lists of
boundaries that fit the sizes best, the one with the smallest departure from the models' boundaries.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from ..errors import DreamflowError
from ..generation.model import Json
from .conversation import LEVELS, Chunk, Conversation, Unit, Window
from .describe import describe
from .prompt import LARGEST, SMALLEST
from .rules import boundaries_by_rules

# The costs of departures from the models' boundaries.
_DROPPED, _DROPPED_OF_RULES, _DROPPED_WITHIN_LABEL = 1.0, 1.5, 0.5
_ADDED, _ADDED_OF_RULES = 2.0, 0.5


class PartitionError(DreamflowError):
    """Chunks that do not contain each unit of a conversation exactly once: a mistake in this program."""


def level_of(chunk: Chunk) -> int:
    """The quality level of a chunk as a number: 0 basic, 1 good, 2 premium."""
    return LEVELS.index(chunk.made_by["quality_level"])


def boundaries_of(chunks: Sequence[Chunk]) -> set[int]:
    """The first units of all chunks but the first."""
    return {chunk.first for chunk in chunks[1:]}


def clip(chunks: Sequence[Chunk], first: int, last: int) -> list[Chunk]:
    """The parts of the chunks that lie in units `first` to `last`."""
    return [
        replace(
            chunk, first=max(chunk.first, first), last=min(chunk.last, last), limit=chunk.limit and chunk.first >= first
        )
        for chunk in chunks
        if chunk.first <= last and chunk.last >= first
    ]


def read_answer(parsed: Mapping[str, Json], made_by: Mapping[str, Json]) -> list[Chunk]:
    """The chunks of an answer as the parser `chunks` wrote them; their confidence is not measured yet."""
    return [
        Chunk(**{**item, **{key: tuple(item[key]) for key in ("labels", "entities")}}, confidence=None, made_by=made_by)
        for item in parsed["chunks"]
    ]


def stitch(
    conversation: Conversation,
    units: Sequence[Unit],
    windows: Sequence[Window],
    answers: Sequence[Sequence[Chunk]],
    sizes: tuple[int, int] = (SMALLEST, LARGEST),
) -> list[Chunk]:
    """One list of chunks from the chunks of each window; `windows` may cover a part of the units.

    Joined chunks have the labels, entities, summary and language of the part with the most tokens, and the `made_by` of
    the part with the lowest quality level. Rules add the descriptions that an answer lacks. Chunks have `sizes`
    (minimum, maximum) tokens, unless a single unit has more, or all units together have fewer; `limit` marks those
    that begin where no model saw a boundary.
    """
    for window, chunks in zip(windows, answers, strict=True):
        _check_ranges(chunks, window.first, window.last)
    pieces = _pieces(windows, answers, units)
    first, last = windows[0].first, windows[-1].last
    rules = boundaries_by_rules(conversation, units, first, last, *sizes)
    drop_costs = {
        right.first: _DROPPED_WITHIN_LABEL if _share_label(left, right)
        else _DROPPED_OF_RULES if right.first in rules
        else _DROPPED
        for left, right in pairwise(pieces)
    }  # fmt: skip
    begins = _fit(units[first - 1 : last], drop_costs, rules, sizes)
    chunks = [_merged(clip(pieces, begin, end - 1), units) for begin, end in pairwise([*begins, last + 1])]
    by_size = set(begins[1:]) - drop_costs.keys()
    chunks = [replace(chunk, limit=chunk.limit or chunk.first in by_size) for chunk in chunks]
    _check_ranges(chunks, first, last)
    return _with_descriptions(conversation, units, chunks)


def _pieces(windows: Sequence[Window], answers: Sequence[Sequence[Chunk]], units: Sequence[Unit]) -> list[Chunk]:
    """Each window's chunks, clipped to the units that it decides, and joined across the switch points."""
    pieces: list[Chunk] = []
    start = windows[0].first
    cut_before = False  # whether the last piece is the beginning of a longer chunk
    for number, (window, chunks) in enumerate(zip(windows, answers, strict=True)):
        end = window.last + 1
        if number + 1 < len(windows):
            end = max(start, _switch_point(window, chunks, windows[number + 1], answers[number + 1]))
        cut_after = cut_before
        for chunk in chunks:
            first, last = max(chunk.first, start), min(chunk.last, end - 1)
            if first > last:
                continue
            piece = replace(chunk, first=first, last=last)
            if cut_before and chunk.first < start:
                pieces[-1] = _merged([pieces[-1], piece], units)
            else:
                pieces.append(piece)
            cut_before, cut_after = False, chunk.last >= end
        start, cut_before = end, cut_after
    return pieces


def _switch_point(window: Window, chunks: Sequence[Chunk], after: Window, following: Sequence[Chunk]) -> int:
    """The first unit that the window `after` decides."""
    if not after.first <= window.last + 1 or after.last < window.last:
        raise PartitionError(f"windows {window.first}-{window.last} and {after.first}-{after.last} leave a gap")
    middle = (after.first + window.last + 1) / 2
    left, right = boundaries_of(chunks), boundaries_of(following)
    inside = range(after.first + 1, window.last + 1)
    for boundaries in (left & right, left | right):
        candidates = [unit for unit in boundaries if unit in inside]
        if candidates:
            return min(candidates, key=lambda unit: (abs(unit - middle), unit))
    return int(middle)


def _merged(parts: Sequence[Chunk], units: Sequence[Unit]) -> Chunk:
    """One chunk of neighbours: the description of the largest part, the `made_by` of the part of the lowest level."""
    largest = max(parts, key=lambda part: tokens_of(part, units))
    lowest = min(parts, key=level_of)
    made_by = largest.made_by if level_of(largest) == level_of(lowest) else lowest.made_by
    return replace(largest, first=parts[0].first, last=parts[-1].last, made_by=made_by, limit=parts[0].limit)


def tokens_of(chunk: Chunk, units: Sequence[Unit]) -> int:
    """The number of tokens of a chunk."""
    return sum(unit.tokens for unit in units[chunk.first - 1 : chunk.last])


def _share_label(left: Chunk, right: Chunk) -> bool:
    return not {label.casefold() for label in left.labels}.isdisjoint(label.casefold() for label in right.labels)


def _fit(
    units: Sequence[Unit], drop_costs: Mapping[int, float], rules: Collection[int], sizes: tuple[int, int]
) -> list[int]:
    """The first units of all chunks: the least departure from `sizes`, then from the models' boundaries.

    `drop_costs` are these boundaries, each with the cost of dropping it. Dynamic programming over all lists of
    boundaries; of equally good lists the one with the longer last chunks wins.
    """
    smallest, largest = sizes
    before = [0, *accumulate(unit.tokens for unit in units)]
    numbers = [unit.number for unit in units]
    dropped = [0.0, *accumulate(drop_costs.get(number, 0.0) for number in numbers)]
    # best[j], for units[:j]: (tokens above or below the sizes, cost, index of the last chunk's first unit).
    best: list[tuple[float, float, int]] = [(0, 0.0, 0)]
    for end in range(1, len(units) + 1):
        choices = []
        for begin in range(end - 1, -1, -1):
            tokens = before[end] - before[begin]
            if tokens > largest and begin < end - 1:
                break
            excess = max(0, tokens - largest, smallest - tokens)
            number = numbers[begin]
            added = 0.0 if not begin or number in drop_costs else _ADDED_OF_RULES if number in rules else _ADDED
            cost = best[begin][1] + added + dropped[end] - dropped[begin + 1]
            choices.append((best[begin][0] + excess, round(cost, 6), begin))
        best.append(min(choices))
    begins, end = [], len(units)
    while end:
        end = best[end][2]
        begins.append(numbers[end])
    return begins[::-1]


def _with_descriptions(conversation: Conversation, units: Sequence[Unit], chunks: list[Chunk]) -> list[Chunk]:
    """The chunks, with labels, entities, summary and language by rules where the answer lacks them."""
    if all(chunk.labels and chunk.summary and chunk.language for chunk in chunks):
        return chunks
    descriptions = describe(conversation, units, [(chunk.first, chunk.last) for chunk in chunks])
    filled = []
    for chunk, rules in zip(chunks, descriptions, strict=True):
        # An answer with labels may mean that there are no entities; an answer without labels describes nothing.
        keys = [key for key in ("labels", "summary", "language") if not getattr(chunk, key)]
        keys += ["entities"] if "labels" in keys and not chunk.entities else []
        filled.append(replace(chunk, **{key: rules[key] for key in keys}))
    return filled


def check_partition(chunks: Sequence[Chunk], units: Sequence[Unit], conversation: Conversation) -> None:
    """Raise a `PartitionError` unless the chunks contain every unit, and so every character, exactly once, in order."""
    name = conversation.conversation_id
    try:
        _check_ranges(chunks, 1, len(units))
    except PartitionError as error:
        raise PartitionError(f"{name}: {error}") from None
    end = 0
    for number, unit in enumerate(units, 1):
        if unit.number != number or unit.start != end or unit.end < unit.start:
            raise PartitionError(f"{name}: unit {unit.number} does not follow the one before it")
        end = unit.end
    if end != len(conversation.text):
        raise PartitionError(f"{name}: the units end at character {end} of {len(conversation.text)}")


def _check_ranges(chunks: Sequence[Chunk], first: int, last: int) -> None:
    following = first
    for chunk in chunks:
        if chunk.first != following or chunk.last < chunk.first:
            raise PartitionError(
                f"chunk {chunk.first}-{chunk.last} does not begin at unit {following}, where it should"
            )
        following = chunk.last + 1
    if following != last + 1:
        raise PartitionError(f"the chunks end at unit {following - 1} of {last}")
