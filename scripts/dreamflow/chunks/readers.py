"""Read files of conversations into `Conversation`s; no text is lost or changed.

Formats, recognised by suffix and content:

- JSON Lines (.jsonl, .ndjson): one conversation per file, one turn {role, content, time?, id?} per line; also a .json
  list of such turns. Content is text, or a list of blocks as in the APIs.
- An export of ChatGPT (conversations.json: `mapping` trees): the messages on the path to `current_node`, the branch
  that its owner saw last, without hidden messages.
- An export of Claude (conversations.json: `chat_messages`), with the text of its attachments.
- The .zip of either export, as it was downloaded (see `export_zip`).
- Text and Markdown: "User: …", "**User:** …", or headings "## User", also Human, You, AI, Assistant, ChatGPT, Claude,
  and these words in some other languages. A file has only one of these forms, the first in it, so a dialogue that is
  quoted in another form or in a code block adds no turns. "System" is a speaker only at the start. A text in which most
  lines begin with one of a few recurring names is a transcript of their turns. Text without speakers is one turn of the
  role "text", as is text before the first speaker.

In JSON, content other than text (an image, a call of a tool) becomes its type in brackets, such as "[image]"; a lone
surrogate, which no file can contain, becomes U+FFFD; other fields are ignored. Conversations of an export without
messages are left out.

The id of a conversation is the export's, else the file's stem. An id that cannot be a file name becomes its safe
characters and twelve digits of its SHA-256 ("../../x" becomes "x-…").
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import ConfigError
from ..files import canonical, checked_name, sha256
from ..generation.model import Json
from .conversation import Conversation, Turn
from .export_zip import exported_files
from .labels import ROLES, label_turns

_LINES, _TEXT = (".jsonl", ".ndjson"), (".md", ".markdown", ".txt")
_ZIP = ".zip"
_SUFFIXES = (*_LINES, ".json", *_TEXT, _ZIP)
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DEEPEST = 20  # levels of nested blocks
_ROLES = ROLES | {"model": "assistant"}  # Gemini's name, too common a word for labels in a text


def list_conversations(root: Path) -> dict[str, Conversation]:
    """All conversations in the folder `root` and below it, by id, sorted. Raises a `ConfigError`, also for equal ids.

    These are files ending in .jsonl, .ndjson, .json, .md, .markdown, .txt and .zip, except names that begin with a dot,
    README, LICENSE, and other .json files beside an export's conversations.json.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder of conversations; create it, or correct the path")
    conversations: dict[str, Conversation] = {}
    for path in sorted(path for path in root.rglob("*") if _is_conversation(path, root)):
        for conversation in read_conversations(path, root):
            known = conversations.setdefault(conversation.conversation_id, conversation)
            if known is not conversation:
                raise ConfigError(
                    f"two conversations have the id {known.conversation_id!r}: in {root / known.source} and in {path}; "
                    "rename or remove one of the files"
                )
    return dict(sorted(conversations.items()))


def _is_conversation(path: Path, root: Path) -> bool:
    if path.suffix.lower() not in _SUFFIXES or path.stem.upper() in ("README", "LICENSE") or not path.is_file():
        return False
    if any(part.startswith(".") for part in path.relative_to(root).parts):
        return False
    of_export = path.suffix.lower() == ".json" and any(path.parent.glob("conversations*.json"))
    return not of_export or path.name.startswith("conversations")


def read_conversations(path: Path, root: Path) -> list[Conversation]:
    """The conversations in a file of the folder `root`: several only from an export. Raises a `ConfigError`."""
    source = path.relative_to(root).as_posix()
    suffix = path.suffix.lower()
    if suffix == _ZIP:
        return _of_zip(path, source)
    text = _read(path)
    if suffix in _LINES or (suffix != ".json" and _begins_with_turn(text)):
        return [_conversation(path.stem, _line_turns(text, path), "", source)]
    if suffix != ".json":
        turns = label_turns(text)
        heading = re.search(r"^\ufeff?# +(.+)$", text[: turns[0].end] if turns[0].role == "text" else "", re.M)
        return [_named(path.stem, text, turns, heading[1] if heading else "", source)]
    try:
        value = _items(text, str(path))
    except ConfigError:
        if not _begins_with_turn(text):
            raise
        return [_conversation(path.stem, _line_turns(text, path), "", source)]
    if all("role" in item for item in value):
        turns = [_json_turn(item, f"{path}: turn {number}") for number, item in enumerate(value, 1)]
        return [_conversation(path.stem, turns, "", source)]
    return _exported(value, path, path.stem, source)


def _of_zip(path: Path, source: str) -> list[Conversation]:
    """The conversations of an export as it was downloaded. Raises a `ConfigError`, also for an id that occurs twice."""
    conversations: dict[str, Conversation] = {}
    for name, data in exported_files(path):
        where = f"{path}: {name}"
        items = _items(_decoded(data, where), where)
        if all("role" in item for item in items):
            raise ConfigError(f"{where}: expected an export of ChatGPT or Claude, not a list of turns")
        for conversation in _exported(items, where, PurePosixPath(name).stem, source):
            if conversations.setdefault(conversation.conversation_id, conversation) is not conversation:
                raise ConfigError(f"{where}: another file of the export has {conversation.conversation_id!r} too")
    return list(conversations.values())


def _items(text: str, where: str) -> list[dict]:
    """The conversations or turns in a JSON text."""
    value = _json(text.removeprefix("\ufeff"), where)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value) or not value:
        raise ConfigError(f"{where}: expected an export of ChatGPT or Claude, or a list of turns {{role, content}}")
    return value


def _read(path: Path) -> str:
    """The text of a file, with its line breaks and byte order mark unchanged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return _decoded(data, path)


def _decoded(data: bytes, path: Path | str) -> str:
    try:
        str(path).encode()
        text = data.decode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{str(path)!r}: the file name is not UTF-8; rename the file") from None
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        kind = "UTF-16" if utf16 else f"binary, or in another encoding (byte {error.start})"
        raise ConfigError(f"{path}: not UTF-8 text but {kind}; save it as UTF-8") from None
    if len(_CONTROL.findall(text)) * 20 > len(text):
        raise ConfigError(f"{path}: a binary file, not text: more than 5% of its characters are control characters")
    if not text.removeprefix("\ufeff").strip():
        raise ConfigError(f"{path}: an empty file; a conversation needs at least one turn")
    return text


def _json(text: str, where: str) -> Json:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise ConfigError(f"{where}: not valid JSON: {error.msg}{line}, column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{where}: the JSON is nested too deeply") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise ConfigError(f"{where}: not valid JSON: {error}") from None


class _Message(NamedTuple):
    role: str
    text: str
    time: str | None
    turn_id: str | None


def _conversation(raw_id: str, messages: Iterable[_Message], title: str, source: str) -> Conversation:
    """The conversation whose text is "role: content\\n" for each message."""
    parts, turns, start = [], [], 0
    for number, (role, text, time, turn_id) in enumerate(messages, 1):
        header = f"{_role(role)}: "
        part = _SURROGATE.sub("\ufffd", f"{header}{text}\n")
        end = start + len(part)
        turns.append(Turn(number, part[: len(header) - 2], start, end, start + len(header), time, turn_id))
        parts.append(part)
        start = end
    return _named(raw_id, "".join(parts), tuple(turns), title, source)


def _named(raw_id: str, text: str, turns: tuple[Turn, ...], title: str, source: str) -> Conversation:
    safe = _safe_id(raw_id)
    title = _SURROGATE.sub("\ufffd", " ".join(title.split()))
    return Conversation(safe, text, turns, title or (raw_id if safe != raw_id else ""), source)


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


def _time(value: Json) -> str | None:
    """Seconds or milliseconds since 1970 as ISO 8601; text stays unchanged."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        except (OverflowError, ValueError, OSError):
            return None
    return _label(value)


def _label(value: Json) -> str | None:
    """A text or number (such as an id) on one line; None for other types."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _SURROGATE.sub("\ufffd", " ".join(str(value).split())) or None


def _text(content: Json, depth: int = 0) -> str:
    """The text of a message: a string, or a list of blocks, which may be nested."""
    if content is None or isinstance(content, str):
        return content or ""
    if depth > _DEEPEST:
        raise ConfigError(f"blocks are nested more than {_DEEPEST} levels deep")
    if isinstance(content, list):
        return "\n".join(text for text in (_text(item, depth + 1) for item in content) if text)
    if not isinstance(content, dict):
        return canonical(content)
    for key in ("text", "thinking", "parts", "content", "thoughts", "result"):
        if isinstance(content.get(key), str | list):
            return _text(content[key], depth + 1)
    kind = _label(content.get("type")) or _label(content.get("content_type")) or "something else"
    return "[image]" if "image" in kind else f"[{kind[:60]}]"


def _begins_with_turn(text: str) -> bool:
    try:
        value = _json(text.removeprefix("\ufeff").lstrip().partition("\n")[0], "")
    except ConfigError:
        return False
    return isinstance(value, dict) and "role" in value and "content" in value


def _line_turns(text: str, path: Path) -> Iterator[_Message]:
    # Not splitlines(): a JSON string may contain U+2028 and similar characters.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            yield _json_turn(_json(line, f"{path}:{number}"), f"{path}:{number}")


def _json_turn(value: Json, where: str) -> _Message:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str) or "content" not in value:
        raise ConfigError(f'{where}: a turn must be an object such as {{"role": "user", "content": "…"}}')
    try:
        return _Message(value["role"], _text(value["content"]), _time(value.get("time")), _label(value.get("id")))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _exported(items: list[dict], path: Path | str, stem: str, source: str) -> list[Conversation]:
    conversations: list[Conversation] = []
    places: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        raw_id = next((label for key in ("conversation_id", "id", "uuid") if (label := _label(item.get(key)))), "")
        title = _label(item.get("title")) or _label(item.get("name")) or ""
        where = f"{path}: conversation {number}" + (f" ({title[:80]!r})" if title else "")
        try:
            messages = _chatgpt_messages(item) if "mapping" in item else _claude_messages(item)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        if not messages:
            continue
        conversation = _conversation(raw_id or f"{stem}-{number}", messages, title, source)
        first = places.setdefault(conversation.conversation_id, number)
        if first != number:
            raise ConfigError(f"{where}: conversation {first} has the same id, {conversation.conversation_id!r}")
        conversations.append(conversation)
    return conversations


def _chatgpt_messages(item: Mapping[str, Json]) -> list[_Message]:
    mapping = item["mapping"]
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        raise ConfigError("its mapping is not an object of nodes")
    messages = []
    for name in _path(mapping, item.get("current_node")):
        message = mapping[name].get("message")
        if not isinstance(message, dict) or _object(message, "metadata").get("is_visually_hidden_from_conversation"):
            continue
        role = _label(_object(message, "author").get("role")) or "unknown"
        text = _text(message.get("content"))
        messages.append(_Message(role, text, _time(message.get("create_time")), _label(message.get("id"))))
    return messages


def _path(mapping: Mapping[str, Json], current: Json) -> list[str]:
    """The names of the nodes from the root to `current`, or to the newest leaf if `current` does not exist."""
    if not isinstance(current, str) or current not in mapping:
        current = next(reversed([name for name, node in mapping.items() if not node.get("children")]), None)
    path: dict[str, None] = {}
    while isinstance(current, str) and current in mapping:
        if current in path:
            raise ConfigError(f"its messages form a cycle at {current[:80]!r}")
        path[current] = None
        current = mapping[current].get("parent")
    return list(reversed(path))


def _claude_messages(item: Mapping[str, Json]) -> list[_Message]:
    chat_messages = item.get("chat_messages")
    if not isinstance(chat_messages, list) or not all(isinstance(message, dict) for message in chat_messages):
        raise ConfigError("neither a mapping (ChatGPT) nor a list of chat_messages (Claude)")
    messages = []
    for message in chat_messages:
        parts = [_text(message.get("content")) or _text(message.get("text"))]
        for attachment in message.get("attachments") or []:
            if isinstance(attachment, dict):
                parts.append(f"[file: {_label(attachment.get('file_name')) or 'unnamed'}]")
                parts.append(_text(attachment.get("extracted_content")))
        role, text = _label(message.get("sender")) or "unknown", "\n".join(filter(None, parts))
        messages.append(_Message(role, text, _time(message.get("created_at")), _label(message.get("uuid"))))
    return messages


def _object(value: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    return value[key] if isinstance(value.get(key), dict) else {}
