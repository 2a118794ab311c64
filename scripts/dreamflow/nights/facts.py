"""What a night has made of variants, chunks, essays and students, and what waits for a person, as their files say."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ..errors import DreamflowError
from ..files import read_json
from ..generation.model import Json
from .state import Night

SHOWN_ESSAYS = 3
DIFF_LINES = 24


@dataclass(frozen=True)
class Dream:
    """The variants of a night over procedures. `best` is the row of dreams.csv of the most viable one, `diff` what it
    changes; `to_promote` are those in tier 1 that are no procedures yet; `limits` are those of the next cycle that
    changed: kind -> (before, after, why)."""

    key: str
    journal: Path
    variants: int
    viable: int
    best: Mapping[str, str] | None
    diff: str
    to_promote: int
    limits: Mapping[str, tuple[int | None, int, str]]


@dataclass(frozen=True)
class Essay:
    """A rated essay: its page in `results/`, its cohort and its mean score (0-1)."""

    path: Path
    cohort: str
    gen_id: str
    score: float


@dataclass
class Facts:
    """What a night has made; `notes` name the files that could not be read."""

    dreams: list[Dream] = field(default_factory=list)
    upgrades: dict[str, int] = field(default_factory=dict)  # upgraded chunks by conversation
    chunked: dict[str, int] = field(default_factory=dict)  # new chunks by conversation
    essays: list[Essay] = field(default_factory=list)
    students: list[tuple[Path, Mapping[str, Json]]] = field(default_factory=list)
    questions: list[Path] = field(default_factory=list)
    batches: int = 0
    notes: list[str] = field(default_factory=list)


def facts_of(night: Night) -> Facts:
    """The facts of a night: of files that are newer than its beginning."""
    facts = Facts()
    root, since = night.root, _since(night)

    def new(pattern: str) -> Iterator[Path]:
        return (path for path in sorted(root.glob(pattern)) if path.stat().st_mtime >= since)

    def read(function: Any, *arguments: Any) -> None:
        try:
            function(facts, *arguments)
        except (DreamflowError, OSError, LookupError, TypeError, ValueError, yaml.YAMLError) as error:
            where = arguments[0]
            facts.notes.append(str(error) if isinstance(error, DreamflowError) else f"{where}: damaged: {error}")

    for path in new("dreams/*/cycle-*/journal.md"):
        pinned = night.cycles.get(f"procedures/{path.parent.parent.name}")
        if pinned is None or path.parent.name == f"cycle-{pinned}":
            read(_dream, path.parent)
    for path in new("chunks/result.json"):
        read(_chunks, path)
    if night.phases.get("evaluations") and night.phases["evaluations"].made:
        for path in new("results/*/[0-9]*.md"):
            read(_essay, path)
    facts.essays.sort(key=lambda essay: (-essay.score, essay.gen_id))
    for path in new("distill/*/cycle-*/exported.json"):
        read(_student, path)
    questions = sorted(root.glob("inbox/*.question.txt"))
    facts.questions = [path for path in questions if not _answer(path).exists()]
    facts.batches = sum(1 for _ in root.glob("store/batches/*.json"))
    return facts


def _since(night: Night) -> float:
    """When the night began, in seconds; the first of its times if the clock went back."""
    times = []
    for text in (night.started, *(line.started for line in night.lines)):
        with suppress(ValueError):
            times.append(datetime.fromisoformat(text).timestamp())
    return min(times, default=0.0)


def _dream(facts: Facts, folder: Path) -> None:
    with (folder / "dreams.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    viable = [row for row in rows if row["tier"] == "1"]
    viable.sort(key=lambda row: (-float(row["viability"] or 0), -float(row["novelty"] or 0), row["gen_id"]))
    best, diff = (viable[0], "") if viable else (None, "")
    checks = folder / "checks" / f"{best['procedure_id']}.json" if best else None
    if checks and checks.exists():
        diff = str((read_json(checks).get(best["gen_id"]) or {}).get("diff") or "")
    promoted = [row for row in viable if row.get("promoted") not in ("", "False", None)]
    facts.dreams.append(
        Dream(
            key=f"{folder.parent.name}, {folder.name.replace('-', ' ')}",
            journal=folder / "journal.md",
            variants=len(rows),
            viable=len(viable),
            best=best,
            diff="\n".join(diff.rstrip("\n").split("\n")[:DIFF_LINES]),
            to_promote=len(viable) - len(promoted),
            limits=_changed_limits(folder),
        )
    )


def _changed_limits(folder: Path) -> dict[str, tuple[int | None, int, str]]:
    """The limits of the next cycle that are not those of this one."""
    number = int(folder.name.removeprefix("cycle-"))
    now = _limits(folder / "next.yaml")
    before = _limits(folder.parent / f"cycle-{number - 1}" / "next.yaml") if number > 1 else {}
    changed = {}
    for kind, limit in now.items():
        old = before.get(kind, {}).get("limit")
        if old != limit["limit"] and not str(limit["why"]).startswith("Stays"):
            changed[kind] = (old, limit["limit"], str(limit["why"]))
    return changed


def _limits(path: Path) -> dict[str, dict[str, Json]]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["limits"] if path.exists() else {}


def _chunks(facts: Facts, path: Path) -> None:
    for row in read_json(path)["conversations"]:
        if row["chunks_upgraded"]:
            facts.upgrades[row["conversation_id"]] = row["chunks_upgraded"]
        if row["chunks_created"]:
            facts.chunked[row["conversation_id"]] = row["chunks_created"]


def _essay(facts: Facts, path: Path) -> None:
    match = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.S)
    head = yaml.safe_load(match[1]) if match else {}
    score = (head.get("score") or {}).get("mean")
    if score is not None:
        facts.essays.append(Essay(path, str(head["cohort"]), str(head["gen_id"]), float(score)))


def _student(facts: Facts, path: Path) -> None:
    exported = read_json(path)
    facts.students.append((path.parent, {"deployed": bool(exported["deployed"]), "reasons": exported["reasons"]}))


def _answer(question: Path) -> Path:
    return question.with_name(question.name.removesuffix(".question.txt") + ".answer.txt")
