"""Compile a distillation spec into tasks and the answers of the untrained student."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..cycles import current_cycle, last_cycles
from ..errors import ConfigError
from ..family import World
from ..files import sha256
from ..generation.model import Generation
from ..generation.model_files import weights_fingerprint
from ..generation.models import Model, find_model
from ..generation.providers import provider
from ..generation.settings import AUTO, AutoModel, Sampling
from ..tasks.answers import answer_rows, check_kinds, select_tasks
from ..tasks.graders import Task
from ..tasks.spec import AnswerSettings
from ..tasks.tasks import with_worked
from .spec import DistillationSpec, Student, Teacher


@dataclass(frozen=True)
class Distillation:
    """A compiled distillation. `splits` maps groups of tasks to splits; `weights` and `teacher_weights` are the sources
    of the weights (the teacher's only if the training needs them). `teacher` is None if trust chooses it. `cycles`:
    the last begun and the last finished cycle, if the spec has `cycle: auto`."""

    name: str
    path: Path
    spec: DistillationSpec
    world: World
    tasks: Mapping[str, Task]
    splits: Mapping[str, str]
    student: Model
    teacher: Model | None
    weights: str
    teacher_weights: str | None
    cycles: tuple[int, int] | None = None

    @property
    def run(self) -> str:
        """The name and cycle, as in the folder."""
        return f"{self.name}/cycle-{self.spec.cycle}"

    @property
    def folder(self) -> Path:
        """The folder of all products."""
        return self.world.layout.root / "distill" / self.run

    @property
    def model_id(self) -> str:
        """The id of the registered student."""
        return self.spec.export.model_id or f"{self.student.model_id}-{self.name}-c{self.spec.cycle}"

    @property
    def exported(self) -> Model | None:
        """The exported student as a model; None if its provider does not take adapters."""
        if not provider(self.student.provider).takes_adapters:
            return None
        adapter = str(self.folder / "export" / "adapter.gguf")
        return self.student.model_copy(update={"model_id": self.model_id, "lora": adapter})

    def answers(
        self, tasks: Iterable[Task], section: str, settings: AnswerSettings, model: Model | None
    ) -> dict[str, Generation]:
        """Return the answers of `model` to the tasks, or of those that trust chooses; `section` of the spec has the
        settings."""
        world = self.world
        models, name, auto = world.models, AUTO, None
        if model is not None:
            models, name = {**models, model.model_id: model}, model.model_id
        else:
            auto = self.spec.teacher.auto or AutoModel()
            models = {key: value for key, value in models.items() if key != self.student.model_id or auto.of}
        with in_file(self.path), under(section):
            return answer_rows(tasks, settings, name, world.catalog, models, world.router, auto)

    def target_tasks(self, *, held_out: bool) -> list[Task]:
        """Return the tasks of the kinds to learn: the held-out tasks or the others."""
        tasks = [task for task in self.tasks.values() if task["kind"] in self.spec.replay.kinds]
        return [task for task in tasks if (self.splits[task["group"]] == "held_out") == held_out]


def compile_distillation(name: str, path: Path, world: World) -> Distillation:
    """Compile a file of config/distillations/. Raises `ConfigError`."""
    spec, cycles = load_yaml(path, DistillationSpec), None
    if spec.cycle == AUTO:
        root = world.layout.root
        cycles = last_cycles(root / "distill" / name, "report.md")
        spec = spec.model_copy(update={"cycle": current_cycle(root, f"distillations/{name}", *cycles)})
    replay = spec.replay
    with in_file(path):
        tasks = select_tasks(spec.tasks, world.catalog)
        with under("replay"):
            groups = {task["group"] for task in tasks.values()}
            splits = split_groups(groups, replay.validation, replay.held_out, replay.seed)
        with under("student", "model"):
            student = find_model(world.models, spec.student.model)
        with under("teacher", "model"):
            is_chosen = spec.teacher.model == AUTO
            if is_chosen and spec.training.kl_weight:
                raise ConfigError("'training.kl_weight' needs the weights of one teacher: name it")
            teacher = None if is_chosen else find_model(world.models, spec.teacher.model)
        check_kinds(replay.kinds, tasks.values(), ("replay", "kinds"))
        weights = _weights("student", spec.student, student)
        teacher_weights = _weights("teacher", spec.teacher, teacher) if spec.training.kl_weight else None
        distillation = Distillation(
            name, path, spec, world, tasks, splits, student, teacher, weights, teacher_weights, cycles
        )
        teacher_rows(
            distillation, distillation.target_tasks(held_out=False)[:1]
        )  # reports mistakes in its settings now
        _check_registered(distillation)
    return distillation


def split_groups(groups: Iterable[str], validation: float, held_out: float, seed: int) -> dict[str, str]:
    """Return the split (train, validation or held_out) of each group "<kind>.<skill>.<template>".

    `held_out` and `validation` are shares of the groups of each kind, at least one group each. The seed orders the
    groups, skill by skill; groups are taken at equal distances, which spreads skills over the splits. More tasks move
    no group; more groups may move others of their kind. Raises a `ConfigError` for a kind with too few groups.
    """
    kinds: dict[str, list[str]] = {}
    for group in groups:
        kinds.setdefault(group.split(".")[0], []).append(group)
    splits: dict[str, str] = {}
    for kind, members in sorted(kinds.items()):
        members.sort(key=lambda group: (sha256(f"{seed}:{group.rsplit('.', 1)[0]}"), sha256(f"{seed}:{group}")))
        counts = [max(1, round(share * len(members))) for share in (held_out, validation)]
        if sum(counts) >= len(members):
            raise ConfigError(
                f"kind {kind}: its {len(members)} group(s) of tasks cannot be split into train, validation "
                f"({validation:g}) and held-out ({held_out:g}); at least 3 are needed: add groups, lower these shares, "
                "or leave its tasks out"
            )
        for split, count in zip(("held_out", "validation"), counts, strict=True):
            rest = [group for group in members if group not in splits]
            splits |= {rest[int((place + 0.5) * len(rest) / count)]: split for place in range(count)}
        splits |= {group: "train" for group in members if group not in splits}
    return splits


def _weights(section: str, settings: Student | Teacher, model: Model) -> str:
    """Return the source of the weights. Raises `ConfigError` if they do not exist."""
    weights = settings.weights or (model.source if provider(model.provider).takes_adapters else None)
    if not weights:
        raise ConfigError(
            f"'weights' is missing: {model.model_id} is served by {model.provider}, so its weights must be "
            "named: a Hugging Face folder, a GGUF file, package:<package>/<file> or hf:<repository>/<file>",
            (section,),
        )
    with under(section, "weights"):
        weights_fingerprint(weights)
    return weights


def _check_registered(distillation: Distillation) -> None:
    """Raise a `ConfigError` if a different model already has the id of the exported student."""
    registered, exported = distillation.world.models.get(distillation.model_id), distillation.exported
    if registered is None or exported is None or _content(registered) == _content(exported):
        return
    file = distillation.world.layout.registered_models / f"{distillation.model_id}.yaml"
    raise ConfigError(
        f"the student's id, {distillation.model_id}, belongs to another model. Delete {file} if that is a student "
        "with other weights, or set another id",
        ("export", "model_id"),
    )


def _content(model: Model) -> tuple[str, str, str, Path]:
    return model.provider, model.name, model.revision, Path(model.lora or "").resolve()


def practice_rows(distillation: Distillation) -> dict[str, Generation]:
    """Return the answers of the untrained student to all tasks that it may learn from."""
    tasks = [*distillation.target_tasks(held_out=False), *_general_tasks(distillation)]
    return distillation.answers(tasks, "practice", distillation.spec.practice, distillation.student)


def _general_tasks(distillation: Distillation) -> list[Task]:
    """Return as many general tasks as a replay set takes, kinds in turn."""
    replay, splits = distillation.spec.replay, distillation.splits
    chosen: list[Task] = []
    for split, share in (("train", 1 - replay.validation), ("validation", replay.validation)):
        turns: dict[str, int] = {}
        general = []
        for task in distillation.tasks.values():
            if task["kind"] not in replay.kinds and splits[task["group"]] == split:
                turn = turns[task["kind"]] = turns.get(task["kind"], 0) + 1
                general.append((turn, task))
        general.sort(key=lambda numbered: numbered[0])
        chosen += [task for _, task in general[: ceil(replay.size * share * replay.general_share)]]
    return chosen


def teacher_rows(distillation: Distillation, tasks: Iterable[Task]) -> dict[str, Generation]:
    """Return the teacher's answers to the tasks, by gen_id. Its worked examples are never held out."""
    settings, splits = distillation.spec.teacher, distillation.splits
    if settings.worked:
        pool = [task for task in distillation.tasks.values() if splits[task["group"]] != "held_out"]
        tasks = with_worked(tasks, pool, settings.worked)
    return distillation.answers(tasks, "teacher", settings, distillation.teacher)


def exported_rows(distillation: Distillation, tasks: Iterable[Task], exported: Model) -> dict[str, Generation]:
    """Return the answers of the exported student to held-out tasks, by gen_id."""
    sampling = Sampling(max_tokens=distillation.spec.validation.max_tokens)
    settings = distillation.spec.practice.model_copy(update={"samples": 1, "sampling": sampling, "by_kind": {}})
    return distillation.answers(tasks, "practice", settings, exported)


def possible_teacher_rows(distillation: Distillation) -> dict[str, Generation]:
    """Return as many teacher's answers as a replay set can need."""
    replay = distillation.spec.replay
    counts = replay_counts(replay.size, replay.validation, replay.general_share)
    most = sum(of_split["target"] for of_split in counts.values())
    return teacher_rows(distillation, distillation.target_tasks(held_out=False)[:most])


def replay_counts(size: int, validation: float, general_share: float) -> dict[str, dict[str, int]]:
    """Return how many tasks of each role the splits of a replay set have at most."""
    counts = {}
    for split, share in (("train", 1 - validation), ("validation", validation)):
        of_split = round(size * share)
        general = round(of_split * general_share)
        counts[split] = {"target": of_split - general, "general": general}
    return counts


def possible_exported_rows(distillation: Distillation) -> dict[str, Generation]:
    """Return as many answers of the exported student as possible, without its adapter, which does not exist yet."""
    if distillation.exported is None:
        return {}
    tasks = distillation.target_tasks(held_out=True)[: distillation.spec.replay.held_out_size]
    return exported_rows(distillation, tasks, distillation.exported.model_copy(update={"lora": None}))
