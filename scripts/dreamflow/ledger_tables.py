"""The tables of `snakemake ledger`: what answers have cost, what budgets have left, and calls that were lost."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .files import write_atomic
from .generation.budget_use import amount, budget_use
from .generation.budgets import Budget
from .generation.database import Database
from .generation.layout import Layout
from .generation.store import database
from .reports.markdown import counted, text_table

SHOWN = 15  # rows of a table on the screen
_TOKENS = tuple(f"{name}_tokens" for name in ("prompt", "cached", "cache_write", "completion", "reasoning"))
SUMS = {  # columns of every table of the ledger: names and SQL
    "calls": "count(*)",
    **{name: f"sum({name})" for name in _TOKENS},
    "cost_usd": "sum(cost_usd)",
    "estimated_calls": "sum(estimated)",
    "unpriced_calls": "sum(cost_usd IS NULL)",
    "batch_calls": "sum(batch IS NOT NULL)",
}
GROUPS = {  # the columns that tell the rows of a table of the ledger apart: names and SQL
    "day": {"day": "substr(at, 1, 10)"},
    "model": {"model": "model_id"},
    "stage": {"stage": "stage"},
    "spec": {"family": "family", "spec": "spec"},
}
FILES = (*(f"by_{name}.csv" for name in GROUPS), "budgets.csv", "lost.csv")
_BUDGET_COLUMNS = ("budget", "unit", "cap", "spent", "reserved", "left")
_LOST_COLUMNS = ("at", "gen_id", "model_id", "spec", "run", "tokens", "cost_usd", "reason")


def ledger_database(layout: Layout) -> Database:
    """The database with the ledger, into which the ledger of an earlier version is copied."""
    store = database(layout.store)
    if (layout.store / "ledger.jsonl").exists() and not store.path.exists():
        store.write(lambda connection: None)  # creates the database
    return store


def write_ledger(layout: Layout, budgets: Iterable[Budget], folder: Path) -> str:
    """Write the tables of all answers, by day, model, stage and spec, of the budgets, and of the calls that may have
    been billed although no answer came; returns them as text.

    Sums are of known figures, and a sum without any is empty: unknown is not zero.
    """
    store = ledger_database(layout)
    parts = []
    for name, columns in GROUPS.items():
        places = ", ".join(str(place + 1) for place in range(len(columns)))
        selected = ", ".join([*columns.values(), *SUMS.values()])
        rows = store.read(f"SELECT {selected} FROM ledger GROUP BY {places} ORDER BY {places}")  # noqa: S608
        _write(folder / f"by_{name}.csv", [*columns, *SUMS], rows)
        parts += [_ledger_text(list(columns), rows, newest=name == "day")] if rows else []
    uses = budget_use(layout.store, budgets)
    figures = [(use, (use.cap, use.spent, use.reserved, use.left)) for use in uses]
    rows = [(use.name, use.unit, *(round(value, 9) for value in values)) for use, values in figures]
    _write(folder / "budgets.csv", _BUDGET_COLUMNS, rows)
    if uses:
        shown = [(use.name, *(amount(value, use.unit) for value in values)) for use, values in figures]
        parts.append(text_table([("budget", "cap", "spent", "reserved", "left"), *shown]))
    lost = store.read(f"SELECT {', '.join(_LOST_COLUMNS)} FROM lost ORDER BY number")  # noqa: S608
    _write(folder / "lost.csv", _LOST_COLUMNS, lost)
    if lost:
        tokens, usd = (sum(row[place] or 0 for row in lost) for place in (5, 6))
        parts.append(
            f"{counted(len(lost), 'call')} may have been billed although no answer came: at most {tokens:,} tokens "
            f"and ${usd:.4f}, which count in the budgets but not in the tables above; see {folder}/lost.csv"
        )
    return "\n\n".join([*parts, f"The tables are in {folder}/"])


def _ledger_text(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, newest: bool) -> str:
    """A table of the ledger for the screen: its newest or its most expensive rows, and the total."""
    width = len(columns)
    head = [*columns, "calls", "prompt", "cached", "completion", "reasoning", "cost", "estimated", "unpriced"]
    kept = rows[-SHOWN:] if newest else sorted(rows, key=lambda row: -(row[width + 6] or 0))[:SHOWN]
    known = [[row[place] for row in rows if row[place] is not None] for place in range(width, width + len(SUMS))]
    total = [sum(values) if values else None for values in known]
    lines = []
    for row in [*kept, ["total", *[""] * (width - 1), *total]]:
        calls, prompt, cached, _, completion, reasoning, cost, estimated, unpriced, _ = row[width:]
        money = "?" if cost is None else f"${cost:.4f}"
        tokens = ["?" if count is None else f"{count:,}" for count in (prompt, cached, completion, reasoning)]
        names = [str(name or "") for name in row[:width]]
        lines.append([*names, f"{calls:,}", *tokens, money, f"{estimated:,}", f"{unpriced:,}"])
    text = text_table([head, *lines])
    return text + (f"\n({len(rows) - len(kept):,} more rows in the file)" if len(rows) > len(kept) else "")


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    write_atomic(path, stream.getvalue())
