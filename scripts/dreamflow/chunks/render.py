"""A conversation with its chunks side by side, as one HTML page that needs nothing else: no scripts, no network."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..reports.render import render
from .archive import check_archive
from .conversation import Conversation, Unit

_GOLDEN_ANGLE = 137.508  # degrees: hues of neighbours are far apart, however many there are


def chunks_page(conversation: Conversation, units: Sequence[Unit], archive: Mapping[str, Any]) -> str:
    """The page: a table of contents, then each chunk's words by speaker beside what is known of the chunk."""
    check_archive(archive)
    rows = []
    for position, chunk in enumerate(archive["b_chunks"]):
        first, last = chunk["unit_range"]
        rows.append(
            {
                **chunk,
                "hue": round(position * _GOLDEN_ANGLE) % 360,
                "tokens": chunk["token_range"][1] - chunk["token_range"][0],
                "said": _said(conversation, units[first - 1 : last]),
            }
        )
    return render("conversation.html", archive=archive, conversation=conversation, chunks=rows)


def _said(conversation: Conversation, inside: Sequence[Unit]) -> list[dict[str, Any]]:
    """{speaker, time, continued, text} for each turn that units are of; headers are not repeated in the text."""
    said: list[dict[str, Any]] = []
    turn = None
    for unit in inside:
        speaker = conversation.turns[unit.turn - 1]
        if unit.turn != turn:
            continued = unit.start > speaker.start
            said.append({"speaker": speaker.role, "time": speaker.time, "continued": continued, "text": ""})
            turn = unit.turn
        said[-1]["text"] += conversation.text[max(unit.start, speaker.content_start) : unit.end]
    return said
