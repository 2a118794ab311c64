"""The tasks that a spec selects, and the generations that answer them."""

from collections.abc import Iterable, Mapping
from functools import cache

from ..config import under
from ..errors import ConfigError, Key, unknown
from ..files import canonical, sha256
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.model import Generation, Json, Message, as_json
from ..generation.models import Model
from ..generation.settings import AUTO, AutoModel, ModelCall, Sampling
from ..generation.stage import PromptKind, Stage
from ..routing.auto import Asked, Router
from .generators import generate
from .graders import Task
from .spec import AnswerSettings, TaskSelection
from .tasks import check_tasks, load_tasks

_SAMPLING = {"temperature": 0.0, "repeat_penalty": 1.0, "max_tokens": 48}
ANSWER = Stage("answer", "a", (PromptKind("answer", ("prompt",), "identity", _SAMPLING),))


def select_tasks(selection: TaskSelection, catalog: Catalog) -> dict[str, Task]:
    """Load and generate the selected tasks; returns them by id. Raises a `ConfigError` if nothing is selected."""
    tasks = load_tasks(catalog.root / "probe") if selection.base else []
    if selection.kinds is not None:
        check_kinds(selection.kinds, tasks, ("tasks", "kinds"))
        tasks = [task for task in tasks if task["kind"] in selection.kinds]
    for kind, number in selection.generate.items():
        with under("tasks", "generate", kind):
            tasks += generate(kind, number, selection.seed)
    with under("tasks"):
        tasks = check_tasks(tasks)
    if not tasks:
        raise ConfigError("no tasks: 'base' is false and nothing is generated", ("tasks",))
    return {task["task_id"]: task for task in tasks}


def check_kinds(kinds: Iterable[str], tasks: Iterable[Task], key: Key) -> None:
    """Raise a `ConfigError` for a kind without tasks; `key` is the key of the list of kinds."""
    existing = {task["kind"] for task in tasks}
    for place, kind in enumerate(kinds):
        if kind not in existing:
            raise ConfigError(f"no tasks of this kind: {unknown('kind', kind, existing)}", (*key, place))


def worked_turns(task: Task) -> list[Message]:
    """Return the worked examples of a task as turns of a chat.

    Small models are trained on chats: SmolLM2-135M solved 7 of 12 extraction tasks with three examples as turns, and
    at most one with the same examples in one text, in four different layouts.
    """
    return [
        Message(role, example[part])
        for example in task.get("worked", ())
        for role, part in (("user", "prompt"), ("assistant", "answer"))
    ]


def answer_rows(
    tasks: Iterable[Task],
    settings: AnswerSettings,
    model: str,
    catalog: Catalog,
    models: Mapping[str, Model],
    router: Router,
    auto: AutoModel | None = None,
) -> dict[str, Generation]:
    """Return the answers of `model` to the tasks, by gen_id; if that is "auto", `auto` says which models can be chosen.
    Truncated answers are kept and graded."""

    @cache
    def question(kind: str) -> Asked:
        own = settings.by_kind[kind].as_dict() if kind in settings.by_kind else {}
        sampling = Sampling(**{**settings.sampling.as_dict(), **own})
        given = {"auto": auto} if model == AUTO and auto is not None else {}
        call = ModelCall(model=model, template=settings.template, attempts=1, sampling=sampling, **given)
        return Asked("answer", call, catalog, models, router)

    rows: dict[str, Generation] = {}
    for task in tasks:
        turns = worked_turns(task)
        variables = {"prompt": {"sha256": catalog.keep(task["prompt"])}}
        wildcards = {"task_id": task["task_id"], "kind": task["kind"]}
        for sample in range(1, settings.samples + 1):
            # Sampling and turns are part of the id: two specs may ask one model the same task with different settings.
            def ids(model: str, fields: Mapping[str, Json], sample: int = sample) -> str:
                variant = sha256(canonical([fields["sampling"], as_json(turns)]))  # noqa: B023  (called at once)
                return generation_id("a_", task["task_id"], fields["template_id"], model, variant, sample)  # noqa: B023

            gen_id, fields = question(task["kind"]).row(
                ids, variables, {**wildcards, "context": task["context"]}, turns
            )
            rows[gen_id] = Generation(
                **fields | {"min_lines": 0},
                family="model",
                stage=ANSWER.name,
                gen_id=gen_id,
                replicate=sample,
                keep_truncated=True,
                turns=turns,
                variables=variables,
                wildcards=wildcards,
            )
    return rows
