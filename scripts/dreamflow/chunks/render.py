"""A conversation with its chunks side by side, as one self-contained HTML page: no scripts, no network."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ..reports.render import render
from .archive import check_archive
from .conversation import Archive, Conversation, Turn

_GOLDEN_ANGLE = 137.508  # degrees: it keeps the hues of neighbours far apart for any number of chunks


class Part(NamedTuple):
    """What a chunk has of a turn: `text` is without the turn's header; `start` is its place in the conversation."""

    turn: Turn
    continued: bool
    start: int
    text: str

    @property
    def speaker(self) -> str:
        """Who speaks."""
        return self.turn.role

    @property
    def time(self) -> str | None:
        """When, as the source says it."""
        return self.turn.time


def chunks_page(conversation: Conversation, archive: Archive) -> str:
    """The page: a table of contents, then the text of each chunk by speaker, beside the chunk's description."""
    check_archive(archive)
    rows = [
        {
            **chunk,
            "hue": hue(position),
            "tokens": chunk["token_range"][1] - chunk["token_range"][0],
            "parts": parts(conversation.turns, conversation.text, *chunk["char_range"]),
        }
        for position, chunk in enumerate(archive["b_chunks"])
    ]
    return render("conversation.html", archive=archive, conversation=conversation, chunks=rows)


def hue(position: int) -> int:
    """The colour of a chunk, in degrees."""
    return round(position * _GOLDEN_ANGLE) % 360


def parts(turns: Sequence[Turn], text: str, start: int, end: int) -> list[Part]:
    """The parts of `text[start:end]` by turn."""
    found = []
    first = bisect_right(turns, start, key=lambda turn: turn.end)
    for place in range(first, len(turns)):
        turn = turns[place]
        if turn.start >= end:
            break
        begin = max(start, turn.content_start)
        found.append(Part(turn, start > turn.start, begin, text[begin : min(end, turn.end)]))
    return found
