"""What earlier upgrades have tried in vain: kept in the plan of an upgrade, so that others get their turn.

A region failed if no call for it could be made (a dead server, a refusal), or if no answer could be used. A region that
a stopped or killed run did not reach has not failed; nor has one whose calls a budget refused after others of the same
plan had used it up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..files import canonical, read_json, sha256
from ..generation.layout import Layout
from ..generation.model import Generation, Json
from .conversation import LEVELS, Archive, ArchivedChunk

_STOPPED = "the run was stopped"
_OVER_BUDGET = "does not allow"  # of budgets and deadlines
_LONGEST = 300  # characters of a reason

Entry = Mapping[str, Json]


def is_about(entry: Mapping[str, Json], archive: Archive, level: str, chars: Sequence[int]) -> bool:
    """Whether an upgrade that was tried in vain was one of these characters of this text, to this level."""
    same = (entry["conversation_id"], entry["level"], entry["text_sha256"])
    own = (archive["conversation_id"], level, archive["metadata"]["text_sha256"])
    return same == own and entry["chars"][0] < chars[1] and entry["chars"][1] > chars[0]


def tried_again(
    tried: Iterable[Mapping[str, Json]], new: Iterable[Mapping[str, Json]], archives: Mapping[str, Archive]
) -> list[dict[str, Json]]:
    """What upgrades have tried in vain, as a plan keeps it, after those in `new`, which have no count yet.

    Entries are about characters of a text at a level. They are dropped if the text has changed, or if none of it is
    below the level any more.
    """
    kept = [dict(entry) for entry in tried]
    for entry in new:
        known = next((old for old in kept if all(old[key] == entry[key] for key in _SAME)), None)
        archive = archives.get(entry["conversation_id"])
        earlier = [old["times"] for old in kept if archive and is_about(old, archive, entry["level"], entry["chars"])]
        times = 1 + max(earlier, default=0)
        if known is not None:
            known |= {**entry, "times": times}
        else:
            kept.append({**entry, "times": times})
    return [entry for entry in kept if _is_open(entry, archives.get(entry["conversation_id"]))]


_SAME = ("conversation_id", "level", "text_sha256", "chars")


def _is_open(entry: Mapping[str, Json], archive: Archive | None) -> bool:
    if archive is None or entry["level"] not in LEVELS:
        return False
    return bool(below(archive, entry["level"], entry["chars"])) and is_about(
        entry, archive, entry["level"], entry["chars"]
    )


def below(archive: Archive, level: str, chars: Sequence[int]) -> list[ArchivedChunk]:
    """The chunks of an archive below a level that have some of these characters."""
    return [
        chunk
        for chunk in archive["b_chunks"]
        if LEVELS.index(chunk["quality_level"]) < LEVELS.index(level)
        and chunk["char_range"][0] < chars[1]
        and chunk["char_range"][1] > chars[0]
    ]


def region_key(level: str, chars: Sequence[int], text_sha256: str) -> str:
    """The name of a region of a text in the summary of an upgrade."""
    return f"{level} {chars[0]}-{chars[1]} {text_sha256[:16]}"


def answers_digest(keys: Iterable[str | None]) -> str:
    """A digest of the answers of a region, by their keys in the store, in text order."""
    return sha256(canonical([key or "" for key in keys]))[:16]


def read_summary(folder: Path) -> dict[str, Json]:
    """The summary of the last upgrade in a conversation's folder; {} without one."""
    path = folder / "upgrade.json"
    return read_json(path) if path.exists() else {}


def failures(
    previous: Path,
    archives: Mapping[str, Archive],
    rows_of: Callable[[str, str, int, int], Sequence[Generation]],
    folder: Path,
    layout: Layout,
) -> list[dict[str, Json]]:
    """The regions of an earlier plan, read from its file, that failed. `rows_of(conversation_id, level, first, last)`
    are the generations of a region, none if there is no such region any more; `folder` has the archives."""
    plan = read_json(previous)
    since, found, reached = previous.stat().st_mtime_ns, [], False
    for part in plan["specs"].values():
        for region in part["regions"]:
            archive = archives.get(region["conversation_id"])
            entry = {
                "conversation_id": region["conversation_id"],
                "level": part["resources"]["tier"],
                "text_sha256": region.get("text_sha256", ""),
                "chars": region.get("chars", [0, 0]),
            }
            left = below(archive, entry["level"], entry["chars"]) if archive else []
            if not archive or not is_about(entry, archive, entry["level"], entry["chars"]) or not left:
                reached = reached or bool(archive)
                continue
            rows = rows_of(entry["conversation_id"], entry["level"], region["first"], region["last"])
            summary = read_summary(folder / entry["conversation_id"])
            mine = [region["first"], region["last"]]
            if summary.get("planned_at") == plan["planned_at"] and mine in summary["regions"]:
                reached = True
                reason = summary.get("reason") or "no answer was better"
                found += [{**entry, "chars": chunk["char_range"], "reason": reason} for chunk in left]
            elif reason := next(_problems(rows, layout, since), ""):
                found.append({**entry, "reason": reason})
    return [entry for entry in found if not (reached and _OVER_BUDGET in entry["reason"])]


def _problems(rows: Iterable[Generation], layout: Layout, since: int) -> Iterator[str]:
    """Why generations were not made since a time, from their logs."""
    for row in rows:
        log = Path(layout.log(row.stage, row.gen_id))
        if Path(layout.metadata(row.stage, row.gen_id)).exists() or not log.exists():
            continue
        if log.stat().st_mtime_ns >= since:
            text = log.read_text(encoding="utf-8", errors="replace")
            reason = (text.partition(" was not made: ")[2] or text).strip().partition("\n")[0][:_LONGEST]
            if reason and not reason.startswith(_STOPPED):
                yield reason
