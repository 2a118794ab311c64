"""Text for reports: tables, numbers, and foreign texts, escaped so that they cannot break a page of Markdown."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..generation.model import Json

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$])")


def first_item(page: Path) -> str:
    """The first item of the list below the title of a page, as plain text; "" if it has none."""
    try:
        lines = page.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    item = next((line for line in lines if line.startswith("- ")), "- ")
    return re.sub(r"\\([\\`*_{}\[\]<>#|~!$])", r"\1", item[2:]).replace("&amp;", "&")


def visible(text: str) -> str:
    """A foreign text without control characters, except tabs and line breaks."""
    return "".join(char if char.isprintable() or char in "\t\n" else "\ufffd" for char in text)


def plain(text: str, most: int | None = None) -> str:
    """A foreign text as plain text within a line of Markdown, cut at `most` characters."""
    text = visible(" ".join(text.split()))
    if most and len(text) > most:
        text = text[:most].rstrip() + " …"
    return _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;"))


def code(text: str) -> str:
    """A foreign text as code within a line."""
    text = visible(" ".join(text.split())) or " "
    marks = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{space}{text}{space}{marks}"


def block(text: str, language: str) -> str:
    """A foreign text as a block of code, with fences that the text cannot close."""
    marks = "`" * max(3, _longest_run(text) + 1)
    return "\n".join((f"{marks}{language}", visible(text.rstrip("\n")), marks))


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def table(rows: Iterable[Sequence[Json]], header: Sequence[str]) -> str:
    """A table in Markdown; cells are not escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def counted(number: int, noun: str) -> str:
    """A number of things, such as "1 call" or "1,200 calls"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def text_table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table for the screen; its first `left` columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def number(value: float | None, digits: int, missing: str = "-") -> str:
    """A number with `digits` decimals, or `missing` if it is unknown."""
    return missing if value is None else f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share in percent; "-" if unknown."""
    return "-" if share is None else f"{share:.{digits}%}"


def count(n: int, word: str) -> str:
    """A count with its noun: "1 token", "2 tokens"."""
    return f"{n} {word}" + ("" if n == 1 else "s")
