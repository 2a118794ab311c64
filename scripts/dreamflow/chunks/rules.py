"""Chunks without a model server: cut where the subject changes, as far as a small model sees it.

A chance that the subject changes is known for each gap between passages (turns, or paragraphs of long ones), whoever
speaks (segmenter.py). What that model was not taught is added here: a pause, words that announce a new subject, a
heading. Chunks begin where the chance is high; those that are too small are joined, those that are too large divided,
which is marked (cutting.py). The confidence of a chunk is the measured chance that it is exactly one subject.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from ..files import read_table
from .conversation import Chunk, Conversation, Turn, Unit
from .cutting import cut
from .describe import describe
from .passages import Passage, passages_of
from .segmenter import are_changes, change_chances, confidence

SMALLEST, LARGEST = 30, 800  # tokens of a chunk
# Log-odds that are added to the model's, chosen by hand: the texts it was trained on do not show these.
PAUSE_SECONDS, PAUSE, LONGEST_PAUSE = 900.0, 1.0, 6.0
NEW_SUBJECT, HEADING = 5.0, 1.5
_DOUBT = 0.01  # a chance below counts as this where something is added
_INSIDE = 1e-6  # chance of a change within a passage
_ANNOUNCES = re.compile(read_table(__file__, "words.yaml")["signs"]["announces"], re.X | re.I)


def chunk_by_rules(
    conversation: Conversation,
    units: Sequence[Unit],
    first: int,
    last: int,
    min_tokens: int = SMALLEST,
    max_tokens: int = LARGEST,
) -> list[Chunk]:
    """Chunks, with labels and summaries, that partition units `first` to `last` (numbers, inclusive).

    `units` are all those of the conversation: what is said around a part decides where subjects change in it, too. A
    chunk has more than `max_tokens` only if it is a single unit, and fewer than `min_tokens` only if all units together
    have fewer or the size of a neighbour forces it. `limit` marks a chunk that begins where it does only because the
    one before it would have more than `max_tokens`. The same input always gives the same chunks.
    """
    spans, limits, gaps = _spans(conversation, units, first, last, min_tokens, max_tokens)
    made_by = {"method": "rules", "quality_level": "basic"}
    return [
        Chunk(*span, **described, confidence=_confidence(gaps, span, first, last), made_by=made_by,
              limit=span[0] in limits)
        for span, described in zip(spans, describe(conversation, units, spans), strict=True)
    ]  # fmt: skip


def boundaries_by_rules(
    conversation: Conversation,
    units: Sequence[Unit],
    first: int,
    last: int,
    min_tokens: int = SMALLEST,
    max_tokens: int = LARGEST,
) -> set[int]:
    """The first units of all chunks but the first that `chunk_by_rules` makes, which need no descriptions."""
    spans, *_ = _spans(conversation, units, first, last, min_tokens, max_tokens)
    return {start for start, _ in spans[1:]}


def _spans(
    conversation: Conversation, units: Sequence[Unit], first: int, last: int, least: int, most: int
) -> tuple[list[tuple[int, int]], set[int], dict[int, float]]:
    """(First and last unit of each chunk, those first units which only a size explains, chances as in _gap_chances)."""
    part = units[first - 1 : last]
    if not part:
        return [], set(), {}
    gaps = _gap_chances(conversation, units)
    chances = [gaps.get(unit.number, _INSIDE) for unit in part]
    wanted = (number - first for number, is_one in zip(gaps, are_changes(list(gaps.values())), strict=True) if is_one)
    inside = (index for index in wanted if 0 < index < len(part))
    starts, limits = cut(inside, chances, [unit.tokens for unit in part], least, most)
    spans = [(first + start, first + end - 1) for start, end in pairwise([*starts, len(part)])]
    return spans, {first + start for start in limits}, gaps


def _gap_chances(conversation: Conversation, units: Sequence[Unit]) -> dict[int, float]:
    """The chance of a change of subject before each unit (its number) that begins a passage, except the first."""
    passages = passages_of(conversation, units)
    chances = change_chances(conversation.text, tuple((passage.start, passage.stop) for passage in passages))
    return {
        units[after.first].number: _with_signs(conversation, units, before, after, float(chance))
        for (before, after), chance in zip(pairwise(passages), chances, strict=True)
    }


def _with_signs(
    conversation: Conversation, units: Sequence[Unit], before: Passage, after: Passage, chance: float
) -> float:
    added = HEADING * after.has_heading
    if after.begins_turn:
        said = conversation.text[after.start : min(after.start + 200, after.stop)]
        added += NEW_SUBJECT * (_ANNOUNCES.match(said.lstrip()) is not None)
        added += _pause(*(conversation.turns[units[passage.first].turn - 1] for passage in (before, after)))
    if not added:
        return chance
    chance = min(max(chance, _DOUBT), 1 - _DOUBT)
    odds = math.exp(added) * chance / (1 - chance)
    return odds / (1 + odds)


def _pause(before: Turn, turn: Turn) -> float:
    if before.time is None or turn.time is None:
        return 0.0
    try:
        seconds = (datetime.fromisoformat(turn.time) - datetime.fromisoformat(before.time)).total_seconds()
    except (ValueError, TypeError):  # not ISO 8601, or only one of the two has a time zone
        return 0.0
    return min(PAUSE * math.log(seconds / PAUSE_SECONDS), LONGEST_PAUSE) if seconds > PAUSE_SECONDS else 0.0


def _confidence(gaps: dict[int, float], span: tuple[int, int], first: int, last: int) -> float:
    start, end = span
    inside = [gaps[number] for number in range(start + 1, end + 1) if number in gaps]
    before = gaps.get(start, _INSIDE) if start > first else None
    after = gaps.get(end + 1, _INSIDE) if end < last else None
    return confidence(inside, before, after)
