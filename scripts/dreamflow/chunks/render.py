"""A conversation in chunks as people read it: what its pages show, and one page of it that needs nothing else.

The site and data/chunks/<conversation>/chunks.html have the same templates. Texts of chats are Markdown, made safe.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import read_json
from ..generation.model import Json
from ..generation.parsers.fences import fence_end, fence_opening
from ..site.parts import Badge, Column, usd
from ..site.render import FOLDER, render
from ..site.text import rendered
from .archive import check_archive, read_version, versions_of
from .conversation import LEVELS, Archive, ArchivedChunk, Conversation, Turn

_GOLDEN_ANGLE = 137.508  # degrees: it keeps the hues of neighbours far apart for any number of chunks
_LEVEL_TONES = {"basic": "plain", "good": "good", "premium": "info"}
# Control characters, and those that make text appear in another order than it is in.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")
# What may be Markdown: a mark, or a line that begins with a mark, a space or a number. Other texts are paragraphs.
_MARKUP = re.compile(r"[\\`*_~\[<&|]|^[ \t>#\-+=\d]", re.M)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_STYLES = {  # of static/: what a page of its own needs
    "site.css": (
        *("Colours", "The page", "Type", "Figures in words", "Badges", "Messages", "Tables"),
        *("Folded texts and code", "Prose"),
    ),
    "conversations.css": ("The pages",),
}


class Part(NamedTuple):
    """What a chunk has of a turn: `text` is without the turn's header; `start` is its place in the conversation."""

    turn: Turn
    continued: bool
    start: int
    text: str


def chunks_page(conversation: Conversation, archive: Archive, home: Path | None = None) -> str:
    """The whole conversation as one self-contained HTML page: no scripts, no network. `home` is the folder with the
    versions of its archive."""
    check_archive(archive)
    chunks, text = archive["b_chunks"], conversation.text
    facts = talk_facts(archive, home, has_source=True)
    here = {"chunks": [chunk_view(chunk, conversation.turns, text) for chunk in chunks], "style": _style()}
    title = clean(archive["metadata"]["title"] or archive["conversation_id"])
    return render("chunks_page.html", "chunks.html", "", title, {**facts, **here})


@cache
def _style() -> Markup:
    """The rules of the site that the page needs, without comments."""
    kept = []
    for name, wanted in _STYLES.items():
        parts = re.split(r"/\* (.*?) \*/\n", "\n" + (FOLDER / "static" / name).read_text(encoding="utf-8"))
        titles = dict(zip(parts[1::2], parts[2::2], strict=True))
        kept += [rules for title, rules in titles.items() if title.startswith(wanted)]
    return Markup("".join(kept))  # noqa: S704  (our own files)


def talk_facts(archive: Archive, home: Path | None, *, has_source: bool) -> dict[str, object]:
    """What all pages of a conversation say of the whole of it. `home` is the folder of its archives."""
    chunks, metadata = archive["b_chunks"], archive["metadata"]
    problems: list[str] = []
    return {
        "archive": archive,
        "metadata": metadata,
        "entities": [clean(name) for name in archive["entities"][:60]],
        "languages": languages(chunks),
        "span": between(*span(chunks)),
        "levels": Counter(chunk["quality_level"] for chunk in chunks),
        "level_badge": level_badge,
        "usage": _usage(chunks),
        "limits": sum(map(is_cut_by_size, chunks)),
        "history_columns": _HISTORY,
        "history": _history(home, archive, problems) if home else [],
        "upgrade": _upgrade(home, problems) if home else {},
        "unread": problems,
        "has_source": has_source,
    }


def chunk_view(chunk: ArchivedChunk, turns: Sequence[Turn], text: str) -> dict[str, object]:
    """What a page shows of a chunk of a conversation with this `text`."""
    start, end = chunk["char_range"]
    day, spoken = "", []
    for part in parts(turns, text, start, end):
        time = when(part.turn.time)
        same_day = bool(day) and time[:10] == day and _ISO_TIME.match(part.turn.time or "") is not None
        spoken.append(_spoken(part, text, time[11:] if same_day else time))
        day = time[:10] if _ISO_TIME.match(part.turn.time or "") else day
    return {
        **chunk,
        "number": chunk["position_in_parent"] + 1,
        "hue": round(chunk["position_in_parent"] * _GOLDEN_ANGLE) % 360,
        "tokens": chunk["token_range"][1] - chunk["token_range"][0],
        "title": title_of(chunk),
        "times": between(*(chunk["time_range"] or (None, None))),
        "cut_by_size": is_cut_by_size(chunk),
        "cost": usd(chunk["cost_usd"]),
        "parts": spoken,
        "lines": text.count("\n", start, end) + (end - start) // 90 + 2,  # on the screen, before it is drawn
    }


def is_cut_by_size(chunk: ArchivedChunk) -> bool:
    """Whether a chunk begins where it does only because the one before it would have been too long."""
    return bool(chunk.get("limit"))


def parts(turns: Sequence[Turn], text: str, start: int, end: int) -> list[Part]:
    """The parts of `text[start:end]` by turn."""
    found = []
    first = bisect_right(turns, start, key=lambda turn: turn.end)
    for place in range(first, len(turns)):
        turn = turns[place]
        if turn.start >= end:
            break
        begin = max(start, turn.content_start)
        found.append(Part(turn, start > turn.start, begin, text[begin : min(end, turn.end)]))
    return found


def title_of(chunk: ArchivedChunk) -> str:
    """What a chunk is about: its labels, or the beginning of its summary."""
    return clean(", ".join(chunk["labels"]) or chunk["summary"][:80]) or "without label"


def span(chunks: Sequence[ArchivedChunk]) -> tuple[str | None, str | None]:
    """The first and the last time of some chunks, as the source says them."""
    times = [time for chunk in chunks for time in chunk["time_range"] or ()]
    return (times[0], times[-1]) if times else (None, None)


def languages(chunks: Sequence[ArchivedChunk]) -> list[str]:
    """The languages of some chunks, the most frequent first."""
    return [language for language, _ in Counter(c["language"] for c in chunks if c["language"]).most_common()]


def when(time: str | None) -> str:
    """A time for people, to the minute and with its time zone, if it is in ISO 8601; else as the source says it."""
    text = clean(time or "")
    if not iso_time(text):
        return text
    try:
        zone = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        zone = None
    return text[:16].replace("T", " ") + _zone(zone)


def _zone(offset: timedelta | None) -> str:
    if offset is None:
        return ""
    minutes = round(offset.total_seconds() / 60)
    sign = "−" if minutes < 0 else "+"
    return f" UTC{sign}{abs(minutes) // 60}:{abs(minutes) % 60:02}" if minutes else " UTC"


def between(start: str | None, end: str | None) -> str:
    """A span of time for people: the day, and the time zone if it is the same, once."""
    first, last = when(start), when(end)
    if first == last or not last:
        return first
    if iso_time(start or "") and iso_time(end or ""):
        if first[16:] == last[16:]:
            first = first[:16]
        if first[:10] == last[:10]:
            last = last[11:]
    return f"{first} to {last}"


def iso_time(time: str) -> str:
    """A time that is in ISO 8601; "" for another."""
    return time if _ISO_TIME.match(time) else ""


def level_badge(level: str) -> Badge:
    """The badge of a quality level."""
    return Badge(level, _LEVEL_TONES.get(level, "plain"))


def clean(text: str) -> str:
    """A text of a chat without the characters that would hide or reorder others."""
    return _UNSAFE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _spoken(part: Part, text: str, time: str) -> dict[str, object]:
    return {
        "number": part.turn.number,
        "speaker": clean(part.turn.role),
        "is_user": part.turn.role == "user",
        "time": time,
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
        if not upgrade:
            return {}
        known = {key: upgrade[key] for key in ("target", "before", "after")} | {"planned": when(upgrade["planned_at"])}
        failed = upgrade.get("failed") or {}
        return known | {
            "failed": failed.get("generations", 0),
            "failed_cost": usd(failed.get("cost_usd", 0)),
            "or_more": bool(failed.get("unknown_costs")),
            "reason": clean(upgrade.get("reason") or ""),
        }
    except (DreamflowError, KeyError, TypeError) as error:
        problems.append(f"{path}: {error}")
        return {}
