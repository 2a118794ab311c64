"""Write the database: read what has changed since the last time, into a copy that then replaces the file.

Whoever has the file open goes on reading what was there, also with `immutable=1`, and a killed process leaves the old
file. The file has no write-ahead log and no journal.
"""

import json
import os
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DreamflowError
from ..files import canonical, remove_leftovers, sha256, sync_folder, temporary
from .core import core_sources
from .schema import ITEM, Row, Source, Table

if TYPE_CHECKING:
    from ..plan import Plan

FILE = "dreamflow.sqlite"
FORMAT = 1  # raise it when this module writes the same tables in another way
PAD = "char(10)||char(10)"  # behind every indexed text, so that a trigram begins at each of its characters
BATCH = 5000  # rows that are inserted together
CACHE_KB = 200_000
SHOWN = 5  # problems in a message

_OWN = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE sources (id INTEGER PRIMARY KEY, reader TEXT NOT NULL, item TEXT NOT NULL, stamp TEXT NOT NULL,
    problem TEXT, UNIQUE (reader, item));
CREATE TABLE searchable (table_name TEXT PRIMARY KEY, kind TEXT, id TEXT, title TEXT, date TEXT, path TEXT,
    columns TEXT, row_filter TEXT);
CREATE TABLE search_kinds (kind TEXT, table_name TEXT, number INTEGER, PRIMARY KEY (kind, table_name));
"""


class Change(NamedTuple):
    """What has changed in a source: ids of items that are gone or have another stamp, and items to read."""

    source: Source
    gone: list[int]
    new: list[tuple[str, str]]
    changed: int  # how many items are in both
    problem: str = ""  # why its items could not be found; then the rows stay as they are


def write_database(plan: "Plan", show: Callable[[str], None] = lambda line: None) -> str:
    """Bring the database of a plan up to date, and what families keep beside it; returns lines for the screen."""
    path = plan.world.layout.root / FILE
    lines = [update_database(path, all_sources(plan))]
    lines += [family.index(path, show) for family in plan.families.values()]
    return "\n".join(filter(None, lines))


def all_sources(plan: "Plan") -> list[Source]:
    """The sources of every table: the core's, then those of each family."""
    return [*core_sources(plan.world), *(source for family in plan.families.values() for source in family.sources())]


def update_database(path: Path, sources: Sequence[Source]) -> str:
    """Bring the database up to date with the files; returns a text for the screen.

    Nothing else is written. Without a change the file keeps its content; its time is then the time of this look.
    """
    started = time.time_ns()
    digest = _digest(sources)
    known = _known(path, digest)
    changes = [_change(source, known.get(source.name, {}) if known is not None else {}) for source in sources]
    if known is not None and not any(change.gone or change.new for change in changes):
        os.utime(path, ns=(started, started))
        return "; ".join([f"{path} is up to date", *_not_read([change.problem for change in changes])])
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    half = temporary(path)
    try:
        if known is not None:
            shutil.copyfile(path, half)
        with closing(sqlite3.connect(half, isolation_level=None)) as connection:
            text = _write(connection, sources, changes, digest, is_new=known is None)
        _keep(half, path, started)
    except (sqlite3.Error, OSError) as error:
        raise DreamflowError(
            f"{path} cannot be written: {error}. Make room, or make it writable, and run again"
        ) from None
    finally:
        half.unlink(missing_ok=True)
    return f"{text}: {path}"


def _digest(sources: Sequence[Source]) -> str:
    parts = [(source.name, source.version, source.tables, source.views) for source in sources]
    return sha256(canonical([FORMAT, parts]))


def _known(path: Path, digest: str) -> dict[str, dict[str, tuple[int, str]]] | None:
    """The items in the database with their ids and stamps, by source; None if it has to be made anew."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if connection.execute("SELECT value FROM about WHERE name = 'schema'").fetchone() != (digest,):
                return None
            known: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
            for number, reader, item, mark in connection.execute("SELECT id, reader, item, stamp FROM sources"):
                known[reader][item] = (number, mark)
            return known
    except sqlite3.Error:  # there is no such file, or it is damaged
        return None


def _change(source: Source, known: Mapping[str, tuple[int, str]]) -> Change:
    gone, new, changed, left = [], [], 0, dict(known)
    try:
        found = list(source.find())
    except (DreamflowError, OSError) as error:
        return Change(source, [], [], 0, str(error))
    for item, mark in found:
        number, before = left.pop(item, (0, ""))
        if mark != before:
            new.append((item, mark))
            if number:
                gone.append(number)
                changed += 1
    return Change(source, [*gone, *(number for number, _ in left.values())], new, changed)


def _write(
    connection: sqlite3.Connection, sources: Sequence[Source], changes: Sequence[Change], digest: str, *, is_new: bool
) -> str:
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY", f"cache_size=-{CACHE_KB}"):
        connection.execute(f"PRAGMA {pragma}")
    if is_new:
        _create(connection, sources, digest)
    connection.execute("BEGIN")
    gone = [number for change in changes for number in change.gone]
    tables = [table for change in changes if change.gone or change.new for table in change.source.tables]
    _remove(connection, [table for change in changes if change.gone for table in change.source.tables], gone)
    last = {table.name: _last_row(connection, table) for table in tables}
    problems = [problem for change in changes for problem in (change.problem, *_read(connection, change))]
    for table in tables:
        if table.search:
            _index(connection, table, last[table.name], merge=is_new)
            _count_kinds(connection, table)
    connection.execute("COMMIT")
    connection.execute("PRAGMA analysis_limit=1000")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA journal_mode=DELETE")
    read = sum(len(change.new) for change in changes)
    lines = [f"{read:,} new or changed sources read"]
    if removed := len(gone) - sum(change.changed for change in changes):
        lines.append(f"{removed:,} removed")
    return "; ".join([*lines, *_not_read(problems)])


def _not_read(problems: Iterable[str]) -> list[str]:
    known = [problem for problem in problems if problem]
    shown = "; ".join(known[:SHOWN]) + ("; see the table sources" if len(known) > SHOWN else "")
    return [f"{len(known):,} could not be read: {shown}"] if known else []


def _create(connection: sqlite3.Connection, sources: Sequence[Source], digest: str) -> None:
    import sqlite_utils

    connection.executescript(_OWN)
    base = sqlite_utils.Database(connection)
    connection.execute("INSERT INTO about VALUES ('schema', ?)", (digest,))
    keys = {table.name: table.key for source in sources for table in source.tables}
    types = {"TEXT": str, "INTEGER": int, "REAL": float}
    for table in (table for source in sources for table in source.tables):
        kinds = {name: types[column.type] for name, column in table.columns.items()}
        links = [(ITEM, "sources", "id"), *((name, to, keys[to][0]) for name, to in table.links.items())]
        key = table.key[0] if len(table.key) == 1 else table.key
        made = base[table.name].create({**kinds, ITEM: int}, pk=key, foreign_keys=links)
        for names in ((ITEM,), *((name,) for name in table.links), *table.indexes):
            made.create_index(names)
        if table.search:
            made.enable_fts(list(table.search.columns), tokenize="trigram")
            row = (table.name, *table.search[:5], json.dumps(table.search.columns), table.search.where)
            connection.execute(f"INSERT INTO searchable VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    for view in (view for source in sources for view in source.views):
        base.create_view(view.name, view.sql)


def _remove(connection: sqlite3.Connection, tables: Sequence[Table], gone: Sequence[int]) -> None:
    """Remove the rows of these items; an index of texts has to be told what it forgets."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO gone VALUES (?)", [(number,) for number in gone])
    for table in tables:
        where = f"{ITEM} IN (SELECT id FROM temp.gone)"  # noqa: S608  (our own names, here and below)
        if table.search:
            _write_index(connection, table, f"{where} AND ({table.search.where})", forget=True)
        connection.execute(f"DELETE FROM [{table.name}] WHERE {where}")  # noqa: S608  (our own names, as below)
    connection.execute("DELETE FROM sources WHERE id IN (SELECT id FROM temp.gone)")


def _last_row(connection: sqlite3.Connection, table: Table) -> int:
    return connection.execute(f"SELECT max(rowid) FROM [{table.name}]").fetchone()[0] or 0  # noqa: S608


def _read(connection: sqlite3.Connection, change: Change) -> list[str]:
    """Insert the rows of the new items of a source; returns what could not be read."""
    source, problems = change.source, []
    statements = {table.name: _insert(table) for table in source.tables}
    waiting: dict[str, list[tuple[Any, ...]]] = {table.name: [] for table in source.tables}
    for item, mark in change.new:
        cursor = connection.execute(
            "INSERT INTO sources (reader, item, stamp) VALUES (?, ?, ?)", (source.name, item, mark)
        )
        try:
            made = {
                table.name: [_cells(row, table, cursor.lastrowid) for row in rows]
                for table, rows in _by_table(source, source.read(item))
            }
        except FileNotFoundError:  # it was removed just now: the next update sees it
            continue
        except (DreamflowError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = str(error) if isinstance(error, DreamflowError) else f"{item}: {type(error).__name__}: {error}"
            problems.append(text)
            connection.execute("UPDATE sources SET problem = ? WHERE id = ?", (_text(text), cursor.lastrowid))
            continue
        for name, rows in made.items():
            waiting[name] += rows
            if len(waiting[name]) >= BATCH:
                connection.executemany(statements[name], waiting[name])
                waiting[name].clear()
    for name, rows in waiting.items():
        connection.executemany(statements[name], rows)
    return problems


def _by_table(source: Source, rows: Mapping[str, Iterable[Row]]) -> list[tuple[Table, Iterable[Row]]]:
    return [(table, rows.get(table.name, ())) for table in source.tables]


def _insert(table: Table) -> str:
    """The statement that inserts a row; of rows with the same key the first counts."""
    places = ", ".join("?" * (len(table.columns) + 1))
    return f"INSERT OR IGNORE INTO [{table.name}] VALUES ({places})"  # noqa: S608


def _cells(row: Row, table: Table, item: int) -> tuple[Any, ...]:
    return (*(_cell(row.get(name)) for name in table.columns), item)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else float(value)
    return _text(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _text(text: str) -> str:
    """A text as SQLite can hold it: without halves of surrogate pairs, which JSON can have."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _index(connection: sqlite3.Connection, table: Table, last: int, *, merge: bool) -> None:
    """Add the rows after `last` to the full-text index of a table."""
    _write_index(connection, table, f"rowid > {last} AND ({table.search.where})")
    if merge:
        connection.execute(f"INSERT INTO [{table.name}_fts]([{table.name}_fts]) VALUES ('optimize')")  # noqa: S608  # noqa: S608


def _write_index(connection: sqlite3.Connection, table: Table, where: str, *, forget: bool = False) -> None:
    index = f"{table.name}_fts"
    names = ", ".join(f"[{name}]" for name in table.search.columns)
    texts = ", ".join(f"coalesce([{name}], '')||{PAD}" for name in table.search.columns)
    command, value = (f"[{index}], ", "'delete', ") if forget else ("", "")
    connection.execute(
        f"INSERT INTO [{index}]({command}rowid, {names}) SELECT {value}rowid, {texts} "  # noqa: S608
        f"FROM [{table.name}] WHERE {where}"
    )


def _count_kinds(connection: sqlite3.Connection, table: Table) -> None:
    search = table.search
    connection.execute("DELETE FROM search_kinds WHERE table_name = ?", (table.name,))
    connection.execute(
        f"INSERT INTO search_kinds SELECT {search.kind}, '{table.name}', count(*) "  # noqa: S608
        f"FROM [{table.name}] WHERE {search.where} GROUP BY 1"
    )


def _keep(half: Path, path: Path, started: int) -> None:
    """Put a finished file in the place of the old one."""
    handle = os.open(half, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.utime(half, ns=(started, started))
    half.replace(path)
    sync_folder(path.parent)
