"""The table of a cycle: one record a variant, with all that is known of it; as CSV, and as SQLite in the seed's schema.

A record is a plain mapping: the columns of `COLUMNS`, the whole entries `check`, `test` and `verdict`, and `code`.
Nothing here reads a clock: times come from the response store, by way of the metadata, and what an operator made
without a model has none.
"""

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..sandbox.runs import UNTESTED
from .procedure import Procedure
from .tiers import final_tier

Record = dict[str, Any]

# The original's words for kinds of dreams; it has none for our other kinds.
DREAM_TYPES = {
    "relax": "constraint_relaxation",
    "synthesise": "cross_project_synthesis",
    "parameters": "parameter_exploration",
    "conditional": "conditional_variant",
}

COLUMNS = (
    *("gen_id", "procedure_id", "project", "category", "kind", "site", "description", "safe", "model_id"),
    *(
        "made",
        "reason",
        "status",
        "tier",
        "why",
        "viability",
        "verdict_tier",
        "verdict_id",
        "verdict_made",
        "verdict_problem",
    ),
    *(
        "reasons",
        "check_passed",
        "problems",
        "duplicate_of",
        "signature",
        "claims",
        "novelty",
        "nearest",
        "distance_to_base",
    ),
    *("outcome", "test_reason", "inputs_run", "agreeing", "counterexample", "seconds_ratio"),
    *("matches", "promoted", "tokens", "cost_usd", "latency_s", "created_at", "evaluated_at"),
)

_PROCEDURES = """CREATE TABLE dream_procedures (
    id TEXT PRIMARY KEY, base_procedure_id TEXT, base_procedure_name TEXT, dream_type TEXT, code TEXT, model_used TEXT,
    reasoning TEXT, generated_description TEXT, status TEXT, tier INTEGER, viability_score REAL, claude_reasoning TEXT,
    test_outcome TEXT, test_error TEXT, test_timestamp INTEGER, novelty_score REAL, cross_project_matches INTEGER,
    effectiveness_metric REAL, generated_at INTEGER, evaluated_at INTEGER, created_by TEXT)"""
_RUNS = """CREATE TABLE dream_generation_runs (
    id INTEGER PRIMARY KEY, strategy TEXT, timestamp INTEGER, total_dreams_generated INTEGER,
    constraint_relaxation_count INTEGER, cross_project_synthesis_count INTEGER, parameter_exploration_count INTEGER,
    conditional_variant_count INTEGER, duration_seconds REAL, model_usage TEXT)"""
# The original has 18 fields here; what they are called is recorded nowhere, so these are the parts of health.
_METRICS = """CREATE TABLE dream_metrics (
    timestamp INTEGER, strategy TEXT, total_dreams INTEGER, health_score REAL, healthy INTEGER, novelty_score REAL,
    quality_score REAL, leverage_score REAL, efficiency_score REAL, average_novelty REAL, high_novelty_count INTEGER,
    average_viability REAL, tier1_count INTEGER, tier2_count INTEGER, tier3_count INTEGER, tier1_success_rate REAL,
    adoption_rate REAL, call_seconds REAL)"""


def records(
    entries: Iterable[Mapping[str, Any]],
    procedures: Mapping[str, Procedure],
    tiers: Mapping[str, float],
    *,
    matches: Mapping[str, int],
    promoted: Iterable[str] = (),
) -> list[Record]:
    """One record for each of `entries`, in their order.

    An entry has `row` (of the plan), `metadata` of the variant, `code`, its `check` and its `test` (None where there
    is none), and `verdict`, the metadata of the verdict (None where none is planned). `matches` says for each
    procedure how many procedures of other projects it matches, `promoted` which variants (by id) are procedures of
    their own by now.
    """
    promoted = set(promoted)
    return [_record(entry, procedures, tiers, matches, promoted) for entry in entries]


def _record(
    entry: Mapping[str, Any],
    procedures: Mapping[str, Procedure],
    tiers: Mapping[str, float],
    matches: Mapping[str, int],
    promoted: set[str],
) -> Record:
    row, metadata = entry["row"], entry["metadata"]
    where, planned = row["wildcards"], row["variant"]
    procedure = procedures[where["procedure_id"]]
    check, test, judge = entry["check"], entry["test"], entry["verdict"]
    verdict = judge["parsed"] if judge and judge["status"] == "ok" else None
    tier, why = final_tier(verdict, check, test, planned["safe"], tiers)
    if not check:
        why = f"it was not made: {metadata['reason'] or metadata['status']}"
    asked = [metadata, *([judge] if judge else [])]  # what a variant costs: to make it, and to judge it
    record: Record = {
        "gen_id": row["gen_id"],
        "procedure_id": procedure.procedure_id,
        "project": procedure.project,
        "category": procedure.category,
        "kind": where["kind"],
        "site": where["site"],
        "description": planned["description"],
        "safe": planned["safe"],
        "model_id": metadata["model_id"],
        "made": metadata["status"],
        "reason": metadata["reason"],
        "status": _status(check, test, verdict, tier),
        "tier": tier,
        "why": why,
        "viability": verdict["viability"] if verdict else None,
        "verdict_tier": verdict["tier"] if verdict else None,
        "verdict_id": judge["gen_id"] if judge else None,
        "verdict_made": judge["status"] if judge else None,
        "verdict_problem": judge["reason"] if judge else None,
        "reasons": verdict["reasons"] if verdict else "",
        "novelty": None,
        "matches": matches.get(procedure.procedure_id, 0),
        "promoted": row["gen_id"] in promoted,
        "tokens": sum(map(_tokens, asked)),
        "cost_usd": _sum(one["cost_usd"] for one in asked),
        "latency_s": _sum(one["latency_s"] for one in asked),
        "created_at": metadata["created_at"],
        "evaluated_at": judge["created_at"] if judge else None,
        "code": entry["code"],
        **{"check": check, "test": test, "verdict": verdict},
    }
    if check:
        same = ("signature", "claims", "duplicate_of", "novelty", "nearest", "distance_to_base")
        record |= {"check_passed": check["passed"], "problems": "; ".join(check["problems"])}
        record |= {key: check[key] for key in same}
        if not check["compiles"]:  # its distances are 0 for want of a tree, not because it is like another
            record |= {"novelty": None, "distance_to_base": None}
    if test:
        record |= {key: test[key] for key in ("outcome", "inputs_run", "agreeing", "seconds_ratio")}
        record |= {"test_reason": test["reason"], "counterexample": counterexample(test)}
    return {**dict.fromkeys(COLUMNS), **record}


def counterexample(test: Mapping[str, Any]) -> str:
    """The call on which a variant and its original differ, on one line; empty where there is none."""
    one = test["counterexample"]
    if not one:
        return ""
    return f"{one['call']}: {one['aspect']}: original {one['original']}, variant {one['variant']}"


def _status(
    check: Mapping[str, Any] | None, test: Mapping[str, Any] | None, verdict: Mapping[str, Any] | None, tier: int | None
) -> str:
    """The original's word for how far a dream has come. Here tests come before verdicts, so that a judge knows them.

    archived: in tier 3, or never made; pending_test: fit to be run, but its test is not there; pending_evaluation:
    without a verdict; evaluated: judged, but its test could say nothing; tested: judged and tested.
    """
    if tier == 3 or not check:
        return "archived"
    if test is None:
        return "pending_test"
    if verdict is None:
        return "pending_evaluation"
    return "evaluated" if test["outcome"] in UNTESTED else "tested"


def _tokens(metadata: Mapping[str, Any]) -> int:
    usage = metadata["usage"]
    return (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return round(sum(known), 9) if known else None


def write_csv(table: Sequence[Record], path: Path | str) -> None:
    """Write dreams.csv: the columns of `COLUMNS`."""
    import pandas as pd

    from ..reports.frames import write_table

    whole = dict.fromkeys(("tier", "verdict_tier", "inputs_run", "agreeing", "matches", "tokens"), "Int64")
    frame = pd.DataFrame([{name: record[name] for name in COLUMNS} for record in table], columns=list(COLUMNS))
    write_table(frame.astype(whole), path)


def write_sqlite(table: Sequence[Record], health: Mapping[str, Any], strategy: str, path: Path | str) -> None:
    """Write dreams.sqlite: dream_procedures, dream_generation_runs (one row) and dream_metrics (one row).

    `health` is what `health.health` says of the same records. Times are whole seconds since 1970, null where none is
    known; `test_timestamp` always is, since tests leave no time. `effectiveness_metric` is the time of a variant's
    calls as a share of its original's.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        half = Path(folder) / "half.sqlite"
        with sqlite3.connect(half) as base:
            for schema in (_PROCEDURES, _RUNS, _METRICS):
                base.execute(schema)
            _insert(base, "dream_procedures", [_dream(record) for record in table])
            _insert(base, "dream_generation_runs", [(1, *_run(table, strategy))])
            _insert(base, "dream_metrics", [_metrics(table, health, strategy)])
        base.close()
        half.replace(path)


def _insert(base: sqlite3.Connection, name: str, rows: Sequence[tuple]) -> None:
    if rows:
        places = ", ".join("?" * len(rows[0]))
        base.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608  (names of ours)


def _dream(record: Record) -> tuple:
    return (
        record["gen_id"],
        record["procedure_id"],
        record["procedure_id"].removeprefix(f"{record['project']}."),
        dream_type(record["kind"]),
        record["code"],
        record["model_id"] or "local",
        f"{record['kind']} at {record['site']}",
        record["description"],
        record["status"],
        record["tier"],
        record["viability"],
        record["reasons"] or None,
        record["outcome"],
        None if record["outcome"] in (None, "equivalent") else record["test_reason"],
        None,
        record["novelty"],
        record["matches"],
        record["seconds_ratio"],
        _seconds(record["created_at"]),
        _seconds(record["evaluated_at"]),
        "dreamflow",
    )


def dream_type(kind: str) -> str:
    """The original's word for a kind of dreams, or our own."""
    return DREAM_TYPES.get(kind, kind)


def _run(table: Sequence[Record], strategy: str) -> tuple:
    kinds = Counter(record["kind"] for record in table)
    models = Counter(record["model_id"] or "local" for record in table)
    counts = [kinds[kind] for kind in DREAM_TYPES]
    duration = _sum(record["latency_s"] for record in table)
    return (strategy, _latest(table), len(table), *counts, duration, json.dumps(models, sort_keys=True))


def _metrics(table: Sequence[Record], health: Mapping[str, Any], strategy: str) -> tuple:
    parts = health["parts"]
    inputs = {key: value for part in parts.values() for key, value in part["inputs"].items()}
    return (
        _latest(table),
        strategy,
        len(table),
        health["score"],
        None if health["healthy"] is None else int(health["healthy"]),
        *(parts[name]["score"] for name in ("novelty", "quality", "leverage", "efficiency")),
        *(inputs[name] for name in ("average_novelty", "high_novelty", "average_viability", "tier_1", "tier_2")),
        *(inputs[name] for name in ("tier_3", "tier_1_success", "adoption", "call_seconds")),
    )


def _latest(table: Sequence[Record]) -> int | None:
    times = [_seconds(record[name]) for record in table for name in ("created_at", "evaluated_at")]
    return max((time for time in times if time is not None), default=None)


def _seconds(time: str | None) -> int | None:
    return int(datetime.fromisoformat(time).timestamp()) if time else None
