"""Sums over groups of rows, for all groups at once and yet to the last bit those that numpy computes for each alone."""

from functools import cached_property

import numpy as np

_IN_SEQUENCE = 7  # numpy adds so many values one after the other, as bincount does; of more it adds parts


class Groups:
    """Rows that are divided into `n` groups; `number` (rows,) is the group of each row."""

    def __init__(self, number: np.ndarray, n: int) -> None:
        self.number, self.n = number, n
        self.counts = np.bincount(number, minlength=n)

    def where(self, rows: np.ndarray) -> "Groups":
        """The same groups with some of the rows (a mask)."""
        return Groups(self.number[rows], self.n)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of the values (rows,) of each group."""
        totals = np.bincount(self.number, values, minlength=self.n)
        for group in np.flatnonzero(self.counts > _IN_SEQUENCE):
            totals[group] = values[self._rows(group)].sum()
        return totals

    def count(self, rows: np.ndarray) -> np.ndarray:
        """How many rows of each group a mask has."""
        return np.bincount(self.number[rows], minlength=self.n)

    def means_and_deviations(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the standard deviation of the values of each group; NaN without values, or with one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self.sums(values) / self.counts
            squares = self.sums((mean[self.number] - values) ** 2)
            return mean, np.sqrt(np.where(self.counts > 1, squares / (self.counts - 1), np.nan))

    def extremes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest value of each group; NaN without rows."""
        low, high = np.full(self.n, np.inf), np.full(self.n, -np.inf)
        np.minimum.at(low, self.number, values)
        np.maximum.at(high, self.number, values)
        return np.where(self.counts, low, np.nan), np.where(self.counts, high, np.nan)

    def _rows(self, group: int) -> np.ndarray:
        end = self._ends[group]
        return self._order[end - self.counts[group] : end]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.number, kind="stable")

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.counts)
