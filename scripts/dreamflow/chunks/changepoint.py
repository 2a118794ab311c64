"""Where a sequence of vectors changes, by all of its segmentations at once.

A segment is the more likely, the less its vectors scatter around their mean; each segment costs a penalty, so that
there are few. `posteriors` sums over all segmentations (forward-backward, as for a hidden Markov model): the
probability that a segment begins at each place. Everything is computed from the products of vectors that are at most
`reach` apart, so memory and time grow with the number of vectors, not with its square.

Source of the model: Fearnhead, "Exact and efficient Bayesian inference for multiple changepoint problems", Statistics
and Computing 16 (2006); the penalised scatter is that of Killick, Fearnhead and Eckley, "Optimal detection of
changepoints with a linear computational cost", JASA 107 (2012).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

_ROWS = 512  # of a block of products
_IMPOSSIBLE = -1e9


@dataclass(frozen=True)
class Runs:
    """What is known of each run of neighbouring vectors.

    `weights[i, k]` and `squares[i, k]` are the sum of weights, and the squared length of the weighted sum, of the
    vectors i to i + k.
    """

    weights: "numpy.ndarray"
    squares: "numpy.ndarray"

    def between(self, starts: "numpy.ndarray", ends: "numpy.ndarray") -> tuple["numpy.ndarray", "numpy.ndarray"]:
        """(weights, squares) of the runs from `starts` to before `ends`, which are not empty."""
        return self.weights[starts, ends - starts - 1], self.squares[starts, ends - starts - 1]


def runs_of(vectors: "numpy.ndarray", weights: "numpy.ndarray", reach: int) -> Runs:
    """The runs of up to `reach` vectors (rows of `vectors`), or fewer at the end."""
    import numpy as np

    n, width = len(vectors), min(reach, len(vectors))
    weighted = vectors * weights[:, None].astype(vectors.dtype)
    products = np.zeros((n, width))  # [i, k]: vector i times vector i + k
    for start in range(0, n, _ROWS):
        block = weighted[start : start + _ROWS] @ weighted[start : start + _ROWS + width - 1].T
        for row in range(len(block)):
            inside = block[row, row : row + width]
            products[start + row, : len(inside)] = inside
    squares, sums = products[:, :1].repeat(width, 1), np.zeros((n, width))
    sums[:, 0] = weights
    along = np.cumsum(products, 1)
    for k in range(1, width):
        squares[: n - k, k] = squares[1 : n - k + 1, k - 1] + 2 * along[: n - k, k] - along[: n - k, 0]
        sums[: n - k, k] = sums[1 : n - k + 1, k - 1] + weights[: n - k]
    return Runs(sums, squares)


def scatter(runs: Runs) -> "numpy.ndarray":
    """The sum of squared distances of the vectors (of length 1) of each run from their mean; inf beyond the end."""
    import numpy as np

    n, width = runs.weights.shape
    cost = runs.weights - runs.squares / np.maximum(runs.weights, 1e-6)
    cost[np.arange(n)[:, None] + np.arange(width) >= n] = np.inf
    return cost


def posteriors(cost: "numpy.ndarray", settings: Sequence[tuple[float, float]]) -> "numpy.ndarray":
    """For each (penalty, temperature) in `settings` a column: the probability that a segment begins at each place.

    `cost[i, k]` is the cost of the segment from i to i + k; its weight is exp(-(cost + penalty) / temperature).
    """
    import numpy as np

    n, width = cost.shape
    penalties, temperatures = np.array(settings, np.float32).T
    weight = cost[:, :, None].astype(np.float32) + penalties
    weight /= -temperatures
    np.maximum(weight, _IMPOSSIBLE, out=weight)
    ending = np.full_like(weight, _IMPOSSIBLE)  # [j, k]: the segment from j - k to j
    for k in range(width):
        ending[k:, k] = weight[: n - k, k]
    forward, backward = np.zeros((n + 1, len(settings))), np.zeros((n + 1, len(settings)))
    for j in range(1, n + 1):
        most = min(width, j)
        forward[j] = _log_sum(forward[j - most : j][::-1] + ending[j - 1, :most])
    for i in range(n - 1, -1, -1):
        most = min(width, n - i)
        backward[i] = _log_sum(backward[i + 1 : i + 1 + most] + weight[i, :most])
    return np.exp(np.minimum(forward[:n] + backward[:n] - forward[n], 0.0))


def _log_sum(values: "numpy.ndarray") -> "numpy.ndarray":
    import numpy as np

    top = values.max(0)
    return top + np.log(np.exp(values - top).sum(0))
