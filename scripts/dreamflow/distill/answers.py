"""A student's answers to many prompts: greedy, batched, each as long as its own end."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from .encode import end_of_turn, prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def answer_prompts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    max_new_tokens: int,
    batch: int,
    tell: Callable[[int], None] = lambda done: None,
) -> list[dict]:
    """One answer for each prompt (a user's message), in their order, with the model's most likely token at each step.

    Each is {"text", "prompt_tokens", "completion_tokens", "finish_reason": "stop" | "length", "seconds"}; seconds are
    its share of its batch's time, and the token that ends an answer is not counted. `batch` prompts of like length go
    through the model together: with weights in float32 that changes an answer only where two tokens are as likely to
    the last bit. `tell` hears how many are answered after each batch.
    """
    encoded = [prompt_ids(tokenizer, [{"role": "user", "content": prompt}]) for prompt in prompts]
    order = sorted(range(len(encoded)), key=lambda place: (len(encoded[place]), place))
    stops = _stops(model, tokenizer)
    answers: list[dict] = [{} for _ in prompts]
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


def _stops(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Every token that ends an answer: the template's, the tokenizer's and those that the model's makers name."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return {token for token in (end_of_turn(tokenizer), tokenizer.eos_token_id, *named) if token is not None}


@torch.inference_mode()
def _greedy(
    model: "PreTrainedModel", prompts: list[list[int]], most: int, stops: set[int], padding: int
) -> list[tuple[list[int], bool]]:
    """The new tokens of each prompt, and whether it ended by itself. A row that ended leaves the batch."""
    device = model.device
    longest = max(len(ids) for ids in prompts)
    ids = torch.tensor([[padding] * (longest - len(row)) + row for row in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    written: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    rows = list(range(len(prompts)))
    past = None
    for step in range(most):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            logits_to_keep=1,
        )
        past = output.past_key_values
        chosen = output.logits[:, -1].argmax(-1)
        going = []
        for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            if token in stops:
                stopped[row] = True
            else:
                written[row].append(token)
                going.append(place)
        if not going or step == most - 1:
            break
        if len(going) < len(rows):
            kept = torch.tensor(going, device=device)
            past.batch_select_indices(kept)
            chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
            rows = [rows[place] for place in going]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        positions = positions[:, -1:] + 1
    return list(zip(written, stopped, strict=True))
