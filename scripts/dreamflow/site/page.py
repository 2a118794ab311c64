"""What families give to the site: pages, and the texts on them that its search finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # what templates show


@dataclass(frozen=True)
class Document:
    """A text that the search finds: an essay, a chunk, a variant. `kind` is a word for it, `anchor` the id of its
    element on the page, `date` a day or a time in ISO 8601."""

    kind: str
    title: str
    text: str
    anchor: str = ""
    date: str = ""


@dataclass(frozen=True)
class Page:
    """A page, at `path` below `data/site/`, such as `cohorts/demo/index.html`.

    `section` is one of `SECTIONS`, or that of its family. `template` is a file in `templates/`, `facts` are its
    variables; `trail` among them is shown as a breadcrumb. The `summary` is a line for lists of pages; that of a
    section's first page is its line on Home. `highlight` is a finding in words that Home shows, the newest first by
    `date` (a day or a time in ISO 8601). An `is_index` page is made after all others, with a further variable:
    `entries`, the other pages of its section, without facts. A family that has no first page of its section gets one
    that lists its pages.
    """

    path: str
    title: str
    section: str
    template: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    documents: Sequence[Document] = ()
    is_index: bool = False
    highlight: str = ""
    date: str = ""


SECTIONS = {  # by folder, in the order of the navigation
    "home": "Home",
    "cohorts": "Cohorts",
    "procedures": "Procedures",
    "conversations": "Conversations",
    "models": "Models",
    "spending": "Spending",
    "runs": "Runs",
}


def section_path(section: str) -> str:
    """The first page of a section."""
    return "index.html" if section == "home" else f"{section}/index.html"
