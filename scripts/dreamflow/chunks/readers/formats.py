"""The formats that are read, one line each. The first that recognises a file, or a conversation in it, reads it.

A format is a module with `recognises(value) -> bool`, by shape and at little cost, and `read(value, detail)`. The value
is, for

- CONVERSATIONS: one conversation of a JSON export (an object); `read` returns a `Talk`, or None if it has no messages;
- DOCUMENTS: a whole JSON file, of JSON Lines the list of the lines' values; `read` yields a `Talk` for each
  conversation, or a `NotUnderstood` in its place;
- TEXTS: the text of a file, with its byte order mark and line breaks; `read` yields `Marked` or `Talk`.

All raise a `NotUnderstood` about what they do not understand.
"""

from . import (
    captions,
    chatgpt,
    claude,
    claude_code,
    codex,
    deepseek,
    gemini,
    grok,
    labels,
    librechat,
    llamacpp,
    messages,
    mistral,
    openwebui,
    page,
    sillytavern,
    slack,
    stamped,
    takeout,
    turns,
)

DOCUMENTS = (
    slack,
    takeout,
    claude_code,
    codex,
    sillytavern,
    mistral,
    gemini,
    turns,
)  # fmt: skip

CONVERSATIONS = (
    deepseek,
    chatgpt,
    claude,
    grok,
    openwebui,
    llamacpp,
    librechat,
    messages,  # the last, since it recognises any list of messages
)

TEXTS = (
    page,
    captions,
    stamped,
    labels,  # the last, since it recognises any text
)  # fmt: skip
