"""A .zip of conversations, as it was downloaded: the files in it, unpacked one by one.

Exports have conversations.json, or conversations-000.json, conversations-001.json and so on, maybe in a folder or in a
zip inside. Nothing is unpacked to disk, and names in the zip are never paths. What is too large, or grows too much, is
refused before its memory is taken.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ...errors import ConfigError

_LARGEST = 2 << 30  # bytes of all conversations together
_GROWTH = 200  # times the packed size, above _ALWAYS: texts of people shrink to about a fifth, never to so little
_ALWAYS = 16 << 20  # bytes
_DEEPEST = 2  # zips within zips
_SHOWN = 8  # names of other files in a message


class Entry(NamedTuple):
    """A file in a zip. `path` is its name there, only to be shown and compared."""

    path: PurePosixPath
    read: Callable[[], bytes]


@contextmanager
def opened_zip(path: Path) -> Iterator[list[Entry]]:
    """The files in a zip and in zips in it, in order of their names, to read while it is open.

    Raises a `ConfigError` for a file that is no zip, or a damaged one; `Entry.read` does for what is encrypted, damaged
    or too large."""
    try:
        with path.open("rb") as stream:
            left = [_LARGEST]
            yield sorted(_entries(stream, str(path), left, _DEEPEST), key=lambda entry: str(entry.path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _entries(stream: IO[bytes], where: str, left: list[int], depth: int) -> Iterator[Entry]:
    try:
        archive = zipfile.ZipFile(stream)
        infos = archive.infolist()
    except (zipfile.BadZipFile, EOFError) as error:
        raise _damaged(where, error) from None
    for info in infos:
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        name = PurePosixPath(*(part.replace(":", "") for part in parts if part not in ("..", ".", "/")))
        if info.is_dir() or not name.name or any(part.startswith((".", "__MACOSX")) for part in name.parts):
            continue
        entry = Entry(name, _reader(archive, info, f"{where}: {name}", left))
        if name.suffix.lower() != ".zip":
            yield entry
        elif depth > 1:
            yield from _entries(BytesIO(entry.read()), f"{where}: {name}", left, depth - 1)


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, left: list[int]) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            data = _unpacked(archive, info, where, left[0])
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _damaged(where, error) from None
        left[0] -= len(data)
        return data

    return read


def _damaged(where: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{where}: not a zip file, or a damaged one ({error}): download it again; a download that stopped early looks "
        "like this"
    )


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, most: int) -> bytes:
    """The content of a file in a zip. Raises a `ConfigError` before more than `most` bytes are unpacked."""
    if info.flag_bits & 0x1:
        raise ConfigError(
            f"{where}: encrypted: unpack it with its password, and put its conversations.json here in place of the zip"
        )
    limit = min(most, max(_ALWAYS, info.compress_size * _GROWTH))
    try:
        with archive.open(info) as stream:
            data = stream.read(limit + 1) if info.file_size <= limit else None
    except (NotImplementedError, RuntimeError) as error:  # a compression or encryption that Python does not know
        raise ConfigError(
            f"{where}: cannot be unpacked here ({error}): unpack the zip, and put the file here"
        ) from None
    if data is None or len(data) > limit:
        raise ConfigError(
            f"{where}: more than {limit >> 20:,} MB when unpacked, from {info.compress_size / (1 << 20):,.1f} MB: too "
            "much for a real export. If it is one, unpack it, and put its conversations.json here in place of the zip"
        )
    return data


def what_is_in(path: Path) -> str:
    """What a zip has instead, in words."""
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name).name or name for name in archive.namelist() if not name.endswith("/")]
    shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN])
    return f"{shown}{f' and {len(names) - _SHOWN:,} more' if len(names) > _SHOWN else ''}" if names else "no files"
