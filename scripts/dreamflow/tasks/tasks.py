"""Read tasks from JSON Lines and CSV files; check them against `TaskLine` and their own graders.

A CSV file has the columns `question` and `answer`, and maybe `kind` (default: knowledge). Its answers are exact, apart
from quotes, a full stop and capital letters; each row is a group of its own.

A task's `group` is "<kind>.<skill>.<template>". Tasks of one group are similar, so a split never separates them. The
templates of hand-written (base) tasks begin with "base-", so they share no group with generated tasks.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from ..config import check
from ..errors import ConfigError
from ..files import read_questions, read_text, sha256
from .graders import Task, code_problem, grade
from .spec import TaskLine


def load_tasks(path: Path | str) -> list[Task]:
    """Return the tasks of a .jsonl or .csv file, or of all in a folder, by file name. Raises `ConfigError`."""
    path = Path(path)
    files = task_files(path) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{path}: no .jsonl or .csv files in this folder")
    placed: list[tuple[str, Task]] = []
    for file in files:
        if file.suffix == ".csv":
            placed += [(f"{file}:{line}", _of_row(file, row)) for line, row in read_questions(file)]
            continue
        for number, line in enumerate(read_text(file).split("\n"), 1):
            if line.strip():
                try:
                    placed.append((f"{file}:{number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise ConfigError(f"{file}:{number}: not a line of JSON: {error}") from None
    return _checked(placed)


def task_files(folder: Path) -> list[Path]:
    """Return the files with tasks in a folder, by name."""
    return sorted([*folder.glob("*.jsonl"), *folder.glob("*.csv")])


def _of_row(file: Path, row: Mapping[str, str]) -> Task:
    """Return the task in a row of a CSV file."""
    kind, digest = row.get("kind") or "knowledge", sha256(row["question"])
    name = re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "questions"
    return {
        "task_id": f"{name}-{digest[:12]}",
        "kind": kind,
        "context": re.sub("[^a-z]+", " ", name).strip() or "questions",
        "group": f"{kind}.{name}.base-{digest[:12]}",
        "prompt": row["question"],
        "grader": {"name": "exact", "allow": ["quotes", "full stop", "case"]},
        "answer": row["answer"],
    }


def check_tasks(tasks: Iterable[Task], where: str = "tasks") -> list[Task]:
    """Return the tasks. Raises one `ConfigError` with all mistakes: those that `TaskLine` rejects, ids and prompts that
    occur twice, a group of another kind, and a reference answer that the task's grader rejects (code is not run)."""
    return _checked([(f"{where}[{number}]", task) for number, task in enumerate(tasks)])


def skill_of(task: Task) -> str:
    """Return the skill of a task within its kind, such as "date-iso"."""
    return task["group"].split(".")[1]


def with_worked(tasks: Iterable[Task], pool: Sequence[Task], count: int, seed: int = 0) -> list[Task]:
    """Return the tasks with at most `count` worked examples each, drawn from `pool` by seed and group.

    Examples of the same group come first, then those of the same skill, then those of the same kind; the task itself
    is excluded. The pool must not contain held-out tasks. Tasks of a group get the same examples in the same order, so
    that a model evaluates this prefix once.
    """
    orders: dict[str, list[Task]] = {}
    with_examples = []
    for task in tasks:
        if task["group"] not in orders:
            orders[task["group"]] = _by_similarity(task, pool, seed)
        others = [example for example in orders[task["group"]] if example["prompt"] != task["prompt"]]
        worked = [{"prompt": example["prompt"], "answer": example["answer"]} for example in others[:count]]
        with_examples.append({**task, "worked": worked})
    return with_examples


def _by_similarity(task: Task, pool: Sequence[Task], seed: int) -> list[Task]:
    order = [example for example in pool if example["kind"] == task["kind"]]
    Random(f"{seed}:{task['group']}").shuffle(order)  # noqa: S311  (a reproducible draw, not a secret)
    return sorted(order, key=lambda other: (other["group"] != task["group"]) + (skill_of(other) != skill_of(task)))


def _checked(placed: Sequence[tuple[str, Task]]) -> list[Task]:
    tasks, problems = [], []
    first_places: dict[tuple[str, str], str] = {}
    for where, task in placed:
        try:
            check(task, TaskLine, where)
        except ConfigError as error:
            problems.append(str(error))
            continue
        tasks.append(task)
        problems += [f"{where}: {problem}" for problem in _problems(task)]
        for key in ("task_id", "prompt"):
            first = first_places.setdefault((key, task[key].strip()), where)
            if first != where:
                problems.append(f"{where}: {key}: the same as in {first}; every task needs its own")
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks


def _problems(task: Task) -> list[str]:
    """Return the mistakes in a task that `TaskLine` does not find."""
    grader, problems = task["grader"], []
    if task["group"].split(".")[0] != task["kind"]:
        problems.append(f"group: {task['group']!r} must begin with the kind, {task['kind']!r}")
    if grader["name"] == "one_of" and task["answer"] not in grader["labels"]:
        problems.append(f"answer: {task['answer']!r} is not one of the labels {grader['labels']}")
    if grader["name"] == "code":
        problem = code_problem(task["answer"], grader["entry"])
        return [*problems, f"answer: {problem}"] if problem else problems
    try:
        graded = grade(task, task["answer"])
    except (ValueError, re.error) as error:  # the answer is not JSON, or the pattern is not a pattern
        return [*problems, f"grader: {error}"]
    if not graded.passed:
        problems.append(f"answer: its own grader rejects it: {graded.why}")
    return problems
