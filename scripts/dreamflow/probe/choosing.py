"""Which probes tell most: tasks go to the models and contexts about whose success least is known.

What is known of a model in a context is a Beta(a, b) posterior of its success. The information that an experiment is
expected to give (Lindley, "On a measure of the information provided by an experiment", 1956) is measured here as the
expected reduction of the posterior's variance, which is V = ab / (n^2 (n + 1)) with n = a + b. After k graded answers
it is expected to be V n / (n + k) (the preposterior analysis of Raiffa and Schlaifer, "Applied statistical decision
theory", 1961, ch. 5), so the k-th answer is expected to reduce it by V n / ((n + k - 1)(n + k)). That is weighted by
how often the context occurs where models are chosen. As each further answer to a cell tells less than the one before,
taking the answer that tells most, one after the other, gives the best set.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..tasks.graders import Task

VERIFIED_BY = 4  # probes that a surprising cell gets before all others


class Cell(NamedTuple):
    """What is known of a model in a context: Beta(alpha, beta). `weight` is the share of questions in the context;
    `verify`: outcomes surprised the last cycle."""

    model_id: str
    context: str
    alpha: float = 1.0
    beta: float = 1.0
    weight: float = 1.0
    verify: bool = False


class Chosen(NamedTuple):
    """A task for a model, with the information that it is expected to give, and why it was chosen."""

    model_id: str
    context: str
    task: Task
    information: float
    why: str


def information(cell: Cell, number: int) -> float:
    """Return the expected reduction of the posterior's variance by the `number`-th further answer, from 1, times the
    weight of the cell."""
    n = cell.alpha + cell.beta
    variance = cell.alpha * cell.beta / (n * n * (n + 1))
    return cell.weight * variance * n / ((n + number - 1) * (n + number))


def choose_probes(cells: Sequence[Cell], tasks: Mapping[tuple[str, str], Sequence[Task]], most: int) -> list[Chosen]:
    """Return at most `most` tasks, the most informative first; `tasks` has those that each (model_id, context) can be
    asked, in their order.

    Cells to verify come first, with up to `VERIFIED_BY` tasks each. Of equally informative cells, the one with fewer
    tasks so far comes first, then the first by context and model, so without any evidence the tasks are spread evenly.
    """
    chosen: list[Chosen] = []
    asked = {(cell.model_id, cell.context): 0 for cell in cells}
    for verifying in (True, False):
        waiting = [_entry(cell, asked) for cell in cells if cell.verify or not verifying]
        heapq.heapify(waiting)
        while waiting and len(chosen) < most:
            *_, cell = heapq.heappop(waiting)
            key = (cell.model_id, cell.context)
            if asked[key] >= len(tasks.get(key, ())) or (verifying and asked[key] >= VERIFIED_BY):
                continue
            asked[key] += 1
            value = information(cell, asked[key])
            task = tasks[key][asked[key] - 1]
            chosen.append(Chosen(cell.model_id, cell.context, task, value, _why(cell, value, verifying=verifying)))
            heapq.heappush(waiting, _entry(cell, asked))
    return chosen


def _entry(cell: Cell, asked: Mapping[tuple[str, str], int]) -> tuple[float, int, str, str, Cell]:
    count = asked[cell.model_id, cell.context]
    return (-information(cell, count + 1), count, cell.context, cell.model_id, cell)


def _why(cell: Cell, value: float, *, verifying: bool) -> str:
    known = f"Beta({cell.alpha:.1f}, {cell.beta:.1f}), expected to lower its variance by {value:.2g}"
    return f"to verify: the last cycle's outcomes were a surprise; {known}" if verifying else known
