"""What was spent of budgets and what they leave, for forecasts and tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .budgets import Budget, covering
from .store import DAY, MONTH, database, time_scopes

WHOLE_RUN = ("budgets.run", "budgets.day", "budgets.month")  # keys of the budgets that cover every call


@dataclass(frozen=True)
class BudgetUse:
    """A budget in one unit, "usd", "tokens" or "atp": the cap that the user has set under `key`, what was spent of it,
    and what is reserved for calls in flight and in batches."""

    key: str
    scope: str
    unit: str
    cap: float
    spent: float
    reserved: float = 0

    @property
    def left(self) -> float:
        """What further calls may spend; never below 0."""
        return max(self.cap - self.spent - self.reserved, 0)

    @property
    def name(self) -> str:
        """The key as shown in tables."""
        return self.key.removeprefix("budgets.")

    @property
    def covers_all(self) -> bool:
        """Whether it covers every call of a run."""
        return self.key in WHOLE_RUN


def budget_use(store: Path, budgets: Iterable[Budget], at: str = "") -> list[BudgetUse]:
    """What was spent of each budget; `at` (ISO 8601, now by default) decides the day and the month."""
    budgets = list(budgets)
    if not budgets:
        return []
    times = time_scopes(at or datetime.now(UTC).isoformat())
    spent, reserved = (_sums(store, table) for table in ("spent", "reserved"))
    uses = []
    for budget in budgets:
        for own in covering([budget], times if budget.scope in (DAY, MONTH) else [budget.scope]):
            for unit, cap in (("usd", own.usd), ("tokens", own.tokens), ("atp", own.atp)):
                if cap is not None:
                    amounts = [table.get(own.scope, {}).get(unit, 0) for table in (spent, reserved)]
                    uses.append(BudgetUse(own.key, own.scope, unit, cap, *amounts))
    return uses


def _sums(store: Path, table: str) -> dict[str, dict[str, float]]:
    """The amounts in a table by scope and unit. Earlier versions wrote no ATP."""
    sums: dict[str, dict[str, float]] = {}
    for unit in ("usd", "tokens", "atp"):
        rows = database(store).read(f"SELECT scope, total({unit}) FROM {table} GROUP BY scope")  # noqa: S608
        for scope, total in rows:
            sums.setdefault(scope, {})[unit] = int(total) if unit == "tokens" else total
    return sums


def amount(value: float, unit: str) -> str:
    """An amount of a budget as text."""
    if unit == "tokens":
        return f"{value:,.0f} tokens"
    if unit == "atp":
        return f"{value:,.1f} ATP"
    is_cents = value >= 1 or round(value, 4) == round(value, 2)
    return f"${value:,.2f}" if is_cents else f"${value:,.4f}"
