"""Markdown that says what it means: tables, numbers, and texts of others that cannot break a page."""

import re
from collections.abc import Iterable, Sequence

from ..generation.model import Json

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!$])")


def visible(text: str) -> str:
    """Text of others without what would steer a terminal; tabs and line breaks stay."""
    return "".join(char if char.isprintable() or char in "\t\n" else "\ufffd" for char in text)


def plain(text: str, most: int | None = None) -> str:
    """Text of others within a line of Markdown, where it means nothing but itself; cut at `most` characters."""
    text = visible(" ".join(text.split()))
    if most and len(text) > most:
        text = text[:most].rstrip() + " …"
    return _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;"))


def code(text: str) -> str:
    """Text of others as code within a line."""
    text = visible(" ".join(text.split())) or " "
    marks = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{space}{text}{space}{marks}"


def block(text: str, language: str) -> str:
    """Text of others as a block of code that it cannot close."""
    marks = "`" * max(3, _longest_run(text) + 1)
    return "\n".join((f"{marks}{language}", visible(text.rstrip("\n")), marks))


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def table(rows: Iterable[Sequence[Json]], header: Sequence[str]) -> str:
    """A table in Markdown; cells are written as they are."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def number(value: float | None, digits: int, missing: str = "-") -> str:
    """A number for people, `missing` where it is not known."""
    return missing if value is None else f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share in percent; "-" where it is not known."""
    return "-" if share is None else f"{share:.{digits}%}"


def count(n: int, word: str) -> str:
    """A count with its noun: "1 token", "2 tokens"."""
    return f"{n} {word}" + ("" if n == 1 else "s")
