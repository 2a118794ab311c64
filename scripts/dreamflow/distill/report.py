"""The report of a distillation: what the student learned, what it solves before and after, and what it saves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from ..files import read_json, read_jsonl, write_atomic
from ..generation.make import read_result
from ..generation.model import Json, as_json
from ..reports.accuracy import ALL, tokens_of
from ..reports.markdown import number, percent
from ..reports.pictures import draw_shares
from ..reports.render import render
from ..reports.statistics import wilson
from ..routing.atp import atp_cost, count_words
from ..tasks.outcomes import Outcome, read_grades
from .compile import Distillation
from .validate import SETS, points

Row = Mapping[str, Json]

_NAMES = {"held_out": "held-out", "general": "general"}
_FILES = ("validation", "gate", "training", "teaching", "exported")  # .json, in the folder of a run
_COUNTS = ("tasks", "tasks_taught", "examples", "asked", "rejected")
WHO = ("teacher", "before", "after")


def report_facts(distillation: Distillation) -> dict[str, Json]:
    """Return the `facts` of `write_report`."""
    student, teacher, spec = distillation.student, distillation.teacher, distillation.spec
    notes, costs = [], _costs(distillation)
    if teacher is not None and teacher.model_id == student.model_id:
        notes.append(
            f"Teacher and student are the same model: the teacher saw {spec.teacher.worked} worked examples before "
            f"each question and drew {spec.teacher.samples} answers, of which the graders selected. The student "
            "learned to do without the examples, not anything that it could not do with them."
        )
    if spec.replay.general_share:
        notes.append("Answers to general tasks are the student's own, right or wrong: they prevent forgetting.")
    return {
        "run": distillation.run,
        "student": student.model_id,
        "teacher": spec.teacher.model,
        "model_id": distillation.model_id,
        "atp": {"student": student.atp, "teacher": _teacher_atp(distillation, costs["teacher"])},
        "costs": costs,
        "notes": notes,
    }


def _teacher_atp(distillation: Distillation, rows: Sequence[Mapping[str, Json]]) -> float:
    """Return the base ATP of the teacher; the mean over its answers if trust chose a model for each."""
    if distillation.teacher is not None:
        return distillation.teacher.atp
    models = distillation.world.models
    return fmean([models[row["model_id"]].atp for row in rows if row["model_id"] in models] or [0.0])


def _costs(distillation: Distillation) -> dict[str, list[dict[str, Json]]]:
    """Return the answers to compare: the teacher's, and the student's before and after."""
    grades = distillation.folder / "grades"
    replay = read_jsonl(distillation.folder / "replay.jsonl")
    targets = {row["task_id"] for row in replay if row["role"] == "target"}
    practice = (row for row in read_grades(grades / "practice.jsonl") if row.task_id in targets)
    costs = {
        "teacher": _with_words(distillation, read_grades(grades / "teacher.jsonl")),
        "before": _with_words(distillation, practice),
    }
    if read_json(distillation.folder / "exported.json")["accuracy"] is not None:
        costs["after"] = _with_words(distillation, read_grades(grades / "exported.jsonl"))
    return costs


def _with_words(distillation: Distillation, outcomes: Iterable[Outcome]) -> list[dict[str, Json]]:
    rows = []
    for outcome in outcomes:
        folder = distillation.world.layout.generation("answer", outcome.gen_id)
        turns = as_json(read_result(folder).turns or [])
        words = question_words((folder / "prompt.txt").read_text(encoding="utf-8"), turns)
        rows.append({**as_json(outcome), "words": words})
    return rows


def question_words(prompt: str, turns: Sequence[Mapping[str, str]] = ()) -> int:
    """Count the words of a question and of the turns (worked examples) before it, which decide its ATP cost."""
    return count_words(prompt) + sum(count_words(turn["content"]) for turn in turns)


def write_report(folder: Path, facts: Mapping[str, Json]) -> str:
    """Write report.md and accuracy.png of a distillation into its `folder`; returns the summary.

    The numbers come from validation.json, gate.json, training.json, teaching.json and exported.json there, and from
    `facts`: run (name and cycle); student, teacher (model ids); model_id (of the registered student); atp: {student,
    teacher} (base cost of an answer); costs: {who: rows} for who in WHO, where measured: outcomes of the kinds to learn
    with `words` (see `question_words`), all by the deployed models, so that tokens and seconds are comparable; notes
    (lines of Markdown).
    """
    files = {name: read_json(folder / f"{name}.json") for name in _FILES}
    savings = {
        who: saving(who, facts["costs"][who], facts["atp"]["teacher" if who == "teacher" else "student"])
        for who in WHO
        if facts["costs"].get(who)
    }
    draw_shares(_series(files["validation"]), f"Tasks solved: {facts['run']}", folder / "accuracy.png")
    summary = _summary(facts, files)
    write_atomic(folder / "report.md", _page(facts, files, savings, summary))
    return summary


def saving(who: str, rows: Sequence[Row], base: float) -> dict[str, Json]:
    """Return the costs of a task: {who, tasks, answers, solved, tokens, seconds, atp, usd}.

    `solved` is the share of tasks with a correct answer; the others are means per task over all its answers, None if
    unknown. An answer costs `base` · (1 + words / 100) ATP, as in SAGE's selector, with the words of the question.
    """
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row["task_id"], []).append(row)
    return {
        "who": who,
        "tasks": len(by_task),
        "answers": len(rows) / len(by_task),
        "solved": fmean(any(row["passed"] for row in answers) for answers in by_task.values()),
        "tokens": _per_task(by_task, tokens_of),
        "seconds": _per_task(by_task, lambda row: row["latency_s"]),
        "atp": _per_task(by_task, lambda row: atp_cost(base, row["words"])),
        "usd": _per_task(by_task, lambda row: row["cost_usd"]),
    }


def _per_task(by_task: Mapping[str, Sequence[Row]], measure: Callable[[Row], float | None]) -> float | None:
    costs = [[measure(row) for row in answers] for answers in by_task.values()]
    return None if any(None in values for values in costs) else fmean(map(sum, costs))


def _series(validation: Row) -> dict[str, dict[str, Json]]:
    series: dict[str, dict[str, Json]] = {"before": {}, "after": {}}
    for name in SETS:
        for kind, change in validation[name].items():
            for when, shares in series.items():
                share = change[when]
                solved = None if share is None else (share, *wilson(round(share * change["n"]), change["n"]))
                shares[f"{_NAMES[name]}\n{kind}"] = solved
    return series


def _summary(facts: Row, files: Row) -> str:
    validation, exported = files["validation"], files["exported"]
    kinds = ", ".join(kind for kind in validation["held_out"] if kind != ALL)
    teacher = "itself" if facts["teacher"] == facts["student"] else facts["teacher"]
    deployed = (
        f"It is registered: specs can name it as {facts['model_id']}."
        if exported["deployed"]
        else f"It was not registered: {'; '.join(exported['reasons'])}."
    )
    return (
        f"{facts['student']} learned {kinds} from {teacher}. It solves {_change(validation['held_out'][ALL])} of the "
        f"held-out tasks, and {_change(validation['general'][ALL])} of the general tasks. {deployed}"
    )


def _change(change: Row) -> str:
    if not change["n"]:
        return "an unknown share"
    interval = f"95% interval {_interval(change['low'], change['high'])}"
    difference = points(change["difference"])
    return f"{change['after']:.1%} (before: {change['before']:.1%}; {difference}, {interval}; {change['n']} tasks)"


def _page(facts: Row, files: Row, savings: Mapping[str, Row], summary: str) -> str:
    training = files["training"]
    both = {"teacher", "after"} <= savings.keys()
    return render(
        "distillation.md",
        run=facts["run"],
        summary=summary,
        solved=_solved(files["validation"]),
        exported=files["exported"]["accuracy"],
        saved=[_saved(row) for row in savings.values()],
        comparison=_comparison(savings["teacher"], savings["after"], training["seconds"]["in_all"]) if both else "",
        learned=[
            (row["role"], row["kind"], *(row.get(name, "-") for name in _COUNTS)) for row in files["teaching"]["kinds"]
        ],
        training=training,
        gate=files["gate"],
        **{"names": _NAMES, "points": points, "interval": _interval, "notes": facts["notes"]},
    )


def _solved(validation: Row) -> list[tuple[Json, ...]]:
    return [
        (
            *(_NAMES[name], kind, change["n"]),
            *(percent(change[when], 1) for when in ("before", "after")),
            "-" if change["difference"] is None else points(change["difference"]),
            *(_interval(change[f"{prefix}low"], change[f"{prefix}high"]) for prefix in ("", "group_")),
        )
        for name in SETS
        for kind, change in validation[name].items()
    ]


def _saved(row: Row) -> tuple[Json, ...]:
    per_solved = None if row["atp"] is None or not row["solved"] else row["atp"] / row["solved"]
    return (
        *(row["who"], row["tasks"], number(row["answers"], 1), percent(row["solved"], 1)),
        *(number(row[name], digits) for name, digits in (("tokens", 0), ("seconds", 2), ("atp", 2))),
        number(per_solved, 2),
        number(row["usd"], 6),
    )


def _comparison(teacher: Row, after: Row, seconds: float) -> str:
    """Compare the costs of student and teacher, and the saved seconds with those of the training."""
    changes = [
        f"{number(after[name], digits)} {unit} instead of {number(teacher[name], digits)} "
        f"({after[name] / teacher[name] - 1:+.0%})"
        for name, unit, digits in (("tokens", "tokens", 0), ("seconds", "seconds", 2), ("atp", "ATP", 2))
        if teacher[name] and after[name] is not None
    ]
    if not changes:
        return "The costs of the answers are unknown, so they cannot be compared."
    text = f"The student needs {', '.join(changes)} per task, compared with the teacher."
    if teacher["solved"] > after["solved"]:
        text += f" It solves fewer tasks: {after['solved']:.0%} instead of {teacher['solved']:.0%}."
    saved = None if None in (teacher["seconds"], after["seconds"]) else teacher["seconds"] - after["seconds"]
    if saved is not None and saved > 0:
        text += (
            f" The training took {number(seconds, 0)} s: it pays off in time after {number(seconds / saved, 0)} tasks."
        )
    return text


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
