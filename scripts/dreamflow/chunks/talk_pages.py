"""The pages of a conversation: every word of it once, in coloured chunks with rendered Markdown and code."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..site.page import Document, Page
from ..site.parts import Column, Link
from .archive import read_latest
from .conversation import ArchivedChunk, Conversation
from .labels import label_turns
from .render import chunk_view, clean, iso_time, level_badge, talk_facts, title_of, when

SECTION = "conversations"
TRAIL = ("Conversations", f"{SECTION}/index.html")
LONGEST = 120_000  # characters of a page; a longer conversation has several: a browser needs seconds for 20,000 turns

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


def talk_pages(home: Path, head: Head, find: Turns, before: Head | None, after: Head | None) -> Iterator[Page]:
    """The pages of a conversation: every word of it once, by chunk and turn."""
    archive = read_latest(home)
    chunks, metadata = archive["b_chunks"], archive["metadata"]
    text = "".join(chunk["content"] for chunk in chunks)
    source = find(head.conversation_id, metadata["text_sha256"])
    turns = source.turns if source else label_turns(text)
    last = head.parts[-1] if head.parts else 1
    facts = {
        **talk_facts(archive, home, has_source=source is not None),
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
            "chunks": [chunk_view(chunk, turns, text) for chunk in inside],
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
