"""The accounts of a project: what its answers have cost, what budgets have left, and what waits for whom."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .errors import DreamflowError
from .files import write_atomic
from .generation.batch_files import open_batches
from .generation.budget_use import amount, budget_use
from .generation.budgets import Budget
from .generation.layout import Layout
from .generation.make import Context, read_result
from .generation.model import Generation
from .generation.providers.batch import HOURS
from .generation.providers.human import answer_path
from .generation.store import database
from .plan import Plan
from .reports.markdown import text_table
from .upkeep import missing_keys

SHOWN = 15  # rows of a table, or items of a list, on the screen
_COUNTS = ("prompt", "cached", "cache_write", "completion", "reasoning")
_SUMS = ", ".join(
    [
        "count(*)",
        *(f"sum({name}_tokens)" for name in _COUNTS),
        "sum(cost_usd)",
        "sum(estimated)",
        "sum(cost_usd IS NULL)",
        "sum(batch IS NOT NULL)",
    ]
)
SUM_COLUMNS = (
    "calls",
    *(f"{name}_tokens" for name in _COUNTS),
    "cost_usd",
    "estimated_calls",
    "unpriced_calls",
    "batch_calls",
)
GROUPS = {  # the columns that tell the rows of a table of the ledger apart: names and SQL
    "day": {"day": "substr(at, 1, 10)"},
    "model": {"model": "model_id"},
    "stage": {"stage": "stage"},
    "spec": {"family": "family", "spec": "spec"},
}
LEDGER_FILES = (*(f"by_{name}.csv" for name in GROUPS), "budgets.csv", "lost.csv")
_BUDGET_COLUMNS = ("budget", "unit", "cap", "spent", "reserved", "left")
_LOST_COLUMNS = ("at", "gen_id", "model_id", "spec", "run", "tokens", "cost_usd", "reason")
_OVER_BUDGET = re.compile(r"the budget (\S+) does not allow")


def write_ledger(layout: Layout, budgets: Iterable[Budget], folder: Path) -> str:
    """Write the tables of all answers, by day, model, stage and spec, of the budgets, and of the calls that may have
    been billed although no answer came; returns them as text.

    Sums are of known figures, and a sum without any is empty: unknown is not zero.
    """
    store = database(layout.store)
    if (layout.store / "ledger.jsonl").exists() and not store.path.exists():
        store.write(lambda connection: None)  # creates the database, with the lines of the old ledger
    parts = []
    for name, columns in GROUPS.items():
        places = ", ".join(str(place + 1) for place in range(len(columns)))
        query = f"SELECT {', '.join(columns.values())}, {_SUMS} FROM ledger GROUP BY {places} ORDER BY {places}"  # noqa: S608
        rows = store.read(query)
        _write(folder / f"by_{name}.csv", [*columns, *SUM_COLUMNS], rows)
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
            f"{_count(len(lost), 'call')} may have been billed although no answer came: at most {tokens:,} tokens and "
            f"${usd:.4f}, which count in the budgets but not in the tables above; see {folder}/lost.csv"
        )
    return "\n\n".join([*parts, f"The tables are in {folder}/"])


def _ledger_text(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, newest: bool) -> str:
    """A table of the ledger for the screen: its newest or its most expensive rows, and the total."""
    width = len(columns)
    head = [*columns, "calls", "prompt", "cached", "completion", "reasoning", "cost", "estimated", "unpriced"]
    kept = rows[-SHOWN:] if newest else sorted(rows, key=lambda row: -(row[width + 6] or 0))[:SHOWN]
    known = [[row[place] for row in rows if row[place] is not None] for place in range(width, width + len(SUM_COLUMNS))]
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


def pending_text(plan: Plan, context: Context, is_stale: Callable[[str], bool]) -> str:
    """What waits for whom: questions to people, batches with the providers, generations whose last try failed, with its
    reason (a budget, a quota, a dead host), and missing keys."""
    rows = {**plan.generations, **plan.deferred()}
    layout, budgets = context.layout, context.calls.budgets if context.calls else ()
    stale = [row for gen_id, row in rows.items() if row.mode != "human" and is_stale(gen_id)]
    sections = [
        *_people(plan, [row for row in rows.values() if row.mode == "human"], layout, is_stale),
        *_batches(layout.store),
        *_failures(stale, layout, budgets),
        *missing_keys(plan, stale),
    ]
    if not sections:
        return "nothing waits: no question to a person, no batch, no failed call, no missing key"
    return "\n".join(sections)


def _people(plan: Plan, rows: Iterable[Generation], layout: Layout, is_stale: Callable[[str], bool]) -> Iterator[str]:
    """The questions of the inbox without an answer, and the answers that could not be read."""
    waiting = []
    for row in rows:
        question, answer = layout.inbox / f"{row.gen_id}.question.txt", answer_path(layout.inbox, row.gen_id)
        if not answer.exists():
            waiting += [f"read {question}, write {answer.name} beside it"] if question.exists() else []
        elif not is_stale(row.gen_id) and (reason := _pending_reason(plan.folder(row.gen_id))):
            waiting.append(reason)
    if waiting:
        yield f"people: {_count(len(waiting), 'question')} to answer, then run again"
        yield from _shown(waiting)


def _pending_reason(folder: Path) -> str:
    try:
        result = read_result(folder)
    except DreamflowError:
        return ""
    return result.reason if result.status == "pending" else ""


def _batches(store: Path) -> Iterator[str]:
    batches = open_batches(store)
    if batches:
        items = sum(len(batch.items) for batch in batches)
        yield f"providers: {_count(items, 'question')} in batches; run again to collect what is answered"
        yield from _shown(
            [
                f"{store}/batches/{batch.name}.json: {len(batch.items):,} of model {batch.model_id}, {batch.state}, "
                f"expires by {datetime.fromisoformat(batch.created) + timedelta(hours=HOURS):%Y-%m-%d %H:%M} UTC"
                for batch in batches
            ]
        )


def _failures(stale: Iterable[Generation], layout: Layout, budgets: Iterable[Budget]) -> Iterator[str]:
    """Why the last tries of generations that are not made failed, from their logs."""
    reasons: Counter[str] = Counter()
    for row in stale:
        try:
            text = Path(layout.log(row.stage, row.gen_id)).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        if text.strip():
            over = _OVER_BUDGET.search(text)
            reason = text.partition(" was not made: ")[2] or text
            reasons[f"the budget {over[1]} allows no further call" if over else reason.strip().splitlines()[0]] += 1
    if reasons:
        yield f"not made: {_count(reasons.total(), 'generation')} whose last try failed; run again to continue"
        yield from _shown([f"{count:,}: {reason}" for reason, count in reasons.most_common()])
    for use in budget_use(layout.store, budgets):
        if use.left == 0:
            yield f"budget {use.name} is used up: {amount(use.spent, use.unit)} of {amount(use.cap, use.unit)}"


def _shown(items: Sequence[str]) -> list[str]:
    more = [f"  and {len(items) - SHOWN:,} more"] if len(items) > SHOWN else []
    return [*(f"  {item}" for item in items[:SHOWN]), *more]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
