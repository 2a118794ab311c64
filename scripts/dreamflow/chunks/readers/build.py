"""A `Conversation` from what a reader returns."""

import re
from collections.abc import Iterable

from ...errors import ConfigError
from ...files import checked_name, sha256
from ..conversation import Conversation, Turn
from ..labels import ROLES
from .message import Marked, Message, Talk
from .values import SURROGATE

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Names in JSON that are too common words for labels in a text: Gemini's, and those of extensions of browsers.
_ROLES = ROLES | {"model": "assistant", "response": "assistant", "prompt": "user"}


def conversation_of(read: Talk | Marked, stem: str, source: str, text: str = "") -> Conversation:
    """The conversation that was read from a file with this stem and text."""
    raw_id = read.raw_id or stem
    by_file = raw_id == stem or re.fullmatch(re.escape(stem) + r"-\d+", raw_id) is not None
    if isinstance(read, Marked):
        text, turns = read.text or text, tuple(read.turns)
    else:
        text, turns = _joined(read.messages)
    safe = _safe_id(raw_id)
    title = SURROGATE.sub("\ufffd", " ".join(read.title.split()))
    return Conversation(safe, text, turns, title or (raw_id if safe != raw_id else ""), source, read.updated, by_file)


def _joined(messages: Iterable[Message]) -> tuple[str, tuple[Turn, ...]]:
    """The text "role: content\\n" for each message, and its turns."""
    parts, turns, start = [], [], 0
    for number, (role, text, time, turn_id, model) in enumerate(messages, 1):
        header = f"{_role(role)}: "
        part = SURROGATE.sub("\ufffd", f"{header}{text}\n")
        end = start + len(part)
        turns.append(Turn(number, part[: len(header) - 2], start, end, start + len(header), time, turn_id, model))
        parts.append(part)
        start = end
    return "".join(parts), tuple(turns)


def _safe_id(raw: str) -> str:
    try:
        return checked_name(raw, "conversation")
    except ConfigError:
        safe = _UNSAFE.sub("-", raw).strip("-._")[:60] or "conversation"
        return checked_name(f"{safe}-{sha256(raw)[:12]}", "conversation")


def _role(role: str) -> str:
    """A role on one line; synonyms of user, assistant and system become these words."""
    role = " ".join(role.split())
    return _ROLES.get(role.lower(), role) or "unknown"
