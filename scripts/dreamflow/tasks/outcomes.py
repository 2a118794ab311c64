"""Answers that were made, as outcomes: each graded, with what it cost."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DreamflowError
from .graders import Run, Task, grade


def outcomes(folders: Iterable[Path], tasks: Mapping[str, Task], run: Run | str) -> list[dict[str, Any]]:
    """One row for each generation of the stage answer, in the order of their `folders`.

    {task_id, kind, context, group, model_id, gen_id, sample (from 1), score (0-1), passed, why, prompt_tokens,
    completion_tokens, latency_s, cost_usd}. A truncated answer is graded as it stands. An answer that failed is wrong,
    for the reason in its metadata; one that is skipped or pending is ungraded (score and passed are None), and so is
    code where `run` is the reason why there is no sandbox. Tokens, seconds and cost are None where they are not known.
    `tasks` are by id. A `DreamflowError` names a folder that is no answer to any of them.
    """
    return [_outcome(folder, tasks, run) for folder in folders]


def _outcome(folder: Path, tasks: Mapping[str, Task], run: Run | str) -> dict[str, Any]:
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        status, task_id, usage = metadata["status"], metadata["wildcards"]["task_id"], metadata["usage"]
        text = (folder / "parsed.txt").read_text(encoding="utf-8") if status == "ok" else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DreamflowError(
            f"{folder}: not a whole answer ({error!r}); delete the folder to have it made again"
        ) from None
    if task_id not in tasks:
        raise DreamflowError(f"{folder}: an answer to the task {task_id!r}, which is not among the tasks")
    task = tasks[task_id]
    if status == "ok":
        graded = grade(task, text, run)
    elif status == "failed":
        graded = {"score": 0.0, "passed": False, "why": f"no answer: {metadata['reason']}"}
    else:
        graded = {"score": None, "passed": None, "why": f"ungraded: {status}: {metadata['reason']}"}
    return {
        **{key: task[key] for key in ("task_id", "kind", "context", "group")},
        "model_id": metadata["model_id"],
        "gen_id": metadata["gen_id"],
        "sample": metadata["replicate"],
        **graded,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "latency_s": metadata["latency_s"],
        "cost_usd": metadata["cost_usd"],
    }
