"""Tasks with exact graders -> generations: one answer for each task, model and sample; and the specs that ask for them.

A probe measures models (`config/probes/`). A distillation (`config/distillations/`) lets a model practise the tasks
that it may learn from, before a teacher shows it how; what it is measured on afterwards, nobody is asked here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from ..config import in_file, load_yaml, under
from ..errors import ConfigError, Key, unknown
from ..files import canonical, checked_name, sha256
from ..generation.asking import asking
from ..generation.catalog import Catalog, template
from ..generation.ids import generation_id
from ..generation.model_files import weights_fingerprint
from ..generation.models import find_model
from ..probe.spec import ProbeSpec
from ..tasks.generators import generate
from ..tasks.tasks import check_tasks, load_tasks, with_worked
from .spec import DistillationSpec
from .split import split_groups
from .teaching import teacher_messages

Row = dict[str, Any]
Task = Mapping[str, Any]

SAMPLING = {"temperature": 0.0, "repeat_penalty": 1.0, "max_tokens": 48}


@dataclass(frozen=True)
class Probe:
    """Models that are measured, the tasks by id, and the answers to make, each with the model that is asked."""

    name: str
    path: Path
    tasks: Mapping[str, Task]
    generations: Mapping[str, Row]


@dataclass(frozen=True)
class Distillation:
    """A small model that learns. `splits` has the split of each group of tasks; `generations` are the answers that the
    model gives before it has learned anything, to the tasks that it may learn from."""

    name: str
    path: Path
    spec: Row
    catalog: Catalog
    models: Mapping[str, Row]
    tasks: Mapping[str, Task]
    splits: Mapping[str, str]
    weights: str
    teacher_weights: str | None
    generations: dict[str, Row] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """Name and cycle, as the folder is called."""
        return f"{self.name}/cycle-{self.spec['cycle']}"

    @property
    def model_id(self) -> str:
        """What the student is called once it is registered."""
        default = f"{self.spec['student']['model']}-{self.name}-c{self.spec['cycle']}"
        return self.spec["export"].get("model_id", default)


def compile_probe(name: str, catalog: Catalog, models: Mapping[str, Row]) -> Probe:
    """Compile `config/probes/<name>.yaml`."""
    path = Path(f"config/probes/{checked_name(name, 'probes')}.yaml")
    spec = load_yaml(path, ProbeSpec).as_dict()
    rows: dict[str, Row] = {}
    with in_file(path):
        tasks = _tasks(spec["tasks"], catalog)
        for place, model in enumerate(spec["models"]):
            with under("models", place):
                find_model(models, model)
            with under("asked"):
                rows |= answer_rows(tasks.values(), {**spec["asked"], "model": model}, catalog, models)
    return Probe(name, path, tasks, rows)


def compile_distillation(name: str, catalog: Catalog, models: Mapping[str, Row]) -> Distillation:
    """Compile `config/distillations/<name>.yaml`."""
    path = Path(f"config/distillations/{checked_name(name, 'distillations')}.yaml")
    spec = load_yaml(path, DistillationSpec).as_dict()
    with in_file(path):
        tasks = _tasks(spec["tasks"], catalog)
        replay = spec["replay"]
        groups = {task["group"] for task in tasks.values()}
        with under("replay"):
            splits = split_groups(groups, replay["validation"], replay["held_out"], replay["seed"])
        with under("student", "model"):
            student = find_model(models, spec["student"]["model"])
        with under("teacher", "model"):
            teacher = find_model(models, spec["teacher"]["model"])
        with under("teacher", "template"):
            template(catalog, "answer", spec["teacher"]["template"])
        _check_kinds(replay["kinds"], tasks.values(), ("replay", "kinds"))
        weights = _weights("student", spec, student)
        teacher_weights = _weights("teacher", spec, teacher) if spec["training"]["kl_weight"] else None
        found = Distillation(name, path, spec, catalog, models, tasks, splits, weights, teacher_weights)
        asked = {**spec["practice"], "model": student["model_id"]}
        with under("practice"):
            found.generations.update(answer_rows(practised(found), asked, catalog, models))
    return found


def _weights(who: str, spec: Row, model: Mapping[str, Any]) -> str:
    """The weights of the student or the teacher, which must exist now."""
    weights = spec[who].get("weights") or (model["name"] if model["provider"] == "llama_cpp" else None)
    if not weights:
        raise ConfigError(
            f"'weights' is missing: {model['model_id']} is served by {model['provider']}, so its weights must be "
            "named: a Hugging Face folder, a GGUF file or package:<package>/<file>",
            (who,),
        )
    with under(who, "weights"):
        weights_fingerprint(weights)
    return weights


def _check_kinds(kinds: Iterable[str], tasks: Iterable[Task], key: Key) -> None:
    """Raise a ConfigError if there are no tasks of one of these kinds; `key` is that of the list of kinds."""
    existing = {task["kind"] for task in tasks}
    for place, kind in enumerate(kinds):
        if kind not in existing:
            raise ConfigError(f"no tasks of this kind: {unknown('kind', kind, existing)}", (*key, place))


def practised(distillation: Distillation) -> list[Task]:
    """The tasks that training and validation choose from: all of the kinds to learn, of the others as many as a replay
    set takes, kinds in turn."""
    replay, splits = distillation.spec["replay"], distillation.splits
    found = [
        task
        for task in distillation.tasks.values()
        if task["kind"] in replay["kinds"] and splits[task["group"]] != "held_out"
    ]
    for split, share in (("train", 1 - replay["validation"]), ("validation", replay["validation"])):
        turns: dict[str, int] = {}
        general = []
        for task in distillation.tasks.values():
            if task["kind"] not in replay["kinds"] and splits[task["group"]] == split:
                turn = turns[task["kind"]] = turns.get(task["kind"], 0) + 1
                general.append((turn, task))
        general.sort(key=lambda one: one[0])
        found += [task for _, task in general[: ceil(replay["size"] * share * replay["general_share"])]]
    return found


def teacher_rows(distillation: Distillation, tasks: Iterable[Task]) -> dict[str, Row]:
    """The answers that the teacher gives to these tasks, by gen_id; its worked examples are of groups to learn from."""
    pool = [task for task in distillation.tasks.values() if distillation.splits[task["group"]] != "held_out"]
    teacher = distillation.spec["teacher"]
    shown = with_worked(tasks, pool, teacher["worked"]) if teacher["worked"] else list(tasks)
    with in_file(distillation.path), under("teacher"):
        return answer_rows(shown, teacher, distillation.catalog, distillation.models)


def _tasks(settings: Row, catalog: Catalog) -> dict[str, Task]:
    tasks = load_tasks(catalog.root / "probe") if settings["base"] else []
    if "kinds" in settings:
        _check_kinds(settings["kinds"], tasks, ("tasks", "kinds"))
        tasks = [task for task in tasks if task["kind"] in settings["kinds"]]
    for kind, number in settings["generate"].items():
        with under("tasks", "generate", kind):
            tasks += generate(kind, number, settings["seed"])
    with under("tasks"):
        tasks = check_tasks(tasks)
    if not tasks:
        raise ConfigError("no tasks: 'base' is false and nothing is generated", ("tasks",))
    return {task["task_id"]: task for task in tasks}


def answer_rows(tasks: Iterable[Task], asked: Row, catalog: Catalog, models: Mapping[str, Row]) -> dict[str, Row]:
    """The answers of a model to tasks, by gen_id. `asked` is what a spec says of it, and the model.

    A truncated answer is an answer: it is graded as it stands.
    """
    fields: dict[str, Row] = {}  # by kind
    rows = {}
    for task in tasks:
        kind = task["kind"]
        if kind not in fields:
            own = {**asked["sampling"], **asked["by_kind"].get(kind, {})}
            settings = {"fallback": [], "attempts": 1, **asked, "sampling": own}
            fields[kind] = asking("answer", settings, SAMPLING, catalog, models)
        *turns, _ = teacher_messages(task)
        row = fields[kind]
        # How it is asked is a part of the id: one model may answer a task warm for one spec and cold for another.
        how = sha256(canonical([row["sampling"], turns]))
        for sample in range(1, asked["samples"] + 1):
            ids = (task["task_id"], row["template_id"], row["model"]["model_id"], how, sample)
            gen_id = generation_id("a_", *ids)
            rows[gen_id] = {
                **row,
                "family": "model",
                "stage": "answer",
                "gen_id": gen_id,
                "replicate": sample,
                "min_lines": 0,
                "keep_truncated": True,
                "turns": turns,
                "variables": {"prompt": {"sha256": catalog.keep(task["prompt"])}},
                "wildcards": {"task_id": task["task_id"], "kind": kind},
            }
    return rows
