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

WIDTH = 100
_SCHEMA_VERSION = 1
_PER_TURNS = ("chunks", "tokens_consumed", "estimated_cost_usd", "processing_time_seconds")
# What an unchanged conversation adds to a result.
_NOTHING = {"chunks_created": 0, "chunks_upgraded": 0, "tokens_consumed": 0, "estimated_cost_usd": 0}
_NOTHING |= {"processing_time_seconds": 0.0, "unknown_costs": 0}
_SUMS = ("chunks_created", "chunks_upgraded", *_PER_TURNS, "unknown_costs")


@dataclass(frozen=True)
class Change:
    """A conversation since the last result: its archive now and then (None: it is new, or its text is). `paid` is the
    usage of answers that came since and changed no chunk; `marks` are what the next result has to know."""

    now: Archive
    before: Archive | None
    paid: Mapping[str, Json] = field(default_factory=dict)
    marks: Mapping[str, Json] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether there is a new archive."""
        return self.before is None or self.before["version"] != self.now["version"]


class Unchanged(NamedTuple):
    """A conversation that is as the last result says: its row there."""

    row: Mapping[str, Json]


def task_result(changes: Sequence[Change | Unchanged]) -> dict[str, Json]:
    """The result of a run from its changes.

    Tokens, dollars and seconds are those of all generations since the last result, including failures. Seconds are
    the sum of the answers' times, which overlap in a run. Dollars leave out answers whose cost is unknown;
    `unknown_costs` counts these.
    """
    rows = [_row(change) if isinstance(change, Change) else {**change.row, **_NOTHING} for change in changes]
    rows.sort(key=lambda row: row["conversation_id"])
    new = [change.now for change in changes if isinstance(change, Change) and change.is_new]
    used = {(c["llm_provider"], c["llm_used"]) for now in new for c in now["b_chunks"] if c["llm_used"]}
    totals = {key: round(sum(row[key] for row in rows), 9) for key in (*_SUMS, "turns")}
    turns = totals["turns"]
    return {
        "schema_version": _SCHEMA_VERSION,
        **totals,
        "quality_counts": {level: sum(row["quality_counts"][level] for row in rows) for level in LEVELS},
        "llm_provider": ", ".join(sorted({provider for provider, _ in used})) or "none",
        "llm_model": ", ".join(sorted({model for _, model in used})) or "none (rules)",
        "conversations": rows,
        "per_1000_turns": {key: round(1000 * totals[key] / turns, 6) if turns else None for key in _PER_TURNS},
    }


def _row(change: Change) -> dict[str, Json]:
    now, before = change.now, change.before
    usage = now["metadata"]["usage"] if change.is_new else change.paid
    counts = Counter(chunk["quality_level"] for chunk in now["b_chunks"])
    return {
        "conversation_id": now["conversation_id"],
        "version": now["version"],
        "quality_level": now["quality_level"],
        "quality_counts": {level: counts[level] for level in LEVELS},
        "turns": now["metadata"]["turns"],
        "chunks": len(now["b_chunks"]),
        "chunks_created": len(now["b_chunks"]) if before is None else 0,
        "chunks_upgraded": _upgraded(now, before) if before is not None else 0,
        "tokens_consumed": usage.get("tokens_used", 0),
        "estimated_cost_usd": usage.get("cost_usd", 0) or 0,
        "processing_time_seconds": usage.get("processing_time_ms", 0) / 1000,
        "unknown_costs": usage.get("unknown_costs", 0),
        **change.marks,
    }


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
    for name in ("turns", "chunks", "upgraded", *LEVELS, "tokens", "USD", "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    rows, titles = result["conversations"], titles or {}
    largest = {id(row) for row in sorted(rows, key=lambda row: -row["chunks"])[:most_rows]}
    for row in (row for row in rows if id(row) in largest):
        name = visible(titles.get(row["conversation_id"], row["conversation_id"]))
        table.add_row(Text(" ".join(name.split()), overflow="ellipsis"), *_cells(row))
    if len(rows) > most_rows:
        table.add_row(f"… and {len(rows) - most_rows} more")
    table.add_section()
    table.add_row("all", *_cells(result))
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
    lines.append(f"made by: {result['llm_model']} (provider: {result['llm_provider']})")
    return "\n".join(lines)


def _cells(row: Mapping[str, Json]) -> list[str]:
    counts = (row["turns"], row["chunks"], row["chunks_upgraded"], *(row["quality_counts"][level] for level in LEVELS))
    return [
        *(f"{count:,}" for count in (*counts, row["tokens_consumed"])),
        _dollars(row, row),
        f"{row['processing_time_seconds']:,.1f}",
    ]


def _dollars(row: Mapping[str, Json], counted: Mapping[str, Json]) -> str:
    """A sum of costs, with a mark if `counted` has answers of unknown cost."""
    return f"{row['estimated_cost_usd']:.4f}" + ("+?" if counted["unknown_costs"] else "")
