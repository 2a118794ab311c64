"""Archives: the chunks of a conversation, one immutable file for each version, and a manifest of the versions.

    data/chunks/<conversation>/archive_v<N>.json, manifest.json

An archive is a pure function of the conversation, its chunks and the answers behind them: no clock, no machine. Its
chunks contain the whole text verbatim, so an upgrade needs nothing else. The manifest names the current version; it is
derived from the archives alone, so a broken or lost manifest is rebuilt.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, takewhile
from pathlib import Path

from ..errors import ConfigError
from ..files import canonical, checked_name, pretty, sha256, write_atomic
from ..generation.model import Json, Number, Result
from .conversation import LEVELS, Archive, ArchivedChunk, Chunk, Conversation, Unit
from .stitch import PartitionError, check_partition, level_of, tokens_of

_FILE = re.compile(r"archive_v([1-9][0-9]*)\.json")
_USAGE = ("tokens_used", "processing_time_ms", "cost_usd")
# These depend on the position of an archive among its versions, not on its content.
_VERSIONS_BEFORE = ("previous_version", "supersedes_version")


def build_archive(
    conversation: Conversation, units: Sequence[Unit], chunks: Sequence[Chunk], results: Sequence[Result] = ()
) -> Archive:
    """The archive of a conversation, without version numbers, which `write_archive` assigns.

    `results` are those of the generations of this version, including failures. The usage of each is divided among its
    chunks in proportion to their tokens. Usage without a chunk counts only in the sums under `metadata.usage`. Chunks
    of an earlier archive keep their usage.
    """
    check_partition(chunks, units, conversation)
    name = checked_name(conversation.conversation_id, "conversation id")
    archived: list[ArchivedChunk] = []
    tokens = 0
    for chunk, usage in zip(chunks, _usage_of_chunks(chunks, units, results), strict=True):
        archived.append(_archived_chunk(conversation, units, chunk, len(archived), tokens) | usage)
        tokens += tokens_of(chunk, units)
    times = [result.created_at for result in results if result.created_at]
    archive = {
        "id": f"d_{name}",
        "conversation_id": name,
        "version": None,
        "quality_level": LEVELS[min(map(level_of, chunks), default=0)],
        "created_at": max(times, default=None),
        "entities": sorted({entity for chunk in chunks for entity in chunk.entities}),
        "relationships": _relationships(archived),
        "metadata": {
            "title": conversation.title,
            "source": conversation.source,
            "text_sha256": sha256(conversation.text),
            "turns": len(conversation.turns),
            "units": len(units),
            "tokens": tokens,
            "usage": usage_of(results),
            "generations": sorted(result.gen_id for result in results),
            "previous_version": None,
            "supersedes_version": None,
            "is_latest": True,
            "status": "active",
            "storage_location": "hot",
        },
        "b_chunks": archived,
        "c_clusters": [],
    }
    check_archive(archive)
    return archive


def _archived_chunk(
    conversation: Conversation, units: Sequence[Unit], chunk: Chunk, position: int, tokens_before: int
) -> dict[str, Json]:
    inside = units[chunk.first - 1 : chunk.last]
    start, end = inside[0].start, inside[-1].end
    turns = conversation.turns[inside[0].turn - 1 : inside[-1].turn]
    tokens_by_speaker = Counter[str]()
    for unit in inside:
        tokens_by_speaker[conversation.turns[unit.turn - 1].role] += unit.tokens
    times = [turn.time for turn in turns if turn.time]
    made_by = chunk.made_by
    return {
        "id": f"b_{conversation.conversation_id}_{position}",
        "parent_id": conversation.conversation_id,
        "chunk_type": "semantic",
        "content": conversation.text[start:end],
        "labels": list(chunk.labels),
        "speaker": tokens_by_speaker.most_common(1)[0][0],
        "speakers": list(tokens_by_speaker),
        "entities": list(chunk.entities),
        "summary": chunk.summary,
        "language": chunk.language or None,
        "confidence": chunk.confidence,
        "limit": chunk.limit,
        "position_in_parent": position,
        "char_range": [start, end],
        "token_range": [tokens_before, tokens_before + tokens_by_speaker.total()],
        "unit_range": [chunk.first, chunk.last],
        "turn_range": [turns[0].number, turns[-1].number],
        "time_range": [times[0], times[-1]] if times else None,
        "quality_level": made_by["quality_level"],
        "needs_upgrade": made_by["quality_level"] == LEVELS[0],
        "method": made_by["method"],
        "llm_used": made_by.get("model_id"),
        "llm_provider": made_by.get("provider"),
        "gen_id": made_by.get("gen_id"),
    }


def usage_of(results: Iterable[Result]) -> dict[str, Number]:
    """The sums of what generations took. `unknown_costs` counts those that the sum of costs leaves out, as theirs is
    unknown; it is absent if there are none."""
    results = list(results)
    used = [_usage(result) for result in results]
    sums = {key: round(sum(usage[key] for usage in used if usage[key] is not None), 9) for key in _USAGE}
    unknown = sum(result.is_unpriced for result in results)
    return sums | ({"unknown_costs": unknown} if unknown else {})


def _usage(result: Result) -> dict[str, Number | None]:
    """Tokens of prompt and answer, milliseconds, and US dollars (None if the price is unknown) of a generation."""
    return {
        "tokens_used": result.usage.prompt + result.usage.completion,
        "processing_time_ms": round(1000 * (result.latency_s or 0)),
        "cost_usd": result.cost_usd,
    }


def _usage_of_chunks(
    chunks: Sequence[Chunk], units: Sequence[Unit], results: Sequence[Result]
) -> list[dict[str, Number | None]]:
    usages: list[dict[str, Number | None]] = []
    chunks_of_generation: dict[str, list[int]] = defaultdict(list)
    for index, chunk in enumerate(chunks):
        kept = {key: chunk.made_by[key] for key in _USAGE if key in chunk.made_by}
        usages.append(kept or {"tokens_used": 0, "processing_time_ms": 0, "cost_usd": 0.0})
        if not kept and chunk.made_by.get("gen_id"):
            chunks_of_generation[chunk.made_by["gen_id"]].append(index)
    for result in results:
        indices = chunks_of_generation[result.gen_id]
        sizes = [tokens_of(chunks[index], units) for index in indices]
        for key, total in _usage(result).items():
            for index, part in zip(indices, _divide(total, sizes), strict=True):
                usages[index][key] = part
    return usages


def _divide(total: Number | None, sizes: Sequence[int]) -> list[Number | None]:
    """Parts of `total` in proportion to `sizes`; an integer is divided into integers whose sum is `total`."""
    if total is None:
        return [None] * len(sizes)
    whole = max(sum(sizes), 1)
    parts, before = [], 0
    for size in sizes:
        if isinstance(total, int):
            parts.append(total * (before + size) // whole - total * before // whole)
        else:
            parts.append(round(total * size / whole, 9))
        before += size
    return parts


def _relationships(archived: Sequence[ArchivedChunk]) -> list[dict[str, Json]]:
    """Pairs of entities that occur together in at least two chunks: all that is known about them without a model."""
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for chunk in archived:
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
            raise PartitionError(f"chunk {chunk['id']}: its content does not fit its place in the text")
        end = stop
    if sha256("".join(chunk["content"] for chunk in archive["b_chunks"])) != archive["metadata"]["text_sha256"]:
        raise PartitionError(f"archive {archive['id']}: the text of its chunks is not the conversation's text")


def chunks_of(archive: Archive) -> list[Chunk]:
    """The chunks of an archive as they were built, with their usage in `made_by`."""
    return [
        Chunk(
            first=chunk["unit_range"][0],
            last=chunk["unit_range"][1],
            labels=tuple(chunk["labels"]),
            entities=tuple(chunk["entities"]),
            summary=chunk["summary"],
            language=chunk["language"] or "",
            confidence=chunk["confidence"],
            limit=chunk.get("limit", False),  # archives of earlier versions do not say
            made_by={
                "model_id": chunk["llm_used"],
                "provider": chunk["llm_provider"],
                **{key: chunk[key] for key in ("method", "gen_id", "quality_level", *_USAGE)},
            },
        )
        for chunk in archive["b_chunks"]
    ]


def write_archive(folder: Path | str, archive: Archive) -> int:
    """Write the next version of an archive and the manifest into the conversation's folder; returns the version.

    If an earlier version has the same content, nothing is written and that version is returned, so chunking again does
    not undo an upgrade. Versions before a change of the text do not count. No archive is ever overwritten. Raises a
    `ConfigError` if an archive is damaged.
    """
    folder = Path(folder)
    name = checked_name(archive["conversation_id"], "conversation id")
    if folder.name != name:
        raise ConfigError(f"{folder}: not the folder of conversation {name}")
    check_archive(archive)
    existing = {version: load_archive(path) for version, path in sorted(_paths(folder).items(), reverse=True)}
    text = archive["metadata"]["text_sha256"]
    of_text = takewhile(lambda item: item[1]["metadata"]["text_sha256"] == text, existing.items())
    version = next((number for number, other in of_text if _content(other) == _content(archive)), None)
    if version is None:
        latest = max(existing, default=None)
        version = (latest or 0) + 1
        numbered = archive | {
            "version": version,
            "metadata": archive["metadata"] | dict.fromkeys(_VERSIONS_BEFORE, latest),
        }
        write_atomic(folder / f"archive_v{version}.json", pretty(numbered), durable=True)
    write_manifest(folder)
    return version


def _content(archive: Archive) -> str:
    metadata = {key: value for key, value in archive["metadata"].items() if key not in _VERSIONS_BEFORE}
    return canonical({**archive, "version": None, "metadata": metadata})


def read_latest(folder: Path | str) -> Archive:
    """The latest archive in a conversation's folder. Raises a `ConfigError` if it is missing or unreadable."""
    paths = _paths(Path(folder))
    if not paths:
        raise ConfigError(f"{folder}: no archive; run `snakemake chunks` to make it")
    return load_archive(paths[max(paths)])


def read_version(folder: Path, version: int) -> Archive:
    """One archive in a conversation's folder. Raises a `ConfigError` if it is missing or unreadable."""
    paths = _paths(folder)
    if version not in paths:
        raise ConfigError(f"{folder}: archive_v{version}.json is missing; restore it")
    return load_archive(paths[version])


def versions_of(folder: Path) -> list[int]:
    """The versions of the archives in a conversation's folder."""
    return sorted(_paths(folder))


def has_archive(folder: Path) -> bool:
    """Whether a conversation's folder contains an archive."""
    return bool(_paths(folder))


def write_manifest(folder: Path) -> None:
    """Derive manifest.json from the archives in a folder: the latest version, and what superseded the others when."""
    archives = {version: load_archive(path) for version, path in sorted(_paths(folder).items())}
    latest = max(archives)
    versions = {}
    for (version, archive), after in zip(archives.items(), [*list(archives)[1:], None], strict=True):
        versions[str(version)] = {
            "is_latest": version == latest,
            "status": "superseded" if after else "active",
            "storage_location": "cold" if after else "hot",
            **{key: archive["metadata"][key] for key in _VERSIONS_BEFORE},
            "superseded_by_version": after,
            "superseded_at": archives[after]["created_at"] if after else None,
        }
    manifest = pretty(
        {
            "conversation_id": archives[latest]["conversation_id"],
            "latest_version": latest,
            "updated_at": archives[latest]["created_at"],
            "versions": versions,
        }
    )
    path = folder / "manifest.json"
    if not path.is_file() or path.read_bytes() != manifest.encode():  # an unchanged file keeps its time
        write_atomic(path, manifest)


def is_broken(manifest: Path) -> bool:
    """Whether a manifest exists that is unreadable or lists a missing archive."""
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


def load_archive(path: Path) -> Archive:
    """The archive in a file, checked. Raises a `ConfigError` if it is damaged."""
    try:
        archive = json.loads(path.read_text(encoding="utf-8"))
        check_archive(archive)
    except (ValueError, KeyError, TypeError, PartitionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: this archive is damaged ({problem}); restore it, or delete it") from None
    return archive
