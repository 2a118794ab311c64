"""The results of a model on tasks, by kind: accuracy with its interval, and the cost of an answer."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from ..generation.model import Json
from .statistics import wilson

ALL = "all"


def accuracy_by_kind(rows: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """A row for each kind, in order of name, and a row "all": {kind, n, passed, ungraded, accuracy, low, high, tokens,
    seconds, cost_usd}.

    `rows` are answers: {kind, passed, tokens, seconds, cost_usd}. If `passed` is None, the answer is ungraded and does
    not count in the accuracy. tokens, seconds and cost_usd are means over the answers with a value. Unknown is None.
    """
    rows = list(rows)
    kinds = sorted({row["kind"] for row in rows})
    summaries = [_summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]
    return [*summaries, _summary(ALL, rows)] if rows else []


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
        **{column: _mean(rows, column) for column in ("tokens", "seconds", "cost_usd")},
    }


def tokens_of(outcome: Mapping[str, Json]) -> int | None:
    """The tokens of an answer and its prompt; None if either is unknown."""
    counts = (outcome["prompt_tokens"], outcome["completion_tokens"])
    return None if None in counts else sum(counts)


def _mean(rows: Sequence[Mapping[str, Json]], column: str) -> float | None:
    values = [row[column] for row in rows if row.get(column) is not None]
    return fmean(values) if values else None
