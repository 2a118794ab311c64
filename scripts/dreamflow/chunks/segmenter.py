"""The chance that the subject changes between two passages: a small model over `gap_features`.

The model is in segmenter.json: small networks that were trained on texts of many kinds, which
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
from .boundary_net import as_arrays, odds
from .gap_features import changes, gap_features

if TYPE_CHECKING:
    import numpy

MODEL = Path(__file__).with_name("segmenter.json")
READ = 1500  # characters of a passage that count: two thirds from its beginning, the rest from its end
_BLOCK, _BESIDE = 4000, 100  # gaps of a long text that are computed at once, with those on both sides
_LEAST = 0.2  # chance of a change that is one
_FALLBACK = {"threshold": 0.3, "confidence": [2.0, 1.0, 0.0, 1.0, 0.0]}
_FALLBACK_SETTING = 1  # of gap_features.SETTINGS


@cache
def model() -> Mapping[str, Json]:
    """What segmenter.json says; without the file, only a threshold and the weights of the confidence."""
    if not MODEL.is_file():
        return _FALLBACK
    found = json.loads(MODEL.read_text(encoding="utf-8"))
    return found | {"networks": [as_arrays(network) for network in found["networks"]]}


@lru_cache(maxsize=4)
def change_chances(text: str, spans: tuple[tuple[int, int], ...]) -> "numpy.ndarray":
    """For each gap between neighbouring passages (`spans` of `text`) the chance that the subject changes there.

    The last few texts are remembered, since a conversation is asked about as a whole and window by window.
    """
    import numpy as np

    parts = []
    for start in range(0, len(spans) - 1, _BLOCK):
        first = max(start - _BESIDE, 0)
        found = _chances([shortened(text[a:b]) for a, b in spans[first : start + _BLOCK + 1 + _BESIDE]])
        parts.append(found[start - first : start - first + _BLOCK])
    chances = np.concatenate([np.zeros(0), *parts])
    chances.setflags(write=False)
    return chances


def _chances(passages: Sequence[str]) -> "numpy.ndarray":
    import numpy as np

    once = {passage: place for place, passage in enumerate(dict.fromkeys(passages))}
    vectors = embed(list(once))[[once[passage] for passage in passages]]
    if "networks" in model():
        return chances_of(model()["networks"], gap_features(passages, vectors), vectors)
    tokens = np.array([estimate_tokens(passage) for passage in passages], float)
    return changes(vectors, tokens)[:, _FALLBACK_SETTING]


def shortened(passage: str) -> str:
    """The part of a passage that counts."""
    passage = passage.strip()
    return passage if len(passage) <= READ else f"{passage[: READ * 2 // 3]} {passage[-READ // 3 :]}"


def chances_of(
    networks: Sequence[Mapping[str, Json]], features: Mapping[str, "numpy.ndarray"], vectors: "numpy.ndarray"
) -> "numpy.ndarray":
    """The chance at each gap by the mean log-odds of some networks."""
    import numpy as np

    mean = np.mean([odds(network, features, vectors) for network in networks], axis=0)
    return 1 / (1 + np.exp(-np.clip(mean.astype(float), -30, 30)))


def are_changes(chances: Sequence[float], threshold: float | None = None) -> list[bool]:
    """Whether each gap is a change of subject: likelier than the gaps beside it, and with them above the threshold.

    A change that lies in one of three gaps counts although none of the three is sure.
    """
    threshold = model()["threshold"] if threshold is None else threshold
    sides = [0.0, *map(float, chances), 0.0]
    return [
        chance > _LEAST and chance >= max(before, after) and before + chance + after > threshold
        for before, chance, after in zip(sides, sides[1:], sides[2:], strict=False)
    ]


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
    """What the confidence is weighed from: log-chances that both ends are changes and that nothing inside is one, and
    the log-odds of the doubtful end and of the likeliest change inside."""
    ends = [1 - 1e-4 if end is None else min(max(float(end), 1e-4), 1 - 1e-4) for end in (before, after)]
    calm = [1 - min(max(float(chance), 1e-4), 1 - 1e-4) for chance in inside] or [1 - 1e-4]
    doubtful = [math.log(min(chances) / (1 - min(chances))) for chances in (ends, calm)]
    return [sum(map(math.log, ends)), min(doubtful[0], 5.0), sum(map(math.log, calm)), min(doubtful[1], 5.0)]
