"""What the readers of formats return, and the error about a message that a reader does not understand."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from ...errors import ConfigError, Key
from ..conversation import Turn


class Message(NamedTuple):
    """What one speaker said. `time` is ISO 8601 where the source has a number, else the source's text."""

    role: str
    text: str
    time: str | None = None
    turn_id: str | None = None
    model: str | None = None


class Talk(NamedTuple):
    """A conversation as messages. `raw_id` is the source's id, or "" for the file's name; `updated` is ISO 8601."""

    raw_id: str
    title: str
    messages: Sequence[Message]
    updated: str | None = None


class Marked(NamedTuple):
    """A conversation as an unchanged text and the turns that partition it. The text "" is that of the whole file."""

    turns: Sequence[Turn]
    title: str = ""
    text: str = ""
    raw_id: str = ""
    updated: str | None = None


class Detail(NamedTuple):
    """How much of what a model did besides answering is read.

    `tools`: "full" is a call with its arguments; "name" is its name; both with its result as text; "none" is neither.
    `reasoning`: "full" is its text, "name" is the mark "[reasoning]", and "none" is nothing.
    """

    tools: Literal["name", "full", "none"] = "name"
    reasoning: Literal["name", "full", "none"] = "full"


class NotUnderstood(ConfigError):
    """A conversation, or a part of it, that a reader does not understand. `key` is the path of the part in the JSON of
    the conversation, `place` the conversation in its file."""

    def __init__(self, message: str, key: Key = (), place: str = "") -> None:
        super().__init__(message, key)
        self.place = place
        if place:
            self.args = (f"{place}: {self.args[0]}",)

    def within(self, *key: str | int) -> "NotUnderstood":
        """The same error about a part of a larger value."""
        return NotUnderstood(self.message, (*key, *self.key), self.place)

    def at(self, place: str) -> "NotUnderstood":
        """The same error with the place of the conversation."""
        return NotUnderstood(self.message, self.key, place)


class NotRecognised(NotUnderstood):
    """A file that no format recognises."""


Read = Iterator[Talk | Marked | NotUnderstood]
