"""What a model is shown of a window of a conversation, and what its answer may look like."""

import math
from collections.abc import Sequence

from ..generation.model import Json
from .conversation import Conversation, Unit, Window

SMALLEST, LARGEST = 100, 800  # tokens of a chunk


def numbered_units(conversation: Conversation, units: Sequence[Unit], window: Window) -> str:
    """The units of a window, one a line: "[12] user: words" where a turn begins or the window does, else "[13] words".

    Line breaks inside a unit are shown as ⏎, so nothing that a conversation contains can look like a unit's
    beginning. Headers of turns ("User: ") are not repeated. It takes about 5 tokens a unit on top of the text.
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


def window_text(conversation: Conversation, units: Sequence[Unit], window: Window) -> str:
    """The text of a window as it is: what a verbatim answer must repeat."""
    return "".join(unit_texts(conversation, units, window))


def unit_texts(conversation: Conversation, units: Sequence[Unit], window: Window) -> list[str]:
    """The text of each unit of a window, for the parser of verbatim answers."""
    return [conversation.text[unit.start : unit.end] for unit in _inside(units, window)]


def variables(conversation: Conversation, units: Sequence[Unit], window: Window) -> dict[str, str | int]:
    """The variables of the templates in `chunk/`: units, text, first, last, candidates, and
    fewest and most (chunks to expect)."""
    tokens = sum(unit.tokens for unit in _inside(units, window))
    most = max(1, min(tokens // SMALLEST, window.last - window.first + 1))
    return {
        "units": numbered_units(conversation, units, window),
        "text": window_text(conversation, units, window),
        "first": window.first,
        "last": window.last,
        "candidates": ", ".join(map(str, candidates(conversation, units, window))),
        "fewest": min(math.ceil(tokens / LARGEST) or 1, most),
        "most": most,
    }


def candidates(conversation: Conversation, units: Sequence[Unit], window: Window) -> list[int]:
    """The units of a window at which a small model is asked whether a new topic begins: those that begin a turn.

    Turns of the assistant are left out, since an answer belongs to its question; so is the window's first unit. Where
    no such turn begins inside the window, every unit but the first is one.
    """
    inside = _inside(units, window)[1:]
    turns = [(unit.number, conversation.turns[unit.turn - 1]) for unit in inside if _begins_turn(conversation, unit)]
    return [number for number, turn in turns if turn.role != "assistant"] or [unit.number for unit in inside]


def schema(numbers: Sequence[int]) -> dict[str, Json]:
    """The JSON schema of an answer to template chunk/boundaries-short-v1: "new" or "same" for each candidate.

    Keys and values are fixed, so a grammar made from it leaves a small model nothing to get wrong but the choice:
    no number outside the window, no repetition, no end that never comes. Numbers as values would need an
    enumeration, since such grammars enforce no minimum or maximum.
    """
    return {
        "type": "object",
        "properties": {str(number): {"enum": ["same", "new"]} for number in numbers},
        "required": [str(number) for number in numbers],
        "additionalProperties": False,
    }


def _begins_turn(conversation: Conversation, unit: Unit) -> bool:
    return unit.start == conversation.turns[unit.turn - 1].start


def _inside(units: Sequence[Unit], window: Window) -> Sequence[Unit]:
    return units[window.first - 1 : window.last]
