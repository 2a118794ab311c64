"""Files of conversations, and the conversations in them."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...errors import ConfigError
from ...generation.model import Json
from ..conversation import Conversation
from .build import conversation_of
from .export_zip import exported_files
from .formats import CONVERSATIONS, DOCUMENTS, TEXTS
from .message import Detail, NotUnderstood, Read
from .shapes import conversations_in, place_of

_LINES, _TEXT = (".jsonl", ".ndjson"), (".md", ".markdown", ".txt")
_ZIP = ".zip"
_SUFFIXES = (*_LINES, ".json", *_TEXT, _ZIP)
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")


class FileRead(NamedTuple):
    """The conversations of a file, and what is wrong with others in it. Each problem names the file and the place."""

    conversations: Sequence[Conversation]
    problems: Sequence[str]


class Lines(list):
    """The values of JSON Lines; `numbers` are the numbers of their lines."""

    def __init__(self, values: Sequence[Json], numbers: Sequence[int]) -> None:
        super().__init__(values)
        self.numbers = numbers


def list_conversations(root: Path) -> dict[str, Conversation]:
    """All conversations in the folder `root` and below it, by id, sorted. Raises a `ConfigError`, also for equal ids.

    See `conversation_files` for the files."""
    conversations: dict[str, Conversation] = {}
    for path in conversation_files(root):
        for conversation in read_conversations(path, root):
            known = conversations.setdefault(conversation.conversation_id, conversation)
            if known is not conversation:
                raise ConfigError(
                    f"two conversations have the id {known.conversation_id!r}: in {root / known.source} and in {path}; "
                    "rename or remove one of the files"
                )
    return dict(sorted(conversations.items()))


def conversation_files(root: Path) -> list[Path]:
    """The files of conversations in the folder `root` and below it, sorted. Raises a `ConfigError` without a folder.

    These are files ending in .jsonl, .ndjson, .json, .md, .markdown, .txt and .zip, except names that begin with a dot,
    README, LICENSE, and other .json files beside an export's conversations.json. A folder that cannot be opened is
    among them, since reading it says why.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder of conversations; create it, or correct the path")
    found: list[Path] = []
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        of_export = any(name.startswith("conversations") and name.endswith(".json") for name in names)
        found += [Path(folder, name) for name in names if _is_conversation(Path(name), of_export=of_export)]
    return sorted([*found, *(Path(error.filename) for error in closed)])


def _is_conversation(name: Path, *, of_export: bool) -> bool:
    suffix = name.suffix.lower()
    if suffix not in _SUFFIXES or name.stem.upper() in ("README", "LICENSE") or name.name.startswith("."):
        return False
    return not (of_export and suffix == ".json") or name.name.startswith("conversations")


def read_conversations(path: Path, root: Path, detail: Detail = Detail()) -> list[Conversation]:  # noqa: B008
    """The conversations in a file of the folder `root`. Raises a `ConfigError` about the first that is not understood,
    and about two with one id."""
    read = read_file(path, root, detail)
    if read.problems:
        raise ConfigError(read.problems[0])
    places: dict[str, int] = {}
    for number, conversation in enumerate(read.conversations, 1):
        first = places.setdefault(conversation.conversation_id, number)
        if first != number:
            raise ConfigError(
                f"{path}: conversation {number} ({conversation.title!r}): conversation {first} has the same id, "
                f"{conversation.conversation_id!r}"
            )
    return list(read.conversations)


def read_file(path: Path, root: Path, detail: Detail = Detail()) -> FileRead:  # noqa: B008
    """What is in a file of the folder `root`: several conversations only from an export. Two may have the same id.

    A conversation that is not understood is a problem and loses no other. Raises a `ConfigError` if nothing in the file
    can be read."""
    source = path.relative_to(root).as_posix()
    if path.suffix.lower() != _ZIP:
        return _read_data(_bytes(path), path.name, str(path), source, detail)
    parts = [_read_data(data, name, f"{path}: {name}", source, detail) for name, data in exported_files(path)]
    return FileRead(
        [conversation for part in parts for conversation in part.conversations],
        [problem for part in parts for problem in part.problems],
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _read_data(data: bytes, name: str, where: str, source: str, detail: Detail) -> FileRead:
    """What is in a file's bytes. `name` is its name, `where` what messages call it."""
    text = decoded(data, where)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
    conversations: list[Conversation] = []
    problems: list[str] = []
    value = text
    try:
        if _is_json(text, suffix):
            value = _json_value(text, suffix, where)
            talks = _talks(value, stem, detail)
        else:
            talks = next(format_ for format_ in TEXTS if format_.recognises(text)).read(text, detail)
        for talk in talks:
            if isinstance(talk, NotUnderstood):
                problems.append(f"{where}: {talk}")
            else:
                conversations.append(conversation_of(talk, stem, source, text))
    except NotUnderstood as error:
        problems.append(_placed(error, value, where))
    return FileRead(conversations, problems)


def _talks(value: Json, stem: str, detail: Detail) -> Read:
    """The conversations in the value of a JSON file."""
    document = next((format_ for format_ in DOCUMENTS if format_.recognises(value)), None)
    if document:
        yield from document.read(value, detail)
        return
    items = conversations_in(value)
    readers = [next((format_ for format_ in CONVERSATIONS if format_.recognises(item)), None) for item in items]
    if not any(readers):
        raise NotUnderstood("expected an export of conversations, or a list of turns {role, content}")
    for number, (item, reader) in enumerate(zip(items, readers, strict=True), 1):
        try:
            talk = reader.read(item, detail) if reader else None
            if not reader and item:
                raise NotUnderstood(f"not a conversation: an object with {', '.join(map(repr, list(item)[:8]))}")
        except NotUnderstood as error:
            yield error.at(place_of(number, item))
            continue
        if talk:
            yield talk if talk.raw_id else talk._replace(raw_id=f"{stem}-{number}")


def _placed(error: NotUnderstood, value: Json, where: str) -> str:
    """A message with the file, and the line of JSON Lines or the number of a turn."""
    if error.place or not error.key or not isinstance(error.key[0], int):
        return f"{where}: {error}"
    number, inner = error.key[0], NotUnderstood(error.message, error.key[1:])
    return (
        f"{where}:{value.numbers[number]}: {inner}"
        if isinstance(value, Lines)
        else f"{where}: turn {number + 1}: {inner}"
    )


def _is_json(text: str, suffix: str) -> bool:
    return suffix in (*_LINES, ".json") or _begins_with_turn(text)


def _json_value(text: str, suffix: str, where: str) -> Json:
    if suffix == ".json":
        try:
            return parse_json(text.removeprefix("\ufeff"), where)
        except ConfigError:
            if not _begins_with_turn(text):
                raise
    return _lines(text, where)


def _lines(text: str, where: str) -> Lines:
    # Not splitlines(): a JSON string may contain U+2028 and similar characters.
    numbered = [
        (number, line) for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1) if line.strip()
    ]
    values = [parse_json(line, f"{where}:{number}") for number, line in numbered]
    return Lines(values, [number for number, _ in numbered])


def _begins_with_turn(text: str) -> bool:
    try:
        value = parse_json(text.removeprefix("\ufeff").lstrip().partition("\n")[0], "")
    except ConfigError:
        return False
    return isinstance(value, dict) and "role" in value and "content" in value


def decoded(data: bytes, where: str) -> str:
    """The text in a file's bytes, with its line breaks and byte order mark unchanged. Raises a `ConfigError`."""
    try:
        where.encode()
        text = data.decode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{where!r}: the file name is not UTF-8; rename the file") from None
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        kind = "UTF-16" if utf16 else f"binary, or in another encoding (byte {error.start})"
        raise ConfigError(f"{where}: not UTF-8 text but {kind}; save it as UTF-8") from None
    if len(_CONTROL.findall(text)) * 20 > len(text):
        raise ConfigError(f"{where}: a binary file, not text: more than 5% of its characters are control characters")
    if not text.removeprefix("\ufeff").strip():
        raise ConfigError(f"{where}: an empty file; a conversation needs at least one turn")
    return text


def parse_json(text: str, where: str) -> Json:
    """The value of a JSON text. Raises a `ConfigError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise ConfigError(f"{where}: not valid JSON: {error.msg}{line}, column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{where}: the JSON is nested too deeply") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise ConfigError(f"{where}: not valid JSON: {error}") from None
