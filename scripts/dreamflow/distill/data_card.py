"""The content of a replay set and its origin: counts as JSON, and a data card as Markdown.

The card has the sections of "Datasheets for Datasets" (Gebru et al. 2021) that follow from the files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

from ..generation.model import Json
from ..reports.render import render
from .salience import SIGNALS

Row = Mapping[str, Json]


def summarise(
    rows: Sequence[Row],
    measured: Mapping[str, Sequence[Row]],
    groups: Mapping[str, str],
    left_out: Mapping[str, int],
    experiences: Sequence[Row],
    tasks: Sequence[Row],
    settings: Mapping[str, Json],
    seed: int,
) -> dict[str, Json]:
    """Return the counts of a replay set. `measured` are the tasks of the sets held_out and general, `groups` the splits
    of groups, `left_out` the tasks left out at each step; for the others see `replay.replay_set`."""
    task_ids = {task["task_id"] for task in tasks}
    of_tasks = [row for row in experiences if row["task_id"] in task_ids]
    chosen_ids = {row["experience_id"] for row in rows}
    chosen = [row for row in of_tasks if row["experience_id"] in chosen_ids]
    return {
        "seed": seed,
        "settings": dict(settings),
        "tasks": len(tasks),
        "left_out": [{"step": step, "tasks": count} for step, count in left_out.items()],
        "rows": _row_counts(rows),
        "measured": [
            {"set": name, "kind": kind, "tasks": count}
            for name, members in measured.items()
            for kind, count in sorted(Counter(task["kind"] for task in members).items())
        ],
        "groups": _splits(groups),
        "experiences": {
            "all": len(experiences),
            "of_tasks": len(of_tasks),
            "chosen": {
                "models": _counts(row["model_id"] for row in chosen),
                "verified_by": _counts(row["verified_by"] for row in chosen),
                "cycles": _counts(row["cycle"] for row in chosen),
                "passed": sum(bool(row["passed"]) for row in chosen),
                "signals": {name: _signal(chosen, name) for name in (*SIGNALS, "salience")},
            },
        },
    }


def _row_counts(rows: Sequence[Row]) -> list[dict[str, Json]]:
    cells: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["role"], row["kind"], row["split"]), []).append(row["salience"])
    return [
        {
            **{"role": role, "kind": kind, "split": split, "rows": len(values)},
            "salience": {"lowest": min(values), "median": round(median(values), 6), "highest": max(values)},
        }
        for (role, kind, split), values in sorted(
            cells.items(), key=lambda cell: (cell[0][0] != "target", *cell[0][1:])
        )
    ]


def _splits(groups: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    splits: dict[str, dict[str, list[str]]] = {}
    for group, split in sorted(groups.items()):
        splits.setdefault(group.split(".")[0], {}).setdefault(split, []).append(group)
    return splits


def _counts(values: Iterable[Json]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def _signal(rows: Sequence[Row], name: str) -> dict[str, Json]:
    values = [row[name] for row in rows if row[name] is not None]
    return {"known": len(values), "mean": round(fmean(values), 6) if values else None}


def data_card(summary: Mapping[str, Json]) -> str:
    """Return the data card of a replay set as Markdown, from the result of `summarise`."""
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
        left_out_rows=[(row["tasks"], row["step"]) for row in summary["left_out"]],
        signals=[(name, signal["known"], _cell(signal["mean"])) for name, signal in signals.items()],
        sides=[
            (kind, *(len(splits.get(split, ())) for split in ("train", "validation", "held_out")))
            for kind, splits in summary["groups"].items()
        ],
        too_few=[
            (name, settings[f"{name}_size"], size) for name, size in sizes.items() if size < settings[f"{name}_size"]
        ],
        general_replay=any(row["role"] == "general" for row in rows),
        unknown=[name for name in SIGNALS if not signals[name]["known"]],
    )


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
