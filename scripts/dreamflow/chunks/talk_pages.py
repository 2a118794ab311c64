"""The pages of a conversation: every word of it once, in coloured chunks with rendered Markdown and code."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import read_json
from ..generation.model import Json
from ..generation.parsers.fences import fence_end, fence_opening
from ..site.page import Document, Page
from ..site.parts import Badge, Column, Link, usd
from ..site.text import rendered
from .archive import read_latest, read_version, versions_of
from .conversation import LEVELS, Archive, ArchivedChunk, Conversation, Turn
from .labels import label_turns
from .render import Part, hue, parts

SECTION = "conversations"
TRAIL = ("Conversations", f"{SECTION}/index.html")
LONGEST = 120_000  # characters of a page; a longer conversation has several: a browser needs seconds for 20,000 turns

_LEVEL_TONES = {"basic": "plain", "good": "good", "premium": "info"}
# Control characters, and those that make text appear in another order than it is in.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")
# What may be Markdown: a mark, or a line that begins with a mark, a space or a number. Other texts are paragraphs.
_MARKUP = re.compile(r"[\\`*_~\[<&|]|^[ \t>#\-+=\d]", re.M)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")

Turns = Callable[[str, str], Conversation | None]  # (id, digest of the text) -> its source, if that has this text


class Head(NamedTuple):
    """What lists say of a conversation; `parts` has the page of each chunk, `titles` what it is about."""

    conversation_id: str
    title: str
    date: str
    row: list[object]
    parts: list[int]
    titles: list[str]

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


def span(chunks: Sequence[ArchivedChunk]) -> tuple[str | None, str | None]:
    """The first and the last time of some chunks, as the source says them."""
    times = [time for chunk in chunks for time in chunk["time_range"] or ()]
    return (times[0], times[-1]) if times else (None, None)


def languages(chunks: Sequence[ArchivedChunk]) -> list[str]:
    """The languages of some chunks, the most frequent first."""
    return [language for language, _ in Counter(c["language"] for c in chunks if c["language"]).most_common()]


def when(time: str | None) -> str:
    """A time for people: to the minute, if it is in ISO 8601, else as the source says it."""
    text = clean(time or "")
    return text[:16].replace("T", " ") if iso_time(text) else text


def iso_time(time: str) -> str:
    """A time that is in ISO 8601; "" for another."""
    return time if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", time) else ""


def level_badge(level: str) -> Badge:
    """The badge of a quality level."""
    return Badge(level, _LEVEL_TONES.get(level, "plain"))


def clean(text: str) -> str:
    """A text of a chat without the characters that would hide or reorder others."""
    return _UNSAFE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def talk_pages(home: Path, head: Head, find: Turns, before: Head | None, after: Head | None) -> Iterator[Page]:
    """The pages of a conversation: every word of it once, by chunk and turn."""
    archive = read_latest(home)
    chunks, metadata = archive["b_chunks"], archive["metadata"]
    text = "".join(chunk["content"] for chunk in chunks)
    source = find(head.conversation_id, metadata["text_sha256"])
    turns = source.turns if source else label_turns(text)
    last = head.parts[-1] if head.parts else 1
    problems: list[str] = []
    start, end = map(when, span(chunks))
    facts = {
        "archive": archive,
        "metadata": metadata,
        "languages": languages(chunks),
        "span": start if start == end else f"{start} to {end}",
        "levels": Counter(chunk["quality_level"] for chunk in chunks),
        "level_badge": level_badge,
        "usage": _usage(chunks),
        "history_columns": _HISTORY,
        "history": _history(home, archive, problems),
        "upgrade": _upgrade(home, problems),
        "unread": problems,
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
        highlight = f"{summary}: {'; '.join(head.titles[:2])}." if part == 1 and chunks else ""
        page = Page(path, title, SECTION, "chunks_talk.html", {**facts, **here}, summary, documents)
        yield replace(page, highlight=highlight, date=head.date)


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
        iso_time((chunk["time_range"] or [""])[0]),
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
        Link(f"{number}. {title_of(chunk)}", path),
        when((chunk["time_range"] or [None])[0]) or None,
        f"{first}–{last}" if last > first else str(first),
        chunk["token_range"][1] - chunk["token_range"][0],
        level_badge(chunk["quality_level"]),
        chunk["confidence"],
    ]


def title_of(chunk: ArchivedChunk) -> str:
    """What a chunk is about: its labels, or the beginning of its summary."""
    return clean(", ".join(chunk["labels"]) or chunk["summary"][:80]) or "without label"


def _chunk(chunk: ArchivedChunk, turns: Sequence[Turn], text: str) -> dict[str, object]:
    start, end = chunk["char_range"]
    return {
        **chunk,
        "number": chunk["position_in_parent"] + 1,
        "hue": hue(chunk["position_in_parent"]),
        "tokens": chunk["token_range"][1] - chunk["token_range"][0],
        "title": title_of(chunk),
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
        "time": when(part.time),
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
        when(archive["created_at"]) or None,
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
