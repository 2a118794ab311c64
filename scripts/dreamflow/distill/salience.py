"""Salience: how much an experience is worth learning from, by the five signals of SNARC, each between 0 and 1.

| signal   | what it is here                                                                        | null where       |
|----------|----------------------------------------------------------------------------------------|------------------|
| surprise | 1 - geometric mean probability of the answer's tokens; else abs(outcome - expectation) | never            |
| novelty  | 1 - likeness to the most alike prompt that the model met before                        | no prompt        |
| arousal  | mean of the task's stakes and the rank of what the answer cost                         | neither is known |
| reward   | the outcome                                                                            | never            |
| conflict | twice the standard deviation of outcomes of the same question, or by several judges    | there is one     |

Salience is the mean of the signals that are there, weighted. The names of the signals are those of SAGE; its variants
compute them from words, lengths and question marks. Here they are computed from what was verified, and what is not
known is null and in no mean. The default weights are those of SAGE's compression module, .25 .20 .20 .20 .15, the
only variant of the original with weights in this order that were not fitted to a handful of examples.
"""

from collections.abc import Mapping, Sequence
from math import exp, isfinite, sqrt
from statistics import fmean
from typing import TypeVar

from ..errors import ConfigError

Value = TypeVar("Value")

SIGNALS = ("surprise", "novelty", "arousal", "reward", "conflict")
WEIGHTS = {"surprise": 0.25, "novelty": 0.20, "arousal": 0.20, "reward": 0.20, "conflict": 0.15}


def expectation(successes: float, trials: int) -> float:
    """What outcome (0-1) is expected after so many of the same model, kind and context: (1 + successes) / (2 + trials).

    `successes` is the sum of the outcomes, so that one between 0 and 1 counts as that part of a success. The mean of
    the posterior after a uniform prior, Beta(1, 1), which is Laplace's rule of succession; 0.5 before the first.
    """
    return (1 + successes) / (2 + trials)


def surprise(outcome: float, expected: float, mean_logprob: float | None = None) -> float:
    """How unexpected an answer was: 1 - exp(mean natural log-probability of its tokens), which is 1 - 1/perplexity.

    Where the provider gives no log-probabilities, the gap between outcome and expectation: the prediction error, as
    in the rule of Rescorla and Wagner (1972).
    """
    if mean_logprob is None:
        return abs(outcome - expected)
    return 1.0 - exp(min(0.0, mean_logprob))  # above 0 by rounding only


def arousal(stakes: float | None, cost_rank: float | None) -> float | None:
    """How much was at stake: the mean of what is known of the task's stakes and the rank of the answer's cost."""
    known = [value for value in (stakes, cost_rank) if value is not None]
    return fmean(known) if known else None


def ranks(values: Sequence[Value | None]) -> list[float | None]:
    """The mid-rank of each value among all that are not None, from 0 (the least) to 1 (the most); None for None.

    The share of the other values that are smaller, equal ones counted half. A single value has no rank.
    """
    known = sorted(value for value in values if value is not None)
    if len(known) < 2:
        return [None] * len(values)
    first: dict[Value, int] = {}
    number: dict[Value, int] = {}
    for place, value in enumerate(known):
        first.setdefault(value, place)
        number[value] = number.get(value, 0) + 1
    others = len(known) - 1
    return [None if value is None else (first[value] + (number[value] - 1) / 2) / others for value in values]


def conflict(outcomes: Sequence[float]) -> float | None:
    """How far outcomes (0-1) disagree: twice their standard deviation, 1 where one half is 0 and the other 1.

    The variance of what lies in [0, 1] is at most 1/4 (Popoviciu 1935), so this is at most 1. None for one outcome.
    """
    if len(outcomes) < 2:
        return None
    mean = fmean(outcomes)
    return min(1.0, 2 * sqrt(fmean((outcome - mean) ** 2 for outcome in outcomes)))


def salience(signals: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """The mean of the signals that are known, each by its weight; None where none of them has a weight above 0."""
    known = [(value, weights[name]) for name, value in signals.items() if value is not None]
    total = sum(weight for _, weight in known)
    # Shares first, or tiny weights vanish; and rounding must not lift the mean above its largest term.
    return min(1.0, sum(value * (weight / total) for value, weight in known)) if total else None


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """`weights` with the defaults for the signals that they leave out, or a `ConfigError`."""
    for name, weight in weights.items():
        if name not in SIGNALS:
            raise ConfigError(f"weights: {name!r} is no signal of salience; known: {', '.join(SIGNALS)}")
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not isfinite(weight) or weight < 0:
            raise ConfigError(f"weights.{name}: {weight!r}; a number from 0 is expected")
    whole = {**WEIGHTS, **weights}
    if not any(whole.values()):
        raise ConfigError("weights: all are 0; at least one signal must count")
    return whole
