"""Atomic writes, JSON and text files with plain errors, safe file names, and digests."""

import csv
import hashlib
import io
import json
import os
import platform
import re
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from .errors import ConfigError, DreamflowError
from .generation.model import Json

T = TypeVar("T")

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.\w+")
_WRITING = threading.Lock()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def write_atomic(path: Path | str, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file (text as UTF-8) so that it is never half-written; with `durable` it survives a power failure."""
    path = Path(path)
    prefix = f".{path.name}.{_HOST}-{os.getpid()}."
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # noqa: PTH101  (mkstemp creates private files)
        os.replace(temporary, path)  # noqa: PTH105
        if durable:  # the name of the file is in its folder
            sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files (text as UTF-8) into a folder. The last one is there only while all belong together: it is removed
    first and renamed into place last.

    One thread at a time writes, since threads that create entries of one folder get in each other's way.
    """
    contents = [content.encode("utf-8") if isinstance(content, str) else content for content in files.values()]
    base = str(folder)
    *others, final = [f"{base}/{name}" for name in files]
    temporary = f"{base}/.{final.removeprefix(base)[1:]}.{_HOST}-{os.getpid()}.0"
    with _WRITING:
        is_new = _make_folder(base)
        if not is_new:
            remove_leftovers(folder)
            Path(final).unlink(missing_ok=True)
        for path, content in zip(others, contents, strict=False):
            _overwrite(path, content, is_new=is_new)
        try:
            _overwrite(temporary, contents[-1], is_new=is_new)
            os.replace(temporary, final)  # noqa: PTH105
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def temporary(path: Path) -> Path:
    """A path beside `path` for a file that will replace it; `remove_leftovers` removes it if this process is killed."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.{threading.get_ident()}")


def _make_folder(path: str) -> bool:
    """Create a folder, with those above it. Returns whether it is new."""
    try:
        os.mkdir(path)  # noqa: PTH102
    except FileExistsError:
        return False
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
    return True


def _overwrite(path: str, content: bytes, *, is_new: bool) -> None:
    """Write a file. It is cut to its length last, so a second process that writes the same does no harm."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        left = content
        while left:
            left = left[os.write(handle, left) :]
        if not is_new:
            os.ftruncate(handle, len(content))
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that processes of this machine left behind when they were killed."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]
    except FileNotFoundError:
        return
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match and match[1] == _HOST and not _is_running(int(match[2])):
            (folder / name).unlink(missing_ok=True)


def _is_running(number: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


# Read once, since the only way to read it is to set it, which is unsafe among threads.
os.umask(_UMASK := os.umask(0))


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def canonical(value: Json) -> str:
    """One line of JSON that is equal for equal values, for digests and job files."""
    return _encode(value)


def pretty(value: Json) -> str:
    """Readable JSON: sorted, indented, with a final newline."""
    try:  # json.dumps(..., indent=2) writes the same in four times the time
        return msgspec.json.format(_encode(value), indent=2) + "\n"
    except (msgspec.DecodeError, UnicodeEncodeError):  # infinity, half a surrogate pair: no JSON in the strict sense
        return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2) + "\n"


def jsonl(rows: Iterable[Mapping[str, Json]]) -> str:
    """JSON Lines: a line for each row, with sorted keys."""
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def read_json(path: Path | str, remedy: str = "") -> Json:
    """The JSON in an output file. Raises a `DreamflowError` if it is missing or damaged (with the `remedy`)."""
    return _loads(_read_output(path, remedy), str(path), path, remedy)


def read_as(path: Path | str, kind: type[T], remedy: str = "") -> T:
    """The object of type `kind` in an output file with JSON. Raises a `DreamflowError` as `read_json` does."""
    value = read_json(path, remedy)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _damaged(str(path), f"unexpected content: {error}", path, remedy) from None


def read_jsonl(path: Path | str) -> list[dict[str, Json]]:
    """The objects in an output file with JSON Lines. Raises a `DreamflowError` if it is missing or damaged."""
    # Not splitlines(), which also splits at characters that a JSON string may contain, such as U+2028.
    lines = enumerate(_read_output(path).split("\n"), 1)
    return [_loads(line, f"{path}:{number}", path) for number, line in lines if line.strip()]


def _read_output(path: Path | str, remedy: str = "") -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DreamflowError(f"{path}: no such file; run Snakemake again to make it") from None
    except UnicodeDecodeError as error:
        raise _damaged(str(path), f"not UTF-8 text (byte {error.start})", path, remedy) from None


def _loads(text: str, where: str, path: Path | str, remedy: str = "") -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"not valid JSON: {error}", path, remedy) from None


def _damaged(where: str, problem: str, path: Path | str, remedy: str = "") -> DreamflowError:
    remedy = remedy or f"Delete {Path(path).name} and run again: the file is then made again"
    return DreamflowError(f"{where}: damaged: {problem}. {remedy}")


def read_questions(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with the columns `question` and `answer`, and maybe more, with the line of each.

    Raises a `ConfigError` for a column that is missing, a cell of these two that is blank, and a repeated question."""
    rows: list[tuple[int, dict[str, str]]] = []
    first: dict[str, int] = {}
    reader = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
    for name in ("question", "answer"):
        if name not in (reader.fieldnames or ()):
            raise ConfigError(f"{path}:1: no column {name!r}; the first line must name the columns question and answer")
    try:
        for row in reader:
            cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
            line = reader.line_num
            if not any(cells.values()):
                continue
            if blank := [name for name in ("question", "answer") if not cells[name]]:
                raise ConfigError(f"{path}:{line}: the cell {blank[0]!r} is blank; fill it in, or delete the row")
            if None in row:
                raise ConfigError(f"{path}:{line}: more cells than columns; put text that has a comma into quotes")
            if first.setdefault(cells["question"], line) != line:
                raise ConfigError(f"{path}:{line}: the question of line {first[cells['question']]} again; delete one")
            rows.append((line, cells))
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None
    return rows


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the UTF-8 bytes of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_text(path: Path | str) -> str:
    """The text of an input file (UTF-8). Raises a `ConfigError` with the path."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:  # a folder, or no permission
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def read_table(module: str, name: str) -> Json:
    """The content of the YAML file `name` beside the library's `module` (its `__file__`)."""
    return yaml.load(Path(module).with_name(name).read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def is_name(name: object) -> bool:
    """Whether a value is a valid file name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def checked_name(name: str, what: str) -> str:
    """`name`, if it is a valid file name. Raises a `ConfigError` that calls it a `what`."""
    if not is_name(name):
        raise ConfigError(
            f"{what} {name!r} cannot be used as a file name: use only letters, digits, '.', '_' and '-', "
            "begin with a letter or digit, and use at most 128 characters"
        )
    return name
