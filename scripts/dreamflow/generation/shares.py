"""How the processes that share a data folder divide limits: through tables of the database (`database.py`).

Pauses are for all; each process looks for new ones once a second. Configured requests and tokens a minute and calls in
flight are divided equally among the processes that call now. Each shows every two seconds that it does, by a number
that grows; a process whose number has not grown for ten seconds by the reader's own clock counts as gone, so clocks
need not agree. Requests a day are taken in small portions before they are made, so that number is never exceeded; a
process that is killed loses the rest of its portion. A process that begins has its share at once, and the others reduce
theirs within two seconds.

On NFS all this holds where the database itself works there (see `database.py`).
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from uuid import uuid4

from .database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS limit_pauses (
    model_id TEXT PRIMARY KEY, until REAL NOT NULL, seconds REAL NOT NULL, process TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS limit_days (
    subject TEXT, day TEXT, requests INTEGER NOT NULL, PRIMARY KEY (subject, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS limit_users (
    subject TEXT, process TEXT, beat INTEGER NOT NULL, PRIMARY KEY (subject, process)
) WITHOUT ROWID;
"""
LOOK_S = 1.0  # between two looks at the pauses
BEAT_S = 2.0
GONE_S = 10.0
FORGET_S = 120.0
LONGEST_PAUSE_S = 600.0
PORTION = 20  # requests of a day that a process takes at a time, at most


class Shares:
    """This process's part in the limits. Without a database it is alone."""

    def __init__(self, database: Database | None) -> None:
        self.database = database
        self.process = uuid4().hex
        self._guard = threading.Lock()
        self._beat = 0
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}  # the last beat of each process, and when it was new
        self._pauses: dict[str, tuple[float, str]] = {}  # known rows
        self._days: dict[tuple[str, str], int] = {}  # requests of a day: without a database those made, else those left

    def share(self, subject: str) -> tuple[int, int]:
        """The number of processes that call `subject` now, this one among them, and this one's place among them.

        The places change every minute, so that each process gets a call in flight if there are fewer than processes.
        """
        if self.database is None:
            return 1, 0
        with self._guard:
            self._beat += 1
            beat = self._beat
        rows = self.database.write(lambda connection: self._show(connection, subject, beat))
        now = time.monotonic()
        with self._guard:
            for process, number in rows:
                if self._seen.get((subject, process), (None, 0.0))[0] != number:
                    self._seen[subject, process] = number, now
            ages = {process: now - self._seen[subject, process][1] for process, _ in rows}
        if dead := [process for process, age in ages.items() if age > FORGET_S]:
            self.database.write(lambda connection: _forget(connection, subject, dead))
        live = sorted({self.process, *(process for process, age in ages.items() if age < GONE_S)})
        return len(live), (live.index(self.process) + int(time.time() / 60)) % len(live)

    def _show(self, connection: Connection, subject: str, beat: int) -> list[tuple[str, int]]:
        connection.execute(
            "INSERT INTO limit_users VALUES (?, ?, ?) "
            "ON CONFLICT (subject, process) DO UPDATE SET beat = excluded.beat",
            (subject, self.process, beat),
        )
        return connection.execute("SELECT process, beat FROM limit_users WHERE subject = ?", (subject,)).fetchall()

    def announce_pause(self, model_id: str, seconds: float) -> None:
        """All processes pause calls of a model."""
        if self.database is None:
            return
        until = time.time() + min(seconds, LONGEST_PAUSE_S)
        with self._guard:
            if until < self._pauses.get(model_id, (0.0, ""))[0] + 0.5:
                return
            self._pauses[model_id] = until, self.process
        row = (model_id, until, seconds, self.process)
        self.database.write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO limit_pauses VALUES (?, ?, ?, ?)", row)
        )

    def new_pause(self, model_id: str) -> float:
        """Seconds to pause, as another process has announced since the last look; 0 if none has."""
        if self.database is None:
            return 0.0
        rows = self.database.read("SELECT until, seconds, process FROM limit_pauses WHERE model_id = ?", (model_id,))
        for until, seconds, process in rows:
            with self._guard:
                if self._pauses.get(model_id) == (until, process):
                    continue
                self._pauses[model_id] = until, process
            return max(0.0, min(until - time.time(), seconds, LONGEST_PAUSE_S))
        return 0.0

    def take_request(self, subject: str, most: int, processes: int) -> bool:
        """Whether a request of today's `most` (by UTC) was left for a call."""
        key = subject, datetime.now(UTC).date().isoformat()
        with self._guard:
            left = self._days.get(key, most if self.database is None else 0)
            if left:
                self._days[key] = left - 1
                return True
        if self.database is None:
            return False
        got = self.database.write(lambda connection: _take(connection, key, most, processes))
        with self._guard:
            self._days = {known: left for known, left in self._days.items() if known[1] == key[1]}
            self._days[key] = self._days.get(key, 0) + max(0, got - 1)
        return got > 0

    def close(self) -> None:
        """Give back what was taken and not used."""
        with self._guard:
            days, self._days = self._days, {}
        if self.database is None or not (days or self._beat):
            return

        def give_back(connection: Connection) -> None:
            for (subject, day), left in days.items():
                connection.execute(
                    "UPDATE limit_days SET requests = requests - ? WHERE subject = ? AND day = ?", (left, subject, day)
                )
            connection.execute("DELETE FROM limit_users WHERE process = ?", (self.process,))

        self.database.write(give_back)


def _take(connection: Connection, key: tuple[str, str], most: int, processes: int) -> int:
    """The requests that this process may make now; they count as made."""
    row = connection.execute("SELECT requests FROM limit_days WHERE subject = ? AND day = ?", key).fetchone()
    left = most - (row[0] if row else 0)
    portion = min(left, max(1, min(PORTION, left // (10 * processes))))
    if portion <= 0:
        return 0
    connection.execute(
        "INSERT INTO limit_days VALUES (?, ?, ?) "
        "ON CONFLICT (subject, day) DO UPDATE SET requests = requests + excluded.requests",
        (*key, portion),
    )
    return portion


def _forget(connection: Connection, subject: str, processes: list[str]) -> None:
    connection.executemany(
        "DELETE FROM limit_users WHERE subject = ? AND process = ?", [(subject, process) for process in processes]
    )


def seconds_to_midnight() -> float:
    """Until the next day begins in UTC."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()
