"""What outcomes say about models: Beta posteriors in a hierarchy, forgetting, the moving average, surprise.

The hierarchy is: everything > layers > models > contexts. A chance of success at one level is Beta distributed around
that of the level above, Beta(k m, k (1 - m)); so a context with little evidence has about the trust of its model, a new
model that of its layer, and a new layer that of all. How close the levels are (k, the concentration) is not chosen but
integrated over a grid, weighted by the beta-binomial likelihood of the evidence and a prior that is even in the spread
k**-.5; so are the means, exactly, on a grid, by passing messages up and down the tree.

Source: Gelman et al., Bayesian Data Analysis (3rd ed.), chapter 5 (beta-binomial: 5.3); shrinkage: Efron and Morris
1973, Stein's Estimation Rule and Its Competitors; messages on a tree: Pearl 1988, Probabilistic Reasoning, chapter 4.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from scipy.special import betaln, logsumexp
from scipy.stats import beta as beta_distribution

# The context of a prediction for a context without evidence; "*<layer>": for a model without evidence.
from ..routing.table import EVERY_CONTEXT as EVERY

INTERVAL = (0.05, 0.95)  # a 90% credible interval, with equal tails
GO_ON, VERIFY, REBUILD = "go on", "verify", "rebuild"

# Below a surprise of .3 old evidence stands; below .6 it stands, and probes are due; else it counts a quarter, which
# doubles the width of the interval.
_SURPRISE = ((0.3, GO_ON, 1.0), (0.6, VERIFY, 1.0), (float("inf"), REBUILD, 0.25))

_GRID = 40  # values of a mean
_BETWEEN_CONTEXTS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)  # concentration of contexts around their model
_BETWEEN_MODELS = (2.0, 5.0, 12.0, 30.0)  # of models around their layer, and of layers around all
_UNKNOWN_LAYER = ""
_TINY = 1e-300


class Posterior(NamedTuple):
    """Beta(alpha, beta); `n`: the weight of the evidence behind it; mean, and the ends of the 90% interval."""

    alpha: float
    beta: float
    n: float
    mean: float
    low: float
    high: float


def posteriors(
    counts: Mapping[tuple[str, str], tuple[float, float]], layers: Mapping[str, str]
) -> dict[tuple[str, str], Posterior]:
    """The posterior of each (model, context), of each (model, EVERY), and of each ("*" + layer, EVERY).

    `counts` has the weighted successes and failures of models in contexts, fractions allowed; `layers` the layers of
    known models. That of (model, EVERY) predicts a context without evidence, and that of a layer a model without any. A
    model outside of `layers` is a layer of its own. Mixtures are written as the Beta with their mean and variance.
    """
    import numpy as np

    models = sorted({model for model, _ in counts} | set(layers))
    keys = {model: sorted(key for key in counts if key[0] == model) for model in models}
    tree: dict[str, list[str]] = {}
    for model in models:
        tree.setdefault(layers.get(model, _UNKNOWN_LAYER), []).append(model)
    means = (np.arange(_GRID) + 0.5) / _GRID
    chosen = [key for model in models for key in keys[model]]
    observed = np.array([counts[key] for key in chosen], dtype=float).reshape(-1, 2)
    if (observed < 0).any():
        raise ValueError("successes and failures are not below 0")
    steps = _steps()
    weights, beliefs = [], []  # of each pair of concentrations
    for between_contexts in _BETWEEN_CONTEXTS:
        prior = np.stack([between_contexts * means, between_contexts * (1 - means)])  # 2 x grid
        fits = betaln(observed[:, :1] + prior[0], observed[:, 1:] + prior[1]) - betaln(*prior)
        leaves, place = {}, 0
        for model in models:
            leaves[model] = fits[place : place + len(keys[model])].sum(axis=0)
            place += len(keys[model])
        for between_models in _BETWEEN_MODELS:
            evidence, belief = _messages(tree, leaves, steps[between_models])
            weights.append(evidence - 0.5 * math.log(between_contexts * between_models))
            beliefs.append((between_contexts, belief))
    weights = np.exp(np.array(weights) - logsumexp(weights))
    names = [*models, *(f"{EVERY}{layer}" for layer in sorted(tree) if layer != _UNKNOWN_LAYER)]
    mixtures = {
        name: [
            (k, sum(w * belief[name] for w, (own, belief) in zip(weights, beliefs, strict=True) if own == k))
            for k in _BETWEEN_CONTEXTS
        ]
        for name in names
    }
    result = {}
    for key, (successes, failures) in zip(chosen, observed.tolist(), strict=True):
        result[key] = _mixed(means, mixtures[key[0]], successes, failures, successes + failures)
    for name in names:
        members = tree[name[1:]] if name not in keys else [name]
        total = sum(sum(counts[key]) for model in members for key in keys[model])
        result[name, EVERY] = _mixed(means, mixtures[name], 0.0, 0.0, float(total))
    return result


def posterior(alpha: float, beta: float, n: float) -> Posterior:
    """The posterior Beta(alpha, beta), with its mean and interval."""
    low, high = beta_distribution.ppf(INTERVAL, alpha, beta).tolist()
    mean = alpha / (alpha + beta)
    return Posterior(alpha, beta, n, mean, min(low, mean), max(high, mean))


def ageing(cycles: float, half_life: float) -> float:
    """What share of its weight evidence keeps after so many cycles."""
    return 0.5 ** (cycles / half_life)


def forget(successes: float, failures: float, cycles: float, half_life: float) -> tuple[float, float]:
    """Successes and failures after so many cycles: half of each after a half-life."""
    share = ageing(cycles, half_life)
    return successes * share, failures * share


def moving_average(trust: float, outcome: float | None, eta: float = 0.1) -> float:
    """The plain rule: a success moves trust by eta of the way to 1, a failure by eta of the way to 0, and an uncertain
    outcome (None) not at all. An outcome between moves it towards that outcome."""
    if outcome is None:
        return trust
    return min(1.0, max(0.0, trust + eta * (outcome - trust)))


def surprise(seen: float, expected: float) -> tuple[float, str]:
    """How far an observed rate is from the expected one, and what follows: "go on" below .3, "verify" below .6, else
    "rebuild"."""
    size = abs(seen - expected)
    return size, next(advice for limit, advice, _ in _SURPRISE if size < limit)


def discount(advice: str) -> float:
    """The share of its weight that old evidence keeps after an advice of `surprise`."""
    return {name: share for _, name, share in _SURPRISE}[advice]


@lru_cache(maxsize=1)
def _steps() -> dict[float, Any]:
    import numpy as np

    means = (np.arange(_GRID) + 0.5) / _GRID
    return {concentration: _step(means, concentration) for concentration in _BETWEEN_MODELS}


def _step(means: Any, concentration: float) -> Any:
    """P(mean of a child | mean of its parent): a matrix, parents x children."""
    import numpy as np

    parents = means[:, None]
    log_density = beta_distribution.logpdf(means[None, :], concentration * parents, concentration * (1 - parents))
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    return density / density.sum(axis=1, keepdims=True)


def _messages(tree: Mapping[str, list[str]], leaves: Mapping[str, Any], step: Any) -> tuple[float, dict[str, Any]]:
    """(log evidence, the distribution over the grid of the mean of each model and of an unseen model of each layer)."""
    import numpy as np

    def up(message: Any) -> Any:
        top = message.max()
        return np.log(step @ np.exp(message - top) + _TINY) + top

    def down(message: Any) -> Any:
        top = message.max()
        return np.log(np.exp(message - top) @ step + _TINY) + top

    from_models = {model: up(leaves[model]) for members in tree.values() for model in members}
    at_layers = {layer: sum(from_models[model] for model in members) for layer, members in tree.items()}
    from_layers = {layer: up(message) for layer, message in at_layers.items()}
    root = np.full(len(step), -np.log(len(step))) + sum(from_layers.values())
    beliefs = {}
    for layer, members in tree.items():
        layer_message = down(root - from_layers[layer]) + at_layers[layer]
        beliefs[f"{EVERY}{layer}"] = _normal(down(layer_message))
        for model in members:
            beliefs[model] = _normal(down(layer_message - from_models[model]) + leaves[model])
    return float(logsumexp(root)), beliefs


def _normal(message: Any) -> Any:
    import numpy as np

    weights = np.exp(message - message.max())
    return weights / weights.sum()


def _mixed(means: Any, mixture: list[tuple[float, Any]], successes: float, failures: float, n: float) -> Posterior:
    """The Beta with the mean and variance of a mixture over concentrations and means."""
    first = second = 0.0
    for concentration, weight in mixture:
        alpha, size = concentration * means + successes, concentration + successes + failures
        mean = alpha / size
        first += float(weight @ mean)
        second += float(weight @ (mean * (alpha + 1) / (size + 1)))
    size = max(first * (1 - first) / max(second - first * first, 1e-12) - 1, 1e-3)
    return posterior(first * size, (1 - first) * size, n)
