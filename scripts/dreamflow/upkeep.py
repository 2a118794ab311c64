"""Maintenance of a project: unplanned generations, failed generations, the forecast, and missing keys."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from .errors import DreamflowError
from .files import write_atomic
from .generation import hub
from .generation.budget_use import budget_use
from .generation.forecast import Line, as_table, forecast
from .generation.make import REDRAW, Context, read_result
from .generation.model import Generation
from .generation.providers import provider
from .plan import Plan


def list_orphans(plan: Plan, *, remove: bool = False) -> None:
    """Print, and possibly remove, the folders of generations that no spec plans and no product needs.

    Their answers stay in the response store. Raises a `DreamflowError` if a family could not be compiled, since its
    generations would look like orphans.
    """
    plan.check()
    referenced = plan.referenced()
    folders = sorted(path for path in plan.world.layout.root.glob("gens/*/*") if path.is_dir())
    orphans = [folder for folder in folders if folder.name not in referenced]
    for folder in orphans:
        print(folder)
        if remove:
            shutil.rmtree(folder)
    if remove and plan.world.shards:
        plan.world.shards.remove_unplanned()
    hint = ": removed; their answers stay in the store" if remove else ": 'snakemake prune' removes them"
    print(f"{len(orphans):,} generations that no configured spec plans{hint if orphans else ''}")


def forget_failed(plan: Plan, path: str) -> None:
    """Replace the metadata of failed generations by a file that requests new samples; list their folders in `path`.

    Generations that were skipped because of them are made again too, since they are their descendants.
    """
    failed = [plan.folder(gen_id) for gen_id in failed_generations(plan)]
    for folder in failed:
        write_atomic(folder / REDRAW, "")
        (folder / "metadata.json").unlink()
    write_atomic(path, "".join(f"{folder}\n" for folder in failed))
    print(f"new samples will be drawn for {len(failed):,} failed generations", file=sys.stderr)


def failed_generations(plan: Plan) -> list[str]:
    """The ids of the failed generations."""
    return [gen_id for gen_id in plan.generations if _status(plan.folder(gen_id)) == "failed"]


def _status(folder: Path) -> str | None:
    """The status in a generation's metadata; None if it is missing or damaged: then the generation is made again."""
    try:
        return read_result(folder).status
    except DreamflowError:
        return None


def forecast_lines(
    plan: Plan,
    context: Context,
    gen_ids: Iterable[str],
    is_stale: Callable[[str], bool],
    redraws: Container[str],
) -> tuple[list[Line], list[str], Iterator[Generation]]:
    """The forecast for these generations, with the generations that requested products may need in addition; what
    families say of these; and the generations that are due, to be read once. `redraws` get new samples."""
    requested = set(gen_ids)
    known = plan.with_all(requested)
    expected, texts = preview(plan)
    later = {gen_id: row for gen_id, row in expected.items() if gen_id not in requested or gen_id not in known}

    def rows(is_wanted: Callable[[str], bool]) -> Iterator[Generation]:  # not a list: all rows together are large
        yield from (known[gen_id] for gen_id in known if gen_id in requested and is_wanted(gen_id))
        yield from later.values()

    def is_due(gen_id: str) -> bool:
        return gen_id in later or is_stale(gen_id)

    batches = context.calls.batches

    def answer_tokens(row: Generation) -> int | None:
        return plan.family_of_stage[row.stage].answer_tokens(row)

    every = rows(lambda gen_id: True)
    lines = forecast(every, context, is_due, plan.folder, redraws, batches.waiting, batches.is_batch, answer_tokens)
    return lines, texts, rows(is_stale)


def forecast_text(
    plan: Plan,
    context: Context,
    gen_ids: Iterable[str],
    is_stale: Callable[[str], bool],
    redraws: Container[str],
) -> str:
    """The forecast as a table, what families say, missing keys, and what the providers have; arguments as in
    `forecast_lines`."""
    lines, texts, due = forecast_lines(plan, context, gen_ids, is_stale, redraws)
    table = as_table(lines, budget_use(context.layout.store, context.calls.budgets))
    files = [f"a run downloads {hub.describe(name)}" for name in missing_files(plan, lines)]
    return "\n".join([table, *texts, *files, *missing_keys(plan, due), *context.calls.batches.summary()])


def missing_files(plan: Plan, lines: Iterable[Line]) -> list[str]:
    """The names of the files at the Hugging Face Hub that the calls of a forecast need and that are not here."""
    models = [plan.models[line.model_id] for line in lines if line.calls]
    names = [name for model in models for name in (model.source, model.lora) if name]
    return [name for name in dict.fromkeys(names) if hub.is_missing(name)]


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
    """A message for each environment variable that is not set and should have the key of one of the used models."""
    used = Counter(row.model.model_id for row in rows if row.model)
    return [
        f"environment variable {name} is not set: the {used[model_id]:,} generations of model {model_id} need it"
        for model_id in used
        if (name := provider(plan.models[model_id].provider).missing_key(plan.models[model_id]))
    ]
