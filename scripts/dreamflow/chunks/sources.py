"""The tables of conversations in the database: the current chunks of each, and its earlier archives."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..database.schema import Rows, Search, Source, Table, View, columns, files, stamp
from ..files import read_json
from .archive import load_archive

_VERSIONS = "archive_v*.json"
_NOTES = "chunks/notes.json"

CONVERSATIONS = Table(
    "conversations",
    "A row for each conversation with an archive.",
    columns("""
        conversation_id TEXT the id, which is the name of its folder
        title TEXT the title
        source TEXT the file in the folder of conversations
        version INTEGER the current archive
        quality_level TEXT basic, good or premium: the lowest of its chunks
        turns INTEGER turns
        tokens INTEGER tokens of the text
        chunks INTEGER chunks
        first_time TEXT the time of the first turn, if known
        last_time TEXT the time of the last turn, if known
        created_at TEXT when the last answer of a model for this archive came; null for rules alone
        cost_usd REAL US dollars of this version
        path TEXT the page that shows it, below the data folder
    """),
    ("conversation_id",),
)
ARCHIVES = Table(
    "archives",
    "The versions of each conversation's archive (manifest.json).",
    columns("""
        conversation_id TEXT the conversation
        version INTEGER the version
        status TEXT active or superseded
        superseded_by INTEGER the next version
        superseded_at TEXT when that was made
        path TEXT the file, below the data folder
    """),
    ("conversation_id", "version"),
    links={"conversation_id": "conversations"},
)
CHUNKS = Table(
    "chunks",
    "The chunks of the current archives; together they are the whole conversation.",
    columns("""
        id TEXT the id
        conversation_id TEXT the conversation
        position INTEGER the place in it, from 0
        title TEXT the title of the conversation
        summary TEXT a summary
        labels TEXT JSON: labels
        entities TEXT JSON: names in the text
        content TEXT the text, verbatim
        language TEXT the language
        speaker TEXT who says most of it
        confidence REAL measured, 0-1
        quality_level TEXT basic, good or premium
        method TEXT what made it
        llm_used TEXT the model; null for rules
        gen_id TEXT the generation of the model's answer
        char_start INTEGER the first character in the conversation, from 0
        char_end INTEGER the first one after it
        tokens INTEGER its tokens
        turn_first INTEGER the first turn, from 1
        turn_last INTEGER the last turn
        time TEXT the time of its first turn, if known
        tokens_used INTEGER tokens that were paid for
        cost_usd REAL US dollars that were paid for it
        path TEXT the page that shows it, below the data folder
    """),
    ("id",),
    links={"conversation_id": "conversations"},
    indexes=(("gen_id",), ("quality_level", "confidence"), ("time",)),
    search=Search(
        "'chunks'",
        "id",
        "title",
        "time",
        "path",
        {"title": 3.0, "labels": 2.0, "summary": 1.0, "content": 1.0},
    ),
)
NOTES = Table(
    "notes",
    "The current notes (chunks/notes.json): claims of a model, each with the chunks that say so.",
    columns("""
        id TEXT the note
        claim TEXT what it says
        status TEXT active, superseded, or lost if no chunk of it is there any more
        chunk_ids TEXT JSON: the chunks that say so
        said_at TEXT the time of the first of them, if known
        valid_from TEXT since when it holds, as a passage says; else the day it was said
        valid_to TEXT until when
        superseded_by TEXT JSON: the notes that took its place
        contradicts TEXT JSON: the notes that cannot be true as well, and on what they disagree
        dates_resolved TEXT JSON: the relative dates in its chunks, and the dates that they mean
        cluster_id TEXT the cluster
        gen_id TEXT the generation of the model's answer
        path TEXT the file, below the data folder
    """),
    ("id",),
    indexes=(("gen_id",), ("status",)),
    search=Search("'notes'", "id", "claim", "said_at", "path", {"claim": 1.0}),
)
LABELS = View(
    "chunk_labels",
    "A row for each label of each chunk.",
    columns("""
        chunk_id TEXT the chunk
        conversation_id TEXT its conversation
        label TEXT a label
    """),
    "SELECT chunks.id AS chunk_id, conversation_id, json_each.value AS label FROM chunks, json_each(chunks.labels)",
)


def chunk_sources(root: Path) -> list[Source]:
    """The sources of this family."""
    tables = (CONVERSATIONS, ARCHIVES, CHUNKS)
    return [
        Source("conversations", 1, tables, partial(_find, root), partial(_read, root), (LABELS,)),
        Source("notes", 1, (NOTES,), files(root, _NOTES), partial(_read_notes, root)),
    ]


def conversations(root: Path) -> list[str]:
    """The conversations with an archive."""
    folder = root / "chunks"
    return sorted(path.parent.name for path in folder.glob("*/manifest.json"))


def _find(root: Path) -> Iterable[tuple[str, str]]:
    for name in conversations(root):
        folder = root / "chunks" / name
        yield name, stamp(folder / "manifest.json", *sorted(folder.glob(_VERSIONS)))


def _read(root: Path, item: str) -> Rows:
    return read_conversation(root / "chunks" / item)


def _read_notes(root: Path, item: str) -> Rows:
    return {"notes": [{**note, "path": item} for note in read_json(root / item)["notes"]]}


def read_conversation(folder: Path) -> Rows:
    """The rows of a conversation. Raises a `DreamflowError` if its archive is damaged."""
    name = folder.name
    manifest = read_json(folder / "manifest.json")
    archive = load_archive(folder / f"archive_v{int(manifest['latest_version'])}.json")
    about, chunks = archive["metadata"], archive["b_chunks"]
    times = [time for chunk in chunks for time in chunk["time_range"] or () if time]
    page = f"chunks/{name}/chunks.html"
    conversation = {
        **{key: archive[key] for key in ("conversation_id", "version", "quality_level", "created_at")},
        **{key: about[key] for key in ("title", "source", "turns", "tokens")},
        "title": about["title"] or name,
        "chunks": len(chunks),
        "first_time": times[0] if times else None,
        "last_time": times[-1] if times else None,
        "cost_usd": about["usage"]["cost_usd"],
        "path": page,
    }
    versions = [
        {
            "conversation_id": name,
            "version": int(version),
            "status": facts["status"],
            "superseded_by": facts["superseded_by_version"],
            "superseded_at": facts["superseded_at"],
            "path": f"chunks/{name}/archive_v{int(version)}.json",
        }
        for version, facts in manifest["versions"].items()
    ]
    kept = [column for column in CHUNKS.columns if column in (chunks[0] if chunks else {})]
    rows = [
        {
            **{column: chunk[column] for column in kept},
            "conversation_id": name,
            "title": conversation["title"],
            "position": chunk["position_in_parent"],
            "char_start": chunk["char_range"][0],
            "char_end": chunk["char_range"][1],
            "tokens": chunk["token_range"][1] - chunk["token_range"][0],
            "turn_first": chunk["turn_range"][0],
            "turn_last": chunk["turn_range"][1],
            "time": chunk["time_range"][0] if chunk["time_range"] else None,
            "path": page,
        }
        for chunk in chunks
    ]
    return {"conversations": [conversation], "archives": versions, "chunks": rows}
