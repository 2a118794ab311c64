"""Files of conversations, and the conversations in them."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...errors import ConfigError
from ...generation.model import Json
from ..conversation import Conversation
from . import page, slack
from .build import conversation_of
from .decode import decoded
from .export_zip import Entry, opened_zip, what_is_in
from .formats import TEXTS
from .json_files import LINES, json_value, parse_json, placed, talks_in
from .message import Detail, NotRecognised, NotUnderstood

_PAGES = (".html", ".htm")
_JSON, _TEXT, _ZIP = (".json", *LINES), (".md", ".markdown", ".txt", ".vtt", ".srt", ".log", *_PAGES), ".zip"
_SUFFIXES = (*_JSON, *_TEXT, _ZIP)
_LONG = 2_000  # characters, from which on a text without speakers is told
_NO_TALK = ("README", "LICENSE")
# Files that exports have beside their conversations: about accounts, ratings, projects, settings.
_COMPANIONS = frozenset(
    [
        "user",
        "users",
        "message_feedback",
        "model_comparisons",
        "shared_conversations",
        "shopping",
        "group_chats",
        "sora",
        "memories",
        "projects",
        "user_settings",
        "export_manifest",
    ]
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\.json")
# Of a whole Slack; any of the first two beside folders of days tells that it is one.
_OF_SLACK = ("users.json", "channels.json", "groups.json", "dms.json", "mpims.json", "integration_logs.json",
             "canvases.json", "file_conversations.json", "lists.json", "huddle_transcripts.json")  # fmt: skip


class FileRead(NamedTuple):
    """The conversations of a file, what is wrong with others in it, and what may be wrong with these: nobody speaks in
    a long text. Each problem and notice names the file and the place."""

    conversations: Sequence[Conversation]
    problems: Sequence[str]
    notices: Sequence[str] = ()


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

    These are files ending in .jsonl, .ndjson, .json, .md, .markdown, .txt, .log, .vtt, .srt, .html, .htm and .zip,
    except names that begin with a dot, README, LICENSE, and files about accounts and settings beside an export's
    conversations.json. Of a channel in an unpacked export of Slack it is the file of the last day: a new day is a new
    file, which stands for all days. A folder that cannot be opened is among them, since reading it says why.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder of conversations; create it, or correct the path")
    found: list[Path] = []
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if _is_conversation(Path(name))]
    folders = {path.parent for path in found}
    slacks = {folder for folder in folders if any((folder / name).is_file() for name in _OF_SLACK[:2])}
    days = {path.parent: path for path in sorted(found) if _DAY.fullmatch(path.name) and path.parent.parent in slacks}
    exports = {path.parent for path in found if path.name.startswith("conversations") and path.suffix == ".json"}
    of_slack = {path.parent for path in days.values()}
    whole = {folder.parent for folder in of_slack}

    def wanted(path: Path) -> bool:
        if path.parent in of_slack and _DAY.fullmatch(path.name):
            return days[path.parent] == path
        if path.parent in whole and path.name in _OF_SLACK:
            return False
        suffix = path.suffix.lower()
        is_companion = suffix in _PAGES or (suffix == ".json" and path.stem in _COMPANIONS)  # the same talks as a page
        return not (path.parent in exports and is_companion)

    return sorted([*filter(wanted, found), *(Path(error.filename) for error in closed)])


def _is_conversation(name: Path) -> bool:
    return name.suffix.lower() in _SUFFIXES and name.stem.upper() not in _NO_TALK and not name.name.startswith(".")


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

    A conversation that is not understood is a problem and loses no other. Raises a `ConfigError` if the file is no text
    or zip."""
    source = path.relative_to(root).as_posix()
    if path.suffix.lower() == _ZIP:
        return _read_zip(path, source, detail)
    if _DAY.fullmatch(path.name) and any((path.parent.parent / name).is_file() for name in _OF_SLACK[:2]):
        files = {day.name: _bytes(day) for day in sorted(path.parent.iterdir()) if _DAY.fullmatch(day.name)}
        users = path.parent.parent / _OF_SLACK[0]
        return _read_channel(path.parent.name, files, _users(_bytes(users), str(users)) if users.is_file() else {},
                             str(path.parent), source, detail)  # fmt: skip
    try:
        return _read_data(_bytes(path), path.name, path.stem, str(path), source, detail)
    except NotRecognised as error:
        return FileRead([], [f"{path}: {error}"])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _read_data(data: bytes, name: str, stem: str, where: str, source: str, detail: Detail) -> FileRead:
    """What is in a file's bytes. `name` is its name, `where` what messages call it. Raises a `NotRecognised`."""
    text = decoded(data, where)
    conversations: list[Conversation] = []
    problems: list[str] = []
    suffix = PurePosixPath(name).suffix.lower()
    value = json_value(text, suffix, where)
    if suffix in _PAGES and not page.recognises(text):
        raise NotRecognised(
            "an HTML page without a chat of ChatGPT; copy the chat into a .txt or .md file, or export it as JSON"
        )
    try:
        if value is not None:
            talks = talks_in(value, stem, detail)
        else:
            talks = next(format_ for format_ in TEXTS if format_.recognises(text)).read(text, detail)
        for talk in talks:
            if isinstance(talk, NotUnderstood):
                problems.append(placed(talk, value, where))
            else:
                conversations.append(conversation_of(talk, stem, source, text))
    except NotRecognised:
        raise
    except NotUnderstood as error:
        problems.append(placed(error, value, where))
    notices = [] if value is not None else [notice for talk in conversations if (notice := _notice(talk, where))]
    return FileRead(conversations, problems, notices)


def _notice(talk: Conversation, where: str) -> str | None:
    """That nobody speaks in a long text."""
    if len(talk.text) < _LONG or any(turn.role != "text" for turn in talk.turns):
        return None
    return (
        f"{where}: a single turn of {len(talk.text):,} characters, since no speakers were found; if somebody speaks in "
        'it, write "Name: " at the beginning of each turn'
    )


def _read_zip(path: Path, source: str, detail: Detail) -> FileRead:
    """The conversations in a zip: of exports, and of other files whose format is recognised.

    Texts are read if there is no JSON of conversations (an export may have its conversations as a page, too), and only
    those with speakers."""
    with opened_zip(path) as all_entries:
        entries = [entry for entry in all_entries if entry.path.stem.upper() not in _NO_TALK]
        read = _read_slack(path, source, entries, detail)
        days = {id(entry) for entry in entries if read and _DAY.fullmatch(entry.path.name)}
        stems = Counter(entry.path.stem for entry in entries)
        parts = [read] if read else []
        for suffixes in (_JSON, _TEXT):
            for entry in entries:
                if entry.path.suffix.lower() in suffixes and id(entry) not in days:
                    stem = entry.path.stem
                    if stems[stem] > 1 and len(entry.path.parts) > 1:
                        stem = f"{'-'.join(entry.path.parts[:-1])}-{stem}"
                    parts.append(_read_entry(entry, stem, path, source, detail))
            if any(part.conversations or part.problems for part in parts):
                break
    conversations = [conversation for part in parts for conversation in part.conversations]
    problems = [problem for part in parts for problem in part.problems]
    notices = [notice for part in parts for notice in part.notices]
    if not conversations and not problems:
        raise ConfigError(
            f"{path}: has no conversations.json or other file of conversations. It has {what_is_in(path)}. Remove it, "
            "or take the zip that the link in an e-mail about an export downloads"
        )
    return FileRead(conversations, problems, notices)


def _read_entry(entry: Entry, stem: str, path: Path, source: str, detail: Detail) -> FileRead:
    """What is in a file of a zip: nothing, if it is not recognised and does not promise conversations by its name."""
    where, promised = f"{path}: {entry.path}", entry.path.name.lower().startswith("conversations")
    is_json = entry.path.suffix.lower() in _JSON
    if is_json and not promised and entry.path.stem in _COMPANIONS:
        return FileRead([], [])
    try:
        read = _read_data(entry.read(), entry.path.name, stem, where, source, detail)
    except NotRecognised as error:
        return FileRead([], [f"{where}: {error}"] if promised else [])
    except ConfigError as error:
        return FileRead([], [str(error)] if promised or is_json else [])
    spoken = [talk for talk in read.conversations if is_json or any(turn.role != "text" for turn in talk.turns)]
    return FileRead(spoken, read.problems)


def _read_slack(path: Path, source: str, entries: Iterable[Entry], detail: Detail) -> FileRead | None:
    """The channels of an export of Slack; None if a zip is not one."""
    named = {entry.path: entry for entry in entries}
    roots = {entry.parent for entry in named if entry.name in _OF_SLACK[:2]}
    channels: dict[PurePosixPath, dict[str, bytes]] = {}
    for place, entry in sorted(named.items()):
        if _DAY.fullmatch(place.name) and place.parent.parent in roots:
            channels.setdefault(place.parent, {})[place.name] = entry.read()
    if not channels:
        return None
    parts = []
    for place, files in channels.items():
        users = named.get(place.parent / _OF_SLACK[0])
        names = _users(users.read(), f"{path}: {users.path}") if users else {}
        parts.append(_read_channel(place.name, files, names, f"{path}: {place}", source, detail))
    return FileRead(
        [one for part in parts for one in part.conversations], [one for part in parts for one in part.problems]
    )


def _users(data: bytes, where: str) -> Mapping[str, str]:
    return slack.names_of(parse_json(decoded(data, where).removeprefix("\ufeff"), where))


def _read_channel(
    name: str, files: Mapping[str, bytes], names: Mapping[str, str], where: str, source: str, detail: Detail
) -> FileRead:
    """The conversation of a channel, from the files of its days."""
    messages: list[Json] = []
    problems = []
    for day, data in files.items():
        try:
            value = parse_json(decoded(data, f"{where}/{day}").removeprefix("\ufeff"), f"{where}/{day}")
            if value and not slack.recognises(value):
                raise ConfigError(f"{where}/{day}: expected a list of Slack's messages")
            messages += value
        except ConfigError as error:
            problems.append(str(error))
    try:
        talk = slack.channel(name, messages, names)
    except NotUnderstood as error:
        return FileRead([], [*problems, f"{where}: message {error}"])
    return FileRead([conversation_of(talk, name, source)] if talk.messages else [], problems)
