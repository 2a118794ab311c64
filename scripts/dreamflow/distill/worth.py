"""Whether a training is worth a night.

It is if PyTorch is installed and, for some distillation, at least half of its `replay.size` of verified results (graded
answers, tested variants) are new: no file of experiences has them. Cycles that have been begun go on in any case.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..errors import DreamflowError
from ..files import read_json, read_jsonl
from ..generation.model import Json
from .compile import Distillation

NEW_SHARE = 0.5  # of the size of the replay set


def not_worth_it(runs: Iterable[Distillation], root: Path) -> str:
    """Why no training is worth it; "" if one is."""
    if find_spec("torch") is None:
        return "PyTorch is not installed ('make distill' installs it)"
    folders = [(run, root / "distill" / run.name / f"cycle-{_next(run)}") for run in runs]
    waiting = [(run, folder) for run, folder in folders if not (folder / "report.md").exists()]
    if not waiting:
        return "every configured cycle has its report"
    needed = min(math.ceil(NEW_SHARE * run.spec.replay.size) for run, _ in waiting)
    if any(folder.exists() for _, folder in waiting) or (new := len(new_results(root))) >= needed:
        return ""
    return f"{new:,} verified results are new; a training begins with {needed:,} (half of replay.size)"


def _next(run: Distillation) -> int:
    """The cycle that a night makes."""
    return run.cycles[1] + 1 if run.cycles else run.spec.cycle


def new_results(root: Path) -> set[str]:
    """The generations with a grade or a test that no file of experiences has. Damaged files count nothing."""
    known = {row.get("gen_id") for path in root.glob("experiences/cycle-*.jsonl") for row in _rows(path)}
    grades = [*root.glob("probes/*/grades.jsonl"), *root.glob("distill/*/cycle-*/grades/practice.jsonl")]
    verified = {row["gen_id"] for path in grades for row in _rows(path) if "gen_id" in row}
    for path in root.glob("dreams/*/cycle-*/tests/*.json"):
        with suppress(DreamflowError):
            verified |= set(read_json(path))
    return verified - known


def _rows(path: Path) -> list[dict[str, Json]]:
    try:
        return [row for row in read_jsonl(path) if isinstance(row, dict)]
    except DreamflowError:
        return []
