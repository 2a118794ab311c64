"""The pages on probes: what each model solves, how models differ, and every answer with what was expected."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import is_name, read_jsonl
from ..generation.model import Json, as_json
from ..reports.accuracy import ALL
from ..site import charts
from ..site.page import Document, Page
from ..site.parts import Amount, Badge, Column, Interval, Seconds, usd
from ..tasks.outcomes import Outcome, read_grades
from .report import accuracy_by_model
from .words import in_words

if TYPE_CHECKING:
    from .family import Probe

ANSWERS = 5000  # of a probe, on its page
LONGEST = 400  # characters of a task or an answer in the list
GRADES = {True: Badge("right", "good"), False: Badge("wrong", "bad"), None: Badge("not graded", "warn")}
ACCURACY_COLUMNS = (
    Column("model", choices=True),
    Column("kind", choices=True),
    Column("tasks", "number"),
    Column("solved", "number", "share, with Wilson's 95% interval"),
    Column("not graded", "number"),
    Column("tokens", "number", "mean of an answer with its prompt"),
    Column("time", "number", "mean of an answer"),
    Column("cost", "number", "mean of an answer"),
)
ANSWER_COLUMNS = (
    Column("model", choices=True),
    Column("kind", choices=True),
    Column("grade", choices=True),
    Column("task", "long"),
    Column("expected"),
    Column("answer", "long"),
    Column("why", "long"),
    Column("id", "id"),
)


def probe_pages(family: "Probe") -> Iterator[Page]:
    """A page for each probe with grades, also those of nights and of earlier configurations; nights are last."""
    folder = family.layout.root / "probes"
    names = sorted((path.parent.name for path in folder.glob("*/grades.jsonl")), key=_order)
    for name in filter(is_name, names):
        try:
            outcomes = read_grades(folder / name / "grades.jsonl")
            tasks = _tasks(family, name, folder / name)
        except DreamflowError as error:
            facts = {"trail": _trail(name), "name": name, "problem": str(error), "outcomes": 0}
            yield Page(_path(name), f"Probe {name}", "models", "probe_probe.html", facts, summary="damaged")
            continue
        yield _page(family.layout.root, name, outcomes, tasks)


def _order(name: str) -> tuple[bool, int, str]:
    night = re.fullmatch(r"night-(\d+)", name)
    return (True, int(night[1]), name) if night else (False, 0, name)


def _path(name: str) -> str:
    return f"models/probe/{name}.html"


def _trail(name: str) -> list[tuple[str, str]]:
    return [("Models", "models/index.html"), ("Probes", "models/index.html#probes"), (name, "")]


def _tasks(family: "Probe", name: str, folder: Path) -> Mapping[str, Mapping[str, Json]]:
    """The tasks of a probe that are still known, by id."""
    if (folder / "tasks.jsonl").exists():
        return {line["task"]["task_id"]: line["task"] for line in read_jsonl(folder / "tasks.jsonl")}
    return family.probes[name].tasks if name in family.probes else {}


def _page(root: Path, name: str, outcomes: Sequence[Outcome], tasks: Mapping[str, Mapping[str, Json]]) -> Page:
    rows = [as_json(row) for row in outcomes]
    accuracy = accuracy_by_model(rows)
    models = sorted({row.model_id or "" for row in outcomes})
    shown = outcomes[:ANSWERS]
    answers = {row.gen_id: _answer(root, row.gen_id) for row in shown}
    overall = [row for row in accuracy if row["kind"] == ALL]
    said = in_words(rows)
    facts = {
        "trail": _trail(name),
        "name": name,
        "problem": "",
        "outcomes": len(outcomes),
        "shown": len(shown),
        "sentences": said,
        "chart": _chart(accuracy),
        "accuracy": [_accuracy_cells(row) for row in accuracy],
        "accuracy_columns": ACCURACY_COLUMNS,
        "answers": [_answer_cells(row, tasks.get(row.task_id), answers[row.gen_id]) for row in shown],
        "answer_columns": ANSWER_COLUMNS,
        "unknown_tasks": sum(row.task_id not in tasks for row in shown),
    }
    best = max(overall, key=lambda row: row["accuracy"] or 0.0, default=None)
    known = best is not None and best["accuracy"] is not None
    summary = f"{len(outcomes):,} answers of {len(models)} model{'s' * (len(models) != 1)}"
    summary += f"; {best['model_id']} solves {best['accuracy']:.0%}" if known else ""
    documents = [_document(row, tasks.get(row.task_id), answers[row.gen_id]) for row in shown]
    page = Page(_path(name), f"Probe {name}", "models", "probe_probe.html", facts, summary, documents)
    return replace(page, highlight=said[0] if known and not name.startswith("night-") else "")


def _answer(root: Path, gen_id: str) -> str:
    if not is_name(gen_id):
        return ""
    try:
        return (root / "gens" / "answer" / gen_id / "parsed.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _chart(accuracy: Sequence[Mapping[str, Json]]) -> Markup | None:
    rows = sorted(
        (row for row in accuracy if row["accuracy"] is not None), key=lambda row: (row["kind"] == ALL, row["kind"])
    )
    if not rows:
        return None
    estimates = [
        charts.Interval(
            "all kinds" if row["kind"] == ALL else row["kind"], row["accuracy"], row["low"], row["high"],
            f"{row['passed']:,} of {row['n']:,}", row["model_id"] or "",
        )
        for row in rows
    ]  # fmt: skip
    return charts.intervals("Tasks solved, by kind.", "Share with Wilson's 95% interval.", estimates, "solved", (0, 1))


def _accuracy_cells(row: Mapping[str, Json]) -> list[Json]:
    return [
        row["model_id"],
        "all kinds" if row["kind"] == ALL else row["kind"],
        row["n"],
        Interval(row["accuracy"], row["low"], row["high"]),
        row["ungraded"] or None,
        Amount(row["tokens"], 0),
        Seconds(row["seconds"]),
        usd(row["cost_usd"]),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _answer_cells(row: Outcome, task: Mapping[str, Json] | None, answer: str) -> list[Json]:
    prompt, expected = (task["prompt"], str(task["answer"])) if task else (row.task_id, "")
    why = "" if row.passed else row.why
    return [
        row.model_id,
        row.kind,
        GRADES[row.passed],
        _cut(prompt),
        _cut(expected),
        _cut(answer),
        _cut(why),
        row.gen_id,
    ]


def _document(row: Outcome, task: Mapping[str, Json] | None, answer: str) -> Document:
    title = f"{row.task_id}, {row.model_id}: {GRADES[row.passed].text}"
    text = f"{task['prompt']}\n\n{answer}" if task else answer
    return Document("probe answer", title, text, f"~answers.q={row.gen_id}")  # the list shows this row alone
