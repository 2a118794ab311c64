"""From the chunks of overlapping windows to one list of chunks that partitions the conversation, each of a good size.

Where two windows overlap, both have read the same units. One place is sought in the overlap from which on the second
window is believed: a boundary that both have, else one that either has, the nearest to the middle in each case; if
neither has any, the middle, and the chunks on both sides are one. Sizes are then put right for the whole conversation
at once: of all lists of boundaries that keep to them best, the one that departs least from the models' boundaries.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from ..errors import DreamflowError
from ..generation.model import Json
from .conversation import LEVELS, Chunk, Conversation, Unit, Window
from .describe import describe
from .prompt import LARGEST, SMALLEST
from .rules import chunk_by_rules

# What it costs to depart from the models' boundaries, in boundaries.
_DROPPED, _DROPPED_OF_RULES, _DROPPED_OF_ONE_SUBJECT = 1.0, 1.5, 0.5
_ADDED, _ADDED_OF_RULES = 2.0, 0.5


class PartitionError(DreamflowError):
    """Chunks that do not hold each unit of a conversation exactly once. It means a mistake in this program."""


def level_of(chunk: Chunk) -> int:
    """The quality level of a chunk as a number: 0 basic, 1 good, 2 premium."""
    return LEVELS.index(chunk.made_by["quality_level"])


def boundaries_of(chunks: Sequence[Chunk]) -> set[int]:
    """The units at which a chunk begins, without the first of all."""
    return {chunk.first for chunk in chunks[1:]}


def read_answer(parsed: Mapping[str, Json], made_by: Mapping[str, Json]) -> list[Chunk]:
    """The chunks of an answer as the parser `chunks` wrote them; their confidence is not measured yet."""
    return [
        Chunk(
            first=item["first"],
            last=item["last"],
            labels=tuple(item["labels"]),
            entities=tuple(item["entities"]),
            summary=item["summary"],
            language=item["language"],
            confidence=None,
            made_by=made_by,
        )
        for item in parsed["chunks"]
    ]


def stitch(
    conversation: Conversation,
    units: Sequence[Unit],
    windows: Sequence[Window],
    answers: Sequence[Sequence[Chunk]],
    sizes: tuple[int, int] = (SMALLEST, LARGEST),
) -> list[Chunk]:
    """One list of chunks from the chunks that each window was divided into; `windows` may cover a part of the units.

    Where chunks are joined, labels, entities, summary and language are those of the part with more tokens, and
    `made_by` is that of the part with the lowest quality level, so that nothing gets a better level than its worst
    part has. What an answer did not say about a chunk is found by rules. Chunks have `sizes` (fewest, most) tokens,
    unless a unit alone has more, or all units together have fewer.
    """
    for window, chunks in zip(windows, answers, strict=True):
        _check_ranges(chunks, window.first, window.last)
    pieces = _pieces(windows, answers, units)
    first, last = windows[0].first, windows[-1].last
    rules = boundaries_of(chunk_by_rules(conversation, units, first, last, *sizes))
    wanted = {
        right.first: _DROPPED_OF_ONE_SUBJECT if _one_subject(left, right)
        else _DROPPED_OF_RULES if right.first in rules
        else _DROPPED
        for left, right in pairwise(pieces)
    }  # fmt: skip
    begins = _fit(units[first - 1 : last], wanted, rules, sizes)
    chunks = [_covering(pieces, begin, end, units) for begin, end in pairwise([*begins, last + 1])]
    _check_ranges(chunks, first, last)
    return _described(conversation, units, chunks)


def _pieces(windows: Sequence[Window], answers: Sequence[Sequence[Chunk]], units: Sequence[Unit]) -> list[Chunk]:
    """Each window's chunks, cut to the units for which it is believed, and joined across the seams."""
    pieces: list[Chunk] = []
    start = windows[0].first
    cut_before = False  # the last piece is the beginning of a longer chunk
    for number, (window, chunks) in enumerate(zip(windows, answers, strict=True)):
        end = window.last + 1
        if number + 1 < len(windows):
            end = max(start, _seam(window, chunks, windows[number + 1], answers[number + 1]))
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


def _seam(window: Window, chunks: Sequence[Chunk], after: Window, following: Sequence[Chunk]) -> int:
    """The unit from which on the window `after` is believed."""
    if not after.first <= window.last + 1 or after.last < window.last:
        raise PartitionError(f"windows {window.first}-{window.last} and {after.first}-{after.last} do not follow")
    middle = (after.first + window.last + 1) / 2
    left, right = boundaries_of(chunks), boundaries_of(following)
    inside = range(after.first + 1, window.last + 1)
    for places in (left & right, left | right):
        shared = [unit for unit in places if unit in inside]
        if shared:
            return min(shared, key=lambda unit: (abs(unit - middle), unit))
    return int(middle)


def _merged(parts: Sequence[Chunk], units: Sequence[Unit]) -> Chunk:
    """One chunk of neighbours: what is said of the largest part, made by the part of the lowest level."""
    largest = max(parts, key=lambda part: _tokens(part, units))
    lowest = min(parts, key=level_of)
    made_by = largest.made_by if level_of(largest) == level_of(lowest) else lowest.made_by
    return replace(largest, first=parts[0].first, last=parts[-1].last, made_by=made_by)


def _tokens(chunk: Chunk, units: Sequence[Unit]) -> int:
    return sum(unit.tokens for unit in units[chunk.first - 1 : chunk.last])


def _one_subject(left: Chunk, right: Chunk) -> bool:
    labels = {label.casefold() for label in left.labels}
    return any(label.casefold() in labels for label in right.labels)


def _covering(pieces: Sequence[Chunk], begin: int, end: int, units: Sequence[Unit]) -> Chunk:
    """The chunk of units `begin` to `end` - 1, made of the pieces that lie there."""
    inside = [
        replace(piece, first=max(piece.first, begin), last=min(piece.last, end - 1))
        for piece in pieces
        if piece.first < end and piece.last >= begin
    ]
    return _merged(inside, units)


def _fit(
    units: Sequence[Unit], wanted: Mapping[int, float], rules: Collection[int], sizes: tuple[int, int]
) -> list[int]:
    """Where chunks begin, the first unit included: the least departure from `sizes`, then from `wanted`.

    `wanted` are boundaries with what it costs to drop each. Dynamic programming over all lists of boundaries; of
    equally good ones the one with the longer last chunks is taken.
    """
    smallest, largest = sizes
    before = [0, *accumulate(unit.tokens for unit in units)]
    numbers = [unit.number for unit in units]
    dropped = [0.0, *accumulate(wanted.get(number, 0.0) for number in numbers)]
    # best[j]: (tokens too many or too few, cost, where the last chunk begins) of the best division of units[:j].
    best: list[tuple[float, float, int]] = [(0, 0.0, 0)]
    for end in range(1, len(units) + 1):
        choices = []
        for begin in range(end - 1, -1, -1):
            tokens = before[end] - before[begin]
            if tokens > largest and begin < end - 1:
                break
            excess = max(0, tokens - largest, smallest - tokens)
            number = numbers[begin]
            added = 0.0 if not begin or number in wanted else _ADDED_OF_RULES if number in rules else _ADDED
            cost = best[begin][1] + added + dropped[end] - dropped[begin + 1]
            choices.append((best[begin][0] + excess, round(cost, 6), begin))
        best.append(min(choices))
    begins, end = [], len(units)
    while end:
        end = best[end][2]
        begins.append(numbers[end])
    return begins[::-1]


def _described(conversation: Conversation, units: Sequence[Unit], chunks: list[Chunk]) -> list[Chunk]:
    """The chunks with labels, entities, summary and language by rules where the answer has none."""
    if all(chunk.labels and chunk.summary and chunk.language for chunk in chunks):
        return chunks
    found = describe(conversation, units, [(chunk.first, chunk.last) for chunk in chunks])
    filled = []
    for chunk, rules in zip(chunks, found, strict=True):
        # No entities are an answer where there are labels; without labels nothing was said at all.
        keys = [key for key in ("labels", "summary", "language") if not getattr(chunk, key)]
        keys += ["entities"] if "labels" in keys and not chunk.entities else []
        filled.append(replace(chunk, **{key: rules[key] for key in keys}))
    return filled


def check_partition(chunks: Sequence[Chunk], units: Sequence[Unit], conversation: Conversation) -> None:
    """Raise a `PartitionError` unless the chunks hold every unit, and so every character, exactly once and in order."""
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
            raise PartitionError(f"chunk {chunk.first}-{chunk.last} where one was expected that begins at {following}")
        following = chunk.last + 1
    if following != last + 1:
        raise PartitionError(f"the chunks end at unit {following - 1} of {last}")
