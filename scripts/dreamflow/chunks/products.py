"""The files of a conversation: its archive, made from generations, and its page; and the result of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..files import canonical, pretty, read_json, sha256, write_atomic
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Json
from .archive import has_archive, read_latest, read_version, write_archive
from .compile import Chunking, windows_of
from .conversation import Archive
from .making import Answer, basic_archive, upgraded_archive
from .render import chunks_page
from .result import result_table, task_result

VERSION = 1  # of how archives are made: a higher one makes them all again


def archive_job(chunking: Chunking, conversation_id: str) -> str:
    """All that decides an archive besides the answers, as JSON: the conversation as it was read, and its windows."""
    rows = chunking.generations[conversation_id]
    windows = {row.gen_id: [w.first, w.last] for row, w in zip(rows, windows_of(rows), strict=True)}
    return canonical([VERSION, sha256(canonical(asdict(chunking.conversations[conversation_id]))), windows])


def make_archive(chunking: Chunking, conversation_id: str, folder: Path, layout: Layout) -> None:
    """Write the archive of a conversation, unless the latest one has the same content."""
    answers = read_answers(chunking.generations[conversation_id], layout)
    latest = read_latest(folder) if has_archive(folder) else None
    archive = basic_archive(chunking.conversations[conversation_id], chunking.units[conversation_id], answers, latest)
    write_archive(folder, archive)
    (folder / "manifest.json").touch()


def upgrade_archive(
    chunking: Chunking,
    conversation_id: str,
    folder: Path,
    layout: Layout,
    parts: Sequence[tuple[str, Mapping[str, Json]]],
    rows: Sequence[Generation],
) -> dict[str, Json]:
    """Write a conversation's next archive, with the regions of its `parts` of the plan (`upgrade_plan.upgrade_parts`)
    re-chunked by `rows`, and its page; returns what was done."""
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    level, before = parts[0][0], parts[0][1]["archive_version"]
    places = [(region["first"], region["last"]) for _, region in parts]
    answers = [(place, read_answers(_inside(rows, place), layout)) for place in places]
    archive = upgraded_archive(conversation, units, read_version(folder, before), answers, level)
    version = write_archive(folder, archive)
    write_page(chunking, conversation_id, folder)
    return {"conversation_id": conversation_id, "target": level, "before": before, "after": version, "regions": places}


def _inside(rows: Iterable[Generation], place: tuple[int, int]) -> list[Generation]:
    """The generations whose windows lie in a region; regions never overlap."""
    return [row for row in rows if place[0] <= row.parser_options["first"] and row.parser_options["last"] <= place[1]]


def read_answers(rows: Iterable[Generation], layout: Layout) -> list[Answer]:
    """What became of the windows of these generations."""
    answers = []
    rows = list(rows)
    for row, window in zip(rows, windows_of(rows), strict=True):
        folder = layout.generation(row.stage, row.gen_id)
        result = with_total_cost(read_result(folder), layout.root)
        parsed = read_json(folder / layout.parsed_name(row.stage)) if result.status == "ok" else {}
        answers.append(Answer(window, result, parsed))
    return answers


def write_page(chunking: Chunking, conversation_id: str, folder: Path) -> None:
    """Write the page that shows a conversation's chunks."""
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    write_atomic(folder / "chunks.html", chunks_page(conversation, units, read_latest(folder)))


def write_result(conversation_ids: Iterable[str], folder: Path) -> str:
    """Write what changed in the archives since the last result; returns its table."""
    path = folder / "result.json"
    rows = read_json(path)["conversations"] if path.exists() else []
    versions = {row["conversation_id"]: row["version"] for row in rows}
    changes = []
    for conversation_id in conversation_ids:
        home = folder / conversation_id
        if has_archive(home):  # an upgrade may run without it
            changes.append(_change(home, versions.get(conversation_id)))
    result = task_result(changes)
    write_atomic(path, pretty(result))
    return f"{result_table(result)}\n\nThe chunks to look at: {folder}/<conversation>/chunks.html"


def _change(home: Path, version: int | None) -> tuple[Archive, Archive | None]:
    """The archive of a conversation now, and its `version` if that is of the same text: else all its chunks are new."""
    now = read_latest(home)
    if version is None or not (home / f"archive_v{version}.json").exists():
        return now, None
    before = read_version(home, version)
    return now, before if before["metadata"]["text_sha256"] == now["metadata"]["text_sha256"] else None
