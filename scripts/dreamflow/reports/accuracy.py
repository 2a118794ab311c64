"""How well a model did on tasks, by kind: accuracy with its interval, and what an answer cost."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from ..generation.model import Json
from .statistics import wilson

ALL = "all"


def accuracy_by_kind(rows: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """A row for each kind, in order of name, and one for "all": {kind, n, passed, ungraded, accuracy, low, high,
    tokens, seconds, cost_usd}.

    `rows` are answers: {kind, passed, tokens, seconds, cost_usd}; `passed` None is ungraded, and in no accuracy.
    tokens, seconds and cost are means per answer, over those that know them. What cannot be told is None.
    """
    rows = list(rows)
    kinds = sorted({row["kind"] for row in rows})
    told = [_summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]
    return [*told, _summary(ALL, rows)] if rows else []


def _summary(kind: str, rows: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
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


def tokens_of(outcome: Mapping[str, Json]) -> int | None:
    """The tokens of an answer and its prompt; None where either is not known."""
    counts = (outcome["prompt_tokens"], outcome["completion_tokens"])
    return None if None in counts else sum(counts)


def _mean(rows: Sequence[Mapping[str, Json]], column: str) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None]
    return fmean(values) if values else None
