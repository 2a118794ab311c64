"""The variables of a window's prompt, and the schema of its answer."""

import math
from collections.abc import Sequence

from ..generation.model import Json
from .conversation import Conversation, Unit, Window

SMALLEST, LARGEST = 100, 800  # tokens of a chunk


def numbered_units(conversation: Conversation, units: Sequence[Unit], window: Window) -> str:
    """The units of a window, one per line: "[12] user: words" where a turn or the window begins, else "[13] words".

    Line breaks inside a unit become ⏎, so that no text of a conversation can look like the beginning of a unit. Headers
    of turns ("User: ") are omitted. This takes about 5 tokens a unit on top of the text.
    """
    lines, turn = [], None
    for unit in _inside(units, window):
        speaker = conversation.turns[unit.turn - 1]
        start = max(unit.start, speaker.content_start)
        words = " ⏎ ".join(line.rstrip() for line in conversation.text[start : unit.end].strip().splitlines())
        header = f"{' '.join(speaker.role.split())}: " if unit.turn != turn else ""
        lines.append(f"[{unit.number}] {header}{words}".rstrip())
        turn = unit.turn
    return "\n".join(lines)


def unit_texts(conversation: Conversation, units: Sequence[Unit], window: Window) -> list[str]:
    """The unchanged text of each unit of a window: what a verbatim answer must repeat."""
    return [conversation.text[unit.start : unit.end] for unit in _inside(units, window)]


def variables(conversation: Conversation, units: Sequence[Unit], window: Window) -> dict[str, str | int]:
    """The variables of the templates in `chunk/`: units, text, first, last, candidates, and the range of the number of
    chunks (fewest, most)."""
    tokens = sum(unit.tokens for unit in _inside(units, window))
    most = max(1, min(tokens // SMALLEST, window.last - window.first + 1))
    return {
        "units": numbered_units(conversation, units, window),
        "text": "".join(unit_texts(conversation, units, window)),
        "first": window.first,
        "last": window.last,
        "candidates": ", ".join(map(str, candidates(conversation, units, window))),
        "fewest": min(math.ceil(tokens / LARGEST) or 1, most),
        "most": most,
    }


def candidates(conversation: Conversation, units: Sequence[Unit], window: Window) -> list[int]:
    """The units of a window at which a small model decides whether a topic begins: the first units of turns.

    Turns of the assistant are left out, since an answer belongs to its question; so is the window's first unit. If this
    leaves no unit, all units but the first are candidates.
    """
    inside = _inside(units, window)[1:]
    turns = [(unit, conversation.turns[unit.turn - 1]) for unit in inside]
    first_units = [unit.number for unit, turn in turns if unit.start == turn.start and turn.role != "assistant"]
    return first_units or [unit.number for unit in inside]


def schema(numbers: Sequence[int]) -> dict[str, Json]:
    """The JSON schema of an answer to template chunk/boundaries-short-v1: "new" or "same" for each candidate.

    Keys and values are fixed, so a grammar of this schema leaves a small model only the choice: no number outside the
    window, no repetition, no endless answer. Numbers as values would need an enumeration, since such grammars enforce
    no minimum or maximum.
    """
    return {
        "type": "object",
        "properties": {str(number): {"enum": ["same", "new"]} for number in numbers},
        "required": [str(number) for number in numbers],
        "additionalProperties": False,
    }


def _inside(units: Sequence[Unit], window: Window) -> Sequence[Unit]:
    return units[window.first - 1 : window.last]
