"""A conversation with its chunks side by side, as one self-contained HTML page: no scripts, no network."""

from collections.abc import Sequence

from ..generation.model import Json
from ..reports.render import render
from .archive import check_archive
from .conversation import Archive, Conversation, Unit

_GOLDEN_ANGLE = 137.508  # degrees: it keeps the hues of neighbours far apart for any number of chunks


def chunks_page(conversation: Conversation, units: Sequence[Unit], archive: Archive) -> str:
    """The page: a table of contents, then the text of each chunk by speaker, beside the chunk's description."""
    check_archive(archive)
    rows = []
    for position, chunk in enumerate(archive["b_chunks"]):
        first, last = chunk["unit_range"]
        rows.append(
            {
                **chunk,
                "hue": round(position * _GOLDEN_ANGLE) % 360,
                "tokens": chunk["token_range"][1] - chunk["token_range"][0],
                "parts": _parts(conversation, units[first - 1 : last]),
            }
        )
    return render("conversation.html", archive=archive, conversation=conversation, chunks=rows)


def _parts(conversation: Conversation, inside: Sequence[Unit]) -> list[dict[str, Json]]:
    """{speaker, time, continued, text} for each turn of the units; the text excludes headers."""
    parts: list[dict[str, Json]] = []
    turn = None
    for unit in inside:
        speaker = conversation.turns[unit.turn - 1]
        if unit.turn != turn:
            continued = unit.start > speaker.start
            parts.append({"speaker": speaker.role, "time": speaker.time, "continued": continued, "text": ""})
            turn = unit.turn
        parts[-1]["text"] += conversation.text[max(unit.start, speaker.content_start) : unit.end]
    return parts
