"""Passages: turns, or the paragraphs of long turns and of texts of one turn, between which subjects change."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .conversation import Conversation, Unit

LONG = 800  # tokens: paragraphs of longer turns are passages
_LONG_PARAGRAPH = 200  # tokens: longer ones are divided between sentences
_HEADING = re.compile(r"#{1,6}[ \t]")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n[ \t\r\n]*\Z")


@dataclass(frozen=True)
class Passage:
    """Units from index `first` to before index `end`, and the characters that are said there."""

    first: int
    end: int
    start: int
    stop: int
    begins_turn: bool
    has_heading: bool  # in a text without speakers


def passages_of(conversation: Conversation, units: Sequence[Unit]) -> list[Passage]:
    """The passages, which partition `units`; each lies within one turn."""
    passages, first = [], 0
    for end in range(1, len(units) + 1):
        if end == len(units) or units[end].turn != units[first].turn:
            passages += _of_turn(conversation, units, first, end)
            first = end
    return passages


def _of_turn(conversation: Conversation, units: Sequence[Unit], first: int, end: int) -> list[Passage]:
    text, turn = conversation.text, conversation.turns[units[first].turn - 1]
    starts = [first]
    if len(conversation.turns) == 1 or sum(unit.tokens for unit in units[first:end]) > LONG:
        blank = [i for i in range(first + 1, end) if _BLANK_LINE.search(text, units[i].start - 20, units[i].start)]
        lines = [i for i in range(first + 1, end) if text[units[i].start - 1] == "\n"]
        headings = {i for i in range(first + 1, end) if _HEADING.match(text, units[i].start)}
        paragraphs = {*(blank or lines), *headings}
        tokens = 0
        for i in range(first, end):
            alone = starts[-1] == i - 1 and _HEADING.match(text, units[i - 1].start)  # a heading and what it heads
            if i > first and ((i in paragraphs and not alone) or tokens + units[i].tokens > _LONG_PARAGRAPH):
                starts.append(i)
                tokens = 0
            tokens += units[i].tokens
    return [
        Passage(
            a, b, max(units[a].start, turn.content_start), units[b - 1].end, a == first,
            turn.role == "text" and _HEADING.match(text, units[a].start) is not None,
        )
        for a, b in zip(starts, [*starts[1:], end], strict=True)
    ]  # fmt: skip
