"""The chance that the subject changes between two passages: a small model over `gap_features`.

The model is in segmenter.json: a small network that was trained on texts of many kinds, which
tests/benchmarks/train_segmenter.py does again. Without that file the change-point model alone decides.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..embedding import embed
from ..generation.model import Json
from ..generation.tokens import estimate_tokens
from .gap_features import changes, gap_features

if TYPE_CHECKING:
    import numpy

MODEL = Path(__file__).with_name("segmenter.json")
READ = 1500  # characters of a passage that count: two thirds from its beginning, the rest from its end
_FALLBACK = {"threshold": 0.5, "confidence": [2.0, 1.0, 0.0, 1.0, 0.0]}
_FALLBACK_SETTING = 2  # of gap_features.SETTINGS


@cache
def model() -> Mapping[str, Json]:
    """What segmenter.json says; without the file, only a threshold and the weights of the confidence."""
    return json.loads(MODEL.read_text(encoding="utf-8")) if MODEL.is_file() else _FALLBACK


@lru_cache(maxsize=4)
def change_chances(text: str, spans: tuple[tuple[int, int], ...]) -> "numpy.ndarray":
    """For each gap between neighbouring passages (`spans` of `text`) the chance that the subject changes there.

    The last few texts are remembered, since a conversation is asked about as a whole and window by window.
    """
    import numpy as np

    if len(spans) < 2:
        return np.zeros(0)
    passages = [shortened(text[start:end]) for start, end in spans]
    vectors = embed(passages)
    if "layers" not in model():
        tokens = np.array([estimate_tokens(passage) for passage in passages], float)
        chances = changes(vectors, tokens)[:, _FALLBACK_SETTING]
    else:
        chances = chances_of(model(), gap_features(passages, vectors))
    chances.setflags(write=False)
    return chances


def shortened(passage: str) -> str:
    """The part of a passage that counts."""
    passage = passage.strip()
    return passage if len(passage) <= READ else f"{passage[: READ * 2 // 3]} {passage[-READ // 3 :]}"


def chances_of(network: Mapping[str, Json], features: Mapping[str, "numpy.ndarray"]) -> "numpy.ndarray":
    """What the network says of each gap."""
    import numpy as np

    values = np.stack([features[name] for name in network["features"]], 1)
    values = (values - np.array(network["mean"])) / np.array(network["scale"])
    values = np.clip(values, -network["spread"], network["spread"])
    for number, (weights, biases) in enumerate(network["layers"]):
        values = (np.maximum(values, 0) if number else values) @ np.array(weights) + np.array(biases)
    return 1 / (1 + np.exp(-np.clip(values[:, 0], -30, 30)))


def confidence(inside: Sequence[float], before: float | None, after: float | None) -> float:
    """The measured chance that a chunk is exactly one subject: that it begins and ends, and nothing inside it changes.

    `inside` are the chances of changes within it, `before` and `after` those of its ends (None at an end of the text).
    The chances are not independent; segmenter.json weighs them so that of the chunks with confidence 0.8 about 80% were
    exactly right in texts of the kinds it was trained on.
    """
    if not inside and before is None and after is None:
        return 1.0
    weights = model()["confidence"]
    z = weights[0] + sum(
        weight * part for weight, part in zip(weights[1:], evidence(inside, before, after), strict=True)
    )
    return round(1 / (1 + math.exp(-z)) if z > -30 else 0.0, 4)


def evidence(inside: Sequence[float], before: float | None, after: float | None) -> list[float]:
    """What the confidence is weighed from."""
    ends = [0.0 if end is None else math.log(max(end, 1e-4)) for end in (before, after)]
    calm = [math.log(1 - min(chance, 1 - 1e-4)) for chance in inside]
    return [sum(ends), min(ends), sum(calm), min(calm, default=0.0)]
