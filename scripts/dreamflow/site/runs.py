"""The pages on runs: what runs now, what failed and what is pending, and what to do; and the journal of each night."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cycles import nights_folder, numbers
from ..errors import DreamflowError
from ..generation.model import Json
from ..nights.state import Phase, read_phases
from ..problems import Problem, Problems
from ..reports.markdown import counted
from ..run_status import read_status
from .page import Document, Page
from .parts import Badge, Column, Link, Seconds, status_badge, usd

if TYPE_CHECKING:
    from ..plan import Plan

SHOWN_FAILED = 1000  # generations of the table
SHOWN_NIGHTS = 200
_BOLD = re.compile(r"^\*\*(.+)\*\*$", re.M)


def own_targets(line: Mapping[str, Json]) -> bool:
    """Whether a run only made the site or other views of what is there."""
    return bool(line.get("targets")) and set(line["targets"]) <= {"site", "database", "ledger", "pending", "estimate"}


def runs(root: Path) -> dict[str, Any]:
    """What `read_status` says, without the run that makes the site, and without earlier ones that only did that."""
    status = read_status(root)
    status["running"] = [state for state in status["running"] if state.get("pid") != os.getpid()]
    status["finished"] = [line for line in status["finished"] if not own_targets(line)]
    return status


def night_pages(root: Path) -> Iterator[Page]:
    """A page for each night, the last one first, with its journal."""
    known = sorted(numbers(nights_folder(root)), reverse=True)[:SHOWN_NIGHTS]
    for place, number in enumerate(known):
        folder = nights_folder(root) / str(number)
        journal = folder / "journal.md"
        text = journal.read_text(encoding="utf-8", errors="replace") if journal.exists() else ""
        phases, notes = read_phases(folder)
        headline = match[1] if (match := _BOLD.search(text)) else ""
        facts = {
            "number": number,
            "text": re.sub(r"\A# .*\n", "", text),
            "folder": folder,
            "phases": [_phase(phase) for phase in phases],
            "notes": notes,
            "before": _place(known, place + 1),
            "after": _place(known, place - 1),
            "trail": [("Runs", "runs/index.html"), (f"Night {number}", "")],
        }
        date = _began(folder)
        documents = [Document("journal", f"Journal of night {number}", text, date=date)] if text else []
        yield Page(f"runs/night-{number}.html", f"Night {number}", "runs", "night.html", facts,
                   summary=headline.replace("\\", ""), date=date, documents=documents)  # fmt: skip


def _place(known: list[int], place: int) -> tuple[str, str] | None:
    if not 0 <= place < len(known):
        return None
    return f"Night {known[place]}", f"runs/night-{known[place]}.html"


def _began(folder: Path) -> str:
    try:
        value = json.loads((folder / "night.json").read_text(encoding="utf-8"))["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(value)


def _phase(phase: Phase) -> list[Any]:
    made = ", ".join(counted(count, stage) for stage, count in phase.made.items())
    return [phase.phase, status_badge(phase.status), Seconds(phase.seconds or None), phase.calls,
            usd(phase.usd), made, phase.why]  # fmt: skip


def runs_page(plan: "Plan", status: Mapping[str, Any], waiting: str, problem: str) -> Page:
    """The page of the section. `waiting` is what `snakemake pending` says; `problem` why it could not."""
    failed, causes, others = failures(plan)
    facts = {
        "running": [_run(state) for state in status["running"]],
        "died": status["died"],
        "last": [_run(line) for line in status["finished"]],
        "run_columns": [
            Column("Began", "date"), Column("Took", "number"), Column("Asked for"), Column("Made", "number"),
            Column("Failed", "number"), Column("Calls", "number"), Column("Cost", "number"), Column("Ended", "long"),
        ],
        "last_problems": _problems(status["finished"][:1]),
        "last_command": _command(status["finished"][:1]),
        "night": status["night"],
        "waiting": grouped(waiting),
        "problem": problem,
        "failed": failed[:SHOWN_FAILED],
        "failed_total": len(failed),
        "causes": causes,
        "others": others,
        "failed_columns": [
            Column("Stage"), Column("Generation", "id"), Column("Spec"), Column("Model"), Column("Reason", "long"),
            Column("Files", "id", "its prompt, its last answer, and its log if there is one"),
        ],
    }  # fmt: skip
    words = [counted(len(failed), "failed generation")] if failed else []
    words += [heading for heading, _ in facts["waiting"] if not heading.startswith("nothing waits")]
    return Page(
        "runs/index.html",
        "Runs",
        "runs",
        "runs.html",
        facts,
        summary="; ".join(words) or "Nothing failed, and nothing waits.",
        is_index=True,
    )


def failures(plan: "Plan") -> tuple[list[list[Any]], list[Problem], Counter[str]]:
    """The failed generations as rows of a table; why, the most frequent first; and how many generations have which
    other status."""
    rows, others, problems = [], Counter(), Problems()
    world = plan.world
    for gen_id, row in plan.generations.items():
        try:
            summary = world.summaries(row.stage, gen_id)
        except DreamflowError as error:
            summary, status, reason = None, "damaged", str(error)
        else:
            status, reason = (summary.status, summary.reason) if summary else ("missing", "")
        if status not in ("failed", "damaged"):
            others[status] += 1
            continue
        model = (summary and summary.model_id) or (row.model.model_id if row.model else "")
        folder = str(plan.folder(gen_id))
        rows.append([row.stage, gen_id, world.origin.get(gen_id, ""), model, reason or status, folder])
        problems.add(reason or status, folder)
    return rows, sorted(problems.all(), key=lambda problem: -problem.count), others


def _command(lines: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(["snakemake", *(str(target) for line in lines for target in line.get("targets") or ())])


def _problems(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What went wrong in runs, as their lines of runs.jsonl say it."""
    return [
        {"message": problem.get("message", ""), "count": problem.get("count", 1), "where": problem.get("where") or ()}
        for line in lines
        for problem in line.get("failures") or ()
        if isinstance(problem, dict)
    ]


def grouped(text: str) -> list[tuple[str, list[str]]]:
    """The lines of `snakemake pending` as headings with their items."""
    groups: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("  ") and groups:
            groups[-1][1].append(line.strip())
        elif line.strip():
            groups.append((line.strip(), []))
    return groups


def _run(line: Mapping[str, Any]) -> list[Any]:
    """A run as a row of a table."""
    stages = [counts for counts in line.get("stages", {}).values() if isinstance(counts, dict)]
    made = sum(counts.get("made", 0) for counts in stages)
    failed = sum(counts.get("failed", 0) for counts in stages)
    night = line.get("night")
    target = " ".join(map(str, line.get("targets") or [])) or "everything"
    asked = Link(target, f"runs/night-{night}.html", f"night {night}") if night else target
    if "ended" in line:
        ending = Badge("complete", "good") if line.get("is_complete") else Badge("not complete", "warn")
        end = [ending, str(line.get("why", ""))] if line.get("why") not in ("done", "", None) else ending
    else:
        end = Badge("running", "info")
    seconds = line.get("seconds")
    return [
        str(line.get("started", ""))[:16].replace("T", " "),
        Seconds(seconds if isinstance(seconds, int | float) else None),
        asked,
        made,
        failed,
        line.get("calls"),
        usd(line.get("cost_usd")),
        end,
    ]
