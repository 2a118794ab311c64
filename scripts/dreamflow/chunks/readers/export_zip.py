"""The .zip of an export of ChatGPT or Claude, as it was downloaded: its conversations.json, one or several.

Newer exports of ChatGPT have conversations-000.json, conversations-001.json and so on, maybe in a folder or in a zip
inside; all else in the zip (pictures, users.json, chat.html) is left alone. Nothing is unpacked to disk, and names in
the zip are never paths. A zip whose contents are too large, or grow too much, is refused before its memory is taken.
"""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from ...errors import ConfigError

_LARGEST = 2 << 30  # bytes of all conversations together
_GROWTH = 200  # times the packed size, above _ALWAYS: texts of people shrink to about a fifth, never to so little
_ALWAYS = 16 << 20  # bytes
_DEEPEST = 2  # zips within zips
_SHOWN = 8  # names of other files in a message


def exported_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each conversations*.json in a zip, in order of their names.

    Raises a `ConfigError` for a file that is no zip, damaged, encrypted, too large, or without conversations."""
    try:
        with path.open("rb") as stream:
            found = list(_files(stream, str(path), _LARGEST, _DEEPEST))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not found:
        raise ConfigError(
            f"{path}: has no conversations.json, so it is not an export of ChatGPT or Claude. It has {_content(path)}. "
            "Remove it, or take the zip that the link in their e-mail downloads"
        )
    yield from sorted(found)


def _files(stream: IO[bytes], where: str, most: int, depth: int) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                name = PurePosixPath(info.filename.replace("\\", "/"))
                hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts if part not in ("..", "."))
                wanted = name.name.lower().startswith("conversations") and name.suffix.lower() == ".json"
                inner = name.suffix.lower() == ".zip" and depth > 1
                if hidden or info.is_dir() or not (wanted or inner):
                    continue
                place = f"{where}: {name.name}"
                data = _unpacked(archive, info, place, most)
                most -= len(data)
                if wanted:
                    yield name.name, data
                else:
                    yield from _files(BytesIO(data), place, most, depth - 1)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigError(
            f"{where}: not a zip file, or a damaged one ({error}): download it again; a download that stopped early "
            "looks like this"
        ) from None


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


def _content(path: Path) -> str:
    """What a zip has instead, in words."""
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name).name or name for name in archive.namelist() if not name.endswith("/")]
    shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN])
    return f"{shown}{f' and {len(names) - _SHOWN:,} more' if len(names) > _SHOWN else ''}" if names else "no files"
