"""The tables of nights over procedures in the database: those of the original, and what is known about each variant."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from ..database.schema import (
    Column,
    Rows,
    Search,
    Source,
    Table,
    View,
    below,
    columns,
    columns_of,
    csv_rows,
    files,
    stamp,
)
from ..errors import DreamflowError
from ..files import read_as, read_json
from .check import Check
from .procedure import load_procedure
from .records import COLUMNS, Record
from .tables import original_tables

if TYPE_CHECKING:
    from ..family import World

_CYCLE = columns("""
    night TEXT the night, a file in config/procedures/
    cycle INTEGER its cycle
""")
PROCEDURES = Table(
    "procedures",
    "The procedures that nights can select: card and code.",
    columns("""
        procedure_id TEXT project.name
        project TEXT the project
        category TEXT the category
        description TEXT what it does
        entry TEXT the function
        tags TEXT JSON: tags
        code TEXT the module
        path TEXT the file of the code, below the data folder; null if raw_root is elsewhere
    """),
    ("procedure_id",),
    search=Search(
        kind="'procedures'",
        id="procedure_id",
        title="procedure_id",
        date="NULL",
        path="path",
        columns={"procedure_id": 3.0, "code": 1.0, "description": 1.0},
    ),
)
VARIANTS = Table(
    "variants",
    "Everything known about each variant of a finished cycle (dreams.csv): check, test, verdict, cost.",
    {**_CYCLE, **{name: column for name, column in columns_of(Record).items() if name in COLUMNS}},
    ("night", "cycle", "gen_id"),
    links={"procedure_id": "procedures"},
    indexes=(("gen_id",), ("tier",), ("verdict_id",)),
)
CHECKS = Table(
    "procedure_checks",
    "The check of each variant, also in a cycle that goes on (checks/<procedure>.json).",
    {**_CYCLE, "procedure_id": Column("TEXT"), "gen_id": Column("TEXT"), **columns_of(Check)},
    ("night", "cycle", "gen_id"),
    indexes=(("gen_id",),),
)
TESTS = Table(
    "procedure_tests",
    "The sandbox test of each variant, also in a cycle that goes on (tests/<procedure>.json).",
    {
        **_CYCLE,
        **columns("""
            procedure_id TEXT the procedure
            gen_id TEXT the variant
            skip TEXT why it was not tested
            outcome TEXT equivalent, differs, ...
            reason TEXT why
            inputs_run INTEGER calls that were compared
            agreeing INTEGER calls with the same behaviour
            counterexample TEXT JSON: the first call that differs
            seconds_ratio REAL its time as a share of the original's
        """),
    },
    ("night", "cycle", "gen_id"),
    indexes=(("gen_id",),),
)
VERDICTS = View(
    "verdicts",
    "What judges said of variants.",
    columns("""
        gen_id TEXT the verdict
        variant_id TEXT the variant
        model_id TEXT the judge
        status TEXT ok, failed, skipped or pending
        viability REAL 0 to 1
        tier INTEGER 1, 2 or 3
        reasons TEXT why
        created_at TEXT when
        path TEXT the file, below the data folder
    """),
    """SELECT gen_id, parent_id AS variant_id, model_id, status, json_extract(parsed, '$.viability') AS viability,
    json_extract(parsed, '$.tier') AS tier, json_extract(parsed, '$.reasons') AS reasons, created_at, path
FROM generations WHERE stage = 'verdict'""",
)


def dream_sources(world: "World") -> list[Source]:
    """The sources of this family."""
    root, raw = world.layout.root, Path(world.settings.raw_root) / "procedures"
    original = tuple(_original(name, given) for name, given in original_tables().items())
    cycle = "dreams/*/cycle-*"
    dreams, tables = files(root, f"{cycle}/dreams.csv"), files(root, f"{cycle}/dreams.sqlite")
    checks, tests = files(root, f"{cycle}/checks/*.json"), files(root, f"{cycle}/tests/*.json")
    return [
        Source(
            "procedures", 1, (PROCEDURES,), lambda: _find_procedures(raw), lambda item: _procedure(raw / item, root)
        ),
        Source("variants", 1, (VARIANTS,), dreams, lambda item: _variants(root / item)),
        Source("dreams", 1, original, tables, lambda item: _tables(root / item)),
        Source("checks", 1, (CHECKS,), checks, lambda item: _checks(root / item)),
        Source("tests", 1, (TESTS,), tests, lambda item: _tests(root / item), (VERDICTS,)),
    ]


def _original(name: str, given: dict[str, str]) -> Table:
    key = ("night", "cycle", "id") if "id" in given else ("night", "cycle")
    made = {column: Column(kind) for column, kind in given.items()}
    return Table(name, "As the original has it, with the night and its cycle.", {**_CYCLE, **made}, key)


def _cycle(folder: Path) -> dict[str, Any]:
    number = folder.name.removeprefix("cycle-")
    if not number.isdecimal():
        raise DreamflowError(f"{folder}: not the folder of a cycle; rename it to cycle-<number>, or move it elsewhere")
    return {"night": folder.parent.name, "cycle": int(number)}


def _find_procedures(raw: Path) -> Iterable[tuple[str, str]]:
    for card in sorted(raw.glob("*/*.yaml")):
        yield card.relative_to(raw).as_posix(), stamp(card, card.with_suffix(".py"))


def _procedure(card: Path, root: Path) -> Rows:
    found = load_procedure(card)
    names = ("procedure_id", "project", "category", "description", "entry", "tags")
    row = {name: getattr(found, name) for name in names}
    return {"procedures": [{**row, "code": found.source, "path": below(root, card.with_suffix(".py"))}]}


def _variants(path: Path) -> Rows:
    cycle = _cycle(path.parent)
    kinds = {name: column.type for name, column in VARIANTS.columns.items()}
    rows = csv_rows(path)
    return {"variants": [{**cycle, **{k: _typed(v, kinds[k]) for k, v in row.items() if k in kinds}} for row in rows]}


def _typed(text: str, kind: str) -> Any:
    if text == "" or kind == "TEXT":
        return text or None
    if text in ("True", "False"):
        return int(text == "True")
    return float(text) if kind == "REAL" else int(float(text))


def _tables(path: Path) -> Rows:
    cycle = _cycle(path.parent)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        base.row_factory = sqlite3.Row
        return {
            name: [{**cycle, **dict(row)} for row in base.execute(f"SELECT * FROM {name}")]  # noqa: S608  (our own names)
            for name in original_tables()
        }


def _checks(path: Path) -> Rows:
    where = {**_cycle(path.parents[1]), "procedure_id": path.stem}
    checks = read_as(path, dict[str, Check])
    return {"procedure_checks": [{**where, "gen_id": gen_id, **asdict(check)} for gen_id, check in checks.items()]}


def _tests(path: Path) -> Rows:
    where = {**_cycle(path.parents[1]), "procedure_id": path.stem}
    entries = read_json(path)
    return {
        "procedure_tests": [
            {**where, "gen_id": gen_id, "skip": entry.get("skip"), **(entry.get("test") or {})}
            for gen_id, entry in entries.items()
            if gen_id != "procedure"
        ]
    }
