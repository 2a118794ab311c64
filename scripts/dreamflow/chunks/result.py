"""What a run did to the memory: chunks made and upgraded, their quality, what it took; as JSON and as a table."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .conversation import LEVELS

WIDTH = 100
_SCHEMA_VERSION = 1


def task_result(changes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> dict[str, Any]:
    """The result of a run from what it changed: (archive now, archive before or None) of each conversation.

    Tokens, dollars and seconds are those of the generations of the archives that are new (`metadata.usage`), failed
    ones included; seconds are the sum of the answers' times, which in a run overlap. Dollars leave out answers whose
    price nobody knows.
    """
    rows = [_row(now, before) for now, before in sorted(changes, key=lambda change: change[0]["conversation_id"])]
    new = [now for now, before in changes if _is_new(now, before)]
    used = {(c["llm_provider"], c["llm_used"]) for now in new for c in now["b_chunks"] if c["llm_used"]}
    total = {key: round(sum(row[key] for row in rows), 9) for key in _SUMMED}
    counts = Counter(chunk["quality_level"] for now, _ in changes for chunk in now["b_chunks"])
    turns = total["turns"]
    return {
        "schema_version": _SCHEMA_VERSION,
        **{key: total[key] for key in _SUMMED if key != "turns"},
        "quality_counts": {level: counts[level] for level in LEVELS},
        "llm_provider": ", ".join(sorted({provider for provider, _ in used})) or "none",
        "llm_model": ", ".join(sorted({model for _, model in used})) or "none (rules)",
        "turns": turns,
        "conversations": rows,
        "per_1000_turns": {key: round(1000 * total[key] / turns, 6) if turns else None for key in _PER_TURNS},
    }


_PER_TURNS = ("chunks", "tokens_consumed", "estimated_cost_usd", "processing_time_seconds")
_SUMMED = ("chunks_created", "chunks_upgraded", *_PER_TURNS, "turns")


def _is_new(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    return before is None or before["version"] != now["version"]


def _row(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    new = _is_new(now, before)
    usage = now["metadata"]["usage"] if new else {}
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


def _upgraded(now: Mapping[str, Any], before: Mapping[str, Any]) -> int:
    """How many chunks now have a better level than the text that they hold had before, at its worst."""
    old = [(chunk["unit_range"], LEVELS.index(chunk["quality_level"])) for chunk in before["b_chunks"]]
    count = 0
    for chunk in now["b_chunks"]:
        first, last = chunk["unit_range"]
        were = [level for (begin, end), level in old if begin <= last and end >= first]
        count += LEVELS.index(chunk["quality_level"]) > min(were)
    return count


def result_table(result: Mapping[str, Any], most_rows: int = 20) -> str:
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


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['turns']:,}",
        f"{row['chunks']:,}",
        f"{row['chunks_upgraded']:,}",
        *(f"{row['quality_counts'][level]:,}" for level in LEVELS),
        f"{row['tokens_consumed']:,}",
        f"{row['estimated_cost_usd']:.4f}",
        f"{row['processing_time_seconds']:,.1f}",
    ]
