"""Which model of a probe is better, in words: paired over the tasks that both answered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from ..generation.model import Json
from ..reports.accuracy import accuracy_by_kind
from ..reports.comparisons import ENOUGH, Words, is_enough, oriented, sentences
from ..reports.markdown import count, percent
from ..reports.statistics import paired_difference

Row = Mapping[str, Json]

_WORDS = Words(
    **{"width": 100.0, "unit": "percentage points of the tasks solved", "noun": "model", "table": "answers.csv"},
    **{"pair": "common task", "cluster": "template", "clusters": "templates"},
)


def in_words(outcomes: Sequence[Row]) -> list[str]:
    """The comparison of the models of a probe; what one model solves if there is no other.

    A task's result is the mean of its graded samples. The interval (95%) is clustered by the template of the tasks.
    """
    solved: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in outcomes:
        if row["passed"] is not None:
            solved[row["model_id"]][row["task_id"]].append(float(row["passed"]))
    group = {row["task_id"]: row["group"] for row in outcomes}
    models = sorted(solved)
    if not models:
        return [f"No answer is graded: {count(len(outcomes), 'answer')}."]
    if len(models) == 1:
        whole = accuracy_by_kind([{**row, "tokens": None, "seconds": None} for row in outcomes])[-1]
        interval = f"[{whole['low']:.0%}, {whole['high']:.0%}]"
        return [f"{models[0]} solves {percent(whole['accuracy'])} {interval} of {whole['n']:,} graded answers."]
    means = {model: {task: fmean(values) for task, values in tasks.items()} for model, tasks in solved.items()}
    rows = [row for one, other in combinations(models, 2) if (row := _row(one, other, means, group))]
    if not rows:
        return ["The models have no common graded task, so they cannot be compared."]
    lines = sentences([oriented(row) for row in rows], _WORDS)
    if not all(map(is_enough, rows)):
        lines.append(f"A comparison needs tasks of at least {ENOUGH} templates.")
    return lines


def _row(
    one: str, other: str, means: Mapping[str, Mapping[str, float]], group: Mapping[str, str]
) -> dict[str, Json] | None:
    tasks = sorted(means[one].keys() & means[other].keys())
    if not tasks:
        return None
    first, second = ([means[model][task] for task in tasks] for model in (one, other))
    found = paired_difference(first, second, [group[task] for task in tasks])
    return {
        **{"level_a": one, "level_b": other, "difference": found.mean, "ci_low": found.low, "ci_high": found.high},
        **{"pairs": found.n, "combos": found.clusters},
    }
