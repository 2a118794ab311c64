"""What training changed: the same tasks answered before and after it, and whether that is good enough to go to work.

`held_out` are tasks of the kinds that were learned, of groups that nothing was learned from; `general` are tasks of
other kinds, on which forgetting shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ..errors import DreamflowError
from ..reports.accuracy import ALL, accuracy_by_kind, tokens_of
from ..reports.statistics import wilson

SETS = ("held_out", "general")
RESAMPLES = 10_000
_SLACK = 1e-9  # a difference of exactly the margin is not lost to rounding

Row = Mapping[str, Any]


def validated(rows: Iterable[Row], seed: int) -> dict[str, Any]:
    """What a student solves before and after its training: {held_out, general}, each {"all" and its kinds: change}.

    `rows` are those of answers.jsonl: {set, student ("before" or "after"), task_id, kind, group, passed,
    prompt_tokens, completion_tokens, seconds}. A change has `n` tasks that were graded both times, `ungraded` others,
    the shares `before` and `after`, their `difference`, how many tasks were `gained` and `lost`, and two 95% intervals
    of the difference: `low` and `high` over tasks, `group_low` and `group_high` over the `groups` of tasks. The first
    says how sure the difference is for more tasks of these templates, the second (wider, as tasks of one template go
    together) for other templates. Tokens and seconds are means per answer. What cannot be told is None.
    """
    by_student: dict[tuple[str, str], dict[str, Row]] = {
        (one, when): {} for one in SETS for when in ("before", "after")
    }
    for row in rows:
        by_student[row["set"], row["student"]][row["task_id"]] = row
    told: dict[str, Any] = {}
    for name in SETS:
        before, after = by_student[name, "before"], by_student[name, "after"]
        if alone := before.keys() ^ after.keys():
            raise DreamflowError(f"{name}: {min(alone)} was answered before or after the training, not both times")
        pairs = [(before[task_id], after[task_id]) for task_id in sorted(before)]
        kinds = sorted({one["kind"] for one, _ in pairs})
        told[name] = {ALL: _change(pairs, seed)}
        told[name] |= {kind: _change([pair for pair in pairs if pair[0]["kind"] == kind], seed) for kind in kinds}
    return told


def _change(pairs: Sequence[tuple[Row, Row]], seed: int) -> dict[str, Any]:
    graded = [pair for pair in pairs if None not in (pair[0]["passed"], pair[1]["passed"])]
    n = len(graded)
    steps = np.array([int(after["passed"]) - int(before["passed"]) for before, after in graded], dtype=int)
    groups = [before["group"] for before, _ in graded]
    low, high = over_tasks(steps, seed)
    group_low, group_high = over_groups(steps, groups, seed)
    numbers = {
        "before": fmean(before["passed"] for before, _ in graded) if n else None,
        "after": fmean(after["passed"] for _, after in graded) if n else None,
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


def over_tasks(steps: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """The 95% percentile interval of the mean of `steps` (n,), each -1 (lost), 0 or 1 (gained), over tasks.

    The paired bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13): tasks are drawn with
    replacement, as many as there are, and both answers to a task go together. How many lost, equal and gained ones a
    draw holds is multinomial, so that is drawn. (None, None) without tasks.
    """
    n = len(steps)
    if not n:
        return None, None
    shares = [float((steps == step).mean()) for step in (-1, 0, 1)]
    lost, _, gained = np.random.default_rng(seed).multinomial(n, shares, RESAMPLES).T
    return _percentiles((gained - lost) / n)


def over_groups(steps: np.ndarray, groups: Sequence[str], seed: int) -> tuple[float | None, float | None]:
    """The same over groups: those are drawn with replacement, each with all its tasks (the cluster bootstrap; Davison
    and Hinkley 1997, Bootstrap Methods and their Application, section 3.8). (None, None) with fewer than two groups."""
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None, None
    sums, counts = np.bincount(member, weights=steps), np.bincount(member)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    return _percentiles((drawn @ sums) / (drawn @ counts))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def gate(validation: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a student may go to work: {deployed, reasons (why not), worse, limits}.

    It may if it solves `margin` more of the held-out tasks (a share) with the interval over tasks above 0, no kind
    that it learned got worse with its interval below 0, it solves at most `most_lost` less of the general tasks, and
    at least `smallest` held-out tasks were graded. What is not known is no pass. `worse` names every kind of either set
    of which it solves less, by chance or not.
    """
    held_out, general = (validation[name][ALL] for name in SETS)
    reasons = []
    if held_out["n"] < limits["smallest"]:
        reasons.append(f"only {held_out['n']} held-out tasks were graded; {limits['smallest']} at least are needed")
    if held_out["n"]:
        if held_out["difference"] < limits["margin"] - _SLACK:
            found, needed = points(held_out["difference"]), points(limits["margin"])
            reasons.append(f"it solves {found} of the held-out tasks; {needed} are needed")
        if held_out["low"] <= 0:
            reasons.append(
                f"on held-out tasks the interval of the difference, {points(held_out['low'])} to "
                f"{points(held_out['high'])}, is not above 0"
            )
    for kind, change in validation["held_out"].items():
        if kind != ALL and change["n"] and change["high"] < 0:
            reasons.append(f"it learned {kind}, and solves {points(change['difference'])} of these tasks")
    if not general["n"]:
        reasons.append("no general task was graded, so that it is not known what it forgot")
    elif -general["difference"] > limits["most_lost"] + _SLACK:
        reasons.append(
            f"it solves {points(general['difference'])} of the general tasks; at most "
            f"{points(-limits['most_lost'])} is allowed"
        )
    worse = [
        {"set": name, "kind": kind, **{key: change[key] for key in ("n", "difference", "low", "high")}}
        for name in SETS
        for kind, change in validation[name].items()
        if kind != ALL and change["n"] and change["difference"] < 0
    ]
    return {"deployed": not reasons, "reasons": reasons, "worse": worse, "limits": dict(limits)}


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f} points"


def agreement(there: Iterable[Row], here: Iterable[Row]) -> dict[str, Any]:
    """Whether an exported student solves as much `here` (outcomes in its runtime) as `there` (where it was trained).

    {agrees, n, there, here (shares), low, high, same, kinds}: it does if its share here lies in Wilson's 95% interval
    of that there, over the `n` tasks graded in both; `same` of these had the same grade. `kinds` has the rows of
    `accuracy_by_kind` for all its outcomes here. Without such tasks it does not agree, and shares are None.
    """
    here = list(here)
    graded = {row["task_id"]: bool(row["passed"]) for row in there if row["passed"] is not None}
    both = [row for row in here if row["task_id"] in graded and row["passed"] is not None]
    pairs = [(graded[row["task_id"]], bool(row["passed"])) for row in both]
    kinds = accuracy_by_kind(
        {
            **{"kind": row["kind"], "passed": row["passed"], "seconds": row["latency_s"], "cost_usd": row["cost_usd"]},
            "tokens": tokens_of(row),
        }
        for row in here
    )
    if not pairs:
        return {"agrees": False, "n": 0, **dict.fromkeys(("there", "here", "low", "high")), "same": 0, "kinds": kinds}
    n, solved = len(pairs), sum(one for one, _ in pairs)
    low, high = wilson(solved, n)
    share = sum(other for _, other in pairs) / n
    return {
        "agrees": low <= share <= high,
        "n": n,
        **{"there": solved / n, "here": share, "low": low, "high": high},
        "same": sum(one == other for one, other in pairs),
        "kinds": kinds,
    }
