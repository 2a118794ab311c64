"""The segmenter's network for training, in torch; scripts/dreamflow/chunks/boundary_net.py computes the same in numpy.

One thread and fixed seeds: the same data, packages and processor give the same weights.
"""

from collections.abc import Sequence

import numpy as np
import torch
from dreamflow.chunks.boundary_net import NEAR, pairs_near
from torch import nn
from torch.nn import functional

SENSE, LIKENESS, HIDDEN, TAPS, CONVOLUTIONS = 8, 64, 64, 5, 2
DROPPED_OF_VECTORS, DROPPED = 0.1, 0.1
EPOCHS, BATCH, RATE, DECAY = 5, 16, 2e-3, 0.02
RATE_OF_LIKENESS = (
    0.1  # relative: it begins as the vectors' main directions, and soon knows the training texts by heart
)


class Net(nn.Module):
    """From features (batch, gaps, features) and vectors (batch, gaps + 1, dimensions) to log-odds (batch, gaps)."""

    def __init__(self, features: int, dimensions: int) -> None:
        super().__init__()
        self.sense = nn.Linear(dimensions, SENSE)
        self.likeness = nn.Linear(dimensions, LIKENESS, bias=False)
        self.input = nn.Linear(features + 2 * SENSE + 2 * len(pairs_near()), HIDDEN)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(HIDDEN, HIDDEN, TAPS, padding=TAPS // 2 * 2**i, dilation=2**i) for i in range(CONVOLUTIONS)
        )
        self.output = nn.Linear(HIDDEN, 1)

    def forward(self, features: torch.Tensor, mask: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """`mask` is 1 for the gaps that a text has, 0 behind its end."""
        seen = functional.dropout(vectors, DROPPED_OF_VECTORS, self.training)
        sense = torch.tanh(self.sense(4 * seen))
        learned = functional.normalize(self.likeness(seen), dim=-1)
        parts = [features, sense[:, :-1], sense[:, 1:], 3 * _similarities(learned), 5 * _similarities(vectors)]
        hidden = functional.relu(self.input(torch.cat(parts, -1)))
        hidden = functional.dropout(hidden, DROPPED, self.training) * mask[..., None]
        for convolution in self.convolutions:
            found = functional.relu(convolution(hidden.transpose(1, 2)).transpose(1, 2))
            hidden = (hidden + functional.dropout(found, DROPPED, self.training)) * mask[..., None]
        return self.output(hidden)[..., 0]


def _similarities(vectors: torch.Tensor) -> torch.Tensor:
    gaps = vectors.shape[1] - 1
    padded = functional.pad(vectors, (0, 0, NEAR, NEAR))
    places = {place: padded[:, NEAR + place : NEAR + place + gaps] for pair in pairs_near() for place in pair}
    return torch.stack([(places[a] * places[b]).sum(-1) for a, b in pairs_near()], -1)


def train(
    rows: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    vectors: torch.Tensor,
    places: Sequence[np.ndarray],
    seed: int,
) -> dict[str, np.ndarray | list]:
    """The weights by name, as boundary_net wants them. `places` are the rows of `vectors` of each text's passages."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Net(rows[0].shape[1], vectors.shape[1])
    _, _, directions = torch.linalg.svd(vectors[::4] - vectors[::4].mean(0), full_matrices=False)
    net.likeness.weight.data = directions[:LIKENESS].clone()
    slow = list(net.likeness.parameters())
    fast = [parameter for parameter in net.parameters() if parameter is not slow[0]]
    rates = [RATE, RATE * RATE_OF_LIKENESS]
    groups = [{"params": group, "lr": rate} for group, rate in zip((fast, slow), rates, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
    steps = EPOCHS * len(_batches(rows, rng))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, pct_start=0.1)
    net.train()
    for _ in range(EPOCHS):
        for batch in _batches(rows, rng):
            features, truth, weight = (_padded([part[i] for i in batch]) for part in (rows, truths, weights))
            mask = _padded([np.ones(len(rows[i])) for i in batch])
            seen = nn.utils.rnn.pad_sequence([vectors[torch.from_numpy(places[i])] for i in batch], batch_first=True)
            losses = functional.binary_cross_entropy_with_logits(net(features, mask, seen), truth, reduction="none")
            optimizer.zero_grad()
            ((losses * weight).sum() / weight.sum()).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return _named(net)


def _batches(rows: Sequence[np.ndarray], rng: np.random.Generator) -> list[list[int]]:
    """Texts of about the same length together, in random order."""
    order = rng.permutation(len(rows))
    runs = [sorted(order[i : i + 20 * BATCH], key=lambda n: len(rows[n])) for i in range(0, len(order), 20 * BATCH)]
    batches = [run[i : i + BATCH] for run in runs for i in range(0, len(run), BATCH)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _padded(parts: Sequence[np.ndarray]) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence(
        [torch.from_numpy(np.asarray(part, np.float32)) for part in parts], batch_first=True
    )


def _named(net: Net) -> dict[str, np.ndarray | list]:
    def both(layer: nn.Module) -> list[np.ndarray]:
        return [layer.weight.detach().numpy(), layer.bias.detach().numpy()]

    kernels = [both(layer) for layer in net.convolutions]
    return {
        "sense": both(net.sense),
        "likeness": net.likeness.weight.detach().numpy(),
        "input": both(net.input),
        "convolutions": [[kernel.transpose(2, 0, 1), biases] for kernel, biases in kernels],
        "output": both(net.output),
    }
