"""The price of a unit of cost at which the best choices just keep to a budget.

Source: the dual of a budget constraint, as in bandits with knapsacks (Badanidiyuru, Kleinberg and Slivkins 2013).
"""

from typing import Any

_HALVINGS = 30


def price_for(chances: Any, costs: Any, budget: float) -> float:
    """The lowest price with which taking the greatest chance - price x cost costs at most `budget` on average.

    `chances` is a matrix of recent prompts x models, `costs` has the cost of each model (or of each prompt and model).
    """
    import numpy as np

    chances = np.asarray(chances, dtype=float)
    costs = np.broadcast_to(np.asarray(costs, dtype=float), chances.shape)
    rows = np.arange(len(chances))
    spread = float(np.ptp(costs, axis=1).max())
    if not spread:
        return 0.0
    high = 4.0 * (float(np.ptp(chances, axis=1).max()) + 1e-9) / float(np.diff(np.unique(costs)).min())
    low = -high  # a model may be worth less than one that costs less
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        best = np.argmax(chances - middle * costs, axis=1)
        low, high = (low, middle) if costs[rows, best].mean() <= budget else (middle, high)
    return high
