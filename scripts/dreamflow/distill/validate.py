"""Compare a student before and after its training, and decide whether it may be deployed.

`held_out` are tasks of the learned kinds, from groups that were not trained on; `general` are tasks of other kinds,
which show forgetting.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from ..errors import DreamflowError
from ..generation.model import Json
from ..reports.accuracy import ALL

SETS = ("held_out", "general")
RESAMPLES = 10_000
_EPSILON = 1e-9  # a difference of exactly the margin passes in spite of rounding

Row = Mapping[str, Json]
Interval = tuple[float | None, float | None]


def compare_answers(rows: Iterable[Row], seed: int) -> dict[str, Json]:
    """Return what a student solves before and after its training: {held_out, general}, each {"all" and kinds: change}.

    `rows` are those of answers.jsonl. A change has `n` (tasks graded both times), `ungraded` (other tasks), the shares
    `before` and `after`, their `difference`, the numbers of tasks `gained` and `lost`, and 95% intervals of the
    difference: `low` to `high` over tasks (for more tasks of these templates) and `group_low` to `group_high` over
    `groups` (for other templates). Tokens and seconds are means per answer. Unknown values are None.
    """
    by_student: dict[tuple[str, str], dict[str, Row]] = {
        (name, when): {} for name in SETS for when in ("before", "after")
    }
    for row in rows:
        by_student[row["set"], row["student"]][row["task_id"]] = row
    changes: dict[str, Json] = {}
    for name in SETS:
        before, after = by_student[name, "before"], by_student[name, "after"]
        if unpaired := before.keys() ^ after.keys():
            raise DreamflowError(
                f"{name}: {min(unpaired)} was answered before or after the training, but not both times"
            )
        pairs = [(before[task_id], after[task_id]) for task_id in sorted(before)]
        kinds = sorted({row["kind"] for row, _ in pairs})
        changes[name] = {ALL: _change(pairs, seed)}
        changes[name] |= {kind: _change([pair for pair in pairs if pair[0]["kind"] == kind], seed) for kind in kinds}
    return changes


def _change(pairs: Sequence[tuple[Row, Row]], seed: int) -> dict[str, Json]:
    graded = [pair for pair in pairs if None not in (pair[0]["passed"], pair[1]["passed"])]
    n = len(graded)
    steps = np.array([int(after["passed"]) - int(before["passed"]) for before, after in graded], dtype=int)
    groups = [before["group"] for before, _ in graded]
    low, high = over_tasks(steps, seed)
    group_low, group_high = over_groups(steps, groups, seed)
    numbers = {
        "before": _mean(before["passed"] for before, _ in graded),
        "after": _mean(after["passed"] for _, after in graded),
        "difference": float(steps.mean()) if n else None,
        **{"low": low, "high": high, "group_low": group_low, "group_high": group_high},
        "prompt_tokens": _mean(before["prompt_tokens"] for before, _ in pairs),
        "completion_tokens_before": _mean(before["completion_tokens"] for before, _ in pairs),
        "completion_tokens_after": _mean(after["completion_tokens"] for _, after in pairs),
        "seconds_before": _mean(before["seconds"] for before, _ in pairs),
        "seconds_after": _mean(after["seconds"] for _, after in pairs),
    }
    counts = {
        **{"n": n, "ungraded": len(pairs) - n, "groups": len(set(groups))},
        **{"gained": int((steps > 0).sum()), "lost": int((steps < 0).sum())},
    }
    return counts | {name: None if value is None else round(value, 6) for name, value in numbers.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def over_tasks(steps: np.ndarray, seed: int) -> Interval:
    """Return the 95% interval of the mean of `steps` (-1 lost, 0 equal, 1 gained) over tasks; Nones without tasks.

    Paired percentile bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13). The counts of
    lost, equal and gained tasks in a resample are multinomial, so they are drawn directly.
    """
    n = len(steps)
    if not n:
        return None, None
    shares = [float((steps == step).mean()) for step in (-1, 0, 1)]
    lost, _, gained = np.random.default_rng(seed).multinomial(n, shares, RESAMPLES).T
    return _percentiles((gained - lost) / n)


def over_groups(steps: np.ndarray, groups: Sequence[str], seed: int) -> Interval:
    """Return the 95% interval over groups, each drawn with all its tasks; Nones with fewer than two groups.

    Cluster bootstrap (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8).
    """
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None, None
    sums, counts = np.bincount(member, weights=steps), np.bincount(member)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    return _percentiles((drawn @ sums) / (drawn @ counts))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def gate(validation: Mapping[str, Json], limits: Mapping[str, Json]) -> dict[str, Json]:
    """Decide whether a student may be deployed: {deployed, reasons (against it), worse, limits}.

    It may if at least `smallest` held-out tasks were graded, it solves at least `margin` (a share) more of them with
    the interval over tasks above 0, no learned kind got worse with its interval below 0, and it solves at most
    `most_lost` less of the general tasks. `worse` are all kinds of which it solves less, by chance or not.
    """
    held_out, general = (validation[name][ALL] for name in SETS)
    reasons = []
    if held_out["n"] < limits["smallest"]:
        reasons.append(f"only {held_out['n']} held-out tasks were graded; the minimum is {limits['smallest']}")
    if held_out["n"]:
        if held_out["difference"] < limits["margin"] - _EPSILON:
            reasons.append(
                f"held-out tasks: {points(held_out['difference'])}; the minimum is {points(limits['margin'])}"
            )
        if held_out["low"] <= 0:
            reasons.append(
                f"held-out tasks: the interval of the difference, {points(held_out['low'])} to "
                f"{points(held_out['high'])}, is not above 0"
            )
    for kind, change in validation["held_out"].items():
        if kind != ALL and change["n"] and change["high"] < 0:
            reasons.append(f"the learned kind {kind} got worse: {points(change['difference'])}")
    if not general["n"]:
        reasons.append("no general task was graded, so forgetting is unknown")
    elif -general["difference"] > limits["most_lost"] + _EPSILON:
        reasons.append(
            f"general tasks: {points(general['difference'])}; the maximum loss is {points(-limits['most_lost'])}"
        )
    worse = [
        {"set": name, "kind": kind, **{key: change[key] for key in ("n", "difference", "low", "high")}}
        for name in SETS
        for kind, change in validation[name].items()
        if kind != ALL and change["n"] and change["difference"] < 0
    ]
    return {"deployed": not reasons, "reasons": reasons, "worse": worse, "limits": dict(limits)}


def points(share: float) -> str:
    """Format a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f} points"
