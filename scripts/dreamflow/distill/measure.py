"""A student answers the tasks it is measured on, with its adapter switched off and on, and every answer is graded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import DreamflowError
from ..generation.model import Json, as_json
from ..tasks.graders import Run, Task, grade
from .adapter import put_on
from .answers import answer_prompts
from .student import load_student

Tell = Callable[[str], None]


def load_trained(source: str, cache: Path, adapter: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The student (see `load_student`) with its adapter on, and its tokenizer. A `ConfigError` names an adapter that
    cannot be read, or is not this student's."""
    model, tokenizer = load_student(source, cache)
    return put_on(model, adapter, source), tokenizer


def measured(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sets: Mapping[str, Sequence[Task]],
    *,
    max_new_tokens: int,
    batch: int,
    run: Run | str,
    tell: Tell,
) -> list[dict[str, Json]]:
    """The rows of answers.jsonl: every task of every set, answered by a peft `model` before and after its training.

    {set, student ("before", "after"), task_id, kind, group, text, prompt_tokens, completion_tokens, seconds,
    finish_reason, score, passed, why}. Both times the same weights answer, greedily; before, the adapter is off.
    """
    asked = [(name, task) for name, tasks in sets.items() for task in tasks]
    prompts = [task["prompt"] for _, task in asked]
    rows = []
    for student in ("before", "after"):

        def told(done: int, student: str = student) -> None:
            tell(f"{student} the training: {done} of {len(prompts)} tasks answered")

        try:
            if student == "before":
                with model.disable_adapter():
                    answers = answer_prompts(model, tokenizer, prompts, max_new_tokens, batch, told)
            else:
                answers = answer_prompts(model, tokenizer, prompts, max_new_tokens, batch, told)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise DreamflowError(
                f"out of memory while {batch} tasks were answered together; lower validation.batch ({error})"
            ) from None
        passed = 0
        for (name, task), answer in zip(asked, answers, strict=True):
            graded = grade(task, answer["text"], run)
            passed += bool(graded.passed)
            same = {key: task[key] for key in ("task_id", "kind", "group")}
            rows.append({"set": name, "student": student, **same, **answer, **as_json(graded)})
        tell(f"{student} the training: {passed} of {len(prompts)} tasks solved")
    return rows
