"""Make the weights of the segmenter again: scripts/dreamflow/chunks/segmenter.json.

Run: python tests/benchmarks/segmentation_fetch.py; python tests/benchmarks/train_segmenter.py [--write]

The texts are those of segmentation_texts.py: the part "train" for the network, the part "dev" for the threshold and the
weights of the confidence; the part "test" is not read. Prints what the new weights reach on "dev"; takes about 10
minutes, and needs torch (envs/distill.txt). The same texts, packages and processor give the same file, byte for byte.
Vectors are kept beside the texts.
"""

import argparse
import hashlib
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import boundary_metrics as metrics
import segmentation_texts as texts
import segmenter_net
import torch
from dreamflow.chunks import segmenter
from dreamflow.chunks.boundary_net import as_arrays, scaled
from dreamflow.chunks.gap_features import gap_features
from dreamflow.embedding import DIMENSIONS, embed
from segmentation_fetch import FOLDER

TIMES = 14  # cases of a kind for training, relative to the test part
SEEDS = (0, 1, 2)  # of the networks whose mean decides
SPREAD = 5.0  # standard deviations of a feature: beyond is cut off
EVENNESS = 0.7  # 1: all kinds of cases count the same; 0: all gaps do
DIGITS = 3  # of a weight

Example = tuple[str, list[str], tuple[int, ...]]  # kind, passages, the passages (from 1) that begin a subject


def examples(part: str) -> list[Example]:
    """The cases of a part as the segmenter reads them; for training more of them."""
    found = []
    for kind, (_, source, join, number) in texts.KINDS.items():
        for i in range(1, number * (TIMES if part == "train" else texts.MANY[part]) + 1):
            pieces = join(texts._topics(source, part), random.Random(f"{part} {kind} {i}"))
            passages = [segmenter.shortened(said) for piece in pieces for _, said in piece]
            starts = tuple(sum(len(piece) for piece in pieces[:k]) + 1 for k in range(1, len(pieces)))
            if len(passages) > 1:
                found.append((kind, passages, starts))
    return found


def vectors_of(passages: Iterable[str]) -> dict[str, np.ndarray]:
    """The vector of each passage; those that are known are read from a file beside the texts."""
    store = FOLDER / "vectors.npz"
    names = {passage: hashlib.sha256(passage.encode()).hexdigest()[:24] for passage in passages}
    known: dict[str, np.ndarray] = {}
    if store.exists():
        with np.load(store) as file:
            known = dict(zip(file["names"].tolist(), file["vectors"], strict=True))
    missing = [passage for passage, name in names.items() if name not in known]
    if missing:
        print(f"{len(missing):,} passages to embed", flush=True)
        known |= zip((names[passage] for passage in missing), embed(missing), strict=True)
        np.savez(store, names=np.array(list(known)), vectors=np.array(list(known.values())).reshape(-1, DIMENSIONS))
    return {passage: known[name] for passage, name in names.items()}


@dataclass(frozen=True)
class Gaps:
    """What there is to know of the gaps of each case: names of the features, their rows, the truth, and which rows of
    `vectors` are the passages."""

    names: list[str]
    rows: list[np.ndarray]
    truths: list[np.ndarray]
    vectors: np.ndarray
    places: list[np.ndarray]


def gaps_of(cases: Sequence[Example]) -> Gaps:
    """The gaps of all cases."""
    known = vectors_of(dict.fromkeys(passage for _, passages, _ in cases for passage in passages))
    number, vectors = {passage: i for i, passage in enumerate(known)}, np.array(list(known.values()))
    gaps = Gaps([], [], [], vectors, [])
    for _, passages, starts in cases:
        gaps.places.append(np.array([number[passage] for passage in passages]))
        found = gap_features(passages, vectors[gaps.places[-1]])
        gaps.names[:] = found
        gaps.rows.append(np.stack(list(found.values()), 1).round(3).astype(np.float32))
        gaps.truths.append(np.isin(np.arange(2, len(passages) + 1), starts))
    return gaps


def trained(cases: Sequence[Example], gaps: Gaps) -> list[dict]:
    """The networks."""
    sizes = Counter[str]()
    for (kind, *_), row in zip(cases, gaps.rows, strict=True):
        sizes[kind] += len(row)
    weights = [np.full(len(row), sizes[case[0]] ** -EVENNESS) for case, row in zip(cases, gaps.rows, strict=True)]
    weights = [weight / np.concatenate(weights).mean() for weight in weights]
    everything, counts = np.concatenate(gaps.rows), np.concatenate(weights)
    mean = np.average(everything, 0, counts)
    scale = np.sqrt(np.average((everything - mean) ** 2, 0, counts)) + 1e-6
    shared = {"features": gaps.names, "mean": _rounded(mean), "scale": _rounded(scale), "spread": SPREAD}
    scale_of = shared | {name: np.array(shared[name]) for name in ("mean", "scale")}
    rows = [scaled(scale_of, dict(zip(gaps.names, row.T, strict=True))) for row in gaps.rows]
    networks = []
    for seed in SEEDS:
        found = segmenter_net.train(rows, gaps.truths, weights, torch.from_numpy(gaps.vectors), gaps.places, seed)
        networks.append(shared | {name: _rounded(values) for name, values in found.items()})
        print(f"network {len(networks)} of {len(SEEDS)} is trained", flush=True)
    return networks


def _rounded(values: np.ndarray | list) -> list | float:
    is_one = not isinstance(values, list) and np.ndim(values) == 0
    return float(f"{values:.{DIGITS}g}") if is_one else [_rounded(value) for value in values]


def by_kind(cases: Sequence[Example], chances: list[np.ndarray], threshold: float) -> dict[str, np.ndarray]:
    """Kind -> mean of (Pk, WindowDiff, found chunks for each true one, Pk of never cutting)."""
    found = defaultdict(list)
    for (kind, passages, starts), chance in zip(cases, chances, strict=True):
        ours, n = _found(chance, threshold), len(passages)
        scores = metrics.pk(starts, ours, n), metrics.window_diff(starts, ours, n)
        found[kind].append((*scores, (len(ours) + 1) / (len(starts) + 1), metrics.pk(starts, [], n)))
    return {kind: np.mean(rows, 0) for kind, rows in found.items()}


def _found(chances: np.ndarray, threshold: float) -> list[int]:
    return [i + 2 for i, is_one in enumerate(segmenter.are_changes(chances, threshold)) if is_one]


def best_threshold(cases: Sequence[Example], chances: list[np.ndarray]) -> float:
    """The threshold with the lowest Pk, as a mean over the groups of kinds."""

    def mean(threshold: float) -> float:
        groups = defaultdict(list)
        for kind, row in by_kind(cases, chances, threshold).items():
            groups[texts.KINDS[kind][0]].append(row[0])
        return float(np.mean([np.mean(values) for values in groups.values()]))

    return round(float(min(np.arange(0.3, 0.81, 0.05), key=mean)), 3)


def confidence_weights(
    cases: Sequence[Example], chances: list[np.ndarray], threshold: float
) -> tuple[list, list, list]:
    """(weights of `segmenter.confidence`, evidence of each chunk, whether it was exactly right)."""
    evidence, right, counts = [], [], []
    sizes = Counter(kind for kind, *_ in cases)
    for (kind, passages, starts), chance in zip(cases, chances, strict=True):
        n = len(passages)
        ends = [1, *_found(chance, threshold), n + 1]
        true = set(pairwise([1, *starts, n + 1]))
        for start, end in pairwise(ends):
            before, after = (chance[start - 2] if start > 1 else None), (chance[end - 2] if end <= n else None)
            evidence.append(segmenter.evidence(chance[start - 1 : end - 2], before, after))
            right.append((start, end) in true)
            counts.append(1 / sizes[kind])
    model = LogisticRegression(C=1.0).fit(evidence, right, sample_weight=np.array(counts) / np.mean(counts))
    return _rounded(np.concatenate([model.intercept_, model.coef_[0]])), evidence, right


def main() -> None:
    """Prints a table of what the weights reach on the part "dev"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"replace {segmenter.MODEL.name}")
    arguments = parser.parse_args()
    cases, development = examples("train"), examples("dev")
    gaps = gaps_of(cases)
    print(f"{len(cases):,} conversations with {sum(map(len, gaps.rows)):,} gaps to train on", flush=True)
    networks = trained(cases, gaps)
    gaps = gaps_of(development)
    known = [as_arrays(network) for network in networks]
    chances = [
        segmenter.chances_of(known, dict(zip(gaps.names, row.T, strict=True)), gaps.vectors[places])
        for row, places in zip(gaps.rows, gaps.places, strict=True)
    ]
    threshold = best_threshold(development, chances)
    weights, evidence, right = confidence_weights(development, chances, threshold)
    said = 1 / (1 + np.exp(-weights[0] - np.array(evidence) @ weights[1:]))
    print(f"\nthreshold {threshold}\n\n| confidence | chunks | exactly right |\n|---|---|---|")
    for low in np.arange(0, 1, 0.1):
        inside = (said >= low) & (said < low + 0.1)
        if inside.any():
            print(f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | {np.mean(np.array(right)[inside]):.2f} |")
    print("\n| kind | Pk | WindowDiff | chunks for each true one | Pk of never cutting |\n|---|---|---|---|---|")
    scores = by_kind(development, chances, threshold)
    for kind, row in [*scores.items(), ("mean", np.mean(list(scores.values()), 0))]:
        print(f"| {kind} | {' | '.join(f'{value:.3f}' for value in row)} |")
    if arguments.write:
        model = {"threshold": threshold, "confidence": weights, "networks": networks}
        segmenter.MODEL.write_text(f"{_lines(model)}\n", encoding="utf-8")


def _lines(value: object) -> str:
    """JSON with a line for each row of a matrix."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(item)}" for key, item in value.items()) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return "[\n" + ",\n".join(map(_lines, value)) + "\n]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
