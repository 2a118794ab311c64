"""The result of a run: which chunks it made and upgraded, their quality, and their cost; as JSON and as a table."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..generation.model import Json
from .conversation import LEVELS, Archive

WIDTH = 100
_SCHEMA_VERSION = 1
_PER_TURNS = ("chunks", "tokens_consumed", "estimated_cost_usd", "processing_time_seconds")
_SUMS = ("chunks_created", "chunks_upgraded", *_PER_TURNS)


def task_result(changes: Sequence[tuple[Archive, Archive | None]]) -> dict[str, Json]:
    """The result of a run from its changes: (archive now, archive before or None) of each conversation.

    Tokens, dollars and seconds are those of all generations of the new archives (`metadata.usage`), including failures.
    Seconds are the sum of the answers' times, which overlap in a run. Dollars exclude answers of unknown price.
    """
    rows = [_row(now, before) for now, before in sorted(changes, key=lambda change: change[0]["conversation_id"])]
    new = [now for now, before in changes if _is_new(now, before)]
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


def _is_new(now: Archive, before: Archive | None) -> bool:
    return before is None or before["version"] != now["version"]


def _row(now: Archive, before: Archive | None) -> dict[str, Json]:
    usage = now["metadata"]["usage"] if _is_new(now, before) else {}
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


def result_table(result: Mapping[str, Json], most_rows: int = 20) -> str:
    """The result as a table of at most 100 columns, without colours: the conversations, then the sums."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("conversation", overflow="ellipsis", no_wrap=True, max_width=22)
    for name in ("turns", "chunks", "upgraded", *LEVELS, "tokens", "USD", "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    rows = result["conversations"]
    for row in rows[:most_rows]:
        table.add_row(Text(row["conversation_id"], overflow="ellipsis"), *_cells(row))
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
            f"{per['estimated_cost_usd']:.4f} USD, {per['processing_time_seconds']:,.1f} s"
        )
    lines.append(f"made by: {result['llm_model']} (provider: {result['llm_provider']})")
    return "\n".join(lines)


def _cells(row: Mapping[str, Json]) -> list[str]:
    counts = (row["turns"], row["chunks"], row["chunks_upgraded"], *(row["quality_counts"][level] for level in LEVELS))
    return [
        *(f"{count:,}" for count in (*counts, row["tokens_consumed"])),
        f"{row['estimated_cost_usd']:.4f}",
        f"{row['processing_time_seconds']:,.1f}",
    ]
