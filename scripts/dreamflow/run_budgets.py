"""The budgets of a run: those of its configuration, and which calls each covers."""

import os
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from .cycles import this_night
from .errors import ConfigError, unknown
from .generation.budgets import Budget, Labels, covering
from .generation.model import Generation
from .generation.prices import check_priced
from .generation.settings import Cap
from .generation.store import DAY, MONTH
from .nights.state import night_limits
from .nights.totals import run_prefix
from .plan import Plan
from .settings import Settings

RUN = "DREAMFLOW_RUN"  # environment variable with the name of the run, for its jobs in other processes


def run_name(*, in_job: bool) -> str:
    """The name of this run. Its jobs in other processes inherit it with the environment."""
    if not in_job or RUN not in os.environ:
        os.environ[RUN] = f"{run_prefix(this_night())}{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return os.environ[RUN]


def configured_budgets(settings: Settings, run: str) -> list[Budget]:
    """All budgets, each with the scope that it caps. Raises a `ConfigError` if one names no spec."""
    caps = settings.budgets
    budgets = [
        *_budget(f"run:{run}", "budgets.run", caps.run),
        *_budget(DAY, "budgets.day", caps.day),
        *_budget(MONTH, "budgets.month", caps.month),
    ]
    for name, cap in caps.tiers.items():
        budgets += _budget(f"tier:{name}", f"budgets.tiers.{name}", cap)
    for key, by_name in caps.by_family().items():
        known = [path.stem for path in Path("config", key).glob("*.yaml")]
        for name, cap in by_name.items():
            if name not in known:
                raise ConfigError(unknown("spec", name, known), ("budgets", key, name))
            budgets += _budget(f"{key}:{name}", f"budgets.{key}.{name}", cap)
    if (night := this_night()) is not None:
        limits = night_limits(Path(settings.data_root), night)
        if (limits.usd, limits.tokens, limits.atp) != (None, None, None):
            budgets.append(Budget(f"night:{night}", "night", limits.usd, limits.tokens, limits.atp))
    if settings.upgrade.max_tokens is not None:
        budgets.append(Budget(f"upgrade:{run}", "upgrade.max_tokens", tokens=settings.upgrade.max_tokens))
    return budgets


def _budget(scope: str, key: str, cap: Cap | None) -> list[Budget]:
    return [Budget(scope, key, cap.usd, cap.tokens)] if cap and (cap.usd is not None or cap.tokens is not None) else []


def labels(plan: Plan, run: str, generation: Generation) -> Labels:
    """What the calls of a generation belong to."""
    family = plan.family_of_stage[generation.stage]
    spec = plan.world.origin.get(generation.gen_id, "")
    own = [f"{scope}:{run}" if scope == "upgrade" else scope for scope in family.scopes(generation)]
    tier = next((scope.removeprefix("tier:") for scope in own if scope.startswith("tier:")), "")
    night = this_night()
    nights = [] if night is None else [f"night:{night}"]
    scopes = [f"run:{run}", f"{family.config_key}:{spec}", *own, *nights]
    return Labels(family.config_key, spec, tier, scopes, family.deadline(generation, run))


def check_prices(
    plan: Plan, budgets: Iterable[Budget], of: Callable[[Generation], Labels], rows: Iterable[Generation]
) -> None:
    """Raise a `ConfigError` if a budget in dollars covers a generation whose model has no known price."""
    rows = list(rows)
    for budget in budgets:
        if budget.usd is not None:
            covered = [row for row in rows if covering([budget], [*of(row).scopes, DAY, MONTH])]
            names = {candidate.model.model_id for row in covered for candidate in row.candidates}
            check_priced([plan.models[name] for name in sorted(names)], [budget])
