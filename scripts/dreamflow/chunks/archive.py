"""Archives: the chunks of a conversation as one immutable file a version, and a manifest of the versions.

    data/chunks/<conversation>/archive_v<N>.json, manifest.json

An archive is a pure function of the conversation, its chunks and the answers they were made from: no clock, no
machine. Its chunks hold the whole text, word for word, so nothing else is needed to upgrade it. The manifest says
which version is the current one; it is derived from the archives alone, so a broken or lost one is written again.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, takewhile
from pathlib import Path

from ..errors import ConfigError
from ..files import canonical, checked_name, pretty, sha256, write_atomic
from ..generation.model import Json, Result
from .conversation import LEVELS, Archive, ArchivedChunk, Chunk, Conversation, Unit
from .stitch import PartitionError, check_partition, level_of

_FILE = re.compile(r"archive_v([1-9][0-9]*)\.json")
_USED = ("tokens_used", "processing_time_ms", "cost_usd")
# What depends on the place of an archive among its versions, not on what is in it.
_PLACE = ("previous_version", "supersedes_version")


def build_archive(
    conversation: Conversation,
    units: Sequence[Unit],
    chunks: Sequence[Chunk],
    results: Sequence[Result] = (),
) -> Archive:
    """The archive of a conversation, without the numbers of versions, which `write_archive` gives.

    `results` are those of the generations for this version, failed ones included. The tokens, seconds and dollars of
    each are divided among its chunks by their tokens, to the last token; what made no chunk is in the sums under
    `metadata.usage` only. Chunks of an earlier archive keep what they cost then.
    """
    check_partition(chunks, units, conversation)
    name = checked_name(conversation.conversation_id, "conversation id")
    shares = _shares(chunks, units, results)
    described = []
    tokens = 0
    for position, (chunk, used) in enumerate(zip(chunks, shares, strict=True)):
        inside = units[chunk.first - 1 : chunk.last]
        described.append(_chunk(conversation, inside, chunk, position, tokens, used))
        tokens = described[-1]["token_range"][1]
    times = [result.created_at for result in results if result.created_at]
    archive = {
        "id": f"d_{name}",
        "conversation_id": name,
        "version": None,
        "quality_level": LEVELS[min(map(level_of, chunks))] if chunks else LEVELS[0],
        "created_at": max(times, default=None),
        "entities": sorted({entity for chunk in chunks for entity in chunk.entities}),
        "relationships": _relationships(described),
        "metadata": {
            "title": conversation.title,
            "source": conversation.source,
            "text_sha256": sha256(conversation.text),
            "turns": len(conversation.turns),
            "units": len(units),
            "tokens": tokens,
            "usage": {key: _sum([_used(result)[key] for result in results]) for key in _USED},
            "generations": sorted(result.gen_id for result in results),
            "previous_version": None,
            "supersedes_version": None,
            "is_latest": True,
            "status": "active",
            "storage_location": "hot",
        },
        "b_chunks": described,
        "c_clusters": [],
    }
    check_archive(archive)
    return archive


def _chunk(
    conversation: Conversation,
    inside: Sequence[Unit],
    chunk: Chunk,
    position: int,
    tokens_before: int,
    used: Mapping[str, float | None],
) -> ArchivedChunk:
    start, end = inside[0].start, inside[-1].end
    turns = conversation.turns[inside[0].turn - 1 : inside[-1].turn]
    said = Counter()
    for unit in inside:
        said[conversation.turns[unit.turn - 1].role] += unit.tokens
    times = [turn.time for turn in turns if turn.time]
    made_by = chunk.made_by
    return {
        "id": f"b_{conversation.conversation_id}_{position}",
        "parent_id": conversation.conversation_id,
        "chunk_type": "semantic",
        "content": conversation.text[start:end],
        "labels": list(chunk.labels),
        "speaker": said.most_common(1)[0][0],  # who says most of it
        "speakers": list(said),
        "entities": list(chunk.entities),
        "summary": chunk.summary,
        "language": chunk.language or None,
        "confidence": chunk.confidence,
        "position_in_parent": position,
        "char_range": [start, end],
        "token_range": [tokens_before, tokens_before + sum(unit.tokens for unit in inside)],
        "unit_range": [chunk.first, chunk.last],
        "turn_range": [turns[0].number, turns[-1].number],
        "time_range": [times[0], times[-1]] if times else None,
        "quality_level": made_by["quality_level"],
        "needs_upgrade": made_by["quality_level"] == LEVELS[0],
        "method": made_by["method"],
        "llm_used": made_by.get("model_id"),
        "llm_provider": made_by.get("provider"),
        "gen_id": made_by.get("gen_id"),
        **used,
    }


def _used(result: Result) -> dict[str, float | None]:
    """What a generation used: prompt and answer tokens, milliseconds, US dollars (None where the price is unknown)."""
    return {
        "tokens_used": result.usage.prompt + result.usage.completion,
        "processing_time_ms": round(1000 * (result.latency_s or 0)),
        "cost_usd": result.cost_usd,
    }


def _shares(chunks: Sequence[Chunk], units: Sequence[Unit], results: Sequence[Result]) -> list[dict[str, float | None]]:
    shares: list[dict[str, float | None]] = []
    made: dict[str, list[int]] = defaultdict(list)
    for index, chunk in enumerate(chunks):
        kept = {key: chunk.made_by[key] for key in _USED if key in chunk.made_by}
        shares.append(kept or {"tokens_used": 0, "processing_time_ms": 0, "cost_usd": 0.0})
        if not kept and chunk.made_by.get("gen_id"):
            made[chunk.made_by["gen_id"]].append(index)
    for result in results:
        indices = made.get(result.gen_id, [])
        sizes = [sum(unit.tokens for unit in units[chunks[i].first - 1 : chunks[i].last]) for i in indices]
        for key, total in _used(result).items():
            for index, part in zip(indices, _divided(total, sizes), strict=True):
                shares[index][key] = part
    return shares


def _divided(total: float | None, sizes: Sequence[int]) -> list[float | None]:
    """`total` in parts proportional to `sizes`; whole numbers in whole parts whose sum is `total`."""
    if total is None:
        return [None] * len(sizes)
    whole = max(sum(sizes), 1)
    parts, before, given = [], 0, 0
    for size in sizes:
        before += size
        if isinstance(total, int):
            parts.append(total * before // whole - given)
            given += parts[-1]
        else:
            parts.append(round(total * size / whole, 9))
    return parts


def _sum(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    total = sum(known)
    return round(total, 9) if isinstance(total, float) else total


def _relationships(described: Sequence[ArchivedChunk]) -> list[dict[str, Json]]:
    """Pairs of entities that at least two chunks name together: all that is known about them without a model."""
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for chunk in described:
        for pair in combinations(sorted(set(chunk["entities"])), 2):
            together[pair].append(chunk["id"])
    return [
        {"source": a, "target": b, "type": "named_together", "chunks": ids}
        for (a, b), ids in sorted(together.items())
        if len(ids) > 1
    ]


def check_archive(archive: Archive) -> None:
    """Raise a `PartitionError` unless the chunks' contents are the conversation's text, each at its offsets."""
    end = 0
    for chunk in archive["b_chunks"]:
        start, stop = chunk["char_range"]
        if start != end or stop - start != len(chunk["content"]):
            raise PartitionError(f"chunk {chunk['id']}: its content is not what stands at its place in the text")
        end = stop
    if sha256("".join(chunk["content"] for chunk in archive["b_chunks"])) != archive["metadata"]["text_sha256"]:
        raise PartitionError(f"archive {archive['id']}: its chunks are not the conversation's text")


def chunks_of(archive: Archive) -> list[Chunk]:
    """The chunks of an archive as they were built, with their cost in `made_by`."""
    return [
        Chunk(
            first=chunk["unit_range"][0],
            last=chunk["unit_range"][1],
            labels=tuple(chunk["labels"]),
            entities=tuple(chunk["entities"]),
            summary=chunk["summary"],
            language=chunk["language"] or "",
            confidence=chunk["confidence"],
            made_by={
                "method": chunk["method"],
                "model_id": chunk["llm_used"],
                "provider": chunk["llm_provider"],
                "gen_id": chunk["gen_id"],
                "quality_level": chunk["quality_level"],
                **{key: chunk[key] for key in _USED},
            },
        )
        for chunk in archive["b_chunks"]
    ]


# --- files -----------------------------------------------------------------------------------------------------------


def write_archive(folder: Path | str, archive: Archive) -> int:
    """Write the next version of an archive and the manifest into the conversation's folder; returns the version.

    An archive with the content of an existing one is no new version, and the existing version is returned: so chunking
    again does not undo an upgrade. Only after an archive of another text does the same content become a new version.
    No archive is ever overwritten. Raises a `ConfigError` if an archive is damaged.
    """
    folder = Path(folder)
    name = checked_name(archive["conversation_id"], "conversation id")
    if folder.name != name:
        raise ConfigError(f"{folder}: not the folder of conversation {name}")
    check_archive(archive)
    existing = {version: _load(path) for version, path in sorted(_paths(folder).items(), reverse=True)}
    substance, text = _substance(archive), archive["metadata"]["text_sha256"]
    of_text = takewhile(lambda item: item[1]["metadata"]["text_sha256"] == text, existing.items())
    known = next((version for version, other in of_text if _substance(other) == substance), None)
    if known is not None:
        write_manifest(folder)
        return known
    latest = max(existing, default=0)
    version = latest + 1
    metadata = {**archive["metadata"], "previous_version": latest or None, "supersedes_version": latest or None}
    write_atomic(
        folder / f"archive_v{version}.json", pretty({**archive, "version": version, "metadata": metadata}), durable=True
    )
    write_manifest(folder)
    return version


def read_latest(folder: Path | str) -> Archive:
    """The latest archive in a conversation's folder; a `ConfigError` if there is none or it cannot be read."""
    paths = _paths(Path(folder))
    if not paths:
        raise ConfigError(f"{folder}: no archive here; `snakemake chunks` makes it")
    return _load(paths[max(paths)])


def read_version(folder: Path, version: int) -> Archive:
    """One archive of a conversation's folder; a `ConfigError` if it is not there or cannot be read."""
    paths = _paths(folder)
    if version not in paths:
        raise ConfigError(f"{folder}: archive_v{version}.json is missing; restore it")
    return _load(paths[version])


def has_archive(folder: Path) -> bool:
    """Whether there is an archive in a conversation's folder."""
    return bool(_paths(folder))


def write_manifest(folder: Path) -> None:
    """Derive manifest.json from the archives in a folder: which is the latest, what it superseded and when."""
    archives = {version: _load(path) for version, path in sorted(_paths(folder).items())}
    latest = max(archives)
    versions = {}
    for (version, archive), after in zip(archives.items(), [*list(archives)[1:], None], strict=True):
        versions[str(version)] = {
            "is_latest": version == latest,
            "status": "superseded" if after else "active",
            "storage_location": "cold" if after else "hot",
            "previous_version": archive["metadata"]["previous_version"],
            "supersedes_version": archive["metadata"]["supersedes_version"],
            "superseded_by_version": after,
            "superseded_at": archives[after]["created_at"] if after else None,
        }
    manifest = {
        "conversation_id": archives[latest]["conversation_id"],
        "latest_version": latest,
        "updated_at": archives[latest]["created_at"],
        "versions": versions,
    }
    path = folder / "manifest.json"
    if not path.is_file() or path.read_bytes() != pretty(manifest).encode():  # unchanged files keep their time
        write_atomic(path, pretty(manifest))


def is_broken(manifest: Path) -> bool:
    """Whether a manifest exists that cannot be read or that lists an archive that does not exist."""
    try:
        versions = json.loads(manifest.read_text(encoding="utf-8"))["versions"]
        return not all((manifest.parent / f"archive_v{int(version)}.json").exists() for version in versions)
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True


def _paths(folder: Path) -> dict[int, Path]:
    files = folder.iterdir() if folder.is_dir() else ()
    return {int(match[1]): path for path in files if (match := _FILE.fullmatch(path.name))}


def _load(path: Path) -> Archive:
    try:
        archive = json.loads(path.read_text(encoding="utf-8"))
        check_archive(archive)
    except (ValueError, KeyError, TypeError, PartitionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: this archive is damaged ({problem}); restore it, or delete it") from None
    return archive


def _substance(archive: Archive) -> str:
    metadata = {key: value for key, value in archive["metadata"].items() if key not in _PLACE}
    return canonical({**archive, "version": None, "metadata": metadata})
