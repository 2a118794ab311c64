"""Has a model changed? The place in a series of outcomes where its rate of success became another one.

A generalised likelihood ratio test of every split, for outcomes in [0, 1]. Its threshold keeps the chance that a series
without change ever raises an alarm near FALSE_ALARM. Source: Besson, Kaufmann, Maillard and Seznec 2022, Efficient
Change-Point Detection for Tackling Piecewise-Stationary Bandits; Page 1954, Continuous Inspection Schemes.
"""

from collections.abc import Sequence
from typing import Any

FALSE_ALARM = 0.01
SHORTEST = 5  # outcomes on either side of a change


def change_point(outcomes: Sequence[float], false_alarm: float = FALSE_ALARM) -> int | None:
    """The number of outcomes before the change; None if they may well have one rate. Outcomes in order of time."""
    import numpy as np

    size = len(outcomes)
    if size < 2 * SHORTEST:
        return None
    values = np.asarray(outcomes, dtype=float)
    before = np.arange(SHORTEST, size - SHORTEST + 1)
    sums = np.cumsum(values)
    total = sums[-1] / size
    first, second = sums[before - 1] / before, (sums[-1] - sums[before - 1]) / (size - before)
    ratio = before * _divergence(first, total) + (size - before) * _divergence(second, total)
    best = int(np.argmax(ratio))
    return int(before[best]) if ratio[best] > float(np.log(size**1.5 / false_alarm)) else None


def _divergence(rate: Any, other: float) -> Any:
    """Kullback-Leibler divergence of Bernoulli distributions."""
    from scipy.special import rel_entr

    return rel_entr(rate, other) + rel_entr(1 - rate, 1 - other)
