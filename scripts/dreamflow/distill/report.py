"""What a distillation brought: what was taught, what the student solves before and after, and what it saves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..files import read_json, write_atomic
from ..reports.accuracy import ALL, tokens_of
from ..reports.markdown import number, percent
from ..reports.pictures import draw_shares
from ..reports.render import render
from ..reports.statistics import wilson
from .validate import SETS, points

Row = Mapping[str, Any]

_NAMES = {"held_out": "held-out", "general": "general"}
_FILES = ("validation", "gate", "training", "teaching", "exported")  # .json, in the folder of a run
WHO = ("teacher", "before", "after")


def write_report(folder: Path, facts: Mapping[str, Any]) -> str:
    """Write report.md and accuracy.png of a distillation into its `folder`; returns its short form for the screen.

    The numbers are read from the run's own files there: validation.json, gate.json, training.json, teaching.json and
    exported.json. `facts` has what they do not know:
    run: name and cycle; student, teacher: ids of the models; model_id: what the student is called at work;
    atp: {student, teacher}: base cost of an answer;
    costs: {who: rows} for who in WHO, as far as measured: outcomes (see `probe.outcomes`) of the kinds to learn with
    `words` (of all that was asked, see `asked_words`): the teacher's answers when it taught, the student's before and
    after; all with the models as they are served, so that tokens and seconds can be compared;
    notes: lines of Markdown about what did not work, or what the numbers do not show.
    """
    found = {name: read_json(folder / f"{name}.json") for name in _FILES}
    base = {who: facts["atp"]["teacher" if who == "teacher" else "student"] for who in WHO}
    savings = [saving(who, facts["costs"][who], base[who]) for who in WHO if facts["costs"].get(who)]
    draw_shares(_series(found["validation"]), f"Tasks solved: {facts['run']}", folder / "accuracy.png")
    short = _short(facts, found)
    write_atomic(folder / "report.md", _page(facts, found, savings, short))
    return short


def asked_words(prompt: str, turns: Sequence[Mapping[str, str]] = ()) -> int:
    """The words of a question and of the turns (worked examples) before it: what an answer's ATP cost grows with."""
    return len(prompt.split()) + sum(len(turn["content"].split()) for turn in turns)


def saving(who: str, rows: Sequence[Row], base: float) -> dict[str, Any]:
    """What a task costs: {who, tasks, answers (to a task), solved, tokens, seconds, atp, usd}, the last four in all
    answers to a task, as means; solved is the share of tasks with a right answer among theirs. What is not known is
    None. An answer costs `base` · (1 + words / 100) ATP (as in SAGE's selector, with the words of what was asked)."""
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
        "atp": _per_task(by_task, lambda row: base * (1 + row["words"] / 100)),
        "usd": _per_task(by_task, lambda row: row["cost_usd"]),
    }


def _per_task(by_task: Mapping[str, Sequence[Row]], measure: Any) -> float | None:
    sums = [[measure(row) for row in answers] for answers in by_task.values()]
    return None if any(None in values for values in sums) else fmean(map(sum, sums))


def _series(validation: Row) -> dict[str, dict[str, Any]]:
    series: dict[str, dict[str, Any]] = {"before": {}, "after": {}}
    for name in SETS:
        for kind, change in validation[name].items():
            for when, shares in series.items():
                share = change[when]
                solved = None if share is None else (share, *wilson(round(share * change["n"]), change["n"]))
                shares[f"{_NAMES[name]}\n{kind}"] = solved
    return series


def _short(facts: Row, found: Row) -> str:
    """The whole story in a few sentences."""
    kinds = ", ".join(kind for kind in found["validation"]["held_out"] if kind != ALL)
    by = "itself" if facts["teacher"] == facts["student"] else facts["teacher"]
    lines = [
        f"{facts['student']} learned {kinds} from {by}. It solves {_told(found['validation']['held_out'][ALL])} of the "
        f"held-out tasks, and {_told(found['validation']['general'][ALL])} of the general ones."
    ]
    if found["exported"]["deployed"]:
        lines.append(f"It is at work: any spec can name it as {facts['model_id']}.")
    else:
        lines.append(f"It was not put to work: {'; '.join(found['exported']['reasons'])}.")
    return " ".join(lines)


def _told(change: Row) -> str:
    if not change["n"]:
        return "an unknown share"
    interval = f"95% interval {_interval(change['low'], change['high'])}"
    difference = points(change["difference"])
    return f"{change['after']:.1%} (before: {change['before']:.1%}; {difference}, {interval}; {change['n']} tasks)"


def _page(facts: Row, found: Row, savings: Sequence[Row], short: str) -> str:
    training, limits = found["training"], found["gate"]["limits"]
    by_who = {one["who"]: one for one in savings}
    both = {"teacher", "after"} <= by_who.keys()
    return render(
        "distillation.md",
        run=facts["run"],
        short=short,
        solved=_solved(found["validation"]),
        exported=found["exported"]["accuracy"],
        saved=[_saved(one) for one in savings],
        comparison=_compared(by_who["teacher"], by_who["after"], training["seconds"]["in_all"]) if both else "",
        taught=[
            (row["role"], row["kind"], *(row.get(name, "-") for name in _COUNTS)) for row in found["teaching"]["kinds"]
        ],
        training=training,
        worse=[
            {
                **{"set": _NAMES[one["set"]], "kind": one["kind"], "difference": points(one["difference"])},
                **{"interval": _interval(one["low"], one["high"]), "n": one["n"]},
            }
            for one in found["gate"]["worse"]
        ],
        margin=points(limits["margin"]),
        smallest=limits["smallest"],
        most_lost=points(-limits["most_lost"]),
        notes=facts["notes"],
    )


_COUNTS = ("tasks", "tasks_taught", "examples", "asked", "rejected")


def _solved(validation: Row) -> list[tuple[Any, ...]]:
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


def _saved(one: Row) -> tuple[Any, ...]:
    return (
        *(one["who"], one["tasks"], number(one["answers"], 1), percent(one["solved"], 1)),
        *(number(one[name], digits) for name, digits in (("tokens", 0), ("seconds", 2), ("atp", 2))),
        number(None if one["atp"] is None or not one["solved"] else one["atp"] / one["solved"], 2),
        number(one["usd"], 6),
    )


def _compared(teacher: Row, after: Row, seconds: float) -> str:
    """What the student saves against the teacher, and when the training has paid for itself in seconds."""
    told = []
    for name, unit, digits in (("tokens", "tokens", 0), ("seconds", "seconds", 2), ("atp", "ATP", 2)):
        if teacher[name] and after[name] is not None:
            change = after[name] / teacher[name] - 1
            told.append(
                f"{number(after[name], digits)} {unit} instead of {number(teacher[name], digits)} ({change:+.0%})"
            )
    if not told:
        return "Too little is known of what the answers cost to compare them."
    text = f"A task sent to the student instead of the teacher takes {', '.join(told)}."
    if teacher["solved"] > after["solved"]:
        text += f" It solves fewer: {after['solved']:.0%}, not {teacher['solved']:.0%}."
    saved = None if None in (teacher["seconds"], after["seconds"]) else teacher["seconds"] - after["seconds"]
    if saved is not None and saved > 0:
        text += f" The training took {number(seconds, 0)} s, as long as is saved on {number(seconds / saved, 0)} tasks."
    return text


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
