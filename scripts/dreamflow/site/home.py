"""The first page: what Dreamflow did here, what is new, what waits, what it cost, and what the sections are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..generation.layout import Layout
from .page import Page, section_path
from .parts import Link
from .spending import in_words

if TYPE_CHECKING:
    from .build import Site

SHOWN_NEW = 10
SHOWN_OF_KIND = 3
SHOWN_HIGHLIGHTS = 3
ABOUT = {  # what a section is for somebody who has read nothing, and the command that fills it
    "cohorts": (
        "Essays that models write about combinations of concepts, and what judges think of them: which model and which "
        "prompt does it better?",
        "snakemake cohorts",
    ),
    "procedures": (
        "Variants of Python functions, made by safe transformations or by models, checked, run in a sandbox beside the "
        "original, and judged.",
        "snakemake dreams",
    ),
    "conversations": (
        "Chats, divided into passages with labels and summaries, so that they can be searched as a memory.",
        "snakemake chunks",
    ),
    "models": (
        "How far each model can be trusted with which kind of task, what it costs, and the small models that were "
        "trained here.",
        "snakemake probe",
    ),
}


def home_facts(site: "Site", status: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """What the first page shows of the pages of all sections, which are there by now."""
    nights = site.entries["runs"]
    since, what = _since(status, nights)
    newest = sorted((item for item in site.index.newest if item[0] >= since), reverse=True) if since else []
    cards = []
    for section, (about, command) in ABOUT.items():
        first = site.firsts.get(section)
        found = [page for page in [*([first] if first else []), *site.entries[section]] if page.highlight]
        found.sort(key=lambda page: page.date, reverse=True)
        is_empty = not site.entries[section] and not site.index.sections[section]
        cards.append(
            {
                "title": first.title if first else section.title(),
                "path": section_path(section),
                "about": about,
                "command": command,
                "summary": first.summary if first and not is_empty else "",
                "highlights": found[:SHOWN_HIGHLIGHTS],
                "newest": [] if found else _newest(site.entries[section]),
                "pages": len(site.entries[section]),
                "is_empty": is_empty,
                "problems": site.problems[section],
            }
        )
    return {
        "cards": cards,
        "is_empty": all(card["is_empty"] for card in cards),
        "since": since[:16].replace("T", " "),
        "since_what": what,
        "new_counts": Counter(kind for _, kind, _, _ in newest).most_common(),
        "newest": [
            (Link(title, place), kind, date[:16].replace("T", " ")) for date, kind, title, place in _mixed(newest)
        ],
        "night": nights[0] if nights else None,
        "runs": site.firsts.get("runs"),
        "spending": site.firsts.get("spending"),
        "spending_words": in_words(layout),
    }


def _newest(pages: Sequence[Page]) -> list[Page]:
    """The newest pages of a section that has no finding to tell; pages without a date are those of lists."""
    dated = sorted((page for page in pages if page.date), key=lambda page: page.date, reverse=True)
    return (dated or list(pages))[:SHOWN_HIGHLIGHTS]


def _mixed(newest: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The newest texts, of each kind a few."""
    counts: Counter[str] = Counter()
    shown = []
    for item in newest:
        counts[item[1]] += 1
        if counts[item[1]] <= SHOWN_OF_KIND:
            shown.append(item)
    return shown[:SHOWN_NEW]


def _since(status: Mapping[str, Any], nights: list[Page]) -> tuple[str, str]:
    """When the last night or run began, and which it was; "" if there was none."""
    found = [(page.date, page.title.lower()) for page in nights[:1] if page.date]
    found += [(str(line.get("started", "")), "the last run") for line in status["finished"][:1]]
    return max(found, default=("", ""))
