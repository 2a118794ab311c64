"""A small network that reads a whole text's gaps and says for each how likely the subject changes there.

Each gap has its numbers from `gap_features`, the similarities of the passages near it, and what the passages beside it
say of themselves (do they open or end something?). Convolutions along the text then compare each gap with its
neighbours. The similarities are cosines of the passages' vectors and of learned projections of them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..generation.model import Json

if TYPE_CHECKING:
    import numpy

NEAR = 3  # passages before and after a gap whose similarities are read


def as_arrays(network: Mapping[str, Json]) -> dict[str, Any]:
    """A network whose weights are arrays, from one of JSON."""
    import numpy as np

    def layer(parts: Sequence[Json]) -> list["numpy.ndarray"]:
        return [np.array(part, np.float32) for part in parts]  # for a convolution: a matrix for each place, and biases

    arrays = {name: np.array(network[name], np.float32) for name in ("mean", "scale", "likeness")}
    layers = {name: layer(network[name]) for name in ("sense", "input", "output")}
    return {**network, **arrays, **layers, "convolutions": [layer(parts) for parts in network["convolutions"]]}


def odds(
    network: Mapping[str, Any], features: Mapping[str, "numpy.ndarray"], vectors: "numpy.ndarray"
) -> "numpy.ndarray":
    """The log-odds of a change for each gap. `vectors` has a row for each passage, one more than there are gaps."""
    import numpy as np

    weights, biases = network["sense"]
    sense = np.tanh(vectors @ (4 * weights.T) + biases)
    learned = vectors @ network["likeness"].T
    learned /= np.maximum(np.linalg.norm(learned, axis=1, keepdims=True), 1e-12)
    values = np.concatenate(
        [scaled(network, features), sense[:-1], sense[1:], 3 * similarities(learned), 5 * similarities(vectors)], 1
    )
    weights, biases = network["input"]
    hidden = np.maximum(values @ weights.T + biases, 0)
    for number, (kernel, biases) in enumerate(network["convolutions"]):
        reach, step = len(kernel) // 2, 2**number
        padded = np.pad(hidden, ((reach * step, reach * step), (0, 0)))
        summed = sum(padded[tap * step : tap * step + len(hidden)] @ part.T for tap, part in enumerate(kernel))
        hidden = hidden + np.maximum(summed + biases, 0)
    weights, biases = network["output"]
    return (hidden @ weights.T + biases)[:, 0]


def scaled(network: Mapping[str, Any], features: Mapping[str, "numpy.ndarray"]) -> "numpy.ndarray":
    """The features as the network wants them, a row for each gap."""
    import numpy as np

    values = np.stack([features[name] for name in network["features"]], 1)
    values = (values - network["mean"]) / network["scale"]
    return np.clip(values, -network["spread"], network["spread"]).astype(np.float32)


def similarities(vectors: "numpy.ndarray") -> "numpy.ndarray":
    """For each gap the products of passages near it: each of three before with each of three after, and those beside
    the gap with the next two on their own side; 0 beyond the text's ends."""
    import numpy as np

    gaps = len(vectors) - 1
    found = np.zeros((gaps, len(pairs_near())), np.float32)
    for column, (one, other) in enumerate(pairs_near()):
        first, stop = max(0, -min(one, other)), min(gaps, len(vectors) - max(one, other))
        if first < stop:
            parts = (vectors[first + place : stop + place] for place in (one, other))
            found[first:stop, column] = np.einsum("ij,ij->i", *parts)
    return found


def pairs_near() -> Sequence[tuple[int, int]]:
    """Which passages are compared, counted from the one before the gap, 0."""
    across = [(-before, 1 + after) for before in range(NEAR) for after in range(NEAR)]
    return [*across, (0, -1), (0, -2), (1, 2), (1, 3)]
