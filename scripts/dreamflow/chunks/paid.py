"""What conversations have cost since the last result, by the ledger: it has every answer that was paid, used or not."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ..errors import DreamflowError
from ..generation.layout import Layout
from ..generation.make import read_result
from ..generation.model import Json
from ..generation.store import database
from .archive import has_archive, read_latest, versions_of
from .upgrade import PAID, known_total
from .upgrade_tried import below, is_about, read_summary

STAGE = "chunk"
NONE = {"tokens": 0, "cost_usd": 0.0, "seconds": 0.0, "unknown": 0, "failed": dict.fromkeys(PAID, 0), "lost": {}}
NOTHING_LEFT = {"chunks": 0, "calls": 0, "tokens": 0, "cost_usd": 0.0, "unusable": 0, "reason": ""}
_COLUMNS = "key, gen_id, prompt_tokens, completion_tokens, cost_usd, latency_s"
_ANSWERS = f"SELECT {_COLUMNS} FROM ledger WHERE stage = ? AND number > ? ORDER BY number"  # noqa: S608
_LOST = "SELECT gen_id, tokens, cost_usd FROM lost WHERE number > ? AND gen_id LIKE 'c\\_%' ESCAPE '\\' ORDER BY number"

Paid = Mapping[str, Json]


def paid_since(
    layout: Layout, before: Mapping[str, Json], conversation_of: Callable[[str], str]
) -> tuple[dict[str, Paid], dict[str, int]]:
    """What the answers since the mark in `before` (a result) took, by conversation, and the mark for the next result.

    `failed` are those that could not be used: refused, cut off, unreadable, or of a generation that is not made yet;
    they are a part of the rest. `lost` are calls that brought no answer and may be billed, with the most that they
    cost; these are no part. `conversation_of(gen_id)` is "" for a generation that nobody plans any more: its
    conversation is looked up in its files.
    """
    base, mark = database(layout.store), _mark(layout.store, before)
    found: dict[str, list[tuple[Json, ...]]] = defaultdict(list)
    lost: dict[str, list[tuple[Json, ...]]] = defaultdict(list)
    used: dict[str, str | None] = {}
    for key, gen_id, *row in base.read(_ANSWERS, (STAGE, mark["answers"])):
        if gen_id not in used:
            used[gen_id] = _used(layout, gen_id)
        found[conversation_of(gen_id) or _conversation(layout, gen_id)].append((*row, key == used[gen_id]))
    for gen_id, *row in base.read(_LOST, (mark["lost"],)):
        lost[conversation_of(gen_id) or _conversation(layout, gen_id)].append(tuple(row))
    after = {name: _last(layout.store, table) for name, table in _TABLES.items()}
    return {name: _sums(found[name], lost[name]) for name in {*found, *lost}}, after


_TABLES = {"answers": "ledger", "lost": "lost"}


def _mark(store: Path, before: Mapping[str, Json]) -> Mapping[str, int]:
    if not before:
        return dict.fromkeys(_TABLES, 0)
    if "ledger" in before:
        return before["ledger"]
    until = datetime.fromtimestamp(before["made"], UTC).isoformat(timespec="seconds")  # a result of an earlier version
    return {name: _last(store, table, until) for name, table in _TABLES.items()}


def _last(store: Path, table: str, until: str = "9") -> int:
    rows = database(store).read(f"SELECT coalesce(max(number), 0) FROM {table} WHERE at <= ?", (until,))  # noqa: S608
    return rows[0][0] if rows else 0


def _used(layout: Layout, gen_id: str) -> str | None:
    """The key of the answer that a generation was made of; None if there is none."""
    try:
        result = read_result(layout.generation(STAGE, gen_id))
    except (DreamflowError, OSError):
        return None
    return result.response_key if result.status == "ok" else None


def _conversation(layout: Layout, gen_id: str) -> str:
    try:
        return read_result(layout.generation(STAGE, gen_id)).wildcards.get("conversation_id", "")
    except (DreamflowError, OSError):
        return ""


def _sums(answers: Iterable[tuple[Json, ...]], lost: Iterable[tuple[Json, ...]]) -> Paid:
    rows, lost = list(answers), list(lost)

    def tokens(chosen: Iterable[tuple[Json, ...]]) -> int:
        return sum((row[0] or 0) + (row[1] or 0) for row in chosen)

    failed = [row for row in rows if not row[-1]]
    return {
        "tokens": tokens(rows),
        "cost_usd": round(sum(row[2] or 0.0 for row in rows), 9),
        "seconds": round(sum(row[3] or 0.0 for row in rows), 3),
        "unknown": sum(row[2] is None for row in rows),
        "failed": {
            "answers": len(failed),
            "tokens": tokens(failed),
            "cost_usd": round(sum(row[2] or 0.0 for row in failed), 9),
        },
        "lost": {
            "calls": len(lost),
            "tokens": sum(row[0] or 0 for row in lost),
            "cost_usd": round(sum(row[1] or 0.0 for row in lost), 9),
        }
        if lost
        else {},
    }


def remaining(plan: Mapping[str, Json], folder: Path) -> dict[str, dict[str, Json]]:
    """What an upgrade left of each conversation, and what that would cost: {chunks, calls, tokens, cost_usd, unusable,
    reason}. `unusable` chunks are those for which no answer can be used; calls would not help them. `folder` has the
    archives."""
    found: dict[str, dict[str, Json]] = {}
    for part in plan["specs"].values():
        level = part["resources"]["tier"]
        for kind in ("regions", "skipped", "unusable"):
            for region in part.get(kind, ()):
                home = folder / region["conversation_id"]
                if "chars" in region and has_archive(home):  # it was written by an earlier version, or is gone
                    left = found.setdefault(region["conversation_id"], dict(NOTHING_LEFT))
                    is_applied = kind == "unusable" or _is_applied(plan, region, home)
                    _add(left, region, level, home, is_applied=is_applied)
    return found


def _is_applied(plan: Mapping[str, Json], region: Mapping[str, Json], home: Path) -> bool:
    """Whether an archive was made of a planned region, so that its answers did not help what is still below."""
    summary = read_summary(home)
    mine = [region["first"], region["last"]]
    return summary.get("planned_at") == plan["planned_at"] and mine in summary["regions"]


def _add(left: dict[str, Json], region: Mapping[str, Json], level: str, home: Path, *, is_applied: bool) -> None:
    chunks, share = len(region["chunks"]), 1.0
    if versions_of(home)[-1] != region["archive_version"]:  # else all of its chunks are as they were planned
        archive = read_latest(home)
        entry = {**region, "level": level}
        open_chunks = below(archive, level, region["chars"]) if is_about(entry, archive, level, region["chars"]) else []
        chunks, tokens = len(open_chunks), sum(one["token_range"][1] - one["token_range"][0] for one in open_chunks)
        share = min(tokens / max(region["text_tokens"], 1), 1.0)
    if not chunks:
        return
    left["reason"] = left["reason"] or region.get("reason", "") or region.get("problem", "")
    if is_applied and share == 1.0:  # the same question would be asked
        left["unusable"] += chunks
        return
    left["chunks"] += chunks
    estimate = region["estimate"]
    left["calls"] += math.ceil(share * estimate["calls"])
    left["tokens"] += round(share * estimate["tokens"])
    left["cost_usd"] = known_total((left["cost_usd"], estimate["cost_usd"] and share * estimate["cost_usd"]))
