"""The formats that are read, one line each. The first that recognises a file, or a conversation in it, reads it.

A format is a module with `recognises(value) -> bool`, by shape and at little cost, and `read(value, detail)`. The value
is, for

- CONVERSATIONS: one conversation of a JSON export (an object); `read` returns a `Talk`, or None if it has no messages;
- DOCUMENTS: a whole JSON file, of JSON Lines the list of the lines' values; `read` yields a `Talk` for each
  conversation, or a `NotUnderstood` in its place;
- TEXTS: the text of a file, with its byte order mark and line breaks; `read` yields `Marked` or `Talk`.

All raise a `NotUnderstood` about what they do not understand.
"""

from importlib import import_module
from types import ModuleType


def _formats(*names: str) -> tuple[ModuleType, ...]:
    return tuple(import_module(f".{name}", __package__) for name in names)


DOCUMENTS = _formats(
    "slack",
    "takeout",
    "claude_code",
    "codex",
    "sillytavern",
    "mistral",
    "gemini",
    "turns",
)

CONVERSATIONS = _formats(
    "deepseek",
    "chatgpt",
    "claude",
    "grok",
    "openwebui",
    "llamacpp",
    "librechat",
    "messages",  # the last, since it recognises any list of messages
)

TEXTS = _formats(
    "page",
    "captions",
    "stamped",
    "labels",  # the last, since it recognises any text
)
