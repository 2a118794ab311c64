"""Readers: files of conversations in, `Conversation`s out; nothing that was said is lost or retyped.

Formats, told by suffix and content:

- JSON Lines (.jsonl, .ndjson): a turn {role, content, time?, id?} a line, one conversation a file; a .json list
  of such turns is read, too. Content is text, or a list of blocks as the APIs have them.
- An export of ChatGPT (conversations.json: `mapping` trees): the messages on the path to `current_node`, which is
  what its owner saw last; answers that were replaced, and messages that it hides, are not on it.
- An export of Claude (conversations.json: `chat_messages`), with the text of its attachments.
- Text and Markdown: "User: …", "**User:** …", or headings "## User", also Human, You, AI, Assistant, ChatGPT,
  Claude, and these words in some other languages. The first of these forms that a file has is the file's form, so
  that a dialogue quoted in another form, or in a code block, stays what it is. "System" is a speaker only at
  the start. A text where most lines begin with one of a few recurring names is a transcript of their turns.
  Text without speakers is one turn of the role "text", as are words before the first speaker.

In JSON what is no text (an image, a call of a tool) is named in brackets, such as "[image]"; half a character
(a lone surrogate), which no file can hold, becomes U+FFFD; fields that are not named here are ignored. Of an
export, conversations without messages are left out: there is nothing to keep.

The id of a conversation is the export's, else the file's stem. One that cannot be a file name is never used as a
path: it becomes its harmless characters and twelve digits of its SHA-256 ("../../x" becomes "x-…").
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError
from ..files import canonical, checked_name, sha256
from ..generation.model import Json
from .conversation import Conversation, Turn
from .labels import ROLES, label_turns

_LINES, _TEXT = (".jsonl", ".ndjson"), (".md", ".markdown", ".txt")
_SUFFIXES = (*_LINES, ".json", *_TEXT)
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DEEPEST = 20  # levels of blocks within blocks
_ROLES = ROLES | {"model": "assistant"}  # Gemini's name, which in a text may label anything


def list_conversations(root: Path) -> dict[str, Conversation]:
    """All conversations in the folder `root` and below it, by id, in the order of their ids.

    Read are files ending in .jsonl, .ndjson, .json, .md, .markdown and .txt, unless their name begins with a
    dot or is README or LICENSE; beside an export's conversations.json its other .json files are left alone. Two
    conversations of one id are an error.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder of conversations; make it, or correct the path")
    found: dict[str, Conversation] = {}
    for path in sorted(path for path in root.rglob("*") if _is_conversation(path, root)):
        for conversation in read_conversations(path, root):
            known = found.setdefault(conversation.conversation_id, conversation)
            if known is not conversation:
                raise ConfigError(
                    f"two conversations are called {known.conversation_id!r}: in {root / known.source} and in {path}; "
                    "rename one of the files, or take it out"
                )
    return dict(sorted(found.items()))


def _is_conversation(path: Path, root: Path) -> bool:
    if path.suffix.lower() not in _SUFFIXES or path.stem.upper() in ("README", "LICENSE") or not path.is_file():
        return False
    if any(part.startswith(".") for part in path.relative_to(root).parts):
        return False
    of_export = path.suffix.lower() == ".json" and any(path.parent.glob("conversations*.json"))
    return not of_export or path.name.startswith("conversations")


def read_conversations(path: Path, root: Path) -> list[Conversation]:
    """The conversations in one file of the folder `root`: one, or as many as an export holds."""
    text = _read(path)
    source = path.relative_to(root).as_posix()
    suffix = path.suffix.lower()
    if suffix in _LINES or (suffix != ".json" and _is_turn(_first_line(text))):
        return [_conversation(path.stem, _line_turns(text, path), "", source)]
    if suffix != ".json":
        turns = label_turns(text)
        heading = re.search(r"^\ufeff?# +(.+)$", text[: turns[0].end] if turns[0].role == "text" else "", re.M)
        return [_named(path.stem, text, turns, heading[1] if heading else "", source)]
    try:
        value = _json(text.removeprefix("\ufeff"), str(path))
    except ConfigError:
        if not _is_turn(_first_line(text)):
            raise
        return [_conversation(path.stem, _line_turns(text, path), "", source)]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value) or not value:
        raise ConfigError(f"{path}: neither an export of ChatGPT or Claude nor a list of turns {{role, content}}")
    if all("role" in item for item in value):
        turns = [_json_turn(item, f"{path}: turn {number}") for number, item in enumerate(value, 1)]
        return [_conversation(path.stem, turns, "", source)]
    return _exported(value, path, source)


def _read(path: Path) -> str:
    """The text of a file as it is: no line break is changed, and a byte order mark stays."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        str(path).encode()
        text = data.decode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{str(path)!r}: the name of the file is not UTF-8; rename it") from None
    except UnicodeDecodeError as error:
        kind = (
            "UTF-16"
            if data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else f"binary, or in another encoding (byte {error.start})"
        )
        raise ConfigError(f"{path}: not UTF-8 text but {kind}; save it as UTF-8") from None
    if len(_CONTROL.findall(text)) * 20 > len(text):
        raise ConfigError(f"{path}: a binary file, not text: one of 20 characters or more is a control character")
    if not text.removeprefix("\ufeff").strip():
        raise ConfigError(f"{path}: an empty file; a conversation has at least one turn")
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


class _Said(NamedTuple):
    role: str
    words: str
    time: str | None
    turn_id: str | None


def _conversation(raw_id: str, said: Iterable[_Said], title: str, source: str) -> Conversation:
    """Turns as one text, "role: content\\n" each."""
    parts, turns, start = [], [], 0
    for number, (role, words, time, turn_id) in enumerate(said, 1):
        header = f"{_name(role)}: "
        part = _SURROGATE.sub("\ufffd", f"{header}{words}\n")
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
        harmless = _UNSAFE.sub("-", raw).strip("-._")[:60] or "conversation"
        return checked_name(f"{harmless}-{sha256(raw)[:12]}", "conversation")


def _name(role: str) -> str:
    """A role on one line, the usual three by their usual names."""
    role = " ".join(role.split())
    return _ROLES.get(role.lower(), role) or "unknown"


def _time(value: Json) -> str | None:
    """Seconds or milliseconds since 1970 as ISO 8601; text as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        except (OverflowError, ValueError, OSError):
            return None
    return _label(value)


def _label(value: Json) -> str | None:
    """A short text such as an id, on one line; None for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _SURROGATE.sub("\ufffd", " ".join(str(value).split())) or None


def _words(content: Json, depth: int = 0) -> str:
    """The text of a message: of a string, of a list of blocks, of what blocks contain."""
    if content is None or isinstance(content, str):
        return content or ""
    if depth > _DEEPEST:
        raise ConfigError(f"blocks within blocks, more than {_DEEPEST} levels deep")
    if isinstance(content, list):
        return "\n".join(words for words in (_words(item, depth + 1) for item in content) if words)
    if not isinstance(content, dict):
        return canonical(content)
    for key in ("text", "thinking", "parts", "content", "thoughts", "result"):
        if isinstance(content.get(key), str | list):
            return _words(content[key], depth + 1)
    kind = _label(content.get("type")) or _label(content.get("content_type")) or "something else"
    return "[image]" if "image" in kind else f"[{kind[:60]}]"


def _first_line(text: str) -> str:
    return text.removeprefix("\ufeff").lstrip().partition("\n")[0]


def _is_turn(line: str) -> bool:
    try:
        value = _json(line, "")
    except ConfigError:
        return False
    return isinstance(value, dict) and "role" in value and "content" in value


def _line_turns(text: str, path: Path) -> Iterator[_Said]:
    # Not splitlines(): a JSON string may contain U+2028 and its like.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            yield _json_turn(_json(line, f"{path}:{number}"), f"{path}:{number}")


def _json_turn(value: Json, where: str) -> _Said:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str) or "content" not in value:
        raise ConfigError(f'{where}: a turn is an object such as {{"role": "user", "content": "…"}}')
    try:
        return _Said(value["role"], _words(value["content"]), _time(value.get("time")), _label(value.get("id")))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _exported(items: list[dict], path: Path, source: str) -> list[Conversation]:
    conversations: list[Conversation] = []
    places: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        raw_id = next((label for key in ("conversation_id", "id", "uuid") if (label := _label(item.get(key)))), "")
        title = _label(item.get("title")) or _label(item.get("name")) or ""
        where = f"{path}: conversation {number}" + (f" ({title[:80]!r})" if title else "")
        try:
            said = _chatgpt_turns(item) if "mapping" in item else _claude_turns(item)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        if not said:
            continue
        conversation = _conversation(raw_id or f"{path.stem}-{number}", said, title, source)
        first = places.setdefault(conversation.conversation_id, number)
        if first != number:
            raise ConfigError(f"{where}: has the id of conversation {first}, {conversation.conversation_id!r}")
        conversations.append(conversation)
    return conversations


def _chatgpt_turns(item: Mapping[str, Json]) -> list[_Said]:
    mapping = item["mapping"]
    if not isinstance(mapping, dict) or not all(isinstance(node, dict) for node in mapping.values()):
        raise ConfigError("its mapping is not an object of nodes")
    said = []
    for name in _path(mapping, item.get("current_node")):
        message = mapping[name].get("message")
        if not isinstance(message, dict) or _object(message, "metadata").get("is_visually_hidden_from_conversation"):
            continue
        role = _label(_object(message, "author").get("role")) or "unknown"
        words = _words(message.get("content"))
        said.append(_Said(role, words, _time(message.get("create_time")), _label(message.get("id"))))
    return said


def _path(mapping: Mapping[str, Json], current: Json) -> list[str]:
    """The names of the nodes from the root to `current`; without it, to the newest leaf."""
    if not isinstance(current, str) or current not in mapping:
        current = next(reversed([name for name, node in mapping.items() if not node.get("children")]), None)
    path: dict[str, None] = {}
    while isinstance(current, str) and current in mapping:
        if current in path:
            raise ConfigError(f"its messages form a circle at {current[:80]!r}")
        path[current] = None
        current = mapping[current].get("parent")
    return list(reversed(path))


def _claude_turns(item: Mapping[str, Json]) -> list[_Said]:
    messages = item.get("chat_messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ConfigError("neither a mapping (ChatGPT) nor a list of chat_messages (Claude)")
    said = []
    for message in messages:
        words = [_words(message.get("content")) or _words(message.get("text"))]
        for attachment in message.get("attachments") or []:
            if isinstance(attachment, dict):
                words += [f"[file: {_label(attachment.get('file_name')) or 'unnamed'}]"]
                words += [_words(attachment.get("extracted_content"))]
        role = _label(message.get("sender")) or "unknown"
        words = "\n".join(part for part in words if part)
        said.append(_Said(role, words, _time(message.get("created_at")), _label(message.get("uuid"))))
    return said


def _object(value: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    return value[key] if isinstance(value.get(key), dict) else {}
