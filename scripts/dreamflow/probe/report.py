"""The report of a probe: how many tasks of each kind each model solves, and the costs of an answer."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import write_atomic
from ..generation.model import Json
from ..reports.accuracy import accuracy_by_kind, tokens_of
from ..reports.markdown import number, percent, text_table
from ..reports.pictures import draw_shares
from ..reports.render import render
from .words import in_words

Row = Mapping[str, Json]

ACCURACY = ("model_id", "kind", "n", "passed", "ungraded", "accuracy", "low", "high", "tokens", "seconds", "cost_usd")
ANSWERS = (
    *("model_id", "task_id", "kind", "context", "group", "gen_id", "sample", "score", "passed", "why"),
    *("prompt_tokens", "completion_tokens", "latency_s", "cost_usd"),
)
_MAX_EXAMPLES = 2  # wrong answers in the report per model and kind
_MAX_REASON = 200  # characters


def write_report(probe: str, outcomes: Sequence[Row], folder: Path) -> str:
    """Write answers.csv, accuracy.csv, accuracy.png and report.md of a probe; returns the table to print.

    `outcomes` are rows of a file of grades. Tokens are those of prompt and answer.
    """
    rows = accuracy_by_model(outcomes)
    write_atomic(folder / "answers.csv", _csv(outcomes, ANSWERS))
    write_atomic(folder / "accuracy.csv", _csv(rows, ACCURACY))
    series: dict[str, dict[str, Json]] = {}
    for row in rows:
        share = None if row["accuracy"] is None else (row["accuracy"], row["low"], row["high"])
        series.setdefault(row["model_id"], {})[row["kind"]] = share
    draw_shares(series, f"Tasks solved: {probe}", folder / "accuracy.png")
    table, said = [_cells(row) for row in rows], in_words(outcomes)
    values = {"said": said, "rows": table, "header": _HEADER, "reasons": _reasons(outcomes), "wrong": _wrong(outcomes)}
    write_atomic(folder / "report.md", render("probe.md", probe=probe, **values))
    lines = "\n".join(f"- {line}" for line in said)
    return f"probe {probe}\n\n{text_table([_HEADER, *table], left=2)}\n\n{lines}\n\nThe report: {folder}/report.md"


def accuracy_by_model(outcomes: Sequence[Row]) -> list[dict[str, Json]]:
    """Return the rows of `accuracy_by_kind` for each model, by name."""
    models: dict[str, list[dict[str, Json]]] = {}
    for row in outcomes:
        models.setdefault(row["model_id"], []).append({**row, "tokens": tokens_of(row), "seconds": row["latency_s"]})
    return [{"model_id": model, **row} for model in sorted(models) for row in accuracy_by_kind(models[model])]


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return CSV: floats with four decimals, exact costs, empty cells for unknown values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = ((column, row[column]) for column in columns)
        writer.writerow([round(v, 4) if isinstance(v, float) and c != "cost_usd" else v for c, v in values])
    return text.getvalue()


_HEADER = ("model", "kind", "tasks", "solved", "95% interval", "not graded", "tokens", "seconds", "USD")


def _cells(row: Row) -> tuple[str, ...]:
    known = row["accuracy"] is not None
    return (
        row["model_id"],
        row["kind"],
        str(row["n"]),
        percent(row["accuracy"]),
        f"{row['low']:.0%} to {row['high']:.0%}" if known else "-",
        str(row["ungraded"]),
        *(number(row[name], digits) for name, digits in (("tokens", 0), ("seconds", 2), ("cost_usd", 6))),
    )


def _reasons(outcomes: Sequence[Row]) -> list[tuple[str, int]]:
    """Count the ungraded answers by reason."""
    reasons = Counter(row["why"] for row in outcomes if row["passed"] is None)
    return [(why.removeprefix("ungraded: "), times) for why, times in sorted(reasons.items())]


def _wrong(outcomes: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return the first wrong answers of each model and kind: (model_id, task_id, why)."""
    shown: Counter[tuple[str, str]] = Counter()
    wrong = []
    for row in sorted(outcomes, key=lambda row: (row["model_id"], row["kind"])):
        place = (row["model_id"], row["kind"])
        if row["passed"] is False and shown[place] < _MAX_EXAMPLES:
            shown[place] += 1
            why = row["why"] if len(row["why"]) <= _MAX_REASON else f"{row['why'][:_MAX_REASON]}…"
            wrong.append((row["model_id"], row["task_id"], why))
    return wrong
