"""How well a model did on tasks, by kind: accuracy with its interval, and what an answer cost."""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

ALL = "all"
_Z = 1.959963984540054  # the two-sided 95% point of the normal distribution


def wilson(passed: int, n: int) -> tuple[float, float]:
    """The 95% interval (low, high) of a share of `passed` among `n` > 0 independent trials.

    With p = passed / n and z = 1.96 it is (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927, Journal
    of the American Statistical Association 22, 209-212), which holds at 0 and 1 too, where p ± z sqrt(p(1-p)/n) has no
    width. Tasks of one group are alike, so between groups the truth is wider than this says.
    """
    p, slack = passed / n, _Z**2 / n
    half = _Z * sqrt(p * (1 - p) / n + slack / (4 * n))
    low, high = ((p + slack / 2 + sign * half) / (1 + slack) for sign in (-1, 1))
    # At 0 and n one end is p itself, which rounding may miss.
    return (0.0 if passed == 0 else low), (1.0 if passed == n else high)


def accuracy_by_kind(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each kind, in order of name, and one for "all": {kind, n, passed, ungraded, accuracy, low, high,
    tokens, seconds, cost_usd}.

    `rows` are answers: {kind, passed, tokens, seconds, cost_usd}; `passed` None is ungraded, and in no accuracy.
    tokens, seconds and cost are means per answer, over those that know them. What cannot be told is None.
    """
    rows = list(rows)
    kinds = sorted({row["kind"] for row in rows})
    told = [_summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]
    return [*told, _summary(ALL, rows)] if rows else []


def _summary(kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    grades = [row["passed"] for row in rows if row["passed"] is not None]
    n, passed = len(grades), sum(grades)
    low, high = wilson(passed, n) if n else (None, None)
    return {
        "kind": kind,
        "n": n,
        "passed": passed,
        "ungraded": len(rows) - n,
        "accuracy": passed / n if n else None,
        "low": low,
        "high": high,
        "tokens": _mean(rows, "tokens"),
        "seconds": _mean(rows, "seconds"),
        "cost_usd": _mean(rows, "cost_usd"),
    }


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None]
    return fmean(values) if values else None
