"""The best variants of a night, whether they are judged or not, and why they are the best."""

import csv
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..reports.markdown import count, number, visible
from ..sandbox.runs import FAILED
from .records import Record
from .tiers import test_passed

DIFF_SHOWN = 20  # lines on the screen
_WIDTH = 100


def is_sound(record: Record) -> bool:
    """Whether a variant passed its check and is no duplicate."""
    return bool(record.check) and record.check.passed and not record.duplicate_of


def best_first(table: Sequence[Record]) -> list[Record]:
    """The variants in tier 1: by viability, then novelty, then id."""
    viable = [record for record in table if record.tier == 1]
    return sorted(viable, key=lambda r: (-r.viability, -(r.novelty or 0), r.gen_id))


def unjudged_first(table: Sequence[Record]) -> list[Record]:
    """The sound variants without a verdict whose test did not fail: first those whose test would allow tier 1 (behaves
    like the original, or differs and is not labelled safe), then the untested; the most novel first."""
    waiting = [record for record in table if record.viability is None and is_sound(record)]
    passed = [record for record in waiting if record.outcome not in FAILED and not _broke_its_promise(record)]
    return sorted(passed, key=lambda r: (_place(r), -(r.novelty or 0), r.gen_id))


def _broke_its_promise(record: Record) -> bool:
    return record.outcome == "differs" and record.safe


def _place(record: Record) -> int:
    if record.outcome == "equivalent":
        return 0
    return 1 if test_passed(record.outcome, record.safe) else 2


def speculative_first(table: Sequence[Record]) -> list[Record]:
    """The variants in tier 2: the most novel first, then the more viable."""
    near = [record for record in table if record.tier == 2]
    return sorted(near, key=lambda r: (-(r.novelty or 0), -r.viability, r.gen_id))


def best_of(table: Sequence[Record]) -> tuple[str, list[Record]]:
    """(reason, variants): those in tier 1; else those without a verdict; else those in tier 2."""
    if best := best_first(table):
        return "viable (tier 1), by viability, then novelty", best
    if unjudged := unjudged_first(table):
        return "not judged: by test (like the original, different, not tested), then novelty", unjudged
    return "none is viable; in tier 2, by novelty", speculative_first(table)


def tested(record: Record) -> str:
    """The test result of a variant in a few words."""
    outcome = record.outcome
    if outcome == "equivalent":
        return f"behaves like the original on {count(record.inputs_run, 'call')}"
    if outcome == "differs":
        differing = record.inputs_run - record.agreeing
        return f"behaves differently on {differing} of {count(record.inputs_run, 'call')}"
    return "not tested" if outcome in (None, "untested") else f"test: {outcome}"


def summary_table(table: Sequence[Record], top_n: int = 5) -> str:
    """The end of a night on the screen (at most 100 columns, no colours): counts, the best variants with the reason of
    their order, and the diff of the first."""
    why, best = best_of(table)
    judged = any(record.viability is not None for record in table)
    viable = f"{len(best_first(table))} in tier 1" if judged else "none judged"
    counts = f"{count(len(table), 'variant')}, {sum(map(is_sound, table))} sound and new, {viable}"
    if not best:
        return counts
    header = ("viability", "novelty", "test", "kind", "variant", "procedure")
    rows = [
        (
            number(record.viability, 2, "–"),
            number(record.novelty, 2, "–"),
            record.outcome or "not tested",
            record.kind,
            record.gen_id,
            record.procedure_id,
        )
        for record in best[:top_n]
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    shown = [counts, f"The best {min(top_n, len(best))} of {len(best)} ({why}):", "", *lines, "", *_first(best[0])]
    return "\n".join(line.rstrip()[:_WIDTH] for line in shown)


def _first(record: Record) -> list[str]:
    """What the first variant does, its test, and its diff without the names of files."""
    lines = visible(record.check.diff if record.check else "").rstrip("\n").split("\n")
    changed = [line for line in lines if not line.startswith(("--- ", "+++ "))]
    head = f"{record.gen_id}: {visible(' '.join(record.description.split()))}; {tested(record)}"
    more = [f"  ({count(len(changed) - DIFF_SHOWN, 'more line')} in the journal)"] if len(changed) > DIFF_SHOWN else []
    return [*textwrap.wrap(head, _WIDTH), *(f"  {line}" for line in changed[:DIFF_SHOWN]), *more]


def in_words(path: Path) -> str:
    """What a night has found, from its dreams.csv; "" without one."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows: list[Mapping[str, str]] = list(csv.DictReader(stream))
    except OSError:
        return ""
    viable = sum(row.get("tier") == "1" for row in rows)
    same = sum(row.get("outcome") == "equivalent" and not row.get("duplicate_of") for row in rows)
    judged = any(row.get("viability") for row in rows)
    words = f"{count(len(rows), 'variant')}, {same} behave like the original"
    return f"{words}, {viable} in tier 1" if judged else f"{words}, none judged"
