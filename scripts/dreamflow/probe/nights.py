"""The probes of a night: which tasks are asked of which models, so that the answers tell most.

They are written once, to `probes/night-<n>/tasks.jsonl`: what the night finds does not change what it asks. Models are
those of the configured probes, with their settings, and those that trust may choose and that can answer here, with the
settings of the first probe. Tasks are those of `raw_root/probe/` and generated ones, with a seed for each night, which
the model has not answered in a probe or distillation and will not answer for one that is configured.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from math import isfinite
from pathlib import Path

from ..config import under
from ..errors import ConfigError
from ..family import World
from ..files import read_json, read_jsonl
from ..generation.model import Generation, Json
from ..generation.model_files import model_file
from ..generation.models import Model, check_sampling
from ..generation.providers import provider
from ..routing.contexts import compile_named, context_of
from ..routing.similarity import TfidfContexts
from ..tasks.answers import ANSWER, answer_rows
from ..tasks.generators import TEMPLATES, generate
from ..tasks.graders import Task
from ..tasks.spec import AnswerSettings
from ..tasks.tasks import load_tasks
from .choosing import Cell, Chosen, choose_probes
from .spec import ProbeSpec

_FIRST_SEED = 10_000  # of the generators, plus the night's number: specs have small seeds
_MOST_GENERATED = 500  # tasks of a kind; all kinds have more
_UNKNOWN = 2.0  # weight of a model's mean in a context without outcomes, in outcomes
_EVIDENCE = "exact"  # the class of evidence that probes give
_EVERYWHERE = "*"  # the context of a model's cell over all contexts
_NOT_ASKED = ("human", "replay")  # providers that a night asks only if a probe names the model


def choose(number: int, world: World, probes: Sequence[ProbeSpec]) -> tuple[list[Chosen], dict[str, AnswerSettings]]:
    """Return the probes of night `number`, and how each model is asked. Raises a `ConfigError` or `DreamflowError`."""
    most, root = world.settings.night.probes, world.layout.root
    settings = models_to_ask(world, probes)
    table = last_table(root)
    context = _classifier(world, table)
    known = answered(root, number) | planned(world)
    pool = [(task, context(task)) for task in _pool(number, most, world.catalog.root / "probe")]
    tasks = {
        (model_id, name): in_turn(
            [task for task, own in pool if own == name and (model_id, task["task_id"]) not in known]
        )
        for model_id in settings
        for name in dict.fromkeys(own for _, own in pool)
    }
    cells = cells_of(table, settings, dict.fromkeys(own for _, own in pool))
    return choose_probes(cells, tasks, most), settings


def models_to_ask(world: World, probes: Sequence[ProbeSpec]) -> dict[str, AnswerSettings]:
    """Return the models that can answer here, with how they are asked."""
    settings: dict[str, AnswerSettings] = {}
    for spec in probes:
        for model_id in spec.models:
            settings.setdefault(model_id, spec.asked.model_copy(update={"samples": 1}))
    named = set(settings)
    default = next(iter(settings.values()), AnswerSettings())
    for model in world.models.values():
        settings.setdefault(model.model_id, default)
    return {
        name: asked
        for name, asked in settings.items()
        if name in world.models and _can_answer(world.models[name], asked, is_named=name in named)
    }


def _can_answer(model: Model, asked: AnswerSettings, *, is_named: bool) -> bool:
    chosen = provider(model.provider)
    if (model.provider in _NOT_ASKED and not is_named) or chosen.missing_key(model):
        return False
    try:
        for name in filter(None, (model.source, model.lora)):
            model_file(name)
        check_sampling(model, asked.sampling.as_dict())
    except ConfigError:
        return False
    return True


def last_table(root: Path) -> Mapping[str, Json]:
    """Return the routing table of the last cycle of trust; empty before the first."""
    paths = sorted(root.glob("trust/cycle-*/routing.json"), key=lambda path: int(path.parent.name.rpartition("-")[2]))
    return {**read_json(paths[-1]), "folder": paths[-1].parent} if paths else {}


def _classifier(world: World, table: Mapping[str, Json]) -> Callable[[Task], str]:
    """Return the context of a task, as trust sorts it."""
    contexts = world.settings.trust.contexts
    with under("trust", "contexts", "named"):
        named = compile_named(contexts.named)
    similarity, path = None, table.get("folder", Path()) / "contexts.json"
    if contexts.by == "similarity" and path.is_file():
        similarity = TfidfContexts.from_dict(read_json(path))
    return lambda task: context_of(task["prompt"], task, by=contexts.by, named=named, similarity=similarity)[0]


def _pool(number: int, most: int, folder: Path) -> list[Task]:
    """Return the tasks that people wrote and generated ones, without repeated prompts."""
    base = load_tasks(folder) if any(folder.glob("*.jsonl")) else []
    generated = (
        [task for kind in TEMPLATES for task in generate(kind, min(most, _MOST_GENERATED), _FIRST_SEED + number)]
        if most
        else []
    )
    return list({task["task_id"]: task for task in (*generated, *base)}.values())


def in_turn(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks so that kinds take turns."""
    kinds: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        kinds[task["kind"]].append(task)
    return [task for task in chain.from_iterable(zip_longest(*kinds.values())) if task is not None]


def answered(root: Path, number: int) -> set[tuple[str, str]]:
    """Return the (model_id, task_id) that earlier probes and distillations asked."""
    grades = [*root.glob("probes/*/grades.jsonl"), *root.glob("distill/*/cycle-*/grades/*.jsonl")]
    own = root / "probes" / f"night-{number}"
    return {(row["model_id"], row["task_id"]) for path in grades if path.parent != own for row in read_jsonl(path)}


def planned(world: World) -> set[tuple[str, str]]:
    """Return the (model_id, task_id) that the specs of the configuration ask."""
    ids = [gen_id for gen_id in world.generations if world.generations.stage(gen_id) == ANSWER.name]
    rows = (world.generations[gen_id] for gen_id in ids)
    return {(row.model.model_id, row.wildcards["task_id"]) for row in rows}


def cells_of(table: Mapping[str, Json], models: Iterable[str], contexts: Iterable[str]) -> list[Cell]:
    """Return what the routing table knows of each model in each context.

    Without outcomes in a context, the model's mean over all contexts is expected there, with the weight of two
    outcomes. A context's weight is its share of all outcomes, with one outcome added to each.
    """
    posteriors: dict[tuple[str, str], tuple[float, float]] = {}
    counts: defaultdict[str, float] = defaultdict(float)
    for cell in table.get("cells", ()):
        if cell["evidence"] == _EVIDENCE:
            posteriors[cell["model_id"], cell["context"]] = (cell["alpha"], cell["beta"])
        if cell["context"] != _EVERYWHERE and isfinite(cell["n"]):
            counts[cell["context"]] += cell["n"]
    surprising = {(one["model_id"], one["context"]) for one in table.get("verify", ())}
    names = list(contexts)
    total = sum(counts[name] for name in names) + len(names)
    cells = []
    for model_id in models:
        alpha, beta = posteriors.get((model_id, _EVERYWHERE), (1.0, 1.0))
        share = alpha / (alpha + beta)
        elsewhere = (_UNKNOWN * share, _UNKNOWN * (1 - share))
        for name in names:
            known = posteriors.get((model_id, name), elsewhere)
            is_surprising = bool({(model_id, name), (model_id, _EVERYWHERE)} & surprising)
            cells.append(Cell(model_id, name, *known, (counts[name] + 1) / total, is_surprising))
    return cells


def night_text(number: int, chosen: Sequence[Chosen], settings: Mapping[str, AnswerSettings]) -> str:
    """Return a line for the screen."""
    counts: dict[tuple[str, str], int] = {}
    for one in chosen:
        counts[one.model_id, one.context] = counts.get((one.model_id, one.context), 0) + 1
    listed = ", ".join(f"{model_id} in {context} {count}" for (model_id, context), count in sorted(counts.items()))
    if not settings:
        return f"night {number}: no model can answer probes here"
    return f"night {number}: {len(chosen):,} probes" + (f": {listed}" if listed else "")


def lines_of(chosen: Iterable[Chosen], settings: Mapping[str, AnswerSettings]) -> list[dict[str, Json]]:
    """Return the lines of tasks.jsonl, those of a model together, with how it is asked."""
    order = list(settings)
    ordered = sorted(chosen, key=lambda one: order.index(one.model_id))
    return [{**one._asdict(), "asked": settings[one.model_id].as_dict()} for one in ordered]


def rows_of(lines: Iterable[Mapping[str, Json]], world: World) -> dict[str, Generation]:
    """Return the answers that lines of tasks.jsonl ask for, by id, without those of models that no longer exist."""
    members: dict[str, list[Mapping[str, Json]]] = {}
    for line in lines:
        if line["model_id"] in world.models:
            members.setdefault(line["model_id"], []).append(line)
    rows: dict[str, Generation] = {}
    for model_id, own in members.items():
        asked = AnswerSettings.model_validate(own[0]["asked"])
        rows |= answer_rows([line["task"] for line in own], asked, model_id, world.catalog, world.models)
    return rows
