"""The page on what answers have cost, and what the budgets leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..generation.budget_use import BudgetUse, amount, budget_use
from ..generation.budgets import Budget
from ..generation.layout import Layout
from ..ledger_tables import GROUPS, ledger_database
from ..reports.markdown import counted
from .page import Page
from .parts import Badge, Column, usd

SHOWN_DAYS = 30  # of the chart
SHOWN_LOST = 500
NAMES = {"day": "Day", "model": "Model", "stage": "Stage", "family": "Kind of work", "spec": "Spec"}
_SUMS = {
    "calls": "count(*)",
    "read": "sum(prompt_tokens)",
    "written": "sum(completion_tokens)",
    "cost": "sum(cost_usd)",
    "unpriced": "sum(cost_usd IS NULL)",
    "seconds": "sum(latency_s)",
}
_LOST = ("at", "gen_id", "model_id", "spec", "tokens", "cost_usd", "reason")


@dataclass(frozen=True)
class Total:
    """What all answers took: calls, tokens (None if unknown), US dollars of those with a price, calls without one."""

    calls: int
    read: int | None
    written: int | None
    cost: float | None
    unpriced: int

    def __str__(self) -> str:
        """In words."""
        if not self.calls:
            return "No model has been called yet."
        tokens = f", {self.written:,} tokens written" if self.written else ""
        price = (
            "without a known price" if self.cost is None else amount(self.cost, "usd") if self.cost else "at no cost"
        )
        more = f"; {counted(self.unpriced, 'call')} without a known price" if self.cost and self.unpriced else ""
        return f"{counted(self.calls, 'answer')}{tokens}, {price}{more}"


def total_of(layout: Layout, where: str = "", values: Sequence[Any] = ()) -> Total:
    """What all answers took, or those that `where` names."""
    names = ("calls", "read", "written", "cost", "unpriced")
    selected = ", ".join(_SUMS[name] for name in names)
    rows = ledger_database(layout).read(f"SELECT {selected} FROM ledger {where}", values)  # noqa: S608
    calls, read, written, cost, unpriced = rows[0] if rows else (0, None, None, None, 0)
    return Total(calls, read, written, cost, unpriced or 0)


def in_words(layout: Layout) -> str:
    """How many answers of how many models there are, and since when; "" without any."""
    rows = ledger_database(layout).read("SELECT count(*), count(DISTINCT model_id), min(at), max(at) FROM ledger")
    calls, models, first, last = rows[0] if rows else (0, 0, None, None)
    if not calls:
        return ""
    days = str(first)[:10] if str(first)[:10] == str(last)[:10] else f"{str(first)[:10]} to {str(last)[:10]}"
    return f"{counted(models, 'model')} gave {counted(calls, 'answer')} ({days})"


def spending_page(layout: Layout, budgets: Sequence[Budget]) -> Page:
    """The page: totals, a chart of days, tables by day, model, stage and spec, budgets and lost calls."""
    total = total_of(layout)
    store = ledger_database(layout)
    tables = {}
    for name, columns in GROUPS.items():
        places = ", ".join(str(place + 1) for place in range(len(columns)))
        selected = ", ".join([*columns.values(), *_SUMS.values()])
        tables[name] = store.read(f"SELECT {selected} FROM ledger GROUP BY {places} ORDER BY {places}")  # noqa: S608
    lost = store.read(f"SELECT {', '.join(_LOST)} FROM lost ORDER BY number DESC LIMIT {SHOWN_LOST}")  # noqa: S608
    known = store.read("SELECT count(*), sum(tokens), sum(cost_usd) FROM lost")
    uses = budget_use(layout.store, budgets)
    facts = {
        "total": total,
        "chart": _chart(tables["day"], by_cost=bool(total.cost)) if len(tables["day"]) > 1 else None,
        "tables": [_table(name, rows) for name, rows in tables.items() if rows],
        "budgets": [_budget(use) for use in uses],
        "lost": [[row[0][:16].replace("T", " "), row[2], row[3], row[4], usd(row[5]), row[6], row[1]] for row in lost],
        "lost_columns": [
            Column("Time", "date"), Column("Model"), Column("Spec"), Column("Tokens at most", "number"),
            Column("Cost at most", "number"), Column("Reason", "long"), Column("Generation", "id"),
        ],
        "lost_total": known[0] if known and known[0][0] else None,
    }  # fmt: skip
    return Page("spending/index.html", "Spending", "spending", "spending.html", facts, summary=str(total))


def _table(name: str, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    keys = list(GROUPS[name])
    width = len(keys)
    columns = [
        *(Column(NAMES[key], "date" if key == "day" else "text") for key in keys),
        Column("Answers", "number"),
        Column("Tokens read", "number", "of prompts; empty if the provider did not say"),
        Column("Tokens written", "number"),
        Column("Cost", "number", "of the answers with a known price"),
        Column("Without a price", "number"),
        Column("Hours", "number", "of waiting for answers, all calls one after the other"),
    ]
    cells = []
    for row in rows:
        calls, read, written, cost, unpriced, seconds = row[width:]
        hours = None if seconds is None else round(seconds / 3600, 2)
        cells.append([*row[:width], calls, read, written, usd(cost), unpriced, hours])
    return {"id": name, "title": f"By {' and '.join(NAMES[key].lower() for key in keys)}", "columns": columns,
            "rows": cells[::-1] if name == "day" else cells}  # fmt: skip


def _budget(use: BudgetUse) -> dict[str, Any]:
    gone = use.spent + use.reserved
    share = min(1.0, gone / use.cap) if use.cap else 1.0
    if use.left == 0:
        badge = Badge("used up", "bad")
    else:
        badge = Badge("nearly used up", "warn") if share >= 0.9 else Badge("left", "good")
    return {
        "name": use.name,
        "key": use.key,
        "share": share,
        "badge": badge,
        "cap": amount(use.cap, use.unit),
        "spent": amount(use.spent, use.unit),
        "reserved": amount(use.reserved, use.unit) if use.reserved else "",
        "left": amount(use.left, use.unit),
    }


def _chart(days: Sequence[Sequence[Any]], *, by_cost: bool) -> Any:
    """What each of the last days took: money, or answers if nothing had a price."""
    from .charts import bars  # draws with an engine that takes time to load

    shown = days[-SHOWN_DAYS:]
    what = "US dollars" if by_cost else "answers"
    rows = [
        (str(day), cost or 0, amount(cost or 0, "usd")) if by_cost else (str(day), calls, f"{calls:,}")
        for day, calls, _, _, cost, *_ in shown
    ]
    which = f"the last {len(shown)} days with answers" if len(days) > len(shown) else "all days with answers"
    return bars("Spending by day" if by_cost else "Answers by day", f"{what}, {which}", rows, what)
