"""The probes of a night: which tasks are asked of which models, so that the answers tell most.

They are written once, to `probes/night-<n>/tasks.jsonl`: what the night finds does not change what it asks. Models are
those of the configured probes, with their settings, and those that trust may choose and that can answer here, with the
settings of the first probe. Tasks are those of `raw_root/probe/` and generated ones, with a seed for each night, which
the model has not answered in a probe or distillation and will not answer for one that is configured.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from ..errors import ConfigError
from ..family import World
from ..files import read_jsonl
from ..generation.model import Generation, Json
from ..generation.settings import AutoModel
from ..routing.auto import candidates
from ..routing.choices import ChoiceFile
from ..routing.table import EVERY_CONTEXT, Table
from ..tasks.answers import ANSWER, answer_rows
from ..tasks.generators import TEMPLATES, generate
from ..tasks.graders import Task
from ..tasks.spec import AnswerSettings
from ..tasks.tasks import load_tasks, task_files
from .choosing import Cell, Chosen, choose_probes
from .spec import ProbeSpec

_FIRST_SEED = 10_000  # of the generators, plus the night's number: specs have small seeds
_MOST_GENERATED = 500  # tasks of a kind; all kinds have more
_UNKNOWN = 2.0  # weight of a model's mean in a context without outcomes, in outcomes
_MOST_SHOWN = 5  # contexts of a model in the line for the screen
_EVIDENCE = "exact"  # the class of evidence that probes give


def choose(number: int, world: World, probes: Sequence[ProbeSpec]) -> tuple[list[Chosen], dict[str, AnswerSettings]]:
    """Return the probes of night `number`, and how each model is asked. Raises a `ConfigError` or `DreamflowError`."""
    most = world.settings.night.probes
    settings = models_to_ask(world, probes)
    known = answered(world.layout.root, number) | planned(world)
    pool = [(task, _context(task, world)) for task in _pool(number, most, world.catalog.root / "probe")]
    tasks = {
        (model_id, name): in_turn(
            [task for task, own in pool if own == name and (model_id, task["task_id"]) not in known]
        )
        for model_id in settings
        for name in dict.fromkeys(own for _, own in pool)
    }
    asked = Counter(choice.context for choice in ChoiceFile(world.router.file.path).read())
    cells = cells_of(world.router.table, settings, {own: asked[own] for _, own in pool})
    return choose_probes(cells, tasks, most), settings


def models_to_ask(world: World, probes: Sequence[ProbeSpec]) -> dict[str, AnswerSettings]:
    """Return the models that can answer here and at once, with how they are asked."""
    settings: dict[str, AnswerSettings] = {}
    for spec in probes:
        own = {key: value for key, value in spec.asked.as_dict().items() if key != "auto"}
        settings |= dict.fromkeys(spec.models, AnswerSettings.model_validate({**own, "samples": 1})) | settings
    default = next(iter(settings.values()), AnswerSettings())
    for model_id in world.models:
        settings.setdefault(model_id, default)
    return {model_id: asked for model_id, asked in settings.items() if _can_answer(model_id, asked, world)}


def _can_answer(model_id: str, asked: AnswerSettings, world: World) -> bool:
    if model_id not in world.models:  # "auto"
        return False
    try:
        candidates(AutoModel(), {model_id: world.models[model_id]}, asked.sampling.as_dict())
    except ConfigError:
        return False
    return True


def _context(task: Task, world: World) -> str:
    row = {key: task[key] for key in ("task_id", "kind", "context")}
    context, _ = world.router.context_of(task["prompt"], row)
    return context


def _pool(number: int, most: int, folder: Path) -> list[Task]:
    """Return the tasks that people wrote, then generated ones, without repeated prompts."""
    base = load_tasks(folder) if task_files(folder) else []
    count = min(most, _MOST_GENERATED)
    generated = [task for kind in TEMPLATES if count for task in generate(kind, count, _FIRST_SEED + number)]
    return list({task["task_id"]: task for task in (*base, *generated)}.values())


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


def cells_of(table: Table | None, models: Iterable[str], contexts: Mapping[str, int]) -> list[Cell]:
    """Return what the routing table knows of each model in each context from exact grades.

    `contexts` says for how many questions in each trust has chosen a model so far: a context's weight is its share,
    with one question added to each. (Outcomes are no measure of that: probes would make their contexts frequent.)
    Without outcomes in a context, the model's mean over all contexts is expected there, with the weight of two.
    """
    cells, verify = (table.cells, table.verify) if table else ([], [])
    known = {(cell.model_id, cell.context): (cell.alpha, cell.beta) for cell in cells if cell.evidence == _EVIDENCE}
    total = sum(contexts.values()) + len(contexts)
    surprising = {(place.model_id, place.context) for place in verify}
    chosen = []
    for model_id in models:
        alpha, beta = known.get((model_id, EVERY_CONTEXT), (1.0, 1.0))
        elsewhere = tuple(_UNKNOWN * part / (alpha + beta) for part in (alpha, beta))
        for name, questions in contexts.items():
            is_surprising = not surprising.isdisjoint({(model_id, name), (model_id, EVERY_CONTEXT)})
            posterior = known.get((model_id, name), elsewhere)
            chosen.append(Cell(model_id, name, *posterior, (questions + 1) / total, is_surprising))
    return chosen


def night_text(number: int, chosen: Sequence[Chosen], settings: Mapping[str, AnswerSettings]) -> str:
    """Return a line for the screen: how many tasks each model gets, and in which contexts most."""
    if not settings:
        return f"night {number}: no model can answer probes here"
    parts = []
    for model_id in settings:
        contexts = Counter(one.context for one in chosen if one.model_id == model_id)
        most = ", ".join(f"{context} {count}" for context, count in contexts.most_common(_MOST_SHOWN))
        more = ", ..." if len(contexts) > _MOST_SHOWN else ""
        parts += [f"{model_id} {contexts.total()} ({most}{more})"] if contexts else []
    return f"night {number}: {len(chosen):,} probes" + (f": {'; '.join(parts)}" if parts else "")


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
        rows |= answer_rows([line["task"] for line in own], asked, model_id, world.catalog, world.models, world.router)
    return rows
