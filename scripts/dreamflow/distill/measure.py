"""Let a student answer tasks without and with its adapter, and grade the answers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import DreamflowError
from ..generation.model import Json, as_json
from ..tasks.graders import Run, Task, grade
from .adapter import attach_adapter
from .answers import answer_prompts
from .student import load_student


def load_trained(source: str, cache: Path, adapter: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the student with its adapter, and its tokenizer. Raises a `ConfigError` if either is invalid."""
    model, tokenizer = load_student(source, cache)
    return attach_adapter(model, adapter, source), tokenizer


def measured(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sets: Mapping[str, Sequence[Task]],
    *,
    max_new_tokens: int,
    batch: int,
    run: Run | str,
    tell: Callable[[str], None],
) -> list[dict[str, Json]]:
    """Return the rows of answers.jsonl: an answer to each task of each set without and with the adapter of `model`.

    {set, student ("before": without, "after": with), task_id, kind, group, text, prompt_tokens, completion_tokens,
    seconds, finish_reason, score, passed, why}.
    """
    tasks = [(name, task) for name, members in sets.items() for task in members]
    prompts = [task["prompt"] for _, task in tasks]
    rows = []
    for student in ("before", "after"):

        def show(count: int, student: str = student) -> None:
            tell(f"{student} the training: {count} of {len(prompts)} tasks answered")

        try:
            with model.disable_adapter() if student == "before" else nullcontext():
                answers = answer_prompts(model, tokenizer, prompts, max_new_tokens, batch, show)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise DreamflowError(
                f"out of memory while {batch} tasks were answered together; lower validation.batch ({error})"
            ) from None
        passed = 0
        for (name, task), answer in zip(tasks, answers, strict=True):
            graded = grade(task, answer["text"], run)
            passed += bool(graded.passed)
            same = {key: task[key] for key in ("task_id", "kind", "group")}
            rows.append({"set": name, "student": student, **same, **answer, **as_json(graded)})
        tell(f"{student} the training: {passed} of {len(prompts)} tasks solved")
    return rows
