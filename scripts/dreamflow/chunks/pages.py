"""The pages on conversations: an index, a page for each archived conversation, and its clusters."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import is_name, read_json, sha256
from ..generation.model import Json
from ..generation.parsers.fences import fence_end, fence_opening
from ..site.page import Document, Page
from ..site.parts import Badge, Column, Link, usd
from ..site.text import rendered
from .archive import has_archive, read_latest, read_version, versions_of
from .conversation import LEVELS, Archive, ArchivedChunk, Conversation, Turn
from .labels import label_turns
from .readers import list_conversations
from .render import Part, hue, parts

SECTION = "conversations"
TRAIL = ("Conversations", f"{SECTION}/index.html")
CLUSTERS = f"{SECTION}/clusters.html"
LONGEST = 120_000  # characters of a page; a longer conversation has several: a browser needs seconds for 20,000 turns

_LEVEL_TONES = {"basic": "plain", "good": "good", "premium": "info"}
_COLUMNS = (
    Column("conversation", "long"),
    Column("date", "date"),
    Column("turns", "number"),
    Column("chunks", "number"),
    Column("tokens", "number"),
    Column("quality", hint="the lowest level of its chunks", choices=True),
    Column("languages", choices=True),
    Column("labels", "long"),
    Column("chunked by", choices=True),
)
# Control characters, and those that make text appear in another order than it is in.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")
# What may be Markdown: a mark, or a line that begins with a mark, a space or a number. Other texts are paragraphs.
_MARKUP = re.compile(r"[\\`*_~\[<&|]|^[ \t>#\-+=\d]", re.M)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")

Turns = Callable[[str, str], Conversation | None]  # (id, digest of the text) -> its source, if that has this text


class Head(NamedTuple):
    """What lists say of a conversation; `parts` has the page of each chunk."""

    conversation_id: str
    title: str
    date: str
    row: list[object]
    parts: list[int]

    @property
    def path(self) -> str:
        """Its page."""
        return talk_path(self.conversation_id)


def talk_path(conversation_id: str, part: int = 1, chunk: int | None = None) -> str:
    """A page of a conversation, or the place of a chunk (a number from 1) on it."""
    file = "index.html" if part == 1 else f"part-{part}.html"
    return f"{SECTION}/talk/{conversation_id}/{file}" + (f"#chunk-{chunk}" if chunk else "")


def parts_of(chunks: Sequence[ArchivedChunk]) -> list[int]:
    """The page (a number from 1) of each chunk of a conversation."""
    numbers, page, size = [], 1, 0
    for chunk in chunks:
        length = chunk["char_range"][1] - chunk["char_range"][0]
        if size and size + length > LONGEST:
            page, size = page + 1, 0
        size += length
        numbers.append(page)
    return numbers


def pages(folder: Path, known: Mapping[str, Conversation], raw: Path) -> Iterator[Page]:
    """All pages from the archives in `folder` (data/chunks). `known` are the configured conversations; those of older
    archives are looked for in the folder `raw`."""
    heads, problems = _read_heads(folder)
    turns = _turns(known, raw)
    for place, head in enumerate(heads):
        before = heads[place - 1] if place else None
        after = heads[place + 1] if place + 1 < len(heads) else None
        yield from talk_pages(folder / head.conversation_id, head, turns, before, after)
    clusters = None
    try:
        clusters = clusters_page(folder, heads)
    except DreamflowError as error:
        problems.append(str(error))
    if clusters:
        yield clusters
    facts = {
        "columns": _COLUMNS,
        "rows": [head.row for head in heads],
        "clusters": CLUSTERS if clusters else "",
        "problems": problems,
        "turns": sum(head.row[2] for head in heads),
        "chunks": sum(head.row[3] for head in heads),
    }
    summary = f"{len(heads):,} conversations, {facts['chunks']:,} chunks"
    yield Page(f"{SECTION}/index.html", "Conversations", SECTION, "chunks_index.html", facts, summary)


def _read_heads(folder: Path) -> tuple[list[Head], list[str]]:
    """The conversations with a readable archive, the newest first, and what is wrong with the others."""
    heads, problems = [], []
    for home in sorted(folder.iterdir()) if folder.is_dir() else ():
        if is_name(home.name) and has_archive(home):
            try:
                heads.append(_head(home.name, read_latest(home)))
            except (DreamflowError, KeyError, TypeError, ValueError) as error:
                problems.append(str(error))
    return sorted(heads, key=lambda head: (head.date == "", _reversed(head.date), head.title)), problems


def _reversed(text: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in text)


def _head(name: str, archive: Archive) -> Head:
    chunks, metadata = archive["b_chunks"], archive["metadata"]
    title, date = clean(metadata["title"] or name), _when(_span(chunks)[0])
    labels = Counter(label for chunk in chunks for label in chunk["labels"])
    row = [
        Link(title, talk_path(name), name if metadata["title"] else ""),
        date[:10] or None,
        metadata["turns"],
        len(chunks),
        metadata["tokens"],
        level_badge(archive["quality_level"]),
        ", ".join(_languages(chunks)) or None,
        clean(", ".join(label for label, _ in labels.most_common(4))) or None,
        ", ".join(sorted({chunk["llm_used"] or "rules" for chunk in chunks})),
    ]
    return Head(name, title, date, row, parts_of(chunks))


def _span(chunks: Sequence[ArchivedChunk]) -> tuple[str | None, str | None]:
    """The first and the last time of some chunks, as the source says them."""
    times = [time for chunk in chunks for time in chunk["time_range"] or ()]
    return (times[0], times[-1]) if times else (None, None)


def _languages(chunks: Sequence[ArchivedChunk]) -> list[str]:
    return [language for language, _ in Counter(c["language"] for c in chunks if c["language"]).most_common()]


def _when(time: str | None) -> str:
    """A time for people: to the minute, if it is in ISO 8601, else as the source says it."""
    text = clean(time or "")
    return text[:16].replace("T", " ") if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text) else text


def level_badge(level: str) -> Badge:
    """The badge of a quality level."""
    return Badge(level, _LEVEL_TONES.get(level, "plain"))


def clean(text: str) -> str:
    """A text of a chat without the characters that would hide or reorder others."""
    return _UNSAFE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _turns(known: Mapping[str, Conversation], raw: Path) -> Turns:
    """Finds the source of an archive, whose turns have times and the names of speakers."""

    @cache
    def others() -> Mapping[str, Conversation]:
        try:
            return list_conversations(raw)
        except DreamflowError:  # the archives have all of the text
            return {}

    def find(conversation_id: str, digest: str) -> Conversation | None:
        source = known.get(conversation_id) or others().get(conversation_id)
        return source if source and sha256(source.text) == digest else None

    return find


# --- a conversation ---


def talk_pages(home: Path, head: Head, find: Turns, before: Head | None, after: Head | None) -> Iterator[Page]:
    """The pages of a conversation: every word of it once, by chunk and turn."""
    archive = read_latest(home)
    chunks, metadata = archive["b_chunks"], archive["metadata"]
    text = "".join(chunk["content"] for chunk in chunks)
    source = find(head.conversation_id, metadata["text_sha256"])
    turns = source.turns if source else label_turns(text)
    last = head.parts[-1] if head.parts else 1
    problems: list[str] = []
    start, end = map(_when, _span(chunks))
    facts = {
        "archive": archive,
        "metadata": metadata,
        "languages": _languages(chunks),
        "span": start if start == end else f"{start} to {end}",
        "levels": Counter(chunk["quality_level"] for chunk in chunks),
        "level_badge": level_badge,
        "usage": _usage(chunks),
        "history_columns": _HISTORY,
        "history": _history(home, archive, problems),
        "upgrade": _upgrade(home, problems),
        "problems": problems,
        "has_source": source is not None,
        "last": last,
        "contents_columns": _CONTENTS,
        "contents": [_content_row(head, chunk) for chunk in chunks] if last > 1 else [],
        "part_paths": [talk_path(head.conversation_id, part) for part in range(1, last + 1)],
    }
    for part in range(1, last + 1):
        inside = [chunk for chunk, number in zip(chunks, head.parts, strict=True) if number == part]
        name = name_of(part)
        previous = (name_of(part - 1), talk_path(head.conversation_id, part - 1)) if part > 1 else _neighbour(before)
        following = (name_of(part + 1), talk_path(head.conversation_id, part + 1)) if part < last else _neighbour(after)
        here = {
            "trail": [TRAIL, (head.title, "" if part == 1 else head.path), *([(name, "")] if part > 1 else [])],
            "part": part,
            "chunks": [_chunk(chunk, turns, text) for chunk in inside],
            "before": previous,
            "after": following,
        }
        title = head.title if part == 1 else f"{head.title}, {name}"
        summary = f"{metadata['turns']:,} turns, {len(chunks):,} chunks" if part == 1 else ""
        documents = [_document(head, chunk) for chunk in inside]
        path = talk_path(head.conversation_id, part)
        yield Page(path, title, SECTION, "chunks_talk.html", {**facts, **here}, summary, documents)


def name_of(part: int) -> str:
    """The name of a page of a conversation."""
    return f"part {part}"


def _neighbour(head: Head | None) -> tuple[str, str] | None:
    return head and (head.title, head.path)


def _document(head: Head, chunk: ArchivedChunk) -> Document:
    number = chunk["position_in_parent"] + 1
    labels = clean(", ".join(chunk["labels"]))
    return Document(
        "chunk",
        f"{head.title}, chunk {number}{': ' if labels else ''}{labels}",
        clean("\n".join(filter(None, (chunk["summary"], chunk["content"])))),
        f"chunk-{number}",
        (chunk["time_range"] or [""])[0],
    )


_CONTENTS = (
    Column("chunk", "long"),
    Column("time", "date"),
    Column("turns", "number"),
    Column("tokens", "number"),
    Column("quality", choices=True),
    Column("confidence", "number"),
)


def _content_row(head: Head, chunk: ArchivedChunk) -> list[object]:
    number, (first, last) = chunk["position_in_parent"] + 1, chunk["turn_range"]
    path = talk_path(head.conversation_id, head.parts[number - 1], number)
    return [
        Link(f"{number}. {_title(chunk)}", path),
        _when((chunk["time_range"] or [None])[0]) or None,
        f"{first}–{last}" if last > first else str(first),
        chunk["token_range"][1] - chunk["token_range"][0],
        level_badge(chunk["quality_level"]),
        chunk["confidence"],
    ]


def _title(chunk: ArchivedChunk) -> str:
    return clean(", ".join(chunk["labels"]) or chunk["summary"][:80]) or "without label"


def _chunk(chunk: ArchivedChunk, turns: Sequence[Turn], text: str) -> dict[str, object]:
    start, end = chunk["char_range"]
    return {
        **chunk,
        "number": chunk["position_in_parent"] + 1,
        "hue": hue(chunk["position_in_parent"]),
        "tokens": chunk["token_range"][1] - chunk["token_range"][0],
        "title": _title(chunk),
        "parts": [_spoken(part, text) for part in parts(turns, text, start, end)],
        "lines": _lines(text, start, end),
    }


def _lines(text: str, start: int, end: int) -> int:
    """About how many lines a chunk has on the screen, for its place before it is drawn."""
    return text.count("\n", start, end) + (end - start) // 90 + 2


def _spoken(part: Part, text: str) -> dict[str, object]:
    return {
        "number": part.turn.number,
        "speaker": clean(part.speaker),
        "is_user": part.speaker == "user",
        "time": _when(part.time),
        "continued": part.continued,
        "html": as_html(part.text, _open_fence(part, text) if part.continued else ""),
    }


def as_html(text: str, fence: str = "") -> Markup:
    """A part of a turn as safe HTML, from Markdown. `fence` is the line that opened the code block that the part begins
    in, if it does."""
    text = clean(text).strip("\n")
    if fence:
        return rendered(f"{fence}\n{text}")
    if _MARKUP.search(text):
        return rendered(text)
    paragraphs = [part for part in _PARAGRAPHS.split(text.strip()) if part]
    return Markup("\n").join(Markup("<p>{}</p>").format(part) for part in paragraphs)


def _open_fence(part: Part, text: str) -> str:
    """The line that opens the code block in which a part begins; empty if it begins in none."""
    place = part.turn.content_start
    while opening := fence_opening(text, place, part.start):
        end = fence_end(text, opening, part.turn.end)
        if end is None or end > part.start:
            return opening[0].strip()
        place = end
    return ""


def _usage(chunks: Sequence[ArchivedChunk]) -> dict[str, Json]:
    costs = [chunk["cost_usd"] for chunk in chunks]
    return {
        "tokens": sum(chunk["tokens_used"] for chunk in chunks),
        "cost": usd(sum(cost for cost in costs if cost is not None)),
        "unknown": sum(cost is None for cost in costs),
    }


_HISTORY = (
    Column("version", "number"),
    Column("made", "date"),
    Column("chunks", "number"),
    *(Column(level, "number") for level in LEVELS),
    Column("chunked by"),
    Column("tokens", "number"),
    Column("cost", "number"),
    Column("status"),
)


def _history(home: Path, latest: Archive, problems: list[str]) -> list[list[object]]:
    """A row for each version of the archive, the newest first."""
    rows = []
    for version in sorted(versions_of(home), reverse=True):
        try:
            archive = latest if version == latest["version"] else read_version(home, version)
            rows.append(_version_row(version, archive, is_latest=archive is latest))
        except (DreamflowError, KeyError, TypeError) as error:
            problems.append(str(error))
    return rows


def _version_row(version: int, archive: Archive, *, is_latest: bool) -> list[object]:
    chunks, usage = archive["b_chunks"], archive["metadata"]["usage"]
    levels = Counter(chunk["quality_level"] for chunk in chunks)
    return [
        version,
        _when(archive["created_at"]) or None,
        len(chunks),
        *(levels[level] for level in LEVELS),
        ", ".join(sorted({chunk["llm_used"] or "rules" for chunk in chunks})),
        usage.get("tokens_used", 0),
        usd(usage.get("cost_usd", 0)),
        Badge("current", "info") if is_latest else Badge("superseded"),
    ]


def _upgrade(home: Path, problems: list[str]) -> Mapping[str, Json]:
    """The summary of the last upgrade; empty without one."""
    path = home / "upgrade.json"
    try:
        upgrade = read_json(path) if path.exists() else {}
        return {key: upgrade[key] for key in ("target", "before", "after", "planned_at")} if upgrade else {}
    except (DreamflowError, KeyError, TypeError) as error:
        problems.append(f"{path}: {error}")
        return {}


# --- clusters ---


def clusters_page(folder: Path, heads: Sequence[Head]) -> Page | None:
    """The page of clusters; None if none were made. Raises a `DreamflowError` for a damaged file."""
    path = folder / "clusters.json"
    if not path.exists():
        return None
    known = {head.conversation_id: head for head in heads}
    try:
        clusters = [_cluster(cluster, known) for cluster in read_json(path)["clusters"]]
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"{path}: damaged: {type(error).__name__}: {error}"
        raise DreamflowError(f"{problem}. Delete it and run `snakemake clusters`") from None
    facts = {"trail": [TRAIL, ("Clusters", "")], "clusters": clusters}
    documents = [
        Document("cluster", str(cluster["theme"]), f"{cluster['theme']}\n{cluster['content']}", str(cluster["anchor"]))
        for cluster in clusters
    ]
    return Page(CLUSTERS, "Clusters", SECTION, "chunks_clusters.html", facts, f"{len(clusters):,} clusters", documents)


def _cluster(cluster: Mapping[str, Json], known: Mapping[str, Head]) -> dict[str, object]:
    sides = [*cluster["contradictions"], *cluster["contradictions_resolved"]]
    return {
        "anchor": cluster["id"] if is_name(cluster["id"]) else "",
        "theme": clean(cluster["theme"]) or cluster["id"],
        "content": clean(cluster["content"]),
        "chunks": [_chunk_link(name, known) for name in cluster["related_chunks"]],
        "conversations": len(cluster["conversations"]),
        "related": cluster["related_clusters"],
        "confidence": cluster["confidence"],
        "span": " to ".join(dict.fromkeys(map(_when, cluster["time_span"] or ()))),
        "contradictions": [
            {
                "a": _chunk_link(item["a"], known),
                "b": _chunk_link(item["b"], known),
                "facts": [(key, clean(str(value))) for key, value in item.items() if key not in "ab" and value],
            }
            for item in sides
        ],
    }


def _chunk_link(chunk_id: str, known: Mapping[str, Head]) -> Link | str:
    """The place of a chunk; its id if its conversation has no page."""
    name, _, position = chunk_id.removeprefix("b_").rpartition("_")
    head, place = known.get(name), int(position) if position.isdecimal() else -1
    if head is None or not 0 <= place < len(head.parts):
        return chunk_id
    return Link(f"{head.title}, chunk {place + 1}", talk_path(name, head.parts[place], place + 1))
