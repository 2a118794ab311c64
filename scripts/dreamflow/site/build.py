"""Builds the site: every family gives its pages, and what is no longer among them is removed.

What cannot be read stops neither the other pages nor the site: its section says which file it is.
"""

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DreamflowError
from ..files import checked_name, write_atomic
from ..reports.markdown import counted
from .page import SECTIONS, Page, section_path
from .render import FOLDER, render
from .search_index import Index
from .shared import Surroundings, home_pages, run_pages, spending_pages

if TYPE_CHECKING:
    from ..plan import Plan

STATIC = "static"
Source = tuple[str, Callable[[], Iterable[Page]]]  # the section of some pages, and what gives them


def write_site(plan: "Plan", folder: Path, around: Surroundings) -> str:
    """Write the site of a plan into `folder`; returns lines for the screen: where it is, and what is missing."""
    more = [family.section for family in plan.families.values() if family.section not in SECTIONS]
    site = Site(folder, more)
    for family in plan.families.values():
        site.add(family.section, family.pages)
        if family.problem:
            site.problems[family.section].append(family.problem)
    site.add("spending", lambda: spending_pages(plan, around))
    site.add("runs", lambda: run_pages(plan, around))
    site.add("home", lambda: home_pages(plan, site))
    return site.finish()


def write_pages(pages: Iterable[Page], folder: Path) -> str:
    """Write these pages into `folder` and remove the files of earlier pages; returns lines for the screen."""
    site = Site(folder)
    site.add("home", lambda: pages)
    return site.finish()


class Site:
    """A site that is being written into `folder`: the pages so far by section, and problems by section. `more` are
    sections besides `SECTIONS`."""

    def __init__(self, folder: Path, more: Iterable[str] = ()) -> None:
        self.folder = folder
        first, last = list(SECTIONS)[:-2], list(SECTIONS)[-2:]
        self.sections = {name: SECTIONS.get(name, name.capitalize()) for name in [*first, *more, *last]}
        self.written: set[Path] = set()
        self.entries: dict[str, list[Page]] = defaultdict(list)
        self.firsts: dict[str, Page] = {}  # the first pages of sections, without facts
        self.problems: dict[str, list[str]] = defaultdict(list)
        self.index = Index()
        self._last: list[Page] = []

    def add(self, section: str, pages: Callable[[], Iterable[Page]]) -> None:
        """Write some pages; index pages wait for `finish`. An error becomes a problem of the section."""
        for page in self._guarded(section, pages):
            if page.is_index:
                self._last.append(page)
            else:
                self._add(page)

    def finish(self) -> str:
        """Write what is left, remove the files of earlier pages; returns lines for the screen."""
        known = {page.path for page in (*self._last, *self.firsts.values())}
        self._last += [
            Page(section_path(section), name, section, "section.html", is_index=True)
            for section, name in self.sections.items()
            if section_path(section) not in known
        ]
        for page in sorted(self._last, key=lambda page: page.section == "home"):  # which shows what the others say
            self._add(page)
        self._put("search.html", render("search.html", "search.html", "", "Search", self.index.facts(), self.sections))
        for name, text in self.index.files():
            self._put(f"search/{name}", text)
        for source in sorted((FOLDER / STATIC).iterdir()):
            self._put(f"{STATIC}/{source.name}", source.read_text(encoding="utf-8"))
        _remove_others(self.folder, self.written)
        problems = [problem for found in self.problems.values() for problem in found]
        lines = [f"{counted(len(self.written), 'file')}: open {self.folder}/index.html"]
        return "\n".join([*lines, *(f"not on the site: {problem}" for problem in problems)])

    def _add(self, page: Page) -> None:
        facts = {**page.facts, "problems": self.problems[page.section] if page.is_index else ()}
        if page.is_index:
            facts["entries"] = self.entries[page.section]
        try:
            path = self._checked(page)
            if self.folder / path in self.written:
                raise DreamflowError(f"two pages of the site have the path {path}")
            text = render(page.template, page.path, page.section, page.title, facts, self.sections)
        except Exception as error:
            problem = _problem(f"{page.path}: ", error)
            self.problems[page.section if page.section in self.sections else "home"].append(problem)
            if isinstance(error, DreamflowError):
                return
            text = render(
                "section.html",
                page.path,
                page.section,
                page.title,
                {"problems": [problem], "entries": ()},
                self.sections,
            )
        self._put(page.path, text)
        self.index.add(page)
        entry = replace(page, facts={}, documents=())
        if page.path == section_path(page.section):
            self.firsts[page.section] = entry
        elif page.path.endswith(".html"):
            self.entries[page.section].append(entry)

    def _checked(self, page: Page) -> str:
        parts = page.path.split("/")
        if page.path != "index.html" and parts[0] not in self.sections:
            raise DreamflowError(f"the family lacks `section = {parts[0]!r}`")
        return "/".join(checked_name(part, "page") for part in parts)

    def _guarded(self, section: str, pages: Callable[[], Iterable[Page]]) -> Iterator[Page]:
        try:
            yield from pages()
        except Exception as error:
            self.problems[section].append(_problem("", error))

    def _put(self, path: str, text: str) -> None:
        place = self.folder / path
        self.written.add(place)
        if not place.exists() or place.read_bytes() != text.encode("utf-8", "replace"):
            write_atomic(place, text.encode("utf-8", "replace"))


def _problem(where: str, error: Exception) -> str:
    """What went wrong, in a line; an error that is not the user's is told with its place in the code."""
    if isinstance(error, DreamflowError):
        return f"{where}{error}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{where}{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


def _remove_others(folder: Path, written: set[Path]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in written:
            path.unlink()
