"""The loss of a training: cross entropy of the answers' tokens, and the distance to a teacher's probabilities."""

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from transformers import PreTrainedModel

from .encode import Example
from .training_data import Positions


def answer_logits(model: PreTrainedModel, examples: Sequence[Example], padding: int) -> list[torch.Tensor]:
    """Return the logits (float32, answer tokens x vocabulary) that predict each example's answer.

    Examples are padded on the right, which a causal model does not see. Logits start at the first answer token of the
    batch: the vocabulary is a fifth of a small model's work.
    """
    longest = max(len(example.ids) for example in examples) - 1  # the last token predicts nothing
    first = min(example.start for example in examples) - 1
    ids, mask = [], []
    for example in examples:
        inputs = list(example.ids[:-1])
        empty = longest - len(inputs)
        ids.append(inputs + [padding] * empty)
        mask.append([1] * len(inputs) + [0] * empty)
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
    """Return the cross entropy of an answer, summed over its tokens."""
    return cross_entropy(logits, torch.tensor(example.answer, device=logits.device), reduction="sum")


def teacher_loss(logits: torch.Tensor, positions: Positions, temperature: float) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of the student from the teacher, summed over an answer's tokens.

    Both are at `temperature`, and the result is scaled by its square, to keep the size of gradients (Hinton, Vinyals &
    Dean 2015, "Distilling the Knowledge in a Neural Network"). Only the teacher's likeliest tokens count.
    """
    total = logits.new_zeros(())
    for row, (ids, logprobs) in zip(logits, positions, strict=True):
        student = log_softmax(row[torch.tensor(ids, device=row.device)] / temperature, -1)
        teacher = log_softmax(torch.tensor(logprobs, device=row.device) / temperature, -1)
        total = total + kl_div(student, teacher, reduction="sum", log_target=True)
    return total * temperature**2
