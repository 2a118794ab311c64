"""The pages on conversations: an index, a page for each archived conversation, and its clusters."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import DreamflowError
from ..files import is_name, read_json, sha256
from ..generation.model import Json
from ..site.page import Document, Page
from ..site.parts import Column, Link
from .archive import has_archive, read_latest
from .conversation import Archive, Conversation
from .render import clean, iso_time, languages, level_badge, span, title_of, when
from .talk_pages import SECTION, TRAIL, Head, Turns, parts_of, talk_pages, talk_path

CLUSTERS = f"{SECTION}/clusters.html"

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


def pages(folder: Path, known: Mapping[str, Conversation]) -> Iterator[Page]:
    """All pages from the archives in `folder` (data/chunks). `known` are the conversations that were read."""
    heads, problems = _read_heads(folder)
    turns = _turns(known)
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
        "unread": problems,
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
    title, date = clean(metadata["title"] or name), when(iso_time(span(chunks)[0] or ""))
    labels = Counter(label for chunk in chunks for label in chunk["labels"])
    row = [
        Link(title, talk_path(name), name if metadata["title"] else ""),
        date[:10] or None,
        metadata["turns"],
        len(chunks),
        metadata["tokens"],
        level_badge(archive["quality_level"]),
        ", ".join(languages(chunks)) or None,
        clean(", ".join(label for label, _ in labels.most_common(4))) or None,
        ", ".join(sorted({chunk["llm_used"] or "rules" for chunk in chunks})),
    ]
    return Head(name, title, date, row, parts_of(chunks), [title_of(chunk) for chunk in chunks])


def _turns(known: Mapping[str, Conversation]) -> Turns:
    """Finds the source of an archive, whose turns have times and the names of speakers."""

    def find(conversation_id: str, digest: str) -> Conversation | None:
        try:
            source = known.get(conversation_id)
        except DreamflowError:  # the archives have all of the text
            return None
        return source if source and sha256(source.text) == digest else None

    return find


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
        "span": " to ".join(dict.fromkeys(map(when, cluster["time_span"] or ()))),
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
    return Link(
        f"{head.title}: {head.titles[place]}", talk_path(name, head.parts[place], place + 1), f"chunk {place + 1}"
    )
