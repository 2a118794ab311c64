"""Stand-in until the real one is merged."""

from collections import defaultdict
from typing import NamedTuple


class Posterior(NamedTuple):
    alpha: float
    beta: float
    n: float
    mean: float
    low: float
    high: float


def _posterior(alpha, beta, n):
    from scipy.stats import beta as distribution

    low, high = distribution.ppf([0.05, 0.95], alpha, beta)
    return Posterior(alpha, beta, n, alpha / (alpha + beta), float(low), float(high))


def posteriors(counts, layers):
    result = {}
    models = defaultdict(lambda: [0.0, 0.0])
    for (model, _), (s, f) in counts.items():
        models[model][0] += s
        models[model][1] += f
    for model, (s, f) in models.items():
        mean = (s + 1) / (s + f + 2)
        result[model, "*"] = _posterior(4 * mean, 4 * (1 - mean), s + f)
        for (other, context), (a, b) in counts.items():
            if other == model:
                result[model, context] = _posterior(4 * mean + a, 4 * (1 - mean) + b, a + b)
    for layer in set(layers.values()):
        result[f"*{layer}", "*"] = _posterior(1, 1, 0)
    return result


def ageing(cycles, half_life):
    return 0.5 ** (cycles / half_life)


def moving_average(trust, outcome, eta):
    return min(1.0, max(0.0, trust + eta * (outcome - trust)))


def surprise(seen, expected):
    size = abs(seen - expected)
    return size, "go on" if size < 0.3 else "verify" if size < 0.6 else "rebuild"


def discount(advice):
    return {"go on": 1.0, "verify": 1.0, "rebuild": 0.25}[advice]
