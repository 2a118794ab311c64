"""The tables of trust in the database: outcomes, trust in every cycle, choices, and the tables of SAGE."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from msgspec.structs import asdict

from ..database.schema import Column, Rows, Source, Table, columns, columns_of, csv_rows, files, stamp
from ..files import read_jsonl
from ..outcomes.table import OutcomeRow, read_outcomes
from .database import SCHEMA
from .folders import cycle_folder, cycles
from .table import Row

OUTCOMES = Table(
    "outcomes",
    "The verified outcomes of models, a cycle of trust after the other (docs/files.md).",
    columns_of(OutcomeRow),
    ("outcome_id",),
    indexes=(("gen_id",), ("model_id", "context")),
)
TRUST = Table(
    "trust",
    "Trust of each model, context and class of evidence, after each cycle (trust.csv).",
    columns_of(Row),
    ("cycle", "model_id", "context", "evidence"),
    indexes=(("model_id", "context"),),
)
CHOICES = Table(
    "choices",
    "The models that `model: auto` has chosen (choices.jsonl).",
    columns("""
        line INTEGER the line of the file, from 1
        slot TEXT the id that the generation would have if its model were called auto
        round INTEGER the round of choices
        model_id TEXT the chosen model
        propensity REAL the probability of this choice
        context TEXT the context
        evidence TEXT the class of evidence
        state TEXT the metabolic state
        cycle INTEGER the cycle of the routing table
        expected TEXT JSON: what was expected of each model
        why TEXT why
    """),
    ("line",),
    indexes=(("slot",), ("model_id",)),
)


def trust_sources(root: Path) -> list[Source]:
    """The sources of this family."""
    outcomes, table = files(root, "trust/cycle-*/outcomes.csv"), files(root, "trust/cycle-*/trust.csv")
    return [
        Source("outcomes", 1, (OUTCOMES,), outcomes, lambda item: _outcomes(root / item)),
        Source("trust", 1, (TRUST,), table, lambda item: {"trust": _typed(root / item)}),
        Source("choices", 1, (CHOICES,), files(root, "trust/choices.jsonl"), lambda item: _choices(root / item)),
        Source("sage", 1, tuple(_sage_tables()), lambda: _last(root), lambda item: _sage(root / item)),
    ]


def _outcomes(path: Path) -> Rows:
    return {"outcomes": [asdict(row) for row in read_outcomes(path)]}


def _typed(path: Path) -> Iterable[dict]:
    numbers = {name: float if column.type == "REAL" else int for name, column in TRUST.columns.items()}
    numbers = {name: kind for name, kind in numbers.items() if TRUST.columns[name].type != "TEXT"}
    for row in csv_rows(path):
        yield {name: (numbers[name](text) if text else None) if name in numbers else text for name, text in row.items()}


def _choices(path: Path) -> Rows:
    rows = enumerate(read_jsonl(path), 1)
    return {"choices": [{**row, "line": number, "slot": row["generation"]} for number, row in rows]}


def _sage_tables() -> Iterable[Table]:
    with closing(sqlite3.connect(":memory:")) as base:
        base.executescript(SCHEMA)
        for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            given = base.execute(f"PRAGMA table_info({name})").fetchall()
            key = tuple(row[1] for row in sorted(given, key=lambda row: row[5]) if row[5])
            yield Table(name, "As in SAGE, after the last cycle.", {row[1]: Column(row[2]) for row in given}, key)


def _last(root: Path) -> Iterable[tuple[str, str]]:
    for number in cycles(root)[::-1]:
        path = cycle_folder(root, number) / "trust.sqlite"
        if path.exists():
            yield path.relative_to(root).as_posix(), stamp(path)
            return


def _sage(path: Path) -> Rows:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        base.row_factory = sqlite3.Row
        names = [table.name for table in _sage_tables()]
        return {name: [dict(row) for row in base.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608
