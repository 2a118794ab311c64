"""Tasks as files: one JSON object a line, checked against `TaskLine` and against their graders.

A task's `group` is "<kind>.<skill>.<template>": tasks of one template are alike and never go to both sides of a split.
Templates of the base tasks, which people wrote one by one, begin with "base-"; those of generators do not, so that
the two never share a group.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from ..config import check
from ..errors import ConfigError
from ..files import read_text
from .graders import Task, code_problem, grade
from .spec import TaskLine


def load_tasks(path: Path | str) -> list[Task]:
    """The tasks of a .jsonl file, or of all those in a folder in order of name, checked together."""
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{path}: no .jsonl files of tasks here")
    placed: list[tuple[str, Task]] = []
    for file in files:
        for number, line in enumerate(read_text(file).split("\n"), 1):
            if line.strip():
                placed.append((f"{file}:{number}", _read(line, f"{file}:{number}")))
    return _checked(placed)


def check_tasks(tasks: Iterable[Task], where: str = "tasks") -> list[Task]:
    """`tasks`, or one `ConfigError` for all that is wrong with them.

    Wrong are: what `TaskLine` refuses, an id or a prompt that is there twice, a kind that is not its group's, and a
    reference answer that the task's own grader refuses (code is read only, not run).
    """
    return _checked([(f"{where}[{number}]", task) for number, task in enumerate(tasks)])


def skill_of(task: Task) -> str:
    """What a task asks for within its kind, such as "date-iso"."""
    return task["group"].split(".")[1]


def with_worked(tasks: Iterable[Task], pool: Sequence[Task], count: int, seed: int = 0) -> list[Task]:
    """`tasks`, each with at most `count` worked examples drawn from `pool`: of its group as far as there are, else of
    its skill, else of its kind; never the task itself.

    Whoever gives a pool of tasks to learn from decides what a teacher sees: held-out tasks do not belong in it.
    Tasks of a group see the same examples in the same order (but for those that are examples themselves), so that a
    model evaluates them once. The draw depends on seed, group and pool.
    """
    by_kind: dict[str, list[Task]] = {}
    for one in pool:
        by_kind.setdefault(one["kind"], []).append(one)
    orders: dict[str, list[Task]] = {}
    taught = []
    for task in tasks:
        if task["group"] not in orders:
            orders[task["group"]] = _by_likeness(task, by_kind.get(task["kind"], ()), seed)
        others = [one for one in orders[task["group"]] if one["prompt"] != task["prompt"]]
        worked = [{"prompt": one["prompt"], "answer": one["answer"]} for one in others[:count]]
        taught.append({**task, "worked": worked})
    return taught


def _by_likeness(task: Task, pool: Sequence[Task], seed: int) -> list[Task]:
    order = list(pool)
    Random(f"{seed}:{task['group']}").shuffle(order)  # noqa: S311  (a reproducible draw, not a secret)
    return sorted(order, key=lambda one: (one["group"] != task["group"]) + (skill_of(one) != skill_of(task)))


def _read(line: str, where: str) -> Task:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not a line of JSON: {error}") from None


def _checked(placed: Sequence[tuple[str, Task]]) -> list[Task]:
    tasks, problems = [], []
    first_by_id: dict[str, str] = {}
    first_by_prompt: dict[str, str] = {}
    for where, task in placed:
        try:
            check(task, TaskLine, where)
        except ConfigError as error:
            problems.append(str(error))
            continue
        tasks.append(task)
        problems += [f"{where}: {problem}" for problem in _problems(task)]
        for key, first in (("task_id", first_by_id), ("prompt", first_by_prompt)):
            earlier = first.setdefault(task[key].strip(), where)
            if earlier != where:
                problems.append(f"{where}: {key}: the same as in {earlier}; every task needs its own")
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks


def _problems(task: Task) -> list[str]:
    """What `TaskLine` cannot check in one task."""
    grader, problems = task["grader"], []
    if task["group"].split(".")[0] != task["kind"]:
        problems.append(f"group: {task['group']!r} must begin with the kind, {task['kind']!r}")
    if grader["name"] == "one_of" and task["answer"] not in grader["labels"]:
        problems.append(f"answer: {task['answer']!r} is none of the labels {grader['labels']}")
    if grader["name"] == "code":
        problem = code_problem(task["answer"], grader["entry"])
        return [*problems, f"answer: {problem}"] if problem else problems
    try:
        graded = grade(task, task["answer"])
    except (ValueError, re.error) as error:  # an answer that is no JSON, a pattern that is none
        return [*problems, f"grader: {error}"]
    if not graded.passed:
        problems.append(f"answer: its own grader refuses it: {graded.why}")
    return problems
