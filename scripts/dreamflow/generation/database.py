"""One SQLite database that all threads, processes and nodes of a project share.

Any thread reads. Writes go to one thread of each process, which puts the writes that wait into one transaction, so that
200 threads share the cost of making a commit durable. Processes take turns by SQLite's own locks.

On a local disk the database has a write-ahead log, with which reads never wait. A write-ahead log needs memory that all
its users share, so on network file systems the database has a rollback journal instead (SQLite, "Write-Ahead Logging",
section 1). There, SQLite needs working POSIX locks: NFS 4, NFS 3 with lockd, Lustre mounted with `flock`, CIFS.
"""

import atexit
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import psutil

from ..errors import DreamflowError

R = TypeVar("R")
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Bulk = Callable[[sqlite3.Connection, list[R]], Sequence[T]]
LARGEST_GROUP = 512  # writes in a transaction
MOST_ROWS = 32  # in a statement; SQLite before 3.32 takes 999 values
LOCK_TIMEOUT_S = 120  # to wait for other processes
SHORT_TIMEOUT_S = 5  # to wait for them once a write has failed and the run is about to end
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse", "9p", "afs")


class DatabaseError(DreamflowError):
    """The database cannot be read or written, for whatever generation."""

    @property
    def cause(self) -> str:
        """The message, which many generations share."""
        return str(self)


class _Write(Generic[R, T]):
    """What a thread wants to write; `done` is released when it is written, or has failed with `error`."""

    __slots__ = ("bulk", "done", "error", "is_durable", "result", "row")

    def __init__(self, bulk: Bulk[R, T], row: R, *, is_durable: bool = True) -> None:
        self.bulk, self.row, self.is_durable = bulk, row, is_durable
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Database:
    """The database in a file, which the first write creates with the tables of `schema` (SQL, `IF NOT EXISTS`).

    `prepare(connection)` is called once, after the tables have been created by this process. `added` has a column (name
    and declaration) by table, which the first write adds to tables of earlier versions. `failed` is the error of the
    first write that failed.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        prepare: Callable[[sqlite3.Connection], None],
        added: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.path, self.schema, self.prepare, self.added = path, schema, prepare, added or {}
        self.failed: DatabaseError | None = None
        self._guard = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._queue: SimpleQueue[_Write[Any, Any] | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._synchronous = ""

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a query finds; none if the database does not exist yet, or lacks a column that an earlier
        version did not write. Raises `DatabaseError`."""
        with self._guard:
            try:
                if self._reader is None:
                    if not self.path.exists():
                        return []
                    self._reader = self._open_reader()
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                if "no such table" in str(error):  # another process is creating the database
                    return []
                if any(f"no such column: {name}" in str(error) for name, _ in self.added.values()):
                    return []
                raise self._error("read", error) from None

    def write(self, work: Work[T]) -> T:
        """The result of `work(connection)`, once its changes are durable. An exception of `work` undoes its changes and
        is raised. Raises `DatabaseError` if the database cannot be written."""
        return self.write_together(_run_each, work)

    def write_together(self, bulk: Bulk[R, T], row: R, *, is_durable: bool = True) -> T:
        """The result for `row` of `bulk(connection, rows)`, which gets the rows that threads write with it at one time,
        and returns a result for each; else as `write`. What need not be `is_durable` survives the end of the process
        and may be lost if the machine fails: on a local disk it does not wait for the disk.

        For what every call writes: each statement lets other threads run, and the writer then waits for its turn among
        them, so a few statements for many rows are many times as fast.
        """
        write = _Write(bulk, row, is_durable=is_durable)
        if self._writer is None:
            self._start_writer()
        self._queue.put(write)
        write.done.acquire()
        if write.error is not None:
            raise write.error
        return write.result

    def _start_writer(self) -> None:
        with self._guard:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="database", daemon=True)
                self._writer.start()
                atexit.register(self.close)

    def close(self) -> None:
        """Finish the writes that wait, and close the file."""
        with self._guard:
            writer, self._writer = self._writer, None
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        if writer is not None:
            self._queue.put(None)
            writer.join()

    def _open_reader(self) -> sqlite3.Connection:
        url = f"{self.path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(url, timeout=LOCK_TIMEOUT_S, uri=True, check_same_thread=False)
        try:
            connection.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:  # a write-ahead log in a folder that cannot be written: nobody writes it
            connection = sqlite3.connect(f"{url}&immutable=1", uri=True, check_same_thread=False)
        return connection

    def _write_all(self) -> None:
        """The writer's thread."""
        connection: sqlite3.Connection | None = None
        opened: tuple[int, int] | None = None
        ended = False
        while not ended:
            group = [self._queue.get()]
            while len(group) < LARGEST_GROUP and not self._queue.empty():
                group.append(self._queue.get())
            ended = None in group
            writes = [item for item in group if item is not None]
            try:
                if connection is not None and self._identity() != opened:
                    self._forget(connection)
                    connection = None
                if connection is None:
                    connection = self._open_writer()
                    opened = self._identity()
                self._sync(connection, is_durable=any(write.is_durable for write in writes))
                _commit(connection, writes)
            except (sqlite3.Error, OSError) as error:
                if connection is not None:
                    connection.close()
                    connection = None
                failed = self._error("written", error)
                self.failed = self.failed or failed
                for write in writes:
                    write.error = failed
            for write in writes:
                write.done.release()
        if connection is not None:
            connection.close()

    def _sync(self, connection: sqlite3.Connection, *, is_durable: bool) -> None:
        """Decide whether the next commit waits for the disk. With a rollback journal all do, or it might break."""
        wanted = "NORMAL" if not is_durable and not is_network(self.path) else "FULL"
        if wanted != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted

    def _identity(self) -> tuple[int, int] | None:
        """Which file the path leads to; None if there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _forget(self, connection: sqlite3.Connection) -> None:
        """The file is gone: what is written to it would be lost with it. Answers that were paid go to a new file."""
        self.failed = self.failed or DatabaseError(
            f"{self.path} was deleted or replaced during the run. Restore it if you have a copy, then run again: what "
            "is missing is asked again"
        )
        with self._guard:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        connection.close()

    def _open_writer(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=LOCK_TIMEOUT_S if self.failed is None else SHORT_TIMEOUT_S, isolation_level=None
        )
        connection.execute(f"PRAGMA journal_mode = {'DELETE' if is_network(self.path) else 'WAL'}")
        connection.execute("PRAGMA synchronous = FULL")
        self._synchronous = "FULL"
        connection.execute("PRAGMA cache_size = -65536")  # 64 MiB, for the index of a million keys
        connection.execute("BEGIN IMMEDIATE")
        is_new = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        for statement in self.schema.split(";"):
            connection.execute(statement)
        for table, (column, declaration) in self.added.items():
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if column not in known:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")
        if is_new:
            self.prepare(connection)
        connection.execute("COMMIT")
        return connection

    def _error(self, done: str, error: Exception) -> DatabaseError:
        text = str(error)
        remedy = "Free some space" if "full" in text or "large" in text else "Make the folder and its files writable"
        if "malformed" in text or "not a database" in text:
            remedy = f"It is damaged: restore it, or rescue its content with 'sqlite3 {self.path} .recover'"
        elif "locked" in text:
            remedy = "Another process holds it: stop that process, or check that the file system supports locks"
        return DatabaseError(f"{self.path} cannot be {done}: {text}. {remedy}, then run again")


def _commit(connection: sqlite3.Connection, writes: Sequence[_Write]) -> None:
    """Carry out writes and commit them. Raises `sqlite3.Error` or `OSError` if nothing was written."""
    groups: dict[Any, list[list[_Write]]] = {}
    for write in writes:
        same = groups.setdefault(write.bulk, [])
        if same and write.bulk is not _run_each:
            same[0].append(write)
        else:
            same.append([write])
    connection.execute("BEGIN IMMEDIATE")
    try:
        for bulk, rows in groups.items():
            for together in rows:
                connection.execute("SAVEPOINT one")
                try:
                    results = bulk(connection, [write.row for write in together])
                    for write, result in zip(together, results, strict=True):
                        write.result = result
                except (sqlite3.OperationalError, OSError):  # a full disk, an unreadable file
                    raise
                except Exception as error:
                    connection.execute("ROLLBACK TO one")
                    for write in together:
                        write.error = error
                connection.execute("RELEASE one")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _run_each(connection: sqlite3.Connection, works: Sequence[Work[T]]) -> list[T]:
    """The results of writes that are carried out one by one."""
    return [work(connection) for work in works]


def query_json(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    """The value that a query with one row of JSON (such as `json_group_array`) finds; lists among `values` are given to
    it as JSON, for `json_each`."""
    given = [json.dumps(value) if isinstance(value, list) else value for value in values]
    return json.loads(connection.execute(query, given).fetchone()[0])


def insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]], end: str = "") -> None:
    """Insert rows with few statements: `statement` without its VALUES, then `end`.

    `executemany` would let other threads run after each row. Statements for 1, 2, 4, ... rows stay
    in the cache of `sqlite3`.
    """
    done = 0
    while done < len(rows):
        count = min(MOST_ROWS, 1 << (len(rows) - done).bit_length() - 1)
        values = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * count)
        connection.execute(f"{statement} VALUES {values} {end}", [*chain(*rows[done : done + count])])
        done += count


@cache
def is_network(path: Path) -> bool:
    """Whether a path is on a network file system."""
    place = path.resolve()
    holding = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    kind = max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else ""
    return kind.split(".")[0] in NETWORK
