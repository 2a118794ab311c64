"""Make the weights of the segmenter again: scripts/dreamflow/chunks/segmenter.json.

Run: python tests/benchmarks/segmentation_sources.py; python tests/benchmarks/train_segmenter.py [--write]

The texts are those of segmentation_texts.py: the part "train" for the network, the part "dev" for the threshold and the
weights of the confidence; the part "test" is not read. Prints what the new weights reach on "dev"; takes about 10
minutes. The same texts, packages and processor give the same file, byte for byte. Vectors are kept beside the texts.
"""

import argparse
import hashlib
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import boundary_metrics as metrics
import segmentation_texts as texts
from dreamflow.chunks import segmenter
from dreamflow.chunks.gap_features import gap_features
from dreamflow.embedding import DIMENSIONS, embed
from segmentation_sources import FOLDER

TIMES = 14  # cases of a kind for training, relative to the test part
LAYERS, EPOCHS, DECAY, SPREAD = (64, 32), 12, 1e-3, 5.0
EVENNESS = 0.7  # 1: all kinds of cases count the same; 0: all gaps do
DIGITS = 4  # of a weight

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


def features_of(cases: Sequence[Example]) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """(names, features of each case, whether a subject begins after each gap)."""
    vectors = vectors_of(dict.fromkeys(passage for _, passages, _ in cases for passage in passages))
    names, rows, truths = [], [], []
    for _, passages, starts in cases:
        found = gap_features(passages, np.array([vectors[passage] for passage in passages]))
        names = list(found)
        rows.append(np.stack(list(found.values()), 1).round(3).astype(np.float32))
        truth = np.zeros(len(passages) - 1, bool)
        truth[np.array(starts, int) - 2] = True
        truths.append(truth)
    return names, rows, truths


def trained(cases: Sequence[Example], rows: list[np.ndarray], truths: list[np.ndarray]) -> dict:
    """The network: layers of (weights, biases), and how a feature is scaled before."""
    sizes = Counter[str]()
    for (kind, *_), row in zip(cases, rows, strict=True):
        sizes[kind] += len(row)
    weights = np.concatenate([np.full(len(row), sizes[case[0]] ** -EVENNESS) for case, row in zip(cases, rows, strict=True)])
    weights /= weights.mean()
    scaler = StandardScaler().fit(np.concatenate(rows), sample_weight=weights)
    network = MLPClassifier(LAYERS, alpha=DECAY, batch_size=512, max_iter=EPOCHS, random_state=0)
    values = np.clip(scaler.transform(np.concatenate(rows)), -SPREAD, SPREAD)
    network.fit(values, np.concatenate(truths), sample_weight=weights)
    layers = [[_rounded(w), _rounded(b)] for w, b in zip(network.coefs_, network.intercepts_, strict=True)]
    return {"mean": _rounded(scaler.mean_), "scale": _rounded(scaler.scale_), "spread": SPREAD, "layers": layers}


def _rounded(values: np.ndarray) -> list:
    return [_rounded(value) for value in values] if np.ndim(values) else float(f"{values:.{DIGITS}g}")


def by_kind(cases: Sequence[Example], chances: list[np.ndarray], threshold: float) -> dict[str, np.ndarray]:
    """Kind -> mean of (Pk, WindowDiff, found chunks for each true one, Pk of never cutting)."""
    found = defaultdict(list)
    for (kind, passages, starts), chance in zip(cases, chances, strict=True):
        ours, n = [int(i) + 2 for i in np.flatnonzero(chance > threshold)], len(passages)
        scores = metrics.pk(starts, ours, n), metrics.window_diff(starts, ours, n)
        found[kind].append((*scores, (len(ours) + 1) / (len(starts) + 1), metrics.pk(starts, [], n)))
    return {kind: np.mean(rows, 0) for kind, rows in found.items()}


def best_threshold(cases: Sequence[Example], chances: list[np.ndarray]) -> float:
    """The threshold with the lowest mean Pk over the kinds of cases."""
    tried = {t: np.mean([row[0] for row in by_kind(cases, chances, t).values()]) for t in np.arange(0.2, 0.71, 0.025)}
    return round(float(min(tried, key=lambda t: tried[t])), 3)


def confidence_weights(cases: Sequence[Example], chances: list[np.ndarray], threshold: float) -> tuple[list, list, list]:
    """(weights of `segmenter.confidence`, evidence of each chunk, whether it was exactly right)."""
    evidence, right, counts = [], [], []
    sizes = Counter(kind for kind, *_ in cases)
    for (kind, passages, starts), chance in zip(cases, chances, strict=True):
        n = len(passages)
        ends = [1, *(int(i) + 2 for i in np.flatnonzero(chance > threshold)), n + 1]
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
    names, rows, truths = features_of(cases)
    print(f"{len(cases):,} conversations with {sum(map(len, rows)):,} gaps to train on", flush=True)
    network = {"features": names, **trained(cases, rows, truths)}
    _, rows, _ = features_of(development)
    chances = [segmenter.chances_of(network, dict(zip(names, row.T, strict=True))) for row in rows]
    threshold = best_threshold(development, chances)
    weights, evidence, right = confidence_weights(development, chances, threshold)
    said = 1 / (1 + np.exp(-weights[0] - np.array(evidence) @ weights[1:]))
    print(f"\nthreshold {threshold}\n\n| confidence | chunks | exactly right |\n|---|---|---|")
    for low in np.arange(0, 1, 0.1):
        inside = (said >= low) & (said < low + 0.1)
        print(f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | {np.mean(np.array(right)[inside]):.2f} |")
    print("\n| kind | Pk | WindowDiff | chunks for each true one | Pk of never cutting |\n|---|---|---|---|---|")
    scores = by_kind(development, chances, threshold)
    for kind, row in [*scores.items(), ("mean", np.mean(list(scores.values()), 0))]:
        print(f"| {kind} | {' | '.join(f'{value:.3f}' for value in row)} |")
    if arguments.write:
        model = {"threshold": threshold, "confidence": weights, **network}
        lines = ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in model.items())
        segmenter.MODEL.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _lines(value: object) -> str:
    """JSON with a line for each row of a matrix."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(_lines(item) for item in value) + "\n]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
