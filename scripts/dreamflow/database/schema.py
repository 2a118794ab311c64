"""The types of the database: tables, and the sources of their rows.

A source is a kind of files, such as the archives of conversations. It names its items, each with a stamp that changes
with the files of the item, and it reads the rows of one item. Only items with a new stamp are read again.
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

from ..files import read_text

Row = Mapping[str, Any]  # cell by column; a missing cell is null, a list or an object is written as JSON
Rows = Mapping[str, Iterable[Row]]  # by table

ITEM = "source_id"  # the column of every table that says from which item a row is
_TYPES: Mapping[object, str] = {int: "INTEGER", bool: "INTEGER", float: "REAL"}


class Column(NamedTuple):
    """A column: its SQLite type (TEXT, INTEGER or REAL), and what it means."""

    type: str
    about: str = ""


class Search(NamedTuple):
    """How full-text search shows the rows of a table: SQL expressions over its columns.

    `kind` is the name that `search --in` takes. `path` is a file below the data folder. `columns` are searched, with
    their weights; the last one is the text that snippets are from. Rows that do not match `where` are not searched.
    """

    kind: str
    id: str
    title: str
    date: str
    path: str
    columns: Mapping[str, float]
    where: str = "1"


class Table(NamedTuple):
    """A table. `links` are foreign keys: column -> table, whose key has one column. `indexes` are those besides the
    indexes of the key and of the links."""

    name: str
    about: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    links: Mapping[str, str] = {}
    indexes: tuple[tuple[str, ...], ...] = ()
    search: Search | None = None


class View(NamedTuple):
    """A view: its SELECT statement. It uses nothing that only an extension of SQLite has, and DuckDB can parse it."""

    name: str
    about: str
    columns: Mapping[str, Column]
    sql: str


class Source(NamedTuple):
    """A kind of files. `find()` gives its items, each with its stamp (see `stamp`), and `read(item)` gives the rows of
    one. Raise `version` when `read` changes. A `DreamflowError` of `read` is noted with the item, which has no rows."""

    name: str
    version: int
    tables: Sequence[Table]
    find: Callable[[], Iterable[tuple[str, str]]]
    read: Callable[[str], Rows]
    views: Sequence[View] = ()


def columns(text: str) -> dict[str, Column]:
    """Columns from lines `name TYPE meaning`."""
    lines = (line.split(None, 2) for line in text.strip().splitlines())
    return {name: Column(kind, *about) for name, kind, *about in lines}


def columns_of(kind: type) -> dict[str, Column]:
    """The columns for the fields of a Struct or TypedDict, whose documentation says what they mean."""
    return {name: Column(_sql_type(hint)) for name, hint in get_type_hints(kind).items()}


def _sql_type(hint: object) -> str:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if isinstance(hint, UnionType) else [hint]
    types = {_TYPES.get(kind, "TEXT") for kind in kinds}
    return types.pop() if len(types) == 1 else "REAL" if types == {"INTEGER", "REAL"} else "TEXT"


def stamp(*paths: Path | str) -> str:
    """A text that changes when one of these files changes: sizes, and times of content and of the directory entry."""
    return ",".join(map(_stamp, paths))


def _stamp(path: Path | str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116  (a Path takes longer, and there are many files)
    except OSError:
        return "-"
    return f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


def files(root: Path, *patterns: str) -> Callable[[], Iterable[tuple[str, str]]]:
    """The `find` of a source whose items are files: those that match glob patterns, by their path below `root`."""

    def find() -> Iterable[tuple[str, str]]:
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
            yield path.relative_to(root).as_posix(), stamp(path)

    return find


def below(root: Path, path: Path) -> str | None:
    """A path as the database has it: below the data folder `root`, None if it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def csv_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file. Raises a `ConfigError` if it cannot be read."""
    return list(csv.DictReader(io.StringIO(read_text(path), newline="")))
