"""The types of this family: a conversation is one unchanged text, and numbered parts that partition it.

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
    """The words of one speaker: `text[start:end]`, its header (such as "User: ") included.

    `role` is "user", "assistant", "system", the unchanged name of another speaker, or "text" for words before the first
    speaker and for texts without speakers. The words begin at `content_start`. `time` is ISO 8601 where the source has
    a number, else the source's text.
    """

    number: int  # from 1
    role: str
    start: int
    end: int
    content_start: int
    time: str | None = None
    turn_id: str | None = None
    model: str | None = None  # the model that wrote it, if the source names it


@dataclass(frozen=True)
class Conversation:
    """A text and the turns that partition it.

    For plain text and Markdown `text` is the unchanged text of the file; for JSON formats it is "role: content\\n" for
    each turn. `source` is the file's path relative to the folder of conversations.
    """

    conversation_id: str
    text: str
    turns: tuple[Turn, ...]
    title: str = ""
    source: str = ""
    updated: str | None = None  # when the source was last changed, as Turn.time, if it says so
    by_file: bool = False  # its id is the name of its file, not one that an export gave


@dataclass(frozen=True)
class Unit:
    """The smallest part of a chunk: a sentence or a piece of a code block, within one turn."""

    number: int  # from 1 in the conversation
    start: int
    end: int
    turn: int
    kind: str  # "sentence" or "code"
    tokens: int


@dataclass(frozen=True)
class Window:
    """Units `first` to `last` (numbers, inclusive) for one model call; neighbouring windows overlap."""

    first: int
    last: int


@dataclass(frozen=True)
class Chunk:
    """Units `first` to `last` (numbers, inclusive) on one topic, and their description.

    `confidence` is between 0 and 1, or None where it was not measured. `made_by` is the origin of the chunk:
    {"method": "llm" or "rules", "model_id", "provider", "gen_id", "quality_level"}. `limit`: the chunk begins where it
    does only because the one before it would be too large.
    """

    first: int
    last: int
    labels: tuple[str, ...]
    entities: tuple[str, ...]
    summary: str
    language: str
    confidence: float | None
    made_by: Mapping[str, Json]
    limit: bool = False
