"""The files of a conversation: its archive, made from generations, and its page; and the result of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..files import canonical, pretty, read_json, sha256, write_atomic
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Json
from .archive import has_archive, read_latest, read_version, usage_of, write_archive
from .compile import Chunking, regions_of, windows_of
from .conversation import Archive
from .making import Answer, basic_archive, upgraded_archive
from .paid import NONE, paid_since, remaining
from .render import chunks_page
from .result import Change, result_table, task_result, where_to_read
from .upgrade_tried import answers_digest, read_summary, region_key

VERSION = 1  # of the method that makes archives: a higher number makes all of them again


def archive_job(chunking: Chunking, conversation_id: str) -> str:
    """What decides an archive besides the answers, as JSON: the conversation and its windows."""
    rows = chunking.generations[conversation_id]
    windows = {row.gen_id: [w.first, w.last] for row, w in zip(rows, windows_of(rows), strict=True)}
    return canonical([VERSION, sha256(canonical(asdict(chunking.conversations[conversation_id]))), windows])


def make_archive(chunking: Chunking, conversation_id: str, folder: Path, layout: Layout) -> None:
    """Write the archive of a conversation, unless the latest archive has the same content."""
    answers = _read_answers(chunking.generations[conversation_id], layout)
    latest = read_latest(folder) if has_archive(folder) else None
    archive = basic_archive(chunking.conversations[conversation_id], chunking.units[conversation_id], answers, latest)
    write_archive(folder, archive)
    (folder / "manifest.json").touch()


def upgrade_job(plan: Mapping[str, Json], conversation_id: str) -> str:
    """A conversation's part of an upgrade's plan, as JSON."""
    regions = [
        [level, region["archive_version"], region["first"], region["last"]]
        for name, level, region in regions_of(plan)
        if name == conversation_id
    ]
    return canonical([VERSION, regions])


def upgrade_archive(
    chunking: Chunking,
    conversation_id: str,
    folder: Path,
    layout: Layout,
    plan: Mapping[str, Json],
    rows: Sequence[Generation],
) -> dict[str, Json]:
    """Write a conversation's next archive, with the regions of the upgrade's plan re-chunked by `rows`, and its page;
    returns a summary. Regions whose generations are not all made are left out; {} if none are."""
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    parts = [(level, region) for name, level, region in regions_of(plan) if name == conversation_id]
    level, before = parts[0][0], parts[0][1]["archive_version"]
    answers, applied, text = [], {}, sha256(conversation.text)
    for first, last in ((region["first"], region["last"]) for _, region in parts):  # regions never overlap
        inside = [row for row, w in zip(rows, windows_of(rows), strict=True) if first <= w.first and w.last <= last]
        if inside and all(Path(layout.metadata(row.stage, row.gen_id)).exists() for row in inside):
            found = _read_answers(inside, layout)
            answers.append(((first, last), found))
            chars = (units[first - 1].start, units[last - 1].end)
            applied[region_key(level, chars, text)] = answers_digest(answer.result.response_key for answer in found)
    if not answers:
        return {}
    archive = upgraded_archive(conversation, units, read_version(folder, before), answers, level)
    version = write_archive(folder, archive)
    write_page(chunking, conversation_id, folder)
    results = [answer.result for _, group in answers for answer in group]
    failed = [result for result in results if result.status != "ok"]
    known = {key: digest for key, digest in read_summary(folder).get("applied", {}).items() if key.endswith(text[:16])}
    return {
        "conversation_id": conversation_id,
        "target": level,
        "before": before,
        "after": version,
        "regions": [list(place) for place, _ in answers],
        "usage": usage_of(results),
        "failed": {"generations": len(failed), **usage_of(failed)},
        "reason": next((result.reason for result in failed), ""),
        "planned_at": plan["planned_at"],
        "applied": known | applied,
    }


def expected_archives(chunking: Chunking, folder: Path, layout: Layout) -> list[Archive]:
    """The archives that a run would find or make first, without those whose answers are not there yet. Nothing is
    written."""
    archives = []
    for name, conversation in chunking.conversations.items():
        latest = read_latest(folder / name) if has_archive(folder / name) else None
        if latest is not None and latest["metadata"]["text_sha256"] == sha256(conversation.text):
            archives.append(latest)
            continue
        rows = chunking.generations[name]
        if all(Path(layout.metadata(row.stage, row.gen_id)).exists() for row in rows):
            made = basic_archive(conversation, chunking.units[name], _read_answers(rows, layout), latest)
            archives.append(made if made["version"] else {**made, "version": latest["version"] + 1 if latest else 1})
    return archives


def _read_answers(rows: Sequence[Generation], layout: Layout) -> list[Answer]:
    answers = []
    for row, window in zip(rows, windows_of(rows), strict=True):
        folder = layout.generation(row.stage, row.gen_id)
        result = with_total_cost(read_result(folder), layout.root)
        parsed = read_json(folder / layout.parsed_name(row.stage)) if result.status == "ok" else {}
        answers.append(Answer(window, result, parsed))
    return answers


def write_page(chunking: Chunking, conversation_id: str, folder: Path) -> None:
    """Write the page with a conversation's chunks."""
    page = chunks_page(chunking.conversations[conversation_id], read_latest(folder))
    write_atomic(folder / "chunks.html", page)


def write_result(
    spec_of: Mapping[str, Chunking], folder: Path, layout: Layout, upgrades: Iterable[Generation] = ()
) -> str:
    """Write the changes of the archives since the last result; returns its table. `upgrades` are the generations of
    the planned upgrade."""
    path, plan_path = folder / "result.json", folder / "upgrade" / "plan.json"
    before = {"made": path.stat().st_mtime, **read_json(path)} if path.exists() else {}
    plan = read_json(plan_path) if plan_path.exists() else {"specs": {}}
    rows = {row["conversation_id"]: row for row in before.get("conversations", ())}
    there = [name for name in spec_of if has_archive(folder / name)]  # an upgrade may run before there is an archive
    basic = (row for name, spec in spec_of.items() for row in spec.generations.get(name, ()))
    owners = {row.gen_id: row.wildcards["conversation_id"] for row in (*basic, *upgrades)}
    paid, mark = paid_since(layout, before, lambda gen_id: owners.get(gen_id, ""))
    changes = []
    for name in there:
        now = read_latest(folder / name)
        then = _before(folder / name, rows.get(name, {}), now)
        changes.append(Change(now, then, paid.pop(name, NONE), remaining(plan, now)))
    result = task_result(changes, list(paid.values())) | {"ledger": mark}
    write_atomic(path, pretty(result))
    titles = {name: title for name in there if (title := _title(spec_of[name], name))}
    return f"{result_table(result, titles)}\n\n{where_to_read(result, folder)}"


def _title(chunking: Chunking, conversation_id: str) -> str:
    return chunking.conversations[conversation_id].title


def _before(home: Path, row: Mapping[str, Json], now: Archive) -> Archive | None:
    """The archive of a conversation at the last result, of which `row` is its part (empty: there was none); None if it
    was another text."""
    version = row.get("version")
    if version is None or not (home / f"archive_v{version}.json").exists():
        return None
    before = read_version(home, version)
    return before if before["metadata"]["text_sha256"] == now["metadata"]["text_sha256"] else None
