"""Patterns for code fences of Markdown."""

import re

_MARKS = "`{3,}+|~{3,}+"

# A line that opens a fence, or closes it if `info` is empty.
_LINE = re.compile(rf"\s*+(?P<marks>{_MARKS})(?P<info>[^`\n]*)")

# A line of an answer that opens a fence, possibly after quotation marks, bullets or words.
OPENING = re.compile(
    rf"""(?P<lead>[ \t>]*(?:(?:[-*+]|\d{{1,3}}[.)])[ \t]+)?|[^`~\n]*[^`~\s][ \t]*)
    (?P<marks>{_MARKS})
    (?P<info>[^`\n]*)""",
    re.X,
)

# The line of a text that opens a block of JSON.
JSON_OPENING = re.compile(r"^[^\S\n]*+```[^\S\n]*+json\b", re.I | re.M)

# The first line of a block in a conversation, from its indentation on.
_BLOCK_OPENING = re.compile(r"[ \t]*(?P<marks>`{3,}+(?=[^`\n]*$)|~{3,}+)[^\n]*", re.M)
_BLOCK_OPENING_LINE = re.compile(rf"^{_BLOCK_OPENING.pattern}", re.M)

_CLOSED_BLOCK = re.compile(rf"^[ \t]*+({_MARKS})[^\n]*+\n(?P<inside>.*?)^[ \t]*+\1[ \t]*$", re.M | re.S)
_BLOCK = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*$|\Z)", re.M | re.S)


def drop_fence(text: str) -> str:
    """The inside of a code fence if that fence contains all of `text`, else `text` unchanged."""
    lines = text.strip().split("\n")
    first = _LINE.match(lines[0])
    if not first or len(lines) < 2 or lines[-1].strip() != first["marks"]:
        return text
    depth = 1
    for line in lines[1:-1]:
        if mark := _LINE.fullmatch(line):
            depth += 1 if mark["info"].strip() else -1
            if not depth:  # closed before the end: several fences, none around the whole text
                return text
    return "\n".join(lines[1:-1]) if depth == 1 else text


def closed_blocks(text: str) -> list[str]:
    """The inside of every fence with matching closing marks."""
    return [match["inside"] for match in _CLOSED_BLOCK.finditer(text)]


def without_blocks(text: str) -> str:
    """`text` with a line break in place of every fenced block, closed or not."""
    return _BLOCK.sub("\n", text)


def closes(line: str, opening: re.Match) -> bool:
    """Whether a line of an answer closes the fence of `opening`, a match of `OPENING`."""
    marks = line.strip(" \t>")
    return len(marks) >= len(opening["marks"]) and set(marks) == {opening["marks"][0]}


def fence_opening(text: str, start: int, end: int) -> re.Match | None:
    """The first line of the next fenced block of a conversation; `start` may be within a line."""
    return _BLOCK_OPENING.match(text, start, end) or _BLOCK_OPENING_LINE.search(text, start, end)


def fence_end(text: str, opening: re.Match, end: int) -> int | None:
    """The end of the block that begins with `opening`, after its closing line; None if it is never closed."""
    marks = opening["marks"]
    closing = re.compile(rf"^[ \t]*{re.escape(marks[0])}{{{min(len(marks), 10**6)},}}[ \t]*\r?(?:\n|\Z)", re.M)
    match = closing.search(text, opening.end(), end)
    return match.end() if match else None
