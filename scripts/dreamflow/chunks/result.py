"""The result of a run: which chunks it made and upgraded, their quality, and their cost; as JSON and as a table."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import DreamflowError
from ..files import read_json
from ..generation.model import Json
from ..reports.markdown import count, visible
from .conversation import LEVELS, Archive
from .index import shown
from .paid import NONE, NOTHING_LEFT
from .upgrade import PAID, known_total

WIDTH = 100
_SCHEMA_VERSION = 1
_PER_TURNS = ("chunks", "tokens_consumed", "estimated_cost_usd", "processing_time_seconds")
# What an unchanged conversation adds to a result.
_NOTHING = {"chunks_created": 0, "chunks_upgraded": 0, "tokens_consumed": 0, "estimated_cost_usd": 0}
_NOTHING |= {"processing_time_seconds": 0.0, "unknown_costs": 0, "failed": dict.fromkeys(PAID, 0)}
_SUMS = ("chunks_created", "chunks_upgraded", *_PER_TURNS, "unknown_costs")
_PAID = {  # keys of a result, and of what was paid
    "tokens_consumed": "tokens",
    "estimated_cost_usd": "cost_usd",
    "processing_time_seconds": "seconds",
    "unknown_costs": "unknown",
}


@dataclass(frozen=True)
class Change:
    """A conversation since the last result: its archive now and then (None: it is new, or its text is), what was
    `paid` for it since, and what the last upgrade `left` of it, as `paid.paid_since` and `paid.remaining` say it."""

    now: Archive
    before: Archive | None
    paid: Mapping[str, Json] = field(default_factory=lambda: NONE)
    left: Mapping[str, Json] = field(default_factory=lambda: NOTHING_LEFT)

    @property
    def is_new(self) -> bool:
        """Whether there is a new archive."""
        return self.before is None or self.before["version"] != self.now["version"]


class Unchanged(NamedTuple):
    """A conversation that is as the last result says: its row there; and what the last upgrade left of it."""

    row: Mapping[str, Json]
    left: Mapping[str, Json] = NOTHING_LEFT

    @property
    def as_row(self) -> dict[str, Json]:
        """Its row in the next result."""
        was = {"version": self.row["version"], "quality_counts": self.row["quality_counts"]}
        return {**self.row, **_NOTHING, "before": was, "remaining": dict(self.left)}


def task_result(changes: Sequence[Change | Unchanged], others: Sequence[Mapping[str, Json]] = ()) -> dict[str, Json]:
    """The result of a run from its changes; `others` is what was paid for conversations that are not among them.

    Tokens, dollars and seconds are those of all answers since the last result, by the ledger, so the sums of all
    results are what the models were paid. `failed` says what part of it bought answers that could not be used. Seconds
    are the sum of the answers' times, which overlap in a run. Dollars leave out answers whose cost is unknown;
    `unknown_costs` counts these. `remaining` is what the last upgrade left, and what that would cost.
    """
    rows = [_row(change) if isinstance(change, Change) else change.as_row for change in changes]
    rows.sort(key=lambda row: row["conversation_id"])
    new = [change.now for change in changes if isinstance(change, Change) and change.is_new]
    used = {(c["llm_provider"], c["llm_used"]) for now in new for c in now["b_chunks"] if c["llm_used"]}
    totals = {key: round(sum(row[key] for row in rows), 9) for key in (*_SUMS, "turns")}
    every = [*(change.paid for change in changes if isinstance(change, Change)), *others]
    for key, name in _PAID.items():
        totals[key] = round(totals[key] + sum(paid[name] for paid in others), 9)
    left = [change.left for change in changes]
    turns = totals["turns"]
    return {
        "schema_version": _SCHEMA_VERSION,
        **totals,
        "failed": {key: round(sum(paid["failed"][key] for paid in every), 9) for key in PAID},
        "lost_calls": {
            key: round(sum(paid["lost"].get(key, 0) for paid in every), 9) for key in ("calls", "tokens", "cost_usd")
        },
        "remaining": {
            **{key: sum(each[key] for each in left) for key in ("chunks", "calls", "tokens", "unusable")},
            "conversations": sum(each["chunks"] > 0 for each in left),
            "cost_usd": known_total(each["cost_usd"] for each in left),
        },
        "quality_counts": {level: sum(row["quality_counts"][level] for row in rows) for level in LEVELS},
        "llm_provider": ", ".join(sorted({provider for provider, _ in used})) or "none",
        "llm_model": ", ".join(sorted({model for _, model in used})) or "none (rules)",
        "conversations": rows,
        "per_1000_turns": {key: round(1000 * totals[key] / turns, 6) if turns else None for key in _PER_TURNS},
    }


def _row(change: Change) -> dict[str, Json]:
    now, before, paid = change.now, change.before, change.paid
    return {
        "conversation_id": now["conversation_id"],
        "version": now["version"],
        "quality_level": now["quality_level"],
        "quality_counts": _levels(now),
        "before": before and {"version": before["version"], "quality_counts": _levels(before)},
        "turns": now["metadata"]["turns"],
        "chunks": len(now["b_chunks"]),
        "chunks_created": len(now["b_chunks"]) if before is None else 0,
        "chunks_upgraded": _upgraded(now, before) if before is not None else 0,
        **{key: paid[name] for key, name in _PAID.items()},
        "failed": dict(paid["failed"]),
        "remaining": dict(change.left),
    }


def _levels(archive: Archive) -> dict[str, int]:
    counts = Counter(chunk["quality_level"] for chunk in archive["b_chunks"])
    return {level: counts[level] for level in LEVELS}


def _upgraded(now: Archive, before: Archive) -> int:
    """The number of chunks whose level is above the lowest level that their text had before."""
    old = [(*chunk["unit_range"], LEVELS.index(chunk["quality_level"])) for chunk in before["b_chunks"]]
    count = 0
    for chunk in now["b_chunks"]:
        first, last = chunk["unit_range"]
        lowest = min(level for begin, end, level in old if begin <= last and end >= first)
        count += LEVELS.index(chunk["quality_level"]) > lowest
    return count


def reading_text(result: Mapping[str, Json]) -> list[str]:
    """What a result says of files that could not be read, and of what a person may want to look at."""
    kinds = {"not_read": "Not read; all else is:", "notices": "Please look at:"}
    parts = [[title, *(f"  {line}" for line in shown(result[key]))] for key, title in kinds.items() if result.get(key)]
    return ["\n".join(line for part in parts for line in part)] if parts else []


def in_words(path: Path) -> str:
    """What a result.json says: how many conversations and chunks there are, what could not be read, and where to read
    the rest; "" without one."""
    try:
        result = read_json(path)
    except (DreamflowError, OSError):
        return ""
    counts = f"{count(len(result['conversations']), 'conversation')}, {count(result['chunks'], 'chunk')}"
    unread = result.get("not_read", [])
    more = f" and {count(len(unread) - 1, 'more problem')}" if len(unread) > 1 else ""
    not_read = f"; not read: {unread[0]}{more}" if unread else ""
    return f"{counts}; pages: {path.parent}/<conversation>/chunks.html{not_read}"


def where_to_read(result: Mapping[str, Json], folder: Path) -> str:
    """Where the chunks of a result are read and searched."""
    pages = [f"{folder}/{row['conversation_id']}/chunks.html" for row in result["conversations"]]
    if not pages:
        return f"No conversation has chunks yet; pages will be in {folder}/<conversation>/chunks.html"
    more = f" and {count(len(pages) - 1, 'more page')} like it" if len(pages) > 1 else ""
    return (
        f"Read {pages[0]}{more}.\nSearch them all: snakemake database, then python scripts/search.py WORDS --in chunks"
    )


def result_table(result: Mapping[str, Json], titles: Mapping[str, str] | None = None, most_rows: int = 20) -> str:
    """The result as a table of at most 100 columns, without colours: the conversations (of more than
    `most_rows`, those with the most chunks), then the sums. `titles` are shown instead of ids."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("conversation", overflow="ellipsis", no_wrap=True, max_width=22)
    has_failed = result["failed"]["answers"] > 0
    for name in ("turns", "chunks", "upgraded", *LEVELS, "tokens", "USD", *(["failed"] * has_failed), "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    rows, titles = result["conversations"], titles or {}
    largest = {id(row) for row in sorted(rows, key=lambda row: -row["chunks"])[:most_rows]}
    for row in (row for row in rows if id(row) in largest):
        name = visible(titles.get(row["conversation_id"], row["conversation_id"]))
        table.add_row(Text(" ".join(name.split()), overflow="ellipsis"), *_cells(row, has_failed=has_failed))
    if len(rows) > most_rows:
        table.add_row(f"… and {len(rows) - most_rows} more")
    table.add_section()
    table.add_row("all", *_cells(result, has_failed=has_failed))
    screen = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    screen.print(table)
    lines = [line.rstrip() for line in screen.file.getvalue().rstrip().splitlines()]
    per = result["per_1000_turns"]
    if result["turns"]:
        lines.append(
            f"per 1,000 turns: {per['chunks']:,.0f} chunks, {per['tokens_consumed']:,.0f} tokens, "
            f"{_dollars(per, result)} USD, {per['processing_time_seconds']:,.1f} s"
        )
    if result["unknown_costs"]:
        unknown = f"{result['unknown_costs']:,} generations"
        lines.append(f"The cost of {unknown} is unknown (?): give their model a price in models.yaml")
    lines += _words_on_money(result)
    lines.append(f"made by: {result['llm_model']} (provider: {result['llm_provider']})")
    return "\n".join(lines)


def _words_on_money(result: Mapping[str, Json]) -> list[str]:
    """What bought nothing, and what remains."""
    lines, failed, lost, left = [], result["failed"], result["lost_calls"], result["remaining"]
    if failed["answers"]:
        lines.append(
            f"failed: {count(failed['answers'], 'answer')} of {failed['tokens']:,} tokens for {failed['cost_usd']:.4f} "
            "USD could not be used; they are counted above"
        )
    if lost["calls"]:
        lines.append(
            f"lost: {count(lost['calls'], 'call')} brought no answer and may be billed, with at most "
            f"{lost['tokens']:,} tokens and {lost['cost_usd']:.4f} USD; not counted above"
        )
    if left["chunks"]:
        price = "? USD" if left["cost_usd"] is None else f"{left['cost_usd']:.4f} USD"
        what = f"{count(left['chunks'], 'chunk')} of {count(left['conversations'], 'conversation')}"
        lines.append(
            f"remaining: {what} that match the filter, for about {count(left['calls'], 'call')}, {left['tokens']:,} "
            f"tokens and {price}: run 'snakemake upgrade' again, or raise the limits that its plan names"
        )
    if left["unusable"]:
        lines.append(
            f"stay as they are: {count(left['unusable'], 'chunk')}, since no answer for them can be used; "
            "'snakemake retry_failed' draws new samples"
        )
    return lines


def _cells(row: Mapping[str, Json], *, has_failed: bool) -> list[str]:
    counts = (row["turns"], row["chunks"], row["chunks_upgraded"], *(row["quality_counts"][level] for level in LEVELS))
    return [
        *(f"{count:,}" for count in (*counts, row["tokens_consumed"])),
        _dollars(row, row),
        *([f"{row['failed']['cost_usd']:.4f}"] if has_failed else []),
        f"{row['processing_time_seconds']:,.1f}",
    ]


def _dollars(row: Mapping[str, Json], counted: Mapping[str, Json]) -> str:
    """A sum of costs, with a mark if `counted` has answers of unknown cost."""
    return f"{row['estimated_cost_usd']:.4f}" + ("+?" if counted["unknown_costs"] else "")
