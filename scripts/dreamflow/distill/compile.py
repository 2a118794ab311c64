"""A distillation spec -> the tasks that a small model may learn from, and the answers that it gives to them first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..errors import ConfigError
from ..family import World
from ..files import checked_name
from ..generation.model import Generation
from ..generation.model_files import weights_fingerprint
from ..generation.models import Model, find_model
from ..generation.providers import provider
from ..generation.settings import Sampling
from ..tasks.answers import Questions, answer_rows, check_kinds, spec_tasks
from ..tasks.graders import Task
from ..tasks.spec import AnswerSettings
from ..tasks.tasks import with_worked
from .spec import DistillationSpec, Student, Teacher
from .split import split_groups


@dataclass(frozen=True)
class Distillation:
    """A small model that learns. `splits` has the split of each group of tasks; `weights` are where the student's are,
    `teacher_weights` where the teacher's are if the training needs them."""

    name: str
    path: Path
    spec: DistillationSpec
    world: World
    tasks: Mapping[str, Task]
    splits: Mapping[str, str]
    student: Model
    teacher: Model
    weights: str
    teacher_weights: str | None

    @property
    def run(self) -> str:
        """Name and cycle, as its folder is called."""
        return f"{self.name}/cycle-{self.cycle}"

    @property
    def cycle(self) -> int:
        """The number of the cycle whose experiences it learns from."""
        return self.spec.cycle

    @property
    def folder(self) -> Path:
        """The folder of all that it makes."""
        return self.world.layout.root / "distill" / self.run

    @property
    def model_id(self) -> str:
        """The id of the student once it is registered."""
        return self.spec.export.model_id or f"{self.student.model_id}-{self.name}-c{self.cycle}"

    @property
    def exported(self) -> Model | None:
        """The exported student as a model; None if its provider takes no adapters, so that it cannot be used here."""
        if not provider(self.student.provider).takes_adapters:
            return None
        adapter = str(self.folder / "export" / "adapter.gguf")
        return self.student.model_copy(update={"model_id": self.model_id, "lora": adapter})

    def answers(
        self, tasks: Iterable[Task], part: str, settings: AnswerSettings, model: Model
    ) -> dict[str, Generation]:
        """The answers of `model` to these tasks; `part` of the spec has the settings."""
        models = {**self.world.models, model.model_id: model}
        with in_file(self.path), under(part):
            return answer_rows(tasks, Questions(settings, model.model_id, self.world.catalog, models))


def compile_distillation(name: str, world: World) -> Distillation:
    """Compile `config/distillations/<name>.yaml`. Raises `ConfigError`."""
    path = Path(f"config/distillations/{checked_name(name, 'distillations')}.yaml")
    spec = load_yaml(path, DistillationSpec)
    with in_file(path):
        tasks = spec_tasks(spec.tasks, world.catalog)
        replay = spec.replay
        groups = {task["group"] for task in tasks.values()}
        with under("replay"):
            splits = split_groups(groups, replay.validation, replay.held_out, replay.seed)
        with under("student", "model"):
            student = find_model(world.models, spec.student.model)
        with under("teacher", "model"):
            teacher = find_model(world.models, spec.teacher.model)
        check_kinds(replay.kinds, tasks.values(), ("replay", "kinds"))
        weights = _weights("student", spec.student, student)
        teacher_weights = _weights("teacher", spec.teacher, teacher) if spec.training.kl_weight else None
        distillation = Distillation(name, path, spec, world, tasks, splits, student, teacher, weights, teacher_weights)
        teacher_rows(distillation, target_tasks(distillation)[:1])  # so that a mistake in its settings is found now
        _check_registered(distillation)
    return distillation


def _weights(who: str, settings: Student | Teacher, model: Model) -> str:
    """The weights of the student or the teacher, which must exist now."""
    weights = settings.weights or (model.name if provider(model.provider).takes_adapters else None)
    if not weights:
        raise ConfigError(
            f"'weights' is missing: {model.model_id} is served by {model.provider}, so its weights must be "
            "named: a Hugging Face folder, a GGUF file or package:<package>/<file>",
            (who,),
        )
    with under(who, "weights"):
        weights_fingerprint(weights)
    return weights


def _check_registered(distillation: Distillation) -> None:
    """A model that has the id of the exported student must be the same student, exported earlier."""
    registered, exported = distillation.world.models.get(distillation.model_id), distillation.exported
    if registered is None or exported is None or _content(registered) == _content(exported):
        return
    file = distillation.world.layout.registered_models / f"{distillation.model_id}.yaml"
    raise ConfigError(
        f"the student will be called {distillation.model_id}, but there is another model of this id. Delete {file} if "
        "that is a student of other weights, or set another id",
        ("export", "model_id"),
    )


def _content(model: Model) -> tuple[str, str, str, Path]:
    return model.provider, model.name, model.revision, Path(model.lora or "").resolve()


def practice_rows(distillation: Distillation) -> dict[str, Generation]:
    """The answers that the student gives before it has learned anything, to the tasks that it may learn from."""
    tasks = [*target_tasks(distillation), *_general_tasks(distillation)]
    return distillation.answers(tasks, "practice", distillation.spec.practice, distillation.student)


def target_tasks(distillation: Distillation) -> list[Task]:
    """All tasks of the kinds to learn that are not held out."""
    kinds = distillation.spec.replay.kinds
    tasks = [task for task in distillation.tasks.values() if task["kind"] in kinds]
    return [task for task in tasks if distillation.splits[task["group"]] != "held_out"]


def _general_tasks(distillation: Distillation) -> list[Task]:
    """As many tasks of other kinds as a replay set takes, kinds in turn."""
    replay, splits = distillation.spec.replay, distillation.splits
    chosen: list[Task] = []
    for split, share in (("train", 1 - replay.validation), ("validation", replay.validation)):
        turns: dict[str, int] = {}
        general = []
        for task in distillation.tasks.values():
            if task["kind"] not in replay.kinds and splits[task["group"]] == split:
                turn = turns[task["kind"]] = turns.get(task["kind"], 0) + 1
                general.append((turn, task))
        general.sort(key=lambda one: one[0])
        chosen += [task for _, task in general[: ceil(replay.size * share * replay.general_share)]]
    return chosen


def teacher_rows(distillation: Distillation, tasks: Iterable[Task]) -> dict[str, Generation]:
    """The answers that the teacher gives to these tasks, by gen_id; its worked examples are of groups to learn from."""
    settings, splits = distillation.spec.teacher, distillation.splits
    pool = [task for task in distillation.tasks.values() if splits[task["group"]] != "held_out"]
    shown = with_worked(tasks, pool, settings.worked) if settings.worked else tasks
    return distillation.answers(shown, "teacher", settings, distillation.teacher)


def exported_rows(distillation: Distillation, tasks: Iterable[Task], exported: Model) -> dict[str, Generation]:
    """The answers of the exported student to held-out tasks, by gen_id."""
    sampling = Sampling(max_tokens=distillation.spec.validation.max_tokens)
    changes = {"samples": 1, "sampling": sampling, "by_kind": {}}
    settings = distillation.spec.practice.model_copy(update=changes)
    return distillation.answers(tasks, "practice", settings, exported)


def possible_teacher_rows(distillation: Distillation) -> dict[str, Generation]:
    """As many answers of the teacher as a replay set can need."""
    replay = distillation.spec.replay
    return teacher_rows(distillation, target_tasks(distillation)[: round(replay.size * (1 - replay.general_share))])


def possible_exported_rows(distillation: Distillation) -> dict[str, Generation]:
    """As many answers of the exported student as there can be; the adapter, which is not made yet, is left out."""
    if distillation.exported is None:
        return {}
    replay, splits = distillation.spec.replay, distillation.splits
    tasks: Sequence[Task] = [
        task
        for task in distillation.tasks.values()
        if task["kind"] in replay.kinds and splits[task["group"]] == "held_out"
    ]
    without_adapter = distillation.exported.model_copy(update={"lora": None})
    return exported_rows(distillation, tasks[: replay.held_out_size], without_adapter)
