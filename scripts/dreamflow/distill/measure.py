"""Let a student answer tasks without and with its adapter, greedily and in batches, and grade the answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import DreamflowError
from ..generation.model import Json, as_json
from ..tasks.graders import Run, Task, grade
from .adapter import attach_adapter
from .encode import end_of_turn, prompt_ids
from .student import load_student


def load_trained(source: str, cache: Path, adapter: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the student with its adapter, and its tokenizer. Raises a `ConfigError` if either is invalid."""
    model, tokenizer = load_student(source, cache)
    return attach_adapter(model, adapter, source), tokenizer


def measure_student(
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


def answer_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch: int,
    tell: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Json]]:
    """Answer each prompt (a user's message), with the likeliest token at each step.

    An answer is {"text", "prompt_tokens", "completion_tokens" (without its end), "finish_reason": "stop" | "length",
    "seconds" (its share of the batch)}. `batch` prompts of similar length are answered together; in float32 that only
    matters where two tokens are equally likely. `tell` gets the number of answers after each batch.
    """
    encoded = [prompt_ids(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
    order = sorted(range(len(encoded)), key=lambda place: (len(encoded[place]), place))
    model_stops = model.generation_config.eos_token_id
    stops = {
        end_of_turn(tokenizer),
        tokenizer.eos_token_id,
        *(model_stops if isinstance(model_stops, list) else [model_stops]),
    }
    answers: list[dict[str, Json]] = [{} for _ in prompts]
    was_training = model.training
    model.eval()
    try:
        for first in range(0, len(order), batch):
            places = order[first : first + batch]
            begun = time.perf_counter()
            texts = _greedy(model, [encoded[place] for place in places], max_new_tokens, stops, tokenizer.pad_token_id)
            seconds = (time.perf_counter() - begun) / len(places)
            for place, (ids, stopped) in zip(places, texts, strict=True):
                answers[place] = {
                    "text": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
                    "prompt_tokens": len(encoded[place]),
                    "completion_tokens": len(ids),
                    "finish_reason": "stop" if stopped else "length",
                    "seconds": seconds,
                }
            tell(min(first + batch, len(order)))
    finally:
        model.train(was_training)
    return answers


@torch.inference_mode()
def _greedy(
    model: PreTrainedModel, prompts: list[list[int]], max_new_tokens: int, stops: set[int | None], padding: int
) -> list[tuple[list[int], bool]]:
    """Return the new tokens of each prompt, and whether it stopped before the limit."""
    device = model.device
    longest = max(len(ids) for ids in prompts)
    ids = torch.tensor([[padding] * (longest - len(row)) + row for row in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    written: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    rows = list(range(len(prompts)))  # of the prompts in the batch; finished rows leave it
    past = None
    for step in range(max_new_tokens):
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": past}
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        past = output.past_key_values
        chosen = output.logits[:, -1].argmax(-1)
        unfinished = []
        for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            if token in stops:
                stopped[row] = True
            else:
                written[row].append(token)
                unfinished.append(place)
        if not unfinished or step == max_new_tokens - 1:
            break
        if len(unfinished) < len(rows):
            kept = torch.tensor(unfinished, device=device)
            past.batch_select_indices(kept)
            chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
            rows = [rows[place] for place in unfinished]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        positions = positions[:, -1:] + 1
    return list(zip(written, stopped, strict=True))
