"""What a conversation is: one text that is never retyped, and the numbered parts that partition it.

All offsets count characters (Unicode code points) of `Conversation.text`, from 0; an end is exclusive.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..generation.model import Json

Archive = Mapping[str, Json]  # the content of archive_v<N>.json, see archive.py
ArchivedChunk = Mapping[str, Json]  # an item of its `b_chunks`

LEVELS = ("basic", "good", "premium")  # quality levels of chunks, the lowest first


@dataclass(frozen=True)
class Turn:
    """What one speaker said: `text[start:end]`, its header (such as "User: ") included.

    `role` is "user", "assistant", "system", another speaker's name as it was given, or "text" for words before
    the first speaker and for texts without speakers. The words begin at `content_start`; `time` is ISO 8601 where
    the source gave a number, else as it was given.
    """

    number: int  # from 1
    role: str
    start: int
    end: int
    content_start: int
    time: str | None = None
    turn_id: str | None = None


@dataclass(frozen=True)
class Conversation:
    """A text and the turns that partition it: from 0, each where the one before ended, to `len(text)`.

    For plain text and Markdown `text` is the file's, character for character; for JSON formats it is
    "role: content\\n" for each turn. `source` is the file's path relative to the folder of conversations.
    """

    conversation_id: str
    text: str
    turns: tuple[Turn, ...]
    title: str = ""
    source: str = ""


@dataclass(frozen=True)
class Unit:
    """The smallest part that a chunk is made of: a sentence, or a piece of a code block; never of two turns."""

    number: int  # from 1 in the conversation
    start: int
    end: int
    turn: int
    kind: str  # "sentence" or "code"
    tokens: int


@dataclass(frozen=True)
class Window:
    """Units `first` to `last` (numbers, inclusive) that one model call reads; neighbours overlap."""

    number: int  # from 1
    first: int
    last: int


@dataclass(frozen=True)
class Chunk:
    """Units `first` to `last` (numbers, inclusive) that belong together, and what is said of them.

    `confidence` is between 0 and 1, or None where it was not measured; `made_by` names what made the chunk:
    {"method": "llm" or "rules", "model_id", "provider", "gen_id", "quality_level"}.
    """

    first: int
    last: int
    labels: tuple[str, ...]
    entities: tuple[str, ...]
    summary: str
    language: str
    confidence: float | None
    made_by: Mapping[str, Json]


def content(conversation: Conversation, turn: Turn) -> str:
    """The words of a turn: without its header, and without its final line break (LF or CR LF)."""
    words = conversation.text[turn.content_start : turn.end]
    return words.removesuffix("\n").removesuffix("\r") if words.endswith("\n") else words
