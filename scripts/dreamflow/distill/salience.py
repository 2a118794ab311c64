"""Salience: how much an experience is worth learning from, by the five signals of SNARC, each between 0 and 1.

| signal   | definition                                                                             | null if          |
|----------|----------------------------------------------------------------------------------------|------------------|
| surprise | 1 - geometric mean probability of the answer's tokens; else abs(outcome - expectation) | never            |
| novelty  | 1 - likeness to the most similar earlier prompt of the model                           | no prompt        |
| arousal  | mean of the task's stakes and the rank of the answer's cost                            | both are unknown |
| reward   | the outcome                                                                            | never            |
| conflict | twice the standard deviation of outcomes of the same question, or by several judges    | one outcome      |

Salience is the weighted mean of the known signals. The signals have the names of SAGE, which computes them from words,
lengths and question marks; here they follow from verified outcomes. The default weights are those of SAGE's compression
module, the only variant whose weights were not fitted to a handful of examples.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from math import exp, sqrt
from statistics import fmean
from typing import TypeVar

Value = TypeVar("Value")

SIGNALS = ("surprise", "novelty", "arousal", "reward", "conflict")


def expectation(successes: float, trials: int) -> float:
    """Return the expected outcome (0-1) after `trials` of the same model, kind and context; 0.5 before the first.

    `successes` is the sum of their outcomes. This is Laplace's rule of succession: the posterior mean after a uniform
    prior, Beta(1, 1).
    """
    return (1 + successes) / (2 + trials)


def surprise(outcome: float, expected: float, mean_logprob: float | None = None) -> float:
    """Return how unexpected an answer was: 1 - exp(mean natural log-probability of its tokens), or 1 - 1/perplexity.

    Without log-probabilities it is the prediction error, as in the rule of Rescorla and Wagner (1972).
    """
    if mean_logprob is None:
        return abs(outcome - expected)
    return 1.0 - exp(min(0.0, mean_logprob))  # only rounding puts it above 0


def arousal(stakes: float | None, cost_rank: float | None) -> float | None:
    """Return the mean of the task's stakes and the rank of the answer's cost, as far as known."""
    known = [value for value in (stakes, cost_rank) if value is not None]
    return fmean(known) if known else None


def ranks(values: Sequence[Value | None]) -> list[float | None]:
    """Return the mid-rank of each value, from 0 (smallest) to 1 (largest): the share of smaller values plus half the
    share of equal values. None has no rank, and neither has a single value."""
    known = sorted(value for value in values if value is not None)
    if len(known) < 2:
        return [None] * len(values)
    return [
        None if value is None else (bisect_left(known, value) + bisect_right(known, value) - 1) / 2 / (len(known) - 1)
        for value in values
    ]


def conflict(outcomes: Sequence[float]) -> float | None:
    """Return how much outcomes (0-1) disagree: twice their standard deviation; None for fewer than two.

    The variance of values in [0, 1] is at most 1/4 (Popoviciu 1935), so the result is at most 1.
    """
    if len(outcomes) < 2:
        return None
    mean = fmean(outcomes)
    return min(1.0, 2 * sqrt(fmean((outcome - mean) ** 2 for outcome in outcomes)))


def salience(signals: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """Return the weighted mean of the known signals; None if their weights are all 0."""
    known = [(value, weights[name]) for name, value in signals.items() if value is not None]
    total = sum(weight for _, weight in known)
    # Normalise the weights first, so that tiny weights do not vanish; rounding must not lift the mean above 1.
    return min(1.0, sum(value * (weight / total) for value, weight in known)) if total else None
