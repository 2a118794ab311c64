"""The upgrade of a run: its plan, with the budgets of the run; its end; and what a run could not complete."""

import os
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from pathlib import Path

from ..family import World
from ..files import read_json
from ..generation.budget_use import budget_use
from ..generation.budgets import Deadline
from ..generation.layout import Layout
from ..generation.model import Json
from ..generation.models import Model
from ..run_budgets import RUN, configured_budgets
from .archive import has_archive, read_latest
from .compile import Chunking, regions_of
from .conversation import Archive
from .making import basic_archive
from .products import read_answers
from .spec import Upgrade
from .upgrade_plan import plan_upgrade


def plan_of_run(
    specs: Mapping[str, Chunking],
    folder: Path,
    settings: Upgrade,
    now: str,
    world: World,
    is_batch: Callable[[str, Model], bool],
    *,
    is_expected: bool,
) -> dict[str, Json]:
    """The plan of an upgrade in this run, which begins at `now`. `is_expected`: from the archives that a run would make
    before, for a dry run."""
    run, layout = os.environ.get(RUN, ""), world.layout
    return plan_upgrade(
        specs,
        folder,
        settings,
        now,
        layout,
        run=run,
        uses=budget_use(layout.store, configured_budgets(world.settings, run)),
        is_batch=is_batch,
        archives=partial(expected_archives, folder=folder, layout=layout) if is_expected else None,
    )


def expected_archives(chunking: Chunking, folder: Path, layout: Layout) -> list[Archive]:
    """The archives that a run would find or make first, without those whose answers are not there yet. Nothing is
    written."""
    archives = []
    for name, talk in chunking.talks.items():
        latest = read_latest(folder / name) if has_archive(folder / name) else None
        if latest is not None and latest["metadata"]["text_sha256"] == talk.text_sha256:
            archives.append(latest)
            continue
        rows = chunking.generations[name]
        if all(Path(layout.metadata(row.stage, row.gen_id)).exists() for row in rows):
            answers = read_answers(rows, layout)
            made = basic_archive(chunking.conversations[name], chunking.units[name], answers, latest)
            archives.append({**made, "version": latest["version"] + 1 if latest else 1})
    return archives


def is_of_this_run(plan: Path) -> bool:
    """Whether this run has planned the upgrade in a file."""
    return plan.exists() and read_json(plan).get("run") == os.environ.get(RUN, "")


def unfinished_conversations(plan: Path, known: Collection[str]) -> list[str]:
    """The conversations of a planned upgrade whose archives were not made after it."""
    planned, names = plan.stat().st_mtime_ns, []
    for name in dict.fromkeys(name for name, _, _ in regions_of(read_json(plan))):
        made = plan.parent.parent / name / "upgrade.json"
        if name in known and not (made.exists() and made.stat().st_mtime_ns >= planned):
            names.append(name)
    return names


def deadline(plan: Path, run: str, call_s: float) -> Deadline | None:
    """When the upgrade in a file has to end, if a run has planned it; a call takes about `call_s` seconds."""
    if not plan.exists():
        return None
    planned_by, until, key = _end(plan, plan.stat().st_mtime_ns)
    return Deadline(until, call_s, key) if until and planned_by == run else None


@lru_cache(1)
def _end(plan: Path, _changed: int) -> tuple[str, str | None, str]:
    """The run that has planned an upgrade, when that has to end, and the key that says so."""
    content = read_json(plan)
    key = "upgrade.deadline" if content["upgrade"].get("deadline") else "upgrade.max_duration_s"
    return content.get("run", ""), content.get("until"), key
