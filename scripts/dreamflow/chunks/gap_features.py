"""What each gap between two passages of a text says about a change of subject: numbers for a model.

A passage is a turn or a paragraph. Nothing here knows who speaks, so a text with and without roles gives the same. The
numbers come from the passages' vectors (windows of several sizes before and after the gap, raw and relative to the
whole text; probabilities of a change-point model), from words that recur, and from the form: lengths, questions, words
that greet, part, go on or change the subject.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..files import read_table
from ..generation.tokens import estimate_tokens
from .changepoint import Runs, posteriors, runs_of, scatter
from .terms import terms

if TYPE_CHECKING:
    import numpy

REACH = 80  # passages: the longest segment of the change-point model
WINDOWS = (1, 2, 3, 5, 8, 14, 24)  # passages before and after a gap
SETTINGS = ((0.8, 0.25), (1.6, 0.25), (1.6, 0.6), (2.4, 0.6))  # penalty, temperature, relative to the text's scatter
_SHORT = 6  # tokens: a passage of so many counts half
_LEAST_SCATTER = 0.05
_DEPTH = 8  # gaps to either side among which a valley is deep
_NEAR = 20  # gaps to either side that say how dense changes are
_SIGNS = {
    name: re.compile(pattern, re.X | re.I) for name, pattern in read_table(__file__, "words.yaml")["signs"].items()
}
_READ = 3000  # characters of a passage whose words are counted


def gap_features(passages: Sequence[str], vectors: "numpy.ndarray") -> dict[str, "numpy.ndarray"]:
    """By name, a number for each gap: item i is about the gap between the passages i and i + 1.

    `vectors` has a row of length 1 for each of two or more passages.
    """
    import numpy as np

    tokens = np.array([estimate_tokens(passage[:_READ]) for passage in passages], float)
    return _of_vectors(vectors, tokens) | _of_words(passages) | _of_form(passages, tokens)


def changes(vectors: "numpy.ndarray", tokens: "numpy.ndarray") -> "numpy.ndarray":
    """Probabilities of a change by the change-point model alone, for each gap (rows) and setting (columns)."""
    return _changes(runs_of(vectors, _weights(tokens), REACH), vectors, _weights(tokens))


def _weights(tokens: "numpy.ndarray") -> "numpy.ndarray":
    return tokens / (tokens + _SHORT) + 0.01


def _changes(runs: Runs, vectors: "numpy.ndarray", weights: "numpy.ndarray") -> "numpy.ndarray":
    import numpy as np

    mean = weights @ vectors / weights.sum()
    spread = max(1 - float(mean @ mean), _LEAST_SCATTER)
    cost = scatter(runs) / spread
    return np.clip(posteriors(cost, SETTINGS)[1:], 1e-4, 1 - 1e-4)


def _of_vectors(vectors: "numpy.ndarray", tokens: "numpy.ndarray") -> dict[str, "numpy.ndarray"]:
    import numpy as np

    n, weights = len(vectors), _weights(tokens)
    runs = runs_of(vectors, weights, REACH)
    gaps = np.arange(1, n)
    found = {}
    for k in WINDOWS:
        starts, ends = np.maximum(gaps - k, 0), np.minimum(gaps + k, n)
        left_weight, left = runs.between(starts, gaps)
        right_weight, right = runs.between(gaps, ends)
        _, both = runs.between(starts, ends)
        cosine = (both - left - right) / 2 / np.sqrt(np.maximum(left * right, 1e-9))
        found[f"cosine {k}"] = cosine
        found[f"relative cosine {k}"] = _relative(cosine)
        if k <= 8:
            found[f"depth {k}"] = _depth(cosine)
            found[f"relative depth {k}"] = _relative(found[f"depth {k}"])
        if k in (3, 8):
            found[f"cohesion before {k}"] = left / np.maximum(left_weight**2, 1e-6)
            found[f"cohesion after {k}"] = right / np.maximum(right_weight**2, 1e-6)
    nearest, mean = _across(vectors, 3)
    found |= {"nearest across 3": nearest, "mean across 3": mean}
    near = _changes(runs, vectors, weights)
    logits = np.log(near / (1 - near))
    for number in range(len(SETTINGS)):
        found[f"change {number}"] = logits[:, number]
        found[f"density {number}"] = np.log(_around(near[:, number], _NEAR) + 0.01)
        found[f"rival {number}"] = _highest_beside(logits[:, number], 2)
    found["usual cosine"] = np.full(n - 1, found["cosine 1"].mean())
    found["usual cosine 5"] = np.full(n - 1, found["cosine 5"].mean())
    return found


def _across(vectors: "numpy.ndarray", k: int) -> tuple["numpy.ndarray", "numpy.ndarray"]:
    """The highest and the mean cosine of one of `k` passages before each gap and one of `k` after it."""
    import numpy as np

    n = len(vectors)
    values = np.full((k * k, n - 1), np.nan)
    for before in range(k):
        for after in range(k):
            step = before + after + 1
            if step < n:
                cosines = np.einsum("ij,ij->i", vectors[:-step], vectors[step:])
                values[before * k + after, before : before + len(cosines)] = cosines
    return np.nanmax(values, 0), np.nanmean(values, 0)


def _of_words(passages: Sequence[str]) -> dict[str, "numpy.ndarray"]:
    """How much of the rare words before a gap recur after it."""
    import numpy as np

    counted = [frozenset(terms(passage[:_READ])) for passage in passages]
    n = len(counted)
    spread = Counter(term for words in counted for term in words)
    rarity = {term: float(np.log(1 + n / count)) for term, count in spread.items()}
    found = {}
    for k in (2, 5):
        values = np.zeros(n - 1)
        for gap in range(1, n):
            before = frozenset().union(*counted[max(gap - k, 0) : gap])
            after = frozenset().union(*counted[gap : gap + k])
            shared = sum(rarity[term] for term in sorted(before & after))
            total = min(sum(rarity[term] for term in sorted(words)) for words in (before, after))
            values[gap - 1] = shared / (total + 3)
        found[f"words {k}"] = values
    return found


def _of_form(passages: Sequence[str], tokens: "numpy.ndarray") -> dict[str, "numpy.ndarray"]:
    import numpy as np

    sizes = np.log1p(tokens)
    usual = sizes.mean()

    def having(name: str, parts: list[str]) -> "numpy.ndarray":
        return np.array([bool(_SIGNS[name].search(part)) for part in parts], float)

    beginnings = [passage[:120].lstrip(" \t\n\"'“「*-") for passage in passages]
    ends = [passage[-120:] for passage in passages]
    asks = np.array([any(mark in end for mark in "?？") for end in ends], float)
    goes_on = np.array([bool(_SIGNS["continues"].match(beginning)) for beginning in beginnings], float)
    greets = np.array([bool(_SIGNS["greeting"].match(beginning)) for beginning in beginnings], float)
    farewell = having("farewell", ends)
    return {
        "size before": sizes[:-1] - usual, "size after": sizes[1:] - usual,
        "usual size": np.full(len(sizes) - 1, usual),
        "asks before": asks[:-1], "asks after": asks[1:],
        "goes on": goes_on[1:], "refers back": having("refers_back", beginnings)[1:],
        "new topic": having("new_topic", beginnings)[1:],
        "greets": greets[1:], "greeted": greets[:-1],
        "farewell": farewell[:-1], "farewell after": farewell[1:],
        "edge": 1 / np.minimum(np.arange(1, len(sizes)), np.arange(len(sizes) - 1, 0, -1)),
    }  # fmt: skip


def _relative(values: "numpy.ndarray") -> "numpy.ndarray":
    return (values - values.mean()) / (values.std() + 0.05)


def _depth(values: "numpy.ndarray") -> "numpy.ndarray":
    """How far a value lies below the highest ones near it on both sides."""
    import numpy as np

    padded = np.concatenate([np.full(_DEPTH, -np.inf), values, np.full(_DEPTH, -np.inf)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _DEPTH + 1)
    return windows[: len(values)].max(1) + windows[_DEPTH:].max(1) - 2 * values


def _around(values: "numpy.ndarray", reach: int) -> "numpy.ndarray":
    """The mean of the values at most `reach` places away."""
    import numpy as np

    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    starts, ends = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)


def _highest_beside(values: "numpy.ndarray", reach: int) -> "numpy.ndarray":
    """The highest value at most `reach` places away, without the place itself."""
    import numpy as np

    low = np.full(reach, -10.0)
    padded = np.concatenate([low, values, low])
    n = len(values)
    return np.max([padded[reach + step : reach + step + n] for step in range(-reach, reach + 1) if step], axis=0)
