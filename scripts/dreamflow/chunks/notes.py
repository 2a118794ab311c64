"""Notes: what is worth remembering of clusters, as claims of a model that each cite the chunks that say so.

    data/chunks/notes/notes_v<N>.json   one immutable file for each version; data/chunks/notes.json is the current one

The model writes the claims; everything else is code. A note without a chunk that exists is refused (parser `notes`).
Relative dates in the cited chunks are resolved against the times of their turns (`relative_dates`) and shown beside the
claim. A note that another one takes the place of is superseded and ends when that one begins, and of two that
contradict each other both stay. Notes carry over between runs: the same claim on the same conversations is the same
note, and one that is not said again stays as it was, with its chunks found again by their place in the conversation if
they were cut anew since. Nothing is ever deleted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from ..errors import DreamflowError
from ..files import canonical, pretty, read_json, sha256, write_atomic
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.layout import Layout
from ..generation.make import read_result
from ..generation.model import Generation, Json
from ..generation.models import Model
from ..routing.auto import Asked, Router
from .clusters import Cluster
from .compile import REPAIR
from .conversation import Archive, ArchivedChunk, Turn
from .relative_dates import resolve
from .spec import Notes

Note = dict[str, Json]  # an item of notes.json
TurnsOf = Callable[[str], Sequence[Turn]]  # the turns of a conversation by its id

_VERSION = re.compile(r"notes_v([1-9][0-9]*)\.json")
ACTIVE, SUPERSEDED, LOST = "active", "superseded", "lost"  # the last: no cited chunk is there any more


def plan_notes(clusters: Sequence[Cluster], archives: Sequence[Archive], turns_of: TurnsOf) -> dict[str, Json]:
    """For each cluster the ids of its chunks, and their texts and dates for a prompt."""
    chunks = _chunks(archives)
    return {
        "clusters": [
            {
                "id": cluster["id"],
                "chunks": cluster["related_chunks"],
                "passages": "\n\n".join(_passage(chunks[name], turns_of) for name in cluster["related_chunks"]),
            }
            for cluster in clusters
        ]
    }


def _passage(chunk: ArchivedChunk, turns_of: TurnsOf) -> str:
    time = f", {chunk['time_range'][0]}" if chunk["time_range"] else ""
    quoted = "\n".join(f"> {line}" for line in chunk["content"].strip().splitlines())
    dates = "; ".join(f'"{one["text"]}" is {one["date"]}' for one in dates_of(chunk, turns_of))
    return f"{chunk['id']}{time}\n{quoted}" + (f"\nDates: {dates}" if dates else "")


def dates_of(chunk: ArchivedChunk, turns_of: TurnsOf) -> list[dict[str, str]]:
    """The relative dates in a chunk, each resolved against the time of its turn."""
    start, end = chunk["char_range"]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for turn in turns_of(chunk["parent_id"]):
        if turn.start < end and start < turn.end:
            words = chunk["content"][max(turn.start - start, 0) : turn.end - start]
            for one in resolve(words, turn.time):
                found.setdefault((one.text.lower(), one.date), {"text": one.text, "date": one.date})
    return list(found.values())


def note_question(settings: Notes, catalog: Catalog, models: Mapping[str, Model], router: Router) -> Asked | None:
    """What the model of the section `notes` of config.yaml is asked; None without a model. Raises `ConfigError`."""
    if settings.model is None:
        return None
    question = Asked("notes", settings, catalog, models, router, ("notes",))
    question.check()
    return question


def note_rows(plan: Mapping[str, Json], question: Asked | None) -> dict[str, Generation]:
    """The generations that write notes, by id; none without a model. `plan` is that of `plan_notes`."""
    rows = {}
    for cluster in plan["clusters"] if question else ():
        variables = {"passages": {"sha256": question.catalog.keep(cluster["passages"])}}
        wildcards = {"cluster_id": cluster["id"]}

        def ids(model: str, fields: Mapping[str, Json], cluster_id: str = cluster["id"]) -> str:
            return generation_id("n_", cluster_id, fields["template_id"], model)

        gen_id, fields = question.row(ids, variables, wildcards)
        rows[gen_id] = Generation(
            **fields,
            family="conversation",
            stage="note",
            gen_id=gen_id,
            parser_options={"ids": cluster["chunks"]},
            variables=variables,
            wildcards=wildcards,
            repair=REPAIR,
        )
    return rows


def write_notes(
    path: Path, rows: Mapping[str, Generation], archives: Sequence[Archive], turns_of: TurnsOf, layout: Layout
) -> str:
    """Write the next version of the notes from the answers that there are, if it differs from the latest one; returns a
    line for the screen."""
    answers = []
    for gen_id, row in rows.items():
        folder = layout.generation(row.stage, gen_id)
        if read_result(folder).status == "ok":
            answers.append((row.wildcards["cluster_id"], gen_id, read_json(folder / layout.parsed_name(row.stage))))
    versions = path.parent / "notes"
    latest = max(_versions(versions), default=0)
    before = read_json(versions / f"notes_v{latest}.json")["notes"] if latest else []
    found = consolidate(before, answers, archives, turns_of)
    if not latest or canonical(found) != canonical(before):
        made = {"version": latest + 1, "previous_version": latest or None, "notes": found}
        write_atomic(versions / f"notes_v{latest + 1}.json", pretty(made), durable=True)
        latest += 1
    write_atomic(path, pretty(read_json(versions / f"notes_v{latest}.json")))
    counts = {status: sum(note["status"] == status for note in found) for status in (ACTIVE, SUPERSEDED)}
    contradicted = sum(bool(note["contradicts"]) for note in found)
    return (
        f"{counts[ACTIVE]:,} notes, {counts[SUPERSEDED]:,} superseded, {contradicted:,} contradicted; "
        f"version {latest}: {path}"
    )


def _versions(folder: Path) -> list[int]:
    names = (_VERSION.fullmatch(path.name) for path in folder.glob("notes_v*.json"))
    return [int(match[1]) for match in names if match]


def consolidate(
    before: Sequence[Note],
    answers: Iterable[tuple[str, str, Mapping[str, Json]]],
    archives: Sequence[Archive],
    turns_of: TurnsOf,
) -> list[Note]:
    """The notes after these answers, (cluster, generation, parsed answer) each: those from before, with what is said
    again or anew. Raises a `DreamflowError` if an answer cites a chunk that does not exist."""
    chunks = _chunks(archives)
    notes = {note["id"]: _found_again(note, archives) for note in before}
    for cluster, gen_id, parsed in answers:
        said = [_note(item, cluster, gen_id, chunks, turns_of) for item in parsed["notes"]]
        for note in said:
            known = notes.get(note["id"])
            notes[note["id"]] = note if known is None else _joined(known, note)
        for pair in parsed["superseded"]:
            old, new = (notes[said[pair[side] - 1]["id"]] for side in ("old", "new"))
            if old is not new and new["id"] not in old["superseded_by"] and old["id"] not in new["superseded_by"]:
                old["superseded_by"] = [*old["superseded_by"], new["id"]]
                old["valid_to"] = old["valid_to"] or new["valid_from"]
                old["status"] = SUPERSEDED
        for pair in parsed["contradictions"]:
            a, b = (notes[said[pair[side] - 1]["id"]] for side in "ab")
            for one, other in ((a, b), (b, a)) if a is not b else ():
                if other["id"] not in [item["id"] for item in one["contradicts"]]:
                    one["contradicts"] = [*one["contradicts"], {"id": other["id"], "what": pair["what"]}]
    return sorted(notes.values(), key=lambda note: (note["said_at"] or "", note["id"]))


def _note(
    item: Mapping[str, Json], cluster: str, gen_id: str, chunks: Mapping[str, ArchivedChunk], turns_of: TurnsOf
) -> Note:
    missing = [name for name in item["chunk_ids"] if name not in chunks]
    if missing:
        raise DreamflowError(f"{gen_id} cites {missing[0]}, which does not exist; run `snakemake notes` to plan anew")
    cited = [chunks[name] for name in item["chunk_ids"]]
    times = sorted(chunk["time_range"][0] for chunk in cited if chunk["time_range"])
    conversations = sorted({chunk["parent_id"] for chunk in cited})
    said_at = times[0] if times else None
    return {
        "id": f"n_{sha256(canonical([' '.join(item['claim'].casefold().split()), conversations]))[:12]}",
        "claim": item["claim"],
        "status": ACTIVE,
        "chunk_ids": item["chunk_ids"],
        "places": [[chunk["parent_id"], *chunk["char_range"]] for chunk in cited],
        "said_at": said_at,
        "valid_from": item["valid_from"] or (said_at[:10] if said_at else None),
        "valid_to": item["valid_to"],
        "superseded_by": [],
        "contradicts": [],
        "dates_resolved": list({canonical(one): one for chunk in cited for one in dates_of(chunk, turns_of)}.values()),
        "cluster_id": cluster,
        "gen_id": gen_id,
    }


def _joined(known: Note, note: Note) -> Note:
    """A note that is said again: it keeps what is known of it, and cites the chunks of both."""
    chunk_ids = list(dict.fromkeys([*known["chunk_ids"], *note["chunk_ids"]]))
    places = list({canonical(place): place for place in [*known["places"], *note["places"]]}.values())
    said_at = min(filter(None, (known["said_at"], note["said_at"])), default=None)
    dates = list({canonical(one): one for one in [*known["dates_resolved"], *note["dates_resolved"]]}.values())
    return {
        **note,
        "chunk_ids": chunk_ids,
        "places": places,
        "said_at": said_at,
        "valid_to": note["valid_to"] or known["valid_to"],
        "dates_resolved": dates,
        "status": SUPERSEDED if known["superseded_by"] else ACTIVE,
        **{key: known[key] for key in ("superseded_by", "contradicts")},
    }


def _found_again(note: Note, archives: Sequence[Archive]) -> Note:
    """A note of an earlier version, with the ids that the chunks at its places have now."""
    by_conversation = {archive["conversation_id"]: archive["b_chunks"] for archive in archives}
    names = [
        chunk["id"]
        for conversation, start, end in note["places"]
        for chunk in by_conversation.get(conversation, ())
        if chunk["char_range"][0] < end and start < chunk["char_range"][1]
    ]
    status = LOST if not names else SUPERSEDED if note["superseded_by"] else ACTIVE
    return {**note, "chunk_ids": list(dict.fromkeys(names)) or note["chunk_ids"], "status": status}


def check_notes(notes: Sequence[Note], archives: Sequence[Archive]) -> None:
    """Raise a `DreamflowError` if a note that is not lost cites no chunk, or one that does not exist."""
    chunks = _chunks(archives)
    for note in notes:
        if note["status"] != LOST and (not note["chunk_ids"] or not set(note["chunk_ids"]) <= chunks.keys()):
            raise DreamflowError(f"note {note['id']} cites {', '.join(note['chunk_ids']) or 'nothing'}: no such chunk")


def _chunks(archives: Sequence[Archive]) -> dict[str, ArchivedChunk]:
    return {chunk["id"]: chunk for chunk in chain.from_iterable(archive["b_chunks"] for archive in archives)}
