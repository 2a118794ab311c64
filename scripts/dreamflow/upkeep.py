"""Looking after a project: generations that no plan names any more, failed ones to draw again, and what a run costs."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from .errors import DreamflowError
from .files import read_json, write_atomic
from .generation.forecast import as_table, forecast
from .generation.make import REDRAW, Context
from .generation.model import Generation
from .generation.providers import provider
from .plan import Plan


def orphans(plan: Plan) -> list[Path]:
    """The folders of generations that no plan names and no product needs, in the order of stage and id. Raises a
    `DreamflowError` if a family could not be compiled: its generations would seem to be orphans."""
    plan.check()
    folders = sorted(path for path in plan.world.layout.root.glob("gens/*/*") if path.is_dir())
    referenced = plan.referenced()
    return [folder for folder in folders if folder.name not in referenced]


def list_orphans(plan: Plan) -> None:
    """Print the generations that no plan names."""
    folders = orphans(plan)
    print(*folders, sep="\n")
    hint = ": 'snakemake prune' removes them" if folders else ""
    print(f"{len(folders):,} generations that no configured spec plans{hint}")


def prune(plan: Plan) -> None:
    """Remove the generations that no plan names. Their answers stay in the response store."""
    folders = orphans(plan)
    for folder in folders:
        print(folder)
        shutil.rmtree(folder)
    hint = ": removed; their answers stay in the store" if folders else ""
    print(f"{len(folders):,} generations that no configured spec plans{hint}")


def forget_failed(plan: Plan, path: str) -> None:
    """Replace the metadata of failed generations by a mark that asks for new samples; list their folders in `path`.

    What was skipped because of them is made again too, since it descends from them.
    """
    failed = [folder for folder in map(plan.folder, plan.generations) if _status(folder) == "failed"]
    for folder in failed:
        write_atomic(folder / REDRAW, "")
        (folder / "metadata.json").unlink()
    write_atomic(path, "".join(f"{folder}\n" for folder in failed))
    print(f"{len(failed):,} failed generations will be drawn again", file=sys.stderr)


def _status(folder: Path) -> str | None:
    path = folder / "metadata.json"
    return read_json(path)["status"] if path.exists() else None


def forecast_text(plan: Plan, context: Context, gen_ids: Iterable[str], is_stale: Callable[[str], bool]) -> str:
    """What making these generations would call and cost, as a table; with what wanted products may need besides, and a
    line for each key that is missing."""
    wanted = set(gen_ids)
    rows = {gen_id: row for gen_id, row in plan.generations.items() if gen_id in wanted}
    expected, texts = preview(plan)
    later = {gen_id: row for gen_id, row in expected.items() if gen_id not in rows}

    def is_due(gen_id: str) -> bool:
        return gen_id in later or is_stale(gen_id)

    every = [*rows.values(), *later.values()]
    lines = [as_table(forecast(every, context, is_due, plan.folder)), *texts]
    return "\n".join([*lines, *missing_keys(plan, [row for row in every if is_due(row.gen_id)])])


def preview(plan: Plan) -> tuple[dict[str, Generation], list[str]]:
    """The generations that wanted products may need and that are not known yet, and what families say of them."""
    rows: dict[str, Generation] = {}
    texts = []
    for family in plan.families.values():
        try:
            more, text = family.preview()
        except DreamflowError as error:
            more, text = {}, str(error)
        rows |= more
        texts += [text] if text else []
    return rows, texts


def missing_keys(plan: Plan, rows: Iterable[Generation]) -> list[str]:
    """A line for each environment variable that the key of a model of these generations should come from, and that is
    not set."""
    used = Counter(row.model.model_id for row in rows if row.model)
    return [
        f"environment variable {name} is not set: the {used[model_id]:,} generations of model {model_id} need it"
        for model_id in used
        if (name := provider(plan.models[model_id].provider).missing_key(plan.models[model_id]))
    ]
