"""`snakemake upgrade` without Snakemake: the same doors in the same order, in seconds less.

`python tests/upgrading.py CONFIG.json THREADS`, in the folder of a project, is a run in a process of its own.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "scripts"


@dataclass
class Upgraded:
    """What a run of an upgrade has said and made."""

    forecast: str  # what `snakemake -n upgrade` would have said before
    text: str
    plan: dict[str, Any]
    result: dict[str, Any]
    tables: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The conversations of the planned regions, in the order of the plan."""
        return [region["conversation_id"] for part in self.plan["specs"].values() for region in part["regions"]]

    @property
    def totals(self) -> dict[str, Any]:
        """The sums of the plan."""
        return self.plan["totals"]


def chunk(config: dict[str, Any]) -> None:
    """Make the archives of all conversations, as `snakemake chunks` does where rules chunk."""
    from dreamflow.run import Run

    family = Run(config, lambda path: None).families["chunks"]
    family.read()
    for batch, path in zip(family.batches(), family.batch_files(), strict=True):
        family.make_archives(batch, path)
    family.write_result()


def upgrade(config: dict[str, Any], threads: int = 8) -> Upgraded:
    """Plan an upgrade, make what it needs, and say how it went."""
    from dreamflow.run import Run

    dry = Run(config, lambda path: None, dry=True)
    dry.targets("upgrade")
    forecast = dry.forecast_text()

    run = Run(config, lambda path: None)
    run.plan.check()
    run.targets("upgrade")
    family = run.families["chunks"]
    text = family.write_upgrade_plan(run.now)

    def make(gen_id: str) -> None:
        with suppress(RuntimeError):  # which was shown
            run.make(gen_id, run.layout.log("chunk", gen_id))

    due = [row.gen_id for row in run.plan.deferred().values() if run.is_stale(row.gen_id) and not family.is_basic(row)]
    with suppress(KeyboardInterrupt), ThreadPoolExecutor(threads) as pool:
        list(pool.map(make, due))
    whole = True
    for path in family.upgraded():
        name = Path(path).parent.name
        if all(Path(file).exists() for file in family.upgrade_inputs(name)):
            family.upgrade(name, path)
        else:
            whole = False
    tables = [family.write_result()] if whole else []
    run.tables += tables
    run.finish(ok=whole)
    root = run.layout.root
    plan, result = (json.loads((root / "chunks" / name).read_text()) for name in ("upgrade/plan.json", "result.json"))
    return Upgraded(forecast, text, plan, result, list(run.tables), [one.message for one in run.problems.all()])


if __name__ == "__main__":
    sys.path.insert(0, str(SCRIPTS))
    from dreamflow.interrupts import stop_on_signals

    stop_on_signals()
    upgrade(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
