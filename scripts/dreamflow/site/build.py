"""Builds the site: every family gives its pages, and what is no longer among them is removed."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DreamflowError
from ..files import checked_name, write_atomic
from .page import SECTIONS, Page
from .render import FOLDER, render
from .shared import shared_pages

if TYPE_CHECKING:
    from ..plan import Plan

STATIC = "static"


def write_site(plan: "Plan", folder: Path) -> str:
    """Write the site of a plan into `folder`; returns a line for the screen."""
    families = (page for family in plan.families.values() for page in family.pages())
    return write_pages(chain(families, shared_pages(plan)), folder)


def write_pages(pages: Iterable[Page], folder: Path) -> str:
    """Write all pages into `folder` and remove the files of earlier pages; returns a line for the screen.

    A page that has not changed is not written. Raises `DreamflowError` for a path that leaves the folder, or that two
    pages have.
    """
    written: set[Path] = set()
    entries: dict[str, list[Page]] = defaultdict(list)
    last: list[Page] = []

    def write(page: Page) -> None:
        path = _place(folder, page.path)
        if path in written:
            raise DreamflowError(f"two pages of the site have the path {page.path}")
        written.add(path)
        facts = {**page.facts, "entries": entries[page.section]} if page.is_index else page.facts
        _write(path, render(page.template, page.path, page.section, page.title, facts))

    for page in pages:
        if page.is_index:
            last.append(page)
            continue
        write(page)
        entries[page.section].append(Page(page.path, page.title, page.section, "", summary=page.summary))
    for page in last:
        write(page)
    for source in (FOLDER / STATIC).iterdir():
        target = folder / STATIC / source.name
        _write(target, source.read_text(encoding="utf-8"))
        written.add(target)
    _remove_others(folder, written)
    return f"{len(written):,} files: open {folder}/index.html"


def _place(folder: Path, path: str) -> Path:
    parts = path.split("/")
    if path != "index.html" and parts[0] not in SECTIONS:
        raise DreamflowError(f"the page {path} is in no section of the site")
    return folder.joinpath(*(checked_name(part, "page") for part in parts))


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomic(path, text)


def _remove_others(folder: Path, written: set[Path]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in written:
            path.unlink()
