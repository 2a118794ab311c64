"""The files of a conversation: its archive, made from generations, and its page; and the result of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import canonical, pretty, read_json, sha256, write_atomic
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Json
from .archive import has_archive, read_latest, read_version, usage_of, versions_of, write_archive
from .compile import Chunking, regions_of, windows_of
from .index import Index
from .making import Answer, basic_archive, upgraded_archive
from .render import chunks_page
from .result import Change, Unchanged, reading_text, result_table, task_result, where_to_read

VERSION = 1  # of the method that makes archives: a higher number makes all of them again


def make_archive(chunking: Chunking, conversation_id: str, folder: Path, layout: Layout) -> None:
    """Write the archive of a conversation, unless the latest archive has the same content."""
    answers = _read_answers(chunking.generations[conversation_id], layout)
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
    """Write a conversation's next archive, with the regions of the upgrade's plan re-chunked by `rows`, and its page;
    returns a summary."""
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    parts = [(level, region) for name, level, region in regions_of(plan) if name == conversation_id]
    level, before = parts[0][0], parts[0][1]["archive_version"]
    places = [(region["first"], region["last"]) for _, region in parts]
    answers = []
    for first, last in places:  # regions never overlap
        inside = [row for row, w in zip(rows, windows_of(rows), strict=True) if first <= w.first and w.last <= last]
        answers.append(((first, last), _read_answers(inside, layout)))
    archive = upgraded_archive(conversation, units, read_version(folder, before), answers, level)
    version = write_archive(folder, archive)
    write_page(chunking, conversation_id, folder)
    summary = {"conversation_id": conversation_id, "target": level, "before": before, "after": version}
    usage = usage_of([answer.result for _, group in answers for answer in group])
    return summary | {"regions": places, "usage": usage, "planned_at": plan["planned_at"]}


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
    page = chunks_page(chunking.conversations[conversation_id], read_latest(folder), folder)
    write_atomic(folder / "chunks.html", page)


def write_result(spec_of: Mapping[str, Chunking], folder: Path, layout: Layout, index: Index) -> str:
    """Write the changes of the archives since the last result, and what could not be read; returns its table."""
    path = folder / "result.json"
    before = read_json(path)["conversations"] if path.exists() else []
    rows = {row["conversation_id"]: row for row in before}
    there = [name for name in spec_of if has_archive(folder / name)]  # an upgrade may run before there is an archive
    result = task_result(
        [_change(folder / name, rows.get(name, {}), spec_of[name].generations[name], layout) for name in there]
    )
    told = {"not_read": index.problems, "notices": index.notices}
    result |= {key: lines for key, lines in told.items() if lines}
    write_atomic(path, pretty(result))
    titles = {name: title for name in there if (title := spec_of[name].talks[name].title)}
    return "\n\n".join([result_table(result, titles), *reading_text(result), where_to_read(result, folder)])


def _change(home: Path, row: Mapping[str, Json], basic: Sequence[Generation], layout: Layout) -> Change | Unchanged:
    """What has happened to a conversation since `row` of the last result (empty: there was none)."""
    version, path = row.get("version"), home / "upgrade.json"
    upgrade = read_json(path) if path.exists() else {}
    marks = {"basic": sha256(canonical([row.gen_id for row in basic])), "upgraded_at": upgrade.get("planned_at")}
    if version is not None and versions_of(home)[-1] == version and marks.items() <= row.items():
        return Unchanged(row)
    now, before = read_latest(home), None
    if version is not None and (home / f"archive_v{version}.json").exists():
        before = read_version(home, version)
        if before["metadata"]["text_sha256"] != now["metadata"]["text_sha256"]:
            before = None
    paid: Mapping[str, Json] = {}
    if marks["upgraded_at"] != row.get("upgraded_at"):
        paid = upgrade["usage"]
    elif marks["basic"] != row.get("basic", marks["basic"]):
        made = [row for row in basic if Path(layout.metadata(row.stage, row.gen_id)).exists()]
        paid = usage_of(answer.result for answer in _read_answers(made, layout))
    return Change(now, before, paid, marks)
