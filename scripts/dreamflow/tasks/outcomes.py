"""Outcomes: answers with their grades and costs, kept in a file of grades."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import DecodeError, Struct
from msgspec.json import decode

from ..errors import DreamflowError
from ..files import canonical, read_text, write_atomic
from ..generation.make import read_result, with_total_cost
from ..generation.model import Result, as_json
from .graders import Grade, Run, Task, grade


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer to a task and its grade: a line of a file of grades. Unknown tokens, seconds and costs are None.
    `sample` counts from 1; `stakes` is that of the task."""

    task_id: str
    kind: str
    context: str
    group: str
    model_id: str | None
    gen_id: str
    sample: int
    score: float | None
    passed: bool | None
    why: str
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float | None
    cost_usd: float | None
    stakes: float | None = None


def outcomes(folders: Iterable[Path], tasks: Mapping[str, Task], run: Run | str) -> list[Outcome]:
    """Grade the answers in `folders`; returns their outcomes in the same order.

    A failed answer is wrong. A skipped or pending answer is ungraded (score and passed are None), and so is code
    without a sandbox (`run` is then the reason). Raises a `DreamflowError` for a folder that answers none of `tasks`.
    """
    return [_outcome(folder, tasks, run) for folder in folders]


def _outcome(folder: Path, tasks: Mapping[str, Task], run: Run | str) -> Outcome:
    try:
        result = with_total_cost(read_result(folder), folder.parents[2])  # folder: <data>/gens/<stage>/<gen_id>
        text = (folder / "parsed.txt").read_text(encoding="utf-8") if result.status == "ok" else ""
        task_id = result.wildcards["task_id"]
    except (DreamflowError, OSError, ValueError, KeyError) as error:
        raise DreamflowError(f"{folder}: not a complete answer ({error}); delete the folder and run again") from None
    if task_id not in tasks:
        raise DreamflowError(f"{folder}: it answers the task {task_id!r}, which is not among the tasks")
    task = tasks[task_id]
    graded = _grade(result, task, text, run)
    usage = {"prompt_tokens": None, "completion_tokens": None, **as_json(result.usage)}
    return Outcome(
        **{key: task[key] for key in ("task_id", "kind", "context", "group")},
        model_id=result.model_id,
        gen_id=result.gen_id,
        sample=result.replicate,
        score=graded.score,
        passed=graded.passed,
        why=graded.why,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        latency_s=result.latency_s,
        cost_usd=result.cost_usd,
        stakes=task.get("stakes"),
    )


def _grade(result: Result, task: Task, text: str, run: Run | str) -> Grade:
    if result.status == "ok":
        return grade(task, text, run)
    if result.status == "failed":
        return Grade(0.0, False, f"no answer: {result.reason}")
    return Grade(None, None, f"ungraded: {result.status}: {result.reason}")


def write_grades(path: Path | str, graded: Iterable[Outcome]) -> None:
    """Write a file of grades: JSON Lines, in the order of the answers."""
    write_atomic(path, "".join(canonical(as_json(outcome)) + "\n" for outcome in graded))


def read_grades(path: Path | str) -> list[Outcome]:
    """Return the outcomes in a file of grades. Raises a `DreamflowError` that names an invalid line."""
    outcomes = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        try:
            outcomes += [decode(line, type=Outcome)] if line else []
        except DecodeError as error:
            raise DreamflowError(f"{path}:{number}: not a grade: {error}; delete the file and run again") from None
    return outcomes
