"""What is minimised: cross entropy on the answers' tokens, and where a teacher says so, its probabilities too."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from ..errors import ConfigError
from ..files import read_text
from .encode import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Positions = tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]  # token ids and their log-probabilities


def answer_logits(model: "PreTrainedModel", examples: Sequence[Example], padding: int) -> list[torch.Tensor]:
    """Logits (float32, answer tokens x vocabulary) that predict each example's answer.

    Examples go through the model side by side, filled up on the right, where a causal model does not look. Logits
    are made only from the first token that any answer of the batch begins with: the vocabulary is a fifth of a small
    model's work.
    """
    longest = max(len(example.ids) for example in examples) - 1  # the last token predicts nothing
    first = min(example.start for example in examples) - 1
    ids, mask = [], []
    for example in examples:
        given = list(example.ids[:-1])
        empty = longest - len(given)
        ids.append(given + [padding] * empty)
        mask.append([1] * len(given) + [0] * empty)
    device = model.device
    output = model(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        logits_to_keep=torch.arange(first, longest, device=device),
        use_cache=False,
    )
    return [
        output.logits[row, example.start - 1 - first : len(example.ids) - 1 - first].float()
        for row, example in enumerate(examples)
    ]


def answer_loss(logits: torch.Tensor, example: Example) -> torch.Tensor:
    """Cross entropy of an answer, summed over its tokens."""
    return cross_entropy(logits, torch.tensor(example.answer, device=logits.device), reduction="sum")


def teacher_loss(logits: torch.Tensor, positions: Positions, temperature: float) -> torch.Tensor:
    """Kullback-Leibler divergence of the student from the teacher, summed over an answer's tokens.

    After Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015): both at `temperature`, and
    times its square, so that gradients keep their size. A teacher names only its likeliest tokens, so both are
    compared on those, as if there were no others: what the rest should be is left to the cross entropy.
    """
    total = logits.new_zeros(())
    for row, (ids, logprobs) in zip(logits, positions, strict=True):
        student = log_softmax(row[torch.tensor(ids, device=row.device)] / temperature, -1)
        teacher = log_softmax(torch.tensor(logprobs, device=row.device) / temperature, -1)
        total = total + kl_div(student, teacher, reduction="sum", log_target=True)
    return total * temperature**2


def read_teacher(path: Path, example: Example, tokenizer_sha256: str) -> Positions:
    """The teacher's likeliest tokens at each token of an example's answer, as logits of temperature 1.

    Raises `ConfigError` where the file is of another tokenizer, or not of this answer.
    """
    try:
        found = json.loads(read_text(path))
        tokenizer, temperature = found["tokenizer_sha256"], float(found["temperature"])
        positions = tuple(
            (
                tuple(int(token) for token in position["ids"]),
                tuple(float(value) * temperature for value in position["logprobs"]),
            )
            for position in found["positions"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not a file of a teacher's log-probabilities ({type(error).__name__}: {error})"
        ) from None
    if tokenizer != tokenizer_sha256:
        raise ConfigError(
            f"{path}: the teacher's tokenizer ({tokenizer[:12]}) is not the student's ({tokenizer_sha256[:12]}), so "
            "their probabilities cannot be compared; set training.kl_weight: 0, or take a teacher of the same tokenizer"
        )
    if len(positions) != len(example.answer):
        raise ConfigError(
            f"{path}: log-probabilities of {len(positions)} tokens, but the answer of {example.name} has "
            f"{len(example.answer)} (with the one that ends it)"
        )
    if any(not ids or len(ids) != len(logprobs) for ids, logprobs in positions):
        raise ConfigError(f"{path}: a token has no log-probabilities, or not as many as it has ids")
    return positions
