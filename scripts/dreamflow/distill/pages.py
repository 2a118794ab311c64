"""The pages on students: how each was trained, what it solves before and after, and whether it may be used."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import is_name, read_json
from ..generation.model import Json
from ..reports.accuracy import ALL
from ..reports.statistics import wilson
from ..site import charts
from ..site.page import Document, Page
from ..site.parts import Amount, Badge, Column, Interval
from .training_log import COLUMNS
from .validate import SETS, points

if TYPE_CHECKING:
    from .family import Distill

NAMES = {"held_out": "held-out tasks of the learned kinds", "general": "general tasks (forgetting)"}
FILES = ("teaching", "training", "validation", "gate", "exported")  # .json
SOLVED_COLUMNS = (
    Column("set", choices=True),
    Column("kind", choices=True),
    Column("tasks", "number"),
    Column("before", "number"),
    Column("after", "number"),
    Column("difference in points", "number", "with its 95% interval over tasks (paired bootstrap)"),
    Column("other templates", "text", "95% interval over groups of tasks of one template"),
    Column("gained", "number"),
    Column("lost", "number"),
)
LEARNED_COLUMNS = (
    "role",
    "kind",
    *(Column(name, "number") for name in ("tasks", "tasks learned", "examples", "answers", "rejected")),
)


def student_pages(family: "Distill") -> Iterator[Page]:
    """A page for each cycle of a distillation that has files."""
    for folder in sorted(
        family.layout.root.glob("distill/*/cycle-*"), key=lambda path: (path.parent.name, len(path.name), path.name)
    ):
        if is_name(folder.parent.name) and is_name(folder.name):
            yield _page(family, folder)


def _page(family: "Distill", folder: Path) -> Page:
    run = f"{folder.parent.name}/{folder.name}"
    problems: list[str] = []
    files = {name: _read(folder / f"{name}.json", problems) for name in FILES}
    training = _training(folder / "training.csv", problems)
    drawn = []
    try:
        drawn = [*_learning_curves(training), *_before_and_after(files["validation"])]
        solved, learned = _solved(files["validation"]), _learned(files["teaching"])
        status, gate = _status(files, bool(training)), _gate(files)
    except (KeyError, TypeError, ValueError) as error:
        problems.append(f"{folder}: a file has unexpected content: {error!r}. Run snakemake distill to make it again")
        solved, learned, status, gate = [], [], Badge("damaged", "bad"), []
    report = _text(folder / "report.md")
    exported = files["exported"] or {}
    model_id = exported.get("model_id")
    facts = {
        "trail": [("Models", "models/index.html"), ("Students", "models/index.html#students"), (run, "")],
        "run": run,
        "damaged": problems,
        "status": status,
        "gate": gate,
        "reasons": (exported if exported else files["gate"] or {}).get("reasons") or [],
        "accuracy": exported.get("accuracy"),
        "model_id": model_id,
        "model_page": f"models/model/{model_id}.html" if model_id in family.world.models else "",
        "training": _training_facts(files["training"]),
        "charts": drawn,
        "solved": solved,
        "solved_columns": SOLVED_COLUMNS,
        "learned": learned,
        "learned_columns": LEARNED_COLUMNS,
        "report": report,
        "card": _text(folder / "data_card.md"),
    }
    documents = [Document("student", f"Student {run}", report, "report")] if report else []
    path = f"models/student/{folder.parent.name}-{folder.name}.html"
    summary = _summary(files, status)
    highlight = f"Student {run}: {summary}." if files["validation"] and not problems else ""
    page = Page(path, f"Student {run}", "models", "distill_student.html", facts, summary, documents)
    return replace(page, highlight=highlight)


def _read(path: Path, problems: list[str]) -> Json:
    try:
        return read_json(path) if path.exists() else None
    except DreamflowError as error:
        problems.append(str(error))
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _training(path: Path, problems: list[str]) -> list[dict[str, float | None]]:
    """The steps of a training, from its log."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [
                {name: float(row[name]) if row[name] else None for name in COLUMNS} for row in csv.DictReader(stream)
            ]
    except (KeyError, ValueError, TypeError) as error:
        problems.append(f"{path}: not the log of a training: {error!r}")
        return []


def _learning_curves(steps: Sequence[Mapping[str, float | None]]) -> list[Markup]:
    drawn = []
    names = {"loss": "training", "validation_loss": "validation"}
    points_ = [
        charts.Point(label, row["step"], row[name])
        for name, label in names.items()
        for row in steps
        if row[name] is not None
    ]
    if points_:
        words = "Loss in nats per token of an answer; lower is better."
        drawn.append(charts.lines("Learning curve.", words, points_, ("step", "loss"), marks=len(points_) < 200))
    rates = [charts.Point("", row["step"], row["lr"]) for row in steps if row["lr"] is not None]
    if rates:
        drawn.append(
            charts.lines("Learning rate.", "By step.", rates, ("step", "rate"), height=110, digits=6, marks=False)
        )
    return drawn


def _before_and_after(validation: Mapping[str, Json] | None) -> list[Markup]:
    if not validation:
        return []
    rows = []
    for name in SETS:
        for kind, change in validation[name].items():
            for when in ("before", "after"):
                if change[when] is not None and change["n"]:
                    low, high = wilson(round(change[when] * change["n"]), change["n"])
                    label = f"{'held-out' if name == 'held_out' else 'general'}: {'all kinds' if kind == ALL else kind}"
                    rows.append(charts.Interval(label, change[when], low, high, f"{change['n']:,} tasks", when))
    words = "Share of tasks before and after the training, with Wilson's 95% intervals."
    return [charts.intervals("Tasks solved.", words, rows, "solved", (0, 1))] if rows else []


def _solved(validation: Mapping[str, Json] | None) -> list[list[Json]]:
    rows = []
    for name in SETS if validation else ():
        for kind, change in validation[name].items():
            ends = [_scaled(change[key]) for key in ("difference", "low", "high")]
            others = [change["group_low"], change["group_high"]]
            apart = "–" if None in others else " to ".join(f"{100 * end:+.1f}" for end in others)
            rows.append([
                NAMES[name], "all kinds" if kind == ALL else kind, change["n"], Amount(change["before"], 3),
                Amount(change["after"], 3), Interval(*ends, 1), apart, change["gained"], change["lost"],
            ])  # fmt: skip
    return rows


def _scaled(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _learned(teaching: Mapping[str, Json] | None) -> list[list[Json]]:
    names = ("tasks", "tasks_taught", "examples", "asked", "rejected")
    return [[row["role"], row["kind"], *(row.get(name) for name in names)] for row in (teaching or {}).get("kinds", ())]


def _status(files: Mapping[str, Json], has_training: bool) -> Badge:
    exported, gate = files["exported"], files["gate"]
    if exported:
        return Badge("can be used", "good") if exported["deployed"] else Badge("not registered", "bad")
    if gate:
        return Badge("passed its gate", "good") if gate["deployed"] else Badge("did not pass its gate", "bad")
    if files["training"]:
        return Badge("trained, not measured yet", "warn")
    return Badge("in training" if has_training else "not trained yet", "warn")


def _gate(files: Mapping[str, Json]) -> list[tuple[str, str, str]]:
    """What the gate asks, what was measured, and whether that is enough."""
    gate, validation = files["gate"], files["validation"]
    if not gate or not validation:
        return []
    limits, held_out, general = gate["limits"], validation["held_out"][ALL], validation["general"][ALL]
    rows = [
        ("held-out tasks graded", f"at least {limits['smallest']}", held_out["n"], held_out["n"] >= limits["smallest"])
    ]
    if held_out["difference"] is not None:
        enough = held_out["difference"] >= limits["margin"] - 1e-9
        rows.append(
            ("held-out tasks solved", f"at least {points(limits['margin'])}", points(held_out["difference"]), enough)
        )
        rows.append(("interval of the difference", "above 0", f"from {points(held_out['low'])}", held_out["low"] > 0))
    if general["difference"] is not None:
        kept = -general["difference"] <= limits["most_lost"] + 1e-9
        rows.append(
            ("general tasks solved", f"at least {points(-limits['most_lost'])}", points(general["difference"]), kept)
        )
    return [
        [what, asked, str(found), Badge("yes", "good") if holds else Badge("no", "bad")]
        for what, asked, found, holds in rows
    ]


def _training_facts(training: Mapping[str, Json] | None) -> list[tuple[str, str]]:
    if not training:
        return []
    losses, seconds, memory = (training[name] for name in ("validation_loss", "seconds", "peak_memory_gb"))
    times = {"before": "before", "best": "at best", "last": "at the end"}
    known = [f"{losses[key]:.3f} {words}" for key, words in times.items() if losses[key] is not None]
    stopped = ", stopped early" if training["stopped_early"] else ""
    speed = f"{training['tokens_per_s']:,.0f} tokens a second on {training['device']}"
    on_gpu = "" if memory["cuda"] is None else f", {memory['cuda']:.1f} GB on the GPU"
    return [
        ("examples", f"{training['examples']['train']:,}"),
        ("steps", f"{training['steps']:,} of {training['planned_steps']:,}{stopped}"),
        ("weights kept", f"those of step {training['best_step']:,}"),
        ("validation loss", ", ".join(known)),
        ("time", f"{seconds['in_all']:,.0f} s, {speed}"),
        ("memory", f"{memory['process']:.1f} GB{on_gpu}"),
    ]


def _summary(files: Mapping[str, Json], status: Badge) -> str:
    change = ((files["validation"] or {}).get("held_out") or {}).get(ALL) or {}
    if change.get("difference") is None:
        return status.text
    return f"{status.text}; {change['after']:.0%} of held-out tasks solved, before {change['before']:.0%}"
