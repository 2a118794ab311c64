"""The tables of a cycle as files: CSV, and SQLite with the schema of the original."""

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from .health import Health
from .records import COLUMNS, Record, known_sum

# The original's names of dream types; other kinds keep their own names.
DREAM_TYPES = {
    "relax": "constraint_relaxation",
    "synthesise": "cross_project_synthesis",
    "parameters": "parameter_exploration",
    "conditional": "conditional_variant",
}


def write_csv(table: Sequence[Record], path: Path | str) -> None:
    """Write dreams.csv: the columns of `COLUMNS`."""
    import pandas as pd

    from ..reports.frames import write_table

    whole = dict.fromkeys(("tier", "verdict_tier", "inputs_run", "agreeing", "matches", "tokens"), "Int64")
    frame = pd.DataFrame([[getattr(record, name) for name in COLUMNS] for record in table], columns=list(COLUMNS))
    write_table(frame.astype(whole), path)


def write_sqlite(table: Sequence[Record], health: Health, strategy: str, path: Path | str) -> None:
    """Write dreams.sqlite: dream_procedures, dream_generation_runs (one row) and dream_metrics (one row).

    `health` is the health of the same records. Times are whole seconds since 1970, null if unknown; `test_timestamp` is
    always null. `effectiveness_metric` is the time of a variant's calls as a share of its original's.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        half = Path(folder) / "half.sqlite"
        with sqlite3.connect(half) as base:
            _create(base)
            _insert(base, "dream_procedures", [_dream(record) for record in table])
            _insert(base, "dream_generation_runs", [(1, *_run(table, strategy))])
            _insert(base, "dream_metrics", [_metrics(table, health, strategy)])
        base.close()
        half.replace(path)


def original_tables() -> dict[str, dict[str, str]]:
    """The tables of the original: the type of each column, by table."""
    with closing(sqlite3.connect(":memory:")) as base:
        _create(base)
        names = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: {row[1]: row[2] for row in base.execute(f"PRAGMA table_info({name})")} for name in names}


def _create(base: sqlite3.Connection) -> None:
    for schema in Path(__file__).with_name("tables.sql").read_text(encoding="utf-8").split(";")[:-1]:
        base.execute(schema[schema.index("CREATE") :])


def _insert(base: sqlite3.Connection, name: str, rows: Sequence[tuple]) -> None:
    if rows:
        places = ", ".join("?" * len(rows[0]))
        base.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608  (our own names)


def _dream(record: Record) -> tuple:
    error = None if record.outcome in (None, "equivalent") else record.test_reason
    name = record.procedure_id.removeprefix(f"{record.project}.")
    return (
        *(record.gen_id, record.procedure_id, name, DREAM_TYPES.get(record.kind, record.kind), record.code),
        *(record.model_id or "local", f"{record.kind} at {record.site}", record.description, record.status),
        *(record.tier, record.viability, record.reasons or None, record.outcome, error, None, record.novelty),
        *(record.matches, record.seconds_ratio, _seconds(record.created_at), _seconds(record.evaluated_at)),
        "dreamflow",
    )


def _run(table: Sequence[Record], strategy: str) -> tuple:
    kinds = Counter(record.kind for record in table)
    models = Counter(record.model_id or "local" for record in table)
    counts = [kinds[kind] for kind in DREAM_TYPES]
    duration = known_sum(record.latency_s for record in table)
    return (strategy, _latest(table), len(table), *counts, duration, json.dumps(models, sort_keys=True))


def _metrics(table: Sequence[Record], health: Health, strategy: str) -> tuple:
    parts = health.parts
    inputs = {key: value for part in parts.values() for key, value in part.inputs.items()}
    healthy = None if health.healthy is None else int(health.healthy)
    return (
        *(_latest(table), strategy, len(table), health.score, healthy),
        *(parts[name].score for name in ("novelty", "quality", "leverage", "efficiency")),
        *(inputs[name] for name in ("average_novelty", "high_novelty", "average_viability", "tier_1", "tier_2")),
        *(inputs[name] for name in ("tier_3", "tier_1_success", "adoption", "call_seconds")),
    )


def _latest(table: Sequence[Record]) -> int | None:
    times = [_seconds(getattr(record, name)) for record in table for name in ("created_at", "evaluated_at")]
    return max((time for time in times if time is not None), default=None)


def _seconds(time: str | None) -> int | None:
    return int(datetime.fromisoformat(time).timestamp()) if time else None
