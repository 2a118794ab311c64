"""Two versions of Python code side by side, as rows of safe HTML with colours, and in words."""

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise, zip_longest
from typing import NamedTuple

from markupsafe import Markup
from pygments.lexers import PythonLexer
from pygments.token import STANDARD_TYPES

from ..reports.markdown import counted, visible

CONTEXT = 4  # unchanged lines that are shown around a change
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")  # where a hunk begins in the new text, and its length
_LINES = re.compile(r"[^\n]*\n|[^\n]+")

Marks = tuple[int, int]  # the columns of a line that have changed
Piece = tuple[str, str]  # the class of a colour, and a text


class Row(NamedTuple):
    """A line of both versions: numbers and HTML, None on the side that has no such line."""

    old_number: int | None
    old: Markup | None
    new_number: int | None
    new: Markup | None
    changed: bool


class Part(NamedTuple):
    """Neighbouring rows; those of a `folded` part are unchanged and far from a change."""

    rows: list[Row]
    folded: bool


def side_by_side(old: str, new: str) -> list[Part]:
    """Both versions in parts from top to bottom."""
    before, after = _tokens(old), _tokens(new)
    texts = [["".join(text for _, text in line) for line in lines] for lines in (before, after)]
    parts: list[Part] = []
    opcodes = difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes()
    for place, (tag, first, last, start, end) in enumerate(opcodes):
        if tag == "equal":
            rows = [_same(first + n, before[first + n], start + n, after[start + n]) for n in range(last - first)]
            parts += _folded(rows, is_first=place == 0, is_last=place == len(opcodes) - 1)
        else:
            pairs = zip_longest(range(first, last), range(start, end))
            parts.append(Part([_changed(before, after, texts, a, b) for a, b in pairs], folded=False))
    return list(_joined(parts))


def _same(a: int, old: Sequence[Piece], b: int, new: Sequence[Piece]) -> Row:
    html = _line(old)
    return Row(a + 1, html, b + 1, html if old == new else _line(new), changed=False)


def _folded(rows: list[Row], *, is_first: bool, is_last: bool) -> list[Part]:
    """Unchanged rows, with those folded that are not beside a change."""
    head, tail = 0 if is_first else CONTEXT, 0 if is_last else CONTEXT
    hidden = rows[head : len(rows) - tail]
    if len(hidden) < 3:
        return [Part(rows, folded=False)]
    shown = [rows[:head], hidden, rows[len(rows) - tail :]]
    return [Part(part, folded=part is hidden) for part in shown if part]


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts, with neighbours that are not folded as one."""
    rows: list[Row] = []
    for part in parts:
        if part.folded:
            if rows:
                yield Part(rows, folded=False)
            yield part
            rows = []
        else:
            rows = rows + part.rows
    if rows:
        yield Part(rows, folded=False)


def _changed(before: list, after: list, texts: list[list[str]], a: int | None, b: int | None) -> Row:
    left, right = (None, None) if a is None or b is None else _marks(texts[0][a], texts[1][b])
    return Row(
        None if a is None else a + 1,
        None if a is None else _line(before[a], left, "del"),
        None if b is None else b + 1,
        None if b is None else _line(after[b], right, "ins"),
        changed=True,
    )


def _marks(old: str, new: str) -> tuple[Marks | None, Marks | None]:
    """The columns between the common beginning and the common end; none if the lines have little in common."""
    shortest = min(len(old), len(new))
    head = next((n for n in range(shortest) if old[n] != new[n]), shortest)
    tail = next((n for n in range(shortest - head) if old[-1 - n] != new[-1 - n]), shortest - head)
    alike = len(old[:head].strip()) + len(old[len(old) - tail :].strip())
    if alike * 3 < len(old.strip()):
        return None, None
    return (head, len(old) - tail), (head, len(new) - tail)


@lru_cache(4)  # the original of many variants
def _tokens(code: str) -> list[list[Piece]]:
    """The lines of Python code, each a list of (class of the colour, text)."""
    lines: list[list[Piece]] = [[]]
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code.removesuffix("\n")):
        style = "" if text.isspace() else STANDARD_TYPES.get(kind, "")
        first, *others = text.split("\n")
        lines[-1].append((style, first))
        lines += [[(style, other)] for other in others]
    return lines


def _line(pieces: Sequence[Piece], marks: Marks | None = None, tag: str = "") -> Markup:
    """A line as HTML, with the columns `marks` in an element `tag`."""
    if marks is None:
        return Markup("".join(_colour(style, text) for style, text in pieces))  # noqa: S704  (escaped there)
    parts, column = [], 0
    for style, text in pieces:
        cuts = sorted({0, len(text), *(min(max(edge - column, 0), len(text)) for edge in marks)})
        for low, high in pairwise(cuts):
            piece = _colour(style, text[low:high])
            is_marked = marks[0] <= column + low and column + high <= marks[1]
            parts.append(f"<{tag}>{piece}</{tag}>" if is_marked else piece)
        column += len(text)
    return Markup("".join(parts))  # noqa: S704  (escaped in `_colour`)


def _colour(style: str, text: str) -> str:
    safe = escape(text if text.isprintable() else visible(text))
    return f'<span class="{style}">{safe}</span>' if style else safe


def undo(code: str, diff: str) -> str | None:
    """The code before a unified diff (`check.unified_diff`) that led to `code`; None if the two do not fit."""
    lines = _LINES.findall(code)
    before: list[str] = []
    place, last = 0, ""
    for text in _LINES.findall(diff)[2:]:
        mark, line = text[:1], text[1:]
        if hunk := _HUNK.match(text):
            start = int(hunk[1]) - (hunk[2] != "0")
            before += lines[place:start]
            place = start
        elif mark == "\\" and last != "+":  # no newline at the end of the file
            before[-1:] = [text.removesuffix("\n") for text in before[-1:]]
        elif mark in "+ ":
            if lines[place : place + 1] != [line] and lines[place : place + 1] != [line.removesuffix("\n")]:
                return None
            place += 1
        before += [line] if mark in "- " else []
        last = mark
    return "".join(before + lines[place:])


def in_words(parts: Sequence[Part]) -> str:
    """How much has changed, such as "1 line changed, 2 lines added"."""
    rows = [row for part in parts for row in part.rows if row.changed]
    numbers = {
        "changed": sum(row.old is not None and row.new is not None for row in rows),
        "added": sum(row.old is None for row in rows),
        "removed": sum(row.new is None for row in rows),
    }
    return ", ".join(f"{counted(number, 'line')} {what}" for what, number in numbers.items() if number) or "no change"
