"""Read the files of conversations that are new or changed, once: what is in them and its units go into files of `read`.

A file that has the same path, size and time as in the index is not opened. Another one is hashed, and read only if
`read` does not have its content: after a kill in the middle, or after `cp -r`, nothing is read twice. The index is
written last, and files of `read` that it does not name are removed after it, so at any moment all belong together.
"""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import DreamflowError
from ..files import canonical, sha256, write_atomic
from .conversation import Conversation
from .duplicates import resolved
from .index import READ, Index, Source, Stored, Talk, cache_path
from .readers import Detail, conversation_files, read_file
from .units import split_units

VERSION = 1  # of what readers and units make of a file: a higher number reads all files again


class Found(NamedTuple):
    """A file in the folder of conversations, as `Source` names it."""

    path: str
    size: int
    mtime_ns: int


class _Contents(msgspec.Struct, array_like=True):
    """The end of a file of `read`: what is in it."""

    talks: list[Talk]
    problems: list[str]
    notices: list[str]


_LENGTH = 8  # bytes at the end of a file of `read`: the length of its contents
_CONTENTS = msgspec.msgpack.Decoder(_Contents)


def find_files(root: Path) -> list[Found]:
    """The files of conversations in the folder `root`. Raises a `ConfigError` if there is no such folder."""
    found = []
    for path in conversation_files(root):
        name = path.relative_to(root).as_posix()
        try:
            status = path.stat()
        except OSError:  # a link that leads nowhere
            found.append(Found(name, 0, -1))
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            found.append(Found(name, status.st_size, status.st_mtime_ns if os.access(path, os.R_OK) else -1))
    return found


def method(detail: Detail) -> str:
    """A digest of how files are read."""
    return sha256(canonical([VERSION, *detail]))[:16]


def changed(index: Index | None, found: Sequence[Found], folder: Path, detail: Detail) -> list[Found]:
    """The files that an index does not have as they are now and in this detail, or whose file of `read` is gone."""
    if index is None or index.method != method(detail):
        return list(found)
    there = _names(folder)
    known = {(file.path, file.size, file.mtime_ns) for file in index.files if not file.cache or file.cache in there}
    return [file for file in found if file not in known]


def is_current(index: Index | None, found: Sequence[Found], folder: Path, detail: Detail) -> bool:
    """Whether an index has exactly these files, and all that was read of them is there."""
    return index is not None and len(index.files) == len(found) and not changed(index, found, folder, detail)


def read_files(
    root: Path,
    folder: Path,
    before: Index | None,
    found: Sequence[Found],
    detail: Detail,
    fresh: dict[str, bytes] | None = None,
) -> Index:
    """The index of these files of the folder `root`, what is unchanged as in the index `before`.

    What is read goes into files of `read` in `folder`; with `fresh` into that mapping instead, and nothing is written.
    What cannot be read is a problem in the index and stops nothing else.
    """
    new = set(changed(before, found, folder, detail))
    known = {file.path: file for file in before.files} if before else {}
    files = [_read(root, folder, file, detail, fresh) if file in new else known[file.path] for file in found]
    return resolved(Index(method(detail), files), before, folder, fresh or {})


def write_fresh(folder: Path, fresh: Mapping[str, bytes]) -> None:
    """Write what a preview has read."""
    for cache, data in fresh.items():
        write_atomic(cache_path(folder, cache), data)


def remove_unused(folder: Path, index: Index) -> None:
    """Remove the files of `read` that an index does not name."""
    for name in _names(folder) - {file.cache for file in index.files}:
        cache_path(folder, name).unlink(missing_ok=True)


def expected_windows(index: Index | None, found: Sequence[Found], window_tokens: int) -> int:
    """About how many windows all conversations have."""
    known = {file.path: sum(talk.characters for talk in file.talks) for file in index.files} if index else {}
    sizes = (known.get(file.path, file.size * (5 if file.path.endswith(".zip") else 1)) for file in found)
    return sum(1 + size // (4 * window_tokens) for size in sizes)


def _names(folder: Path) -> set[str]:
    try:
        names = os.listdir(folder / READ)  # noqa: PTH208  (thousands)
    except FileNotFoundError:
        return set()
    return {name.removesuffix(".msgpack") for name in names if name.endswith(".msgpack")}


def _read(root: Path, folder: Path, found: Found, detail: Detail, fresh: dict[str, bytes] | None) -> Source:
    """What is in a file that is new or has changed."""
    path = root / found.path
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        cache = sha256(canonical([method(detail), found.path, digest]))[:32]
        contents = _known(folder, cache, fresh)
        if contents is None:
            contents = _store(root, path, folder, cache, detail, fresh)
    except DreamflowError as error:
        why = str(error)
    except OSError as error:
        why = f"{path}: cannot be read: {error.strerror or error}"
    except Exception as error:  # what one file has must not stop the others
        why = (
            f"{path}: cannot be read, by a mistake of this program ({type(error).__name__}: {error}); please report it"
        )
    else:
        return Source(*found, cache if contents.talks else "", contents.talks, contents.problems, contents.notices)
    return Source(*found, problems=[" ".join(why.split())])


def _known(folder: Path, cache: str, fresh: Mapping[str, bytes] | None) -> _Contents | None:
    """The contents of a file of `read`, if it is there."""
    try:
        data = fresh[cache] if fresh and cache in fresh else cache_path(folder, cache).read_bytes()
        length = int.from_bytes(data[-_LENGTH:], "big")
        return _CONTENTS.decode(data[-_LENGTH - length : -_LENGTH])
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        return None


def _store(
    root: Path, path: Path, folder: Path, cache: str, detail: Detail, fresh: dict[str, bytes] | None
) -> _Contents:
    """Read a file into a file of `read`; returns its contents."""
    read = read_file(path, root, detail)
    contents = _Contents([], *([" ".join(line.split()) for line in lines] for lines in (read.problems, read.notices)))
    parts, begin = [], 0
    for conversation in read.conversations:
        data = msgspec.msgpack.encode(Stored(conversation, split_units(conversation)))
        contents.talks.append(_talk(conversation, (begin, begin + len(data))))
        parts.append(data)
        begin += len(data)
    if not contents.talks and not contents.problems:
        contents.problems.append(f"{path}: no conversation in it")
    end = msgspec.msgpack.encode(contents)
    data = b"".join([*parts, end, len(end).to_bytes(_LENGTH, "big")])
    if fresh is not None:
        fresh[cache] = data
    elif contents.talks:
        write_atomic(cache_path(folder, cache), data)
    return contents


def _talk(conversation: Conversation, place: tuple[int, int]) -> Talk:
    times = [turn.time for turn in conversation.turns if turn.time]
    comparable = [_comparable(time) for time in (*times, conversation.updated or "")]
    return Talk(
        read_as=conversation.conversation_id,
        conversation_id=conversation.conversation_id,
        title=conversation.title,
        turns=len(conversation.turns),
        characters=len(conversation.text),
        text_sha256=sha256(conversation.text),
        digest=hashlib.sha256(msgspec.msgpack.encode(replace(conversation, conversation_id=""))).hexdigest(),
        place=place,
        by_file=conversation.by_file,
        first_time=times[0] if times else None,
        last_time=times[-1] if times else None,
        newest=max(comparable),
    )


def _comparable(time: str) -> str:
    """A time in ISO 8601 in UTC; "" if it is not one."""
    if not time[:4].isdigit():
        return ""
    try:
        moment = datetime.fromisoformat(time)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return ""
