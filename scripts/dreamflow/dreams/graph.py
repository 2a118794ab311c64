"""The dependences of a procedure on a page: the drawing in the page's colours, and the same in words."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from ..errors import DreamflowError
from ..files import read_json, read_text
from ..generation.model import Json
from ..pyanalysis.dependences import PLACE

_SVG = "http://www.w3.org/2000/svg"
_COLOURS = {  # of the file -> of the page
    "#ffffff": "var(--paper)",
    "#f6f8fa": "var(--raised)",
    "#d0d7de": "var(--line)",
    "#1f2328": "var(--ink)",
    "#6e7781": "var(--soft)",
    "#2563a8": "var(--series-1)",
    "#c66a00": "var(--series-2)",
    "#b0305c": "var(--series-6)",
    "#0f7b6c": "var(--series-3)",
    "none": "none",
}
_ELEMENTS = {"svg", "g", "title", "rect", "path", "circle", "text"}
_NUMBERS = ("x", "y", "cx", "cy", "r", "width", "height", "opacity", "font-size", "stroke-width", "stroke-dasharray")
_PATTERNS = {name: re.compile(r"[\d\s.,-]+") for name in (*_NUMBERS, "viewBox")}
_PATTERNS |= {"d": re.compile(r"[\d\s.,a-zA-Z-]+"), "font-weight": re.compile("normal|bold")}


class StepInWords(NamedTuple):
    """A step: its number, line and text, what it reads, writes and does, and the steps that it must stay behind, with
    the reasons."""

    step_id: str
    line: int
    text: str
    facts: list[tuple[str, str]]
    behind: list[tuple[str, str]]


def inline_svg(path: Path) -> Markup:
    """The drawing in a file as a part of a page: only what `drawing.py` draws, in colours that follow light and dark.
    Raises a `DreamflowError` if the file is no such drawing."""
    try:
        root = ElementTree.fromstring(read_text(path))  # noqa: S314  (expat limits entities; we made the file)
        if root.tag != f"{{{_SVG}}}svg":
            raise ValueError(f"its first element is {root.tag}")
        kept = _kept(root)
    except (ElementTree.ParseError, ValueError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete it and run again: it is then made again") from None
    kept.set("role", "img")
    kept.set("class", "graph")
    return Markup(ElementTree.tostring(kept, encoding="unicode"))  # noqa: S704  (allowed elements, escaped texts)


def _kept(element: ElementTree.Element) -> ElementTree.Element:
    copy = ElementTree.Element(element.tag.removeprefix(f"{{{_SVG}}}"))
    copy.text = element.text
    for name, value in element.attrib.items():
        if name in ("fill", "stroke") and value in _COLOURS:
            copy.set(name, _COLOURS[value])
        elif pattern := _PATTERNS.get(name):
            copy.set(name, value if pattern.fullmatch(value) else "0")
    for child in element:
        if child.tag.removeprefix(f"{{{_SVG}}}") in _ELEMENTS:
            kept = _kept(child)
            kept.tail = "\n"
            copy.append(kept)
    return copy


def in_words(path: Path) -> tuple[list[StepInWords], list[str]]:
    """The steps of an analysis, and its groups of steps that can run at the same time. Raises a `DreamflowError` for a
    damaged file."""
    analysis = read_json(path)
    try:
        behind: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for edge in analysis["edges"]:
            if PLACE not in edge["kinds"]:
                behind[edge["after"]].append((edge["before"], "; ".join(edge["why"])))
        steps = [_step(step, behind) for step in analysis["steps"]]
        return steps, [", ".join(group) for group in analysis["independent"]]
    except (KeyError, TypeError) as error:
        remedy = "Delete it and run again: it is then made again"
        raise DreamflowError(f"{path}: damaged: {type(error).__name__} {error}. {remedy}") from None


def _step(step: Mapping[str, Json], behind: Mapping[str, list[tuple[str, str]]]) -> StepInWords:
    facts = [(name, ", ".join(step[name])) for name in ("reads", "writes", "mutates", "effects") if step[name]]
    facts += [("may raise", "yes")] * bool(step["may_raise"])
    return StepInWords(step["step_id"], step["line"], step["text"], facts, behind.get(step["step_id"], []))
