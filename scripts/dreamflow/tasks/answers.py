"""Answers of models to tasks: which tasks a spec names, and the generations that answer them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..config import under
from ..errors import ConfigError, Key, unknown
from ..files import canonical, sha256
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.model import Generation, Json, Message, as_json
from ..generation.models import Model
from ..generation.questions import question_fields
from ..generation.settings import ModelCall, Sampling
from ..generation.stage import PromptKind, Stage
from .generators import generate
from .graders import Task
from .spec import AnswerSettings, TaskSelection
from .tasks import check_tasks, load_tasks

_SAMPLING = {"temperature": 0.0, "repeat_penalty": 1.0, "max_tokens": 48}
ANSWER = Stage("answer", "a", (PromptKind("answer", ("prompt",), "identity", _SAMPLING),))


def spec_tasks(settings: TaskSelection, catalog: Catalog) -> dict[str, Task]:
    """The tasks that a spec names, by id: those that people wrote, and generated ones. `settings` are its `tasks`.
    Raises `ConfigError` if there are none, or not of a kind."""
    tasks = load_tasks(catalog.root / "probe") if settings.base else []
    if settings.kinds is not None:
        check_kinds(settings.kinds, tasks, ("tasks", "kinds"))
        tasks = [task for task in tasks if task["kind"] in settings.kinds]
    for kind, number in settings.generate.items():
        with under("tasks", "generate", kind):
            tasks += generate(kind, number, settings.seed)
    with under("tasks"):
        tasks = check_tasks(tasks)
    if not tasks:
        raise ConfigError("no tasks: 'base' is false and nothing is generated", ("tasks",))
    return {task["task_id"]: task for task in tasks}


def check_kinds(kinds: Iterable[str], tasks: Iterable[Task], key: Key) -> None:
    """Raise a `ConfigError` if there are no tasks of one of these kinds; `key` is that of the list of kinds."""
    existing = {task["kind"] for task in tasks}
    for place, kind in enumerate(kinds):
        if kind not in existing:
            raise ConfigError(f"no tasks of this kind: {unknown('kind', kind, existing)}", (*key, place))


def worked_turns(task: Task) -> list[Message]:
    """The chat before a task, in which its worked examples (see `tasks.with_worked`) were answered already.

    Examples as turns of a chat, not as one text, since small models were trained on chats: of 12 extraction tasks
    SmolLM2-135M answered 7 with three examples as turns, and none or one with the same three in any of four texts.
    """
    return [
        Message(role, example[part])
        for example in task.get("worked", ())
        for role, part in (("user", "prompt"), ("assistant", "answer"))
    ]


@dataclass(frozen=True)
class Questions:
    """How a spec has a model answer tasks."""

    settings: AnswerSettings
    model_id: str
    catalog: Catalog
    models: Mapping[str, Model]
    fields: dict[str, dict[str, Json]] = field(default_factory=dict)  # by kind of task

    def of_kind(self, kind: str) -> dict[str, Json]:
        """The fields that all answers to tasks of a kind have in common. Raises `ConfigError`."""
        if kind not in self.fields:
            settings = self.settings
            sampling = settings.sampling.as_dict()
            if kind in settings.by_kind:
                sampling |= settings.by_kind[kind].as_dict()
            call = ModelCall(model=self.model_id, template=settings.template, attempts=1, sampling=Sampling(**sampling))
            self.fields[kind] = question_fields("answer", call, self.catalog, self.models)
        return self.fields[kind]


def answer_rows(tasks: Iterable[Task], questions: Questions) -> dict[str, Generation]:
    """The answers of a model to tasks, by gen_id. A truncated answer is an answer: it is graded as it is."""
    rows: dict[str, Generation] = {}
    for task in tasks:
        fields, turns = questions.of_kind(task["kind"]), worked_turns(task)
        # Sampling and turns are a part of the id: a model may answer a task warm for one spec and cold for another.
        variant = sha256(canonical([fields["sampling"], as_json(turns)]))
        for sample in range(1, questions.settings.samples + 1):
            signature = (task["task_id"], fields["template_id"], fields["model"].model_id, variant, sample)
            gen_id = generation_id("a_", *signature)
            rows[gen_id] = Generation(
                **{**fields, "min_lines": 0},
                family="model",
                stage=ANSWER.name,
                gen_id=gen_id,
                replicate=sample,
                keep_truncated=True,
                turns=turns,
                variables={"prompt": {"sha256": questions.catalog.keep(task["prompt"])}},
                wildcards={"task_id": task["task_id"], "kind": task["kind"]},
            )
    return rows
