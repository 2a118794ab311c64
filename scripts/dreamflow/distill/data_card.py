"""What is in a replay set and how it came about: counts for programs, and a data card for people.

The card has the sections of "Datasheets for Datasets" (Gebru et al. 2021) that can be told from the files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from .salience import SIGNALS

Row = Mapping[str, Any]


def summarise(
    rows: Sequence[Row],
    measured: Mapping[str, Sequence[Row]],
    groups: Mapping[str, str],
    left_out: Mapping[str, int],
    experiences: Sequence[Row],
    tasks: Sequence[Row],
    settings: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The counts of a replay set as plain JSON. `measured` are tasks by set (held_out, general), `groups` the side of
    each group, `left_out` how many tasks fell out at each step; for the rest see `replay.replay_set`."""
    known = {task["task_id"] for task in tasks}
    of_tasks = [one for one in experiences if one["task_id"] in known]
    chosen_ids = {row["experience_id"] for row in rows}
    chosen = [one for one in of_tasks if one["experience_id"] in chosen_ids]
    return {
        "seed": seed,
        "settings": dict(settings),
        "tasks": len(tasks),
        "left_out": [{"step": step, "tasks": count} for step, count in left_out.items()],
        "rows": _rows(rows),
        "measured": [
            {"set": name, "kind": kind, "tasks": count}
            for name, members in measured.items()
            for kind, count in sorted(Counter(task["kind"] for task in members).items())
        ],
        "groups": _sides(groups),
        "experiences": {
            "all": len(experiences),
            "of_tasks": len(of_tasks),
            "chosen": {
                "models": _counts(one["model_id"] for one in chosen),
                "verified_by": _counts(one["verified_by"] for one in chosen),
                "cycles": _counts(one["cycle"] for one in chosen),
                "passed": sum(bool(one["passed"]) for one in chosen),
                "signals": {name: _known(chosen, name) for name in (*SIGNALS, "salience")},
            },
        },
    }


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    cells: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["role"], row["kind"], row["split"]), []).append(row["salience"])
    return [
        {
            "role": role,
            "kind": kind,
            "split": split,
            "rows": len(values),
            "salience": {"lowest": min(values), "median": round(median(values), 6), "highest": max(values)},
        }
        for (role, kind, split), values in sorted(
            cells.items(), key=lambda cell: (cell[0][0] != "target", *cell[0][1:])
        )
    ]


def _sides(groups: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    sides: dict[str, dict[str, list[str]]] = {}
    for group, side in sorted(groups.items()):
        sides.setdefault(group.split(".")[0], {}).setdefault(side, []).append(group)
    return sides


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items(), key=lambda one: str(one[0]))}


def _known(rows: Sequence[Row], name: str) -> dict[str, Any]:
    values = [row[name] for row in rows if row[name] is not None]
    return {"known": len(values), "mean": round(fmean(values), 6) if values else None}


# --- the card -------------------------------------------------------------------------------------------------------


def data_card(summary: Mapping[str, Any]) -> str:
    """The data card of a replay set, as Markdown, from what `summarise` says."""
    settings, chosen = summary["settings"], summary["experiences"]["chosen"]
    total = sum(row["rows"] for row in summary["rows"])
    targets = ", ".join(settings["kinds"])
    parts = [
        "# Data card of a replay set",
        f"{total} tasks, chosen by salience from {summary['tasks']} tasks, for a student to learn {targets}. "
        "Tasks of other kinds are general replay: the student's own answers to them, so that it forgets less.",
        "## What is in it",
        _table(
            ("role", "kind", "split", "tasks", "salience: lowest", "median", "highest"),
            [
                (row["role"], row["kind"], row["split"], row["rows"], *row["salience"].values())
                for row in summary["rows"]
            ],
        ),
        "Never trained on, for measuring:",
        _table(("set", "kind", "tasks"), [tuple(row.values()) for row in summary["measured"]]),
        "## How it was chosen",
        "A task's salience is that of its most salient experience, and its weight in training. Tasks were taken from "
        f"the most salient on, kinds in turn, {settings['general_share']:.0%} of them general replay. Left out:",
        _table(("tasks", "why"), [(one["tasks"], one["step"]) for one in summary["left_out"]]),
        "## Where it comes from",
        f"{summary['experiences']['all']} experiences, {summary['experiences']['of_tasks']} of them with one of these "
        f"tasks. Behind the chosen tasks stand answers by {_listed(chosen['models'])}, of cycle "
        f"{_listed(chosen['cycles'])}, verified by {_listed(chosen['verified_by'])}; {chosen['passed']} were right.",
        _table(
            ("signal", "known of", "mean"),
            [
                (name, one["known"], "" if one["mean"] is None else one["mean"])
                for name, one in chosen["signals"].items()
            ],
        ),
        "## How it was split",
        "By groups of tasks of one template, so that nothing that is measured shares a template with what is learned: "
        f"{settings['validation']:.0%} of each kind's groups for validation, {settings['held_out']:.0%} held out "
        f"(seed {summary['seed']}).",
        _table(
            ("kind", "train", "validation", "held out"),
            [
                (kind, *(len(sides.get(side, ())) for side in ("train", "validation", "held_out")))
                for kind, sides in summary["groups"].items()
            ],
        ),
        "\n".join(f"- held out, {kind}: {', '.join(sides['held_out'])}" for kind, sides in summary["groups"].items()),
        "## Limits",
        _limits(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _limits(summary: Mapping[str, Any]) -> str:
    settings, measured = summary["settings"], summary["measured"]
    lines = [
        "Tasks of one kind come from few authors and generators: a student that is better on held-out templates is "
        "better on templates like these.",
        f"Prompts that are alike by {settings['near_duplicate']:g} (Jaccard index of character 5-grams) count as one; "
        "the same question in other words is not noticed.",
    ]
    for name, asked in (("held_out", settings["held_out_size"]), ("general", settings["general_size"])):
        there = sum(row["tasks"] for row in measured if row["set"] == name)
        if there < asked:
            lines.append(f"{asked} tasks were asked for the set {name}; its groups have {there}.")
    chosen = sum(row["rows"] for row in summary["rows"])
    if chosen < settings["size"]:
        lines.append(f"{settings['size']} tasks were asked for; {chosen} could be chosen.")
    if settings["general_share"] and not any(row["role"] == "general" for row in summary["rows"]):
        lines.append(
            "There is no general replay: no task of another kind was experienced. Nothing guards against forgetting."
        )
    signals = summary["experiences"]["chosen"]["signals"]
    if missing := [name for name in SIGNALS if not signals[name]["known"]]:
        lines.append(f"Nothing was known of {', '.join(missing)}, so salience is without.")
    return "\n".join(f"- {line}" for line in lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
