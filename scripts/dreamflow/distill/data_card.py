"""What is in a replay set and how it came about: counts for programs, and a data card for people.

The card has the sections of "Datasheets for Datasets" (Gebru et al. 2021) that can be told from the files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from ..reports.render import render
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


def data_card(summary: Mapping[str, Any]) -> str:
    """The data card of a replay set, as Markdown, from what `summarise` says."""
    settings, rows, measured = summary["settings"], summary["rows"], summary["measured"]
    signals = summary["experiences"]["chosen"]["signals"]
    sizes = {name: sum(row["tasks"] for row in measured if row["set"] == name) for name in ("held_out", "general")}
    return render(
        "data_card.md",
        **summary,
        total=sum(row["rows"] for row in rows),
        in_it=[
            (row["role"], row["kind"], row["split"], row["rows"], *map(_cell, row["salience"].values())) for row in rows
        ],
        measured_rows=[tuple(row.values()) for row in measured],
        left_out_rows=[(one["tasks"], one["step"]) for one in summary["left_out"]],
        signals=[
            (name, one["known"], "" if one["mean"] is None else _cell(one["mean"])) for name, one in signals.items()
        ],
        sides=[
            (kind, *(len(sides.get(side, ())) for side in ("train", "validation", "held_out")))
            for kind, sides in summary["groups"].items()
        ],
        too_few=[
            (name, settings[f"{name}_size"], there) for name, there in sizes.items() if there < settings[f"{name}_size"]
        ],
        general_replay=any(row["role"] == "general" for row in rows),
        unknown=[name for name in SIGNALS if not signals[name]["known"]],
    )


def _cell(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
