"""The files of a conversation: its archive, made from generations, and its page; and the result of a run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..files import canonical, pretty, read_json, sha256, write_atomic
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Json
from .archive import has_archive, read_latest, read_version, usage_of, versions_of, write_archive
from .compile import Chunking, regions_of, windows_of
from .index import Index
from .making import Answer, basic_archive, upgraded_archive
from .paid import NONE, NOTHING_LEFT, Paid, paid_since, remaining
from .render import chunks_page
from .result import Change, Unchanged, reading_text, result_table, task_result, where_to_read
from .upgrade_tried import answers_digest, read_summary, region_key

VERSION = 2  # of the method that makes archives: a higher number makes all of them again


def make_archive(chunking: Chunking, conversation_id: str, folder: Path, layout: Layout) -> None:
    """Write the archive of a conversation, unless the latest archive has the same content."""
    answers = read_answers(chunking.generations[conversation_id], layout)
    latest = read_latest(folder) if has_archive(folder) else None
    archive = basic_archive(chunking.conversations[conversation_id], chunking.units[conversation_id], answers, latest)
    write_archive(folder, archive)


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
    """Write a conversation's next archive, with the regions of the upgrade's plan re-chunked by `rows`; returns a
    summary, for its page. Regions whose generations are not all made are left out; {} if none are."""
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    parts = [(level, region) for name, level, region in regions_of(plan) if name == conversation_id]
    level, before = parts[0][0], parts[0][1]["archive_version"]
    answers, applied, text = [], {}, sha256(conversation.text)
    for first, last in ((region["first"], region["last"]) for _, region in parts):  # regions never overlap
        inside = [row for row, w in zip(rows, windows_of(rows), strict=True) if first <= w.first and w.last <= last]
        if inside and all(Path(layout.metadata(row.stage, row.gen_id)).exists() for row in inside):
            found = read_answers(inside, layout)
            answers.append(((first, last), found))
            chars = (units[first - 1].start, units[last - 1].end)
            applied[region_key(level, chars, text)] = answers_digest(answer.result.response_key for answer in found)
    if not answers:
        return {}
    archive = upgraded_archive(conversation, units, read_version(folder, before), answers, level)
    version = write_archive(folder, archive)
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


def read_answers(rows: Sequence[Generation], layout: Layout) -> list[Answer]:
    """The answers of some windows, all of which are made."""
    answers = []
    for row, window in zip(rows, windows_of(rows), strict=True):
        folder = layout.generation(row.stage, row.gen_id)
        result = with_total_cost(read_result(folder), layout.root)
        parsed = read_json(folder / layout.parsed_name(row.stage)) if result.status == "ok" else {}
        answers.append(Answer(window, result, parsed))
    return answers


def write_page(chunking: Chunking, conversation_id: str, folder: Path) -> None:
    """Write the page with a conversation's chunks."""
    page = chunks_page(chunking.conversations[conversation_id], read_latest(folder), folder)
    write_atomic(folder / "chunks.html", page)


def write_result(
    spec_of: Mapping[str, Chunking], folder: Path, layout: Layout, index: Index, upgrades: Iterable[Generation] = ()
) -> str:
    """Write the changes of the archives since the last result, what was paid, what remains of the last upgrade, and
    what could not be read; returns its table. `upgrades` are the generations of the planned upgrade."""
    path, plan_path = folder / "result.json", folder / "upgrade" / "plan.json"
    before = {"made": path.stat().st_mtime, **read_json(path)} if path.exists() else {}
    plan = read_json(plan_path) if plan_path.exists() else {"specs": {}}
    rows = {row["conversation_id"]: row for row in before.get("conversations", ())}
    there = [name for name in spec_of if has_archive(folder / name)]  # an upgrade may run before there is an archive
    basic = (row for name, spec in spec_of.items() if spec.has_basic for row in spec.generations[name])
    owners = {row.gen_id: row.wildcards["conversation_id"] for row in (*basic, *upgrades)}
    paid, mark = paid_since(layout, before, lambda gen_id: owners.get(gen_id, ""))
    left = remaining(plan, folder)
    changes = [_change(folder / name, rows.get(name, {}), paid.pop(name, None), left.get(name)) for name in there]
    result = task_result(changes, list(paid.values())) | {"ledger": mark}
    told = {"not_read": index.problems, "notices": index.notices}
    result |= {key: lines for key, lines in told.items() if lines}
    write_atomic(path, pretty(result))
    titles = {name: title for name in there if (title := spec_of[name].talks[name].title)}
    return "\n\n".join([result_table(result, titles), *reading_text(result), where_to_read(result, folder)])


def _change(
    home: Path, row: Mapping[str, Json], paid: Paid | None, left: Mapping[str, Json] | None
) -> Change | Unchanged:
    """What has happened to a conversation since `row` of the last result (empty: there was none); what was `paid` for
    it since, and what the last upgrade `left` of it."""
    version = row.get("version")
    if version is not None and versions_of(home)[-1] == version and paid is None:
        return Unchanged(row, left or NOTHING_LEFT)
    now, before = read_latest(home), None
    if version is not None and (home / f"archive_v{version}.json").exists():
        before = read_version(home, version)
        if before["metadata"]["text_sha256"] != now["metadata"]["text_sha256"]:
            before = None
    return Change(now, before, paid or NONE, left or NOTHING_LEFT)
