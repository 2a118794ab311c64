"""trust.sqlite: trust, experiences and measured models in the tables of SAGE's trust database, for other programs.

It is an export: it is written whole in every cycle and never read, so a damaged one loses nothing.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import DreamflowError
from ..files import read_json, read_jsonl
from ..generation.model import Json
from .posterior import EVERY
from .table import Row

SCHEMA = """
CREATE TABLE model_trust (
    model_name TEXT, context_state TEXT, trust_score REAL DEFAULT 0.5, success_count REAL, failure_count REAL,
    last_updated TEXT, evidence_class TEXT, trust_low REAL, trust_high REAL, moving_average REAL,
    PRIMARY KEY (model_name, context_state, evidence_class));
CREATE TABLE training_examples (
    id TEXT PRIMARY KEY, timestamp TEXT, input_data TEXT, cognitive_layer TEXT, response TEXT, snarc_scores TEXT,
    confidence_score REAL, outcome REAL, target_model TEXT, importance REAL, metadata TEXT);
CREATE TABLE model_performance (
    id INTEGER PRIMARY KEY, model_name TEXT, version TEXT, test_timestamp TEXT, accuracy REAL, avg_confidence REAL,
    resonance_with_claude REAL, deployment_status TEXT);
"""
SIGNALS = ("surprise", "novelty", "arousal", "reward", "conflict")


def write_database(rows: Sequence[Row], at: str, data_root: Path, path: Path) -> None:
    """Write the database of a cycle. `at` (ISO 8601) is the time of the cycle's last outcome.

    Successes and failures are weights after ageing. Prompts and answers of experiences are the paths of their files
    below the data folder. `avg_confidence` and `resonance_with_claude` are null: nothing measures them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = {row.model_id: row.layer for row in rows}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        half = Path(folder) / "half.sqlite"
        with sqlite3.connect(half) as base:
            base.executescript(SCHEMA)
            _insert(base, "model_trust", (_trust(row, at) for row in rows if row.context != EVERY))
            _insert(base, "training_examples", _examples(data_root, layers))
            students = enumerate(_students(data_root), 1)
            _insert(base, "model_performance", ((number, *student) for number, student in students))
        base.close()
        half.replace(path)


def _insert(base: sqlite3.Connection, name: str, rows: Iterable[tuple]) -> None:
    rows = list(rows)
    if rows:
        places = ", ".join("?" * len(rows[0]))
        base.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608  (our own names)


def _trust(row: Row, at: str) -> tuple:
    counts = (row.successes, row.failures, at)
    return (row.model_id, row.context, row.trust, *counts, row.evidence, row.low, row.high, row.moving_average)


def _examples(data_root: Path, layers: dict[str, str]) -> Iterator[tuple]:
    seen: set[str] = set()
    for path in sorted((data_root / "experiences").glob("cycle-*.jsonl")):
        for row in read_jsonl(path):
            if row["experience_id"] in seen or row["model_id"] is None:
                continue
            seen.add(row["experience_id"])
            folder = row["metadata"].removesuffix("metadata.json")
            scores = json.dumps({name: row[name] for name in SIGNALS}, sort_keys=True)
            more = {name: row[name] for name in ("stage", "gen_id", "kind", "context", "verified_by", "why")}
            yield (
                *(row["experience_id"], row["created_at"], f"{folder}prompt.txt", layers.get(row["model_id"], "")),
                *(f"{folder}raw.txt", scores, None, row["outcome"], row["model_id"], row["salience"]),
                json.dumps(more, sort_keys=True, ensure_ascii=False),
            )


def _students(data_root: Path) -> Iterator[tuple]:
    for path in sorted((data_root / "distill").glob("*/cycle-*/exported.json")):
        try:
            facts: Json = read_json(path)
            accuracy = facts["accuracy"] or {}
            status = "deployed" if facts["deployed"] else "testing"
            yield facts["model_id"], path.parent.name, None, accuracy.get("here"), None, None, status
        except (DreamflowError, KeyError, TypeError):
            continue  # the distillation's own report says what is wrong with it
