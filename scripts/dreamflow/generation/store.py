"""The response store: every answer, under a digest of everything that determined it, and what it cost.

Snakemake deletes the outputs of jobs that failed or run again, but answers that were paid for must stay. So an answer
is stored here, durably, before anything else uses it: in one transaction the record, the bytes that the provider sent,
the row of the ledger and the totals of the budgets. The record also has the details of the call, its cost and the
generation that needed it first; these are not part of the key.

Earlier versions kept each answer in a file `store/responses/<aa>/<key>.json` and the ledger in `store/ledger.jsonl`.
Those answers are still found, and the lines of that ledger are copied once.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from os.path import abspath
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from ..errors import DreamflowError
from ..files import canonical, sha256
from . import shares
from .database import Database, insert
from .model import Json, Question, Record, as_json

SCHEMA_VERSION = 1
DAY, MONTH = "day:", "month:"  # how scopes of the time begin; by themselves, those of budgets of every day or month
FILE = "answers.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, record TEXT NOT NULL, body BLOB);
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, key TEXT, gen_id TEXT, stage TEXT, family TEXT, spec TEXT, tier TEXT,
    run TEXT, model_id TEXT, sample INTEGER, prompt_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,
    completion_tokens INTEGER, reasoning_tokens INTEGER, estimated INTEGER NOT NULL DEFAULT 0, cost_usd REAL,
    latency_s REAL, batch TEXT, atp REAL
);
CREATE INDEX IF NOT EXISTS ledger_run ON ledger (run);
CREATE TABLE IF NOT EXISTS spent (
    scope TEXT PRIMARY KEY, usd REAL NOT NULL, tokens INTEGER NOT NULL, atp REAL NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS in_flight (key TEXT PRIMARY KEY, owner TEXT NOT NULL, call TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reserved (
    scope TEXT, key TEXT, usd REAL NOT NULL, tokens INTEGER NOT NULL, atp REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lost (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, key TEXT, gen_id TEXT, model_id TEXT, spec TEXT, run TEXT,
    tokens INTEGER, cost_usd REAL, reason TEXT, atp REAL
);
"""
ADDED = {  # columns that tables of earlier versions lack
    "ledger": ("atp", "REAL"),
    "spent": ("atp", "REAL NOT NULL DEFAULT 0"),
    "reserved": ("atp", "REAL NOT NULL DEFAULT 0"),
    "lost": ("atp", "REAL"),
}
_LEDGER = (
    *("at", "key", "gen_id", "stage", "family", "spec", "tier", "run", "model_id", "sample", "prompt_tokens"),
    *("cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens", "estimated", "cost_usd"),
    *("latency_s", "batch", "atp"),
)
_INSERT_ENTRIES = f"INSERT INTO ledger ({', '.join(_LEDGER)})"
_SUMS = "usd = usd + excluded.usd, tokens = tokens + excluded.tokens, atp = atp + excluded.atp"
_ADD = f"ON CONFLICT (scope) DO UPDATE SET {_SUMS}"
_DECODER = msgspec.json.Decoder(Record)
Answer = tuple[str, Record, bytes]  # a key, its record, and the bytes that the provider sent
Entry = tuple[Mapping[str, Json], Sequence[str]]  # a row of the ledger, and the scopes whose totals it is added to


class DamagedRecord(DreamflowError):
    """A record of the store that cannot be read."""


def database(store: Path) -> Database:
    """The database of a store; nothing is created before the first write."""
    # A relative path means another place after a change of the working directory. Path.resolve is 10 times as slow.
    return _database(abspath(store))  # noqa: PTH100


@cache
def _database(store: str) -> Database:
    old_ledger = Path(store, "ledger.jsonl")
    return Database(
        Path(store, FILE), SCHEMA + shares.SCHEMA, lambda connection: _copy_old_ledger(connection, old_ledger), ADDED
    )


def request_key(question: Question) -> str:
    """The key of a question: the SHA-256 of its canonical JSON."""
    return sha256(canonical(as_json(question)))


def load_response(store: Path, question: Question, key: str, *, read_only: bool = False) -> Record | None:
    """The answer to a question with the key `key`; None if the store has no answer.

    Earlier versions left the service out of the key, and their records note none. (Now a record notes "" if it is from
    the provider's own endpoint or a private server.) Such an answer belongs to the first service that looks it up: it
    is copied to the key with that service, and the old record notes the service, so that no other service gets it. With
    `read_only` nothing is written.
    """
    service = question.model.service
    record = read_record(store, key)
    if record is not None and not record.service:
        return record
    if service is UNSET:
        return None
    old_key = request_key(replace(question, model=replace(question.model, service=UNSET)))
    record = read_record(store, old_key)
    if record is None or record.service not in (UNSET, service):
        return None
    own = replace(record, service=UNSET)
    if not read_only:
        database(store).write(
            lambda connection: put_answers(
                connection, [(old_key, replace(record, service=service), b""), (key, own, b"")]
            )
        )
    return own


def read_record(store: Path, key: str) -> Record | None:
    """The record under a key; None if there is none. Raises `DamagedRecord` if it is damaged."""
    # As bytes: SQLite would not give a damaged text, as if the whole database could not be read.
    found = database(store)
    rows = found.read("SELECT CAST(record AS BLOB) FROM answers WHERE key = ?", (key,))
    if rows:
        content = rows[0][0]
    elif _has_files(found):
        try:
            content = _file(store, key).read_bytes()
        except FileNotFoundError:
            return None
    else:
        return None
    try:
        return _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where, delete = _file(store, key), "delete it"
        if rows:
            where = f"{store / FILE}: answer {key}"
            delete = f"delete it (sqlite3 {store / FILE} \"DELETE FROM answers WHERE key = '{key}'\")"  # noqa: S608
        raise DamagedRecord(
            f"{where}: this record of the response store is damaged ({error}). Restore it, or {delete} and run "
            "again: the model is then called again"
        ) from None


def _file(store: Path, key: str) -> Path:
    """The file of the answer under `key` in stores of earlier versions."""
    return store / "responses" / key[:2] / f"{key}.json"


@cache
def _has_files(found: Database) -> bool:
    return found.path.with_name("responses").is_dir()


def put_answers(connection: sqlite3.Connection, answers: Iterable[Answer]) -> None:
    """Store answers, in place of earlier ones."""
    rows = []
    for key, record, body in answers:
        rows.append((key, msgspec.json.encode(record, order="sorted").decode(), _text(body)))
    insert(connection, "INSERT OR REPLACE INTO answers", rows)


def _text(body: bytes) -> str | bytes | None:
    """A body as any SQLite program shows it: as text, or as bytes if they are no text."""
    try:
        return body.decode() or None
    except UnicodeDecodeError:
        return body


def book(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write rows of the ledger and add them to the totals of their scopes."""
    insert(connection, _INSERT_ENTRIES, [tuple(map(entry.get, _LEDGER)) for entry, _ in entries])
    spent: dict[str, tuple[float, int, float]] = {}
    for entry, scopes in entries:
        tokens = (entry["prompt_tokens"] or 0) + (entry["completion_tokens"] or 0)
        for scope in scopes:
            usd, before, atp = spent.get(scope, (0.0, 0, 0.0))
            spent[scope] = usd + (entry["cost_usd"] or 0.0), before + tokens, atp + (entry.get("atp") or 0.0)
    add_spent(connection, spent)


def add_spent(connection: sqlite3.Connection, spent: Mapping[str, tuple[float, int, float]]) -> None:
    """Add US dollars, tokens and ATP to the totals of scopes."""
    rows = [(scope, *amounts) for scope, amounts in spent.items()]
    insert(connection, "INSERT INTO spent (scope, usd, tokens, atp)", rows, _ADD)


def time_scopes(at: str) -> list[str]:
    """The scopes of the day and the month (UTC) of a time in ISO 8601."""
    return [f"{DAY}{at[:10]}", f"{MONTH}{at[:7]}"]


def ledger_entry(key: str, record: Record, **fields: Any) -> dict[str, Json]:
    """The row of the ledger for an answer; `fields` are those that the record does not have."""
    usage, call = record.response.usage, record.call
    counts = {name: getattr(usage, name, UNSET) for name in _LEDGER if name.endswith("_tokens")}
    return {
        **fields,
        **{name: None if value is UNSET else value for name, value in counts.items()},
        "at": call.at,
        "key": key,
        "gen_id": call.gen_id,
        "stage": call.stage,
        "spec": call.cohort_id,
        "model_id": record.request.model.model_id,
        "sample": record.request.sample,
        "estimated": int(usage.estimated is True),
        "cost_usd": call.cost_usd,
        "latency_s": call.latency_s,
        "batch": None if call.batch is UNSET else call.batch,
    }


def run_totals(store: Path, run: str) -> tuple[int, int, int, int, float]:
    """The calls, prompt, cached and completion tokens, and the cost of a run, with those of its other processes."""
    sums = "total(prompt_tokens), total(cached_tokens), total(completion_tokens), total(cost_usd)"
    rows = database(store).read(f"SELECT count(*), {sums} FROM ledger WHERE run = ?", (run,))  # noqa: S608
    calls, *tokens, cost = rows[0] if rows else (0, 0, 0, 0, 0.0)
    return (calls, *map(int, tokens), cost)


def _copy_old_ledger(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the ledger of an earlier version; a torn line, as the last line can be, is left out."""
    if not path.exists():
        return
    entries: list[Entry] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            entry = {**entry, "spec": entry["cohort_id"], "estimated": 0}
            entries.append((entry, time_scopes(entry["at"])))
        except (ValueError, TypeError, KeyError):
            continue
    book(connection, entries)
