"""Where the results of a run are, and marks on those that are out of date: tables of an interrupted run, or of a plan
that has changed since, say so in their first lines."""

import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .errors import DreamflowError
from .family import Family, Report
from .files import pretty, read_json, write_atomic

SHOWN = 8  # results in the list at the end of a run
_WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
_MARK = re.compile(r"\n\n> \*\*Not complete:\*\* [^\n]*")


def reports_of(families: Iterable[Family], is_stale: Callable[[str], bool] | None = None) -> list[Report]:
    """The results of families that were compiled. With `is_stale`, those whose generations are not as planned have the
    reason in `outdated`, and their pages are marked; without it all are up to date."""
    found = []
    for family in families:
        for report in _of_family(family):
            if is_stale is not None:
                report.outdated = _outdated(family, report, is_stale) or report.outdated
            if report.page.exists():
                mark(report)
            found.append(report)
    return found


def _of_family(family: Family) -> Sequence[Report]:
    try:
        return [] if family.problem else family.reports()
    except (DreamflowError, OSError):  # a damaged file: its own job says so
        return []


def _outdated(family: Family, report: Report, is_stale: Callable[[str], bool]) -> str:
    stale = sum(map(is_stale, report.generations))
    if stale:
        return f"{stale:,} of {len(report.generations):,} generations are not made, or not as planned now"
    if not report.page.exists():
        return ""
    made = report.page.stat().st_mtime_ns
    stages: dict[str, list[str]] = {}
    for gen_id in report.generations:
        stages.setdefault(family.stage_of(gen_id), []).append(gen_id)
    paths = {path for stage, ids in stages.items() for path in family.metadata_files(stage, ids)}
    newer = sum(Path(path).exists() and Path(path).stat().st_mtime_ns > made for path in paths)
    return "generations were made again after these tables" if newer else ""


def mark(report: Report) -> None:
    """Say below the title of a result's page, and in its state file, whether it is complete. Times of files stay."""
    if report.page.suffix == ".md":
        text = report.page.read_text(encoding="utf-8")
        words = f"\n\n> **Not complete:** {report.outdated}." if report.outdated else ""
        title, end, rest = _MARK.sub("", text, count=1).partition("\n")
        _rewrite(report.page, text, f"{title}{words}{end}{rest}")
    if report.state and report.state.exists():
        try:
            state = read_json(report.state)
        except DreamflowError:  # it is written again with the tables
            return
        whole = {**state, "complete": not report.outdated, "outdated": report.outdated}
        _rewrite(report.state, pretty(state), pretty({key: value for key, value in whole.items() if value != ""}))


def _rewrite(path: Path, before: str, after: str) -> None:
    if before != after:
        times = path.stat()
        write_atomic(path, after)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def report_lines(reports: Sequence[Report], shown: Sequence[str] = ()) -> list[str]:
    """Lines for each result that is not complete, or whose folder the texts `shown` do not name: where it is, and what
    it says."""
    others = [each for each in reports if each.outdated or not any(f"{each.page.parent}/" in text for text in shown)]
    there = [report for report in others if report.page.exists() or report.outdated]
    if not there:
        return []
    lines = ["Results:"]
    for report in there[:SHOWN]:
        if report.page.exists():
            note = f" NOT COMPLETE: {report.outdated}." if report.outdated else ""
            lines.append(f"  {report.title}: {report.where}{note}")
            lines += textwrap.wrap(report.words, 96, initial_indent="    ", subsequent_indent="    ", **_WHOLE_WORDS)
        else:
            lines.append(f"  {report.title}: no tables yet ({report.outdated}).{report.remedy}")
    if len(there) > SHOWN:
        lines.append(f"  and {len(there) - SHOWN:,} more")
    return lines
