"""What another policy would have achieved, estimated from the choices that were logged with their propensities.

Each logged choice was made by draws (see `routing.choose`), so outcomes of the models that another policy prefers were
observed too, only more rarely; weighting each by policy / propensity makes up for that. The doubly robust estimate adds
a model of the outcomes, and is unbiased if either the propensities or that model is right.

Source: Dudik, Langford and Li 2011, Doubly Robust Policy Evaluation and Learning; self-normalised: Swaminathan and
Joachims 2015; intervals by the percentile bootstrap (Efron 1979).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

RESAMPLES = 1000
INTERVAL = (0.05, 0.95)


class Logged(NamedTuple):
    """A choice and what came of it: `propensity` is the probability with which `model_id` was chosen, `policy` the
    probability of each model under the other policy, and `expected` what a model of the outcomes predicts for each."""

    model_id: str
    propensity: float
    outcome: float
    policy: Mapping[str, float]
    expected: Mapping[str, float] = {}


class Estimate(NamedTuple):
    """A mean with its 90% interval; `effective_n`: as many choices made by the other policy would tell as much."""

    mean: float
    low: float
    high: float
    effective_n: float


def inverse_propensity(choices: Sequence[Logged], seed: int = 0) -> Estimate:
    """The mean outcome of the other policy: unbiased, but of a high variance where propensities are small."""
    weights, outcomes = _weights(choices)
    return _estimate(lambda at: (weights * outcomes)[at].mean(axis=-1), weights, seed)


def self_normalised(choices: Sequence[Logged], seed: int = 0) -> Estimate:
    """The same, divided by the mean weight: a small bias, a much smaller variance, never outside of the outcomes."""
    import numpy as np

    weights, outcomes = _weights(choices)
    if not weights.any():
        raise ValueError("the other policy would have made none of these choices: nothing can be estimated")

    def mean(at: Any) -> Any:
        total = weights[at].sum(axis=-1)
        share = (weights * outcomes)[at].sum(axis=-1) / np.where(total > 0, total, 1)
        return np.where(total > 0, share, np.average(outcomes, weights=weights))

    return _estimate(mean, weights, seed)


def doubly_robust(choices: Sequence[Logged], seed: int = 0) -> Estimate:
    """The mean outcome of the other policy by the expectations, corrected by what they missed of the logged ones.

    Every choice needs an expectation for each model that the other policy may choose, and for the one chosen.
    """
    import numpy as np

    weights, outcomes = _weights(choices)
    direct = np.array([sum(p * c.expected[model] for model, p in c.policy.items() if p) for c in choices])
    missed = outcomes - np.array([c.expected[c.model_id] for c in choices])
    values = direct + weights * missed
    return _estimate(lambda at: values[at].mean(axis=-1), weights, seed)


def _weights(choices: Sequence[Logged]) -> tuple[Any, Any]:
    import numpy as np

    if not choices:
        raise ValueError("no choice is logged: nothing can be estimated")
    if not all(0 < choice.propensity <= 1 for choice in choices):
        raise ValueError("a propensity is not above 0 and at most 1")
    weights = np.array([choice.policy.get(choice.model_id, 0.0) / choice.propensity for choice in choices])
    return weights, np.array([choice.outcome for choice in choices], dtype=float)


def _estimate(mean: Callable[[Any], Any], weights: Any, seed: int) -> Estimate:
    import numpy as np

    size = len(weights)
    random = np.random.default_rng(seed)
    resampled = np.array([float(mean(random.integers(0, size, size))) for _ in range(RESAMPLES)])
    low, high = np.quantile(resampled, INTERVAL).tolist()
    squares = float((weights**2).sum())
    return Estimate(float(mean(np.arange(size))), low, high, float(weights.sum()) ** 2 / squares if squares else 0.0)
