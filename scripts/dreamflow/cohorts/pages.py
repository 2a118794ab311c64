"""The pages on cohorts: an index, a page for each cohort, and pages on its texts.

Everything is computed from the generations that exist now, by the functions that write the report tables, so a page is
never older than its tables. Of a cohort that is no longer configured, the long table of its last reports is read.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import DreamflowError
from ..family import Report
from ..files import is_name
from ..generation.model import Json
from ..generation.summary import Summaries
from ..reports.findings import findings
from ..reports.frames import prepared
from ..reports.lineage import Facts, Members, finder
from ..reports.markdown import counted
from ..reports.results import standing
from ..reports.tables import ranking
from ..site.page import Page
from ..site.parts import Badge, Column, Interval, Link, usd
from . import page_tables
from .combos import load_mappings
from .stages import STAGE_NAMES
from .text_pages import Concept, concepts_of, text_pages, text_rows

if TYPE_CHECKING:
    from .family import Cohorts

LISTED = 2000  # texts in the list of a cohort
_SELF_JUDGED = Badge("self-judged", "warn", "a model that wrote it is among its evaluators")
TEXT_COLUMNS = (
    Column("rank", "number"),
    Column("text", "long"),
    Column("score", "number", "mean of the evaluators' means, 0-1, with its 95% interval"),
    Column("n", "number", "scores, of those planned"),
    Column("model", choices=True),
    Column("templates", choices=True),
    Column("concepts", "long"),
)
DIFFERENCE_COLUMNS = (
    Column("compared", choices=True),
    "first",
    "second",
    Column("mean", "number", "of the first"),
    Column("mean", "number", "of the second"),
    Column("difference", "number", "with its 95% interval; above 0 the first is scored higher"),
    Column("clear?", choices=True),
    Column("pairs", "number"),
    Column("combinations", "number"),
)
AGREEMENT_COLUMNS = (
    "who",
    Column("alpha", "number"),
    "agreement",
    Column("raters", "number"),
    Column("texts", "number"),
)
COST_COLUMNS = (
    Column("model", choices=True),
    Column("stage", choices=True),
    Column("generations", "number"),
    Column("cost", "number"),
    Column("of unknown cost", "number"),
)
GAP_COLUMNS = (
    Column("stage", choices=True),
    Column("id", "id"),
    Column("status", choices=True),
    "model",
    "template",
    Column("why", "long"),
)


def cohort_pages(family: "Cohorts") -> Iterator[Page]:
    """The pages of the section Cohorts."""
    lines: list[dict[str, Json]] = []
    reports = {report.title.removeprefix("cohort "): report for report in family.reports()}
    for cohort_id in (*family.cohorts, *_others(family)):
        try:
            yield from _pages_of(family, cohort_id, lines, reports.get(cohort_id))
        except DreamflowError as error:  # a damaged file; the other cohorts are shown
            lines.append(_line(cohort_id, str(error), is_configured=cohort_id in family.cohorts))
    scored = [line for line in lines if line["page"]]
    summary = f"{counted(len(scored), 'cohort')} with results" if scored else ""
    yield Page(
        "cohorts/index.html", "Cohorts", "cohorts", "cohorts_index.html", {"cohorts": lines}, summary, is_index=True
    )


def _others(family: "Cohorts") -> list[str]:
    """The cohorts that have files and are not configured."""
    folder = family.layout.root / "cohorts"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []
    return [name for name in names if name not in family.cohorts and is_name(name)]


def _pages_of(family: "Cohorts", cohort_id: str, lines: list[dict[str, Json]], report: Report | None) -> Iterator[Page]:
    """The pages of a cohort; adds its line of the index to `lines`."""
    root, cohort = family.layout.root, family.cohorts.get(cohort_id)
    reports = root / "cohorts" / cohort_id / "reports"
    if cohort:
        scores = family.scores(cohort_id)
        ranked = _ranked(scores)
        ranked = ranked if len(ranked) else standing(cohort, root, scores, family.world.summaries)
        combos, members = cohort.combos, cohort.members.values()
    else:
        scores = page_tables.read_scores(reports / "summary" / "evaluation_scores.csv")
        if scores is None:
            lines.append(_line(cohort_id, "its files have no table of scores that can be read here"))
            return
        ranked = _ranked(scores)
        combos, members = load_mappings(root / "combo_mappings.csv"), _members(scores, family)

    @cache
    def concepts(combo_id: str) -> list[Concept]:
        return concepts_of(combos.get(combo_id), family.world.catalog)

    used = ranked["combo_id"].dropna().unique()
    names = {combo: " + ".join(concept.name for concept in concepts(combo)) or combo for combo in used}
    boards = [
        text_rows(own, names)
        for stage in dict.fromkeys(ranked["judged_stage"])
        for own in [ranked[(ranked["judged_stage"] == stage) & ranked["gen_id"].map(is_name)]]
    ]
    titles: dict[str, str] = {}  # of the texts with a page
    newest = ""
    for page in text_pages(cohort_id, root, boards, scores, concepts):
        if page.template == "cohorts_text.html":
            titles[page.facts["row"]["gen_id"]] = page.title
            newest = max(newest, page.date)
        yield page
    table = prepared(scores)
    made, planned, found = int(scores["score"].notna().sum()), len(scores), findings(table)
    costs, cost, gaps, counts = page_tables.costs(members, family.world.summaries)
    differences, difference_chart = page_tables.differences(table)
    facts = {
        "trail": [("Cohorts", "cohorts/index.html"), (cohort_id, "")],
        "cohort_id": cohort_id,
        "is_configured": cohort is not None,
        "tables": reports.as_posix() if reports.exists() else "",
        "outdated": report.outdated if report else "",
        "findings": found,
        "made": made,
        "planned": planned,
        "progress": page_tables.progress(counts, STAGE_NAMES),
        "boards": [_board(rows, cohort_id, titles) for rows in boards],
        "can_compare": len(titles) > 1,
        "charts": page_tables.charts_of(table, names),
        "differences": differences,
        "difference_chart": difference_chart,
        "agreement": page_tables.agreement(table),
        "costs": costs,
        "cost": usd(cost),
        "gaps": gaps,
        "unusable": sum(count for (_, status), count in counts.items() if status != "ok"),
        "remedy": "snakemake retry_failed" if any(status == "failed" for _, status in counts) else "snakemake cohorts",
        "combos": [concepts(combo) for combo in used],
        "columns": TEXT_COLUMNS,
        "difference_columns": DIFFERENCE_COLUMNS,
        "agreement_columns": AGREEMENT_COLUMNS,
        "cost_columns": COST_COLUMNS,
        "gap_columns": GAP_COLUMNS,
    }
    path, summary = f"cohorts/{cohort_id}/index.html", _summary(boards, made, planned)
    highlight = found.answer if made else ""
    yield Page(path, cohort_id, "cohorts", "cohorts_cohort.html", facts, summary, highlight=highlight, date=newest)
    best = next(iter(titles), None)
    line = {key: facts[key] for key in ("cohort_id", "is_configured", "progress", "findings")}
    link = best and Link(titles[best], f"cohorts/{cohort_id}/{best}.html")
    lines.append({**line, "page": path, "words": summary, "best": link})


def _line(cohort_id: str, words: str, *, is_configured: bool = False) -> dict[str, Json]:
    """The line of the index on a cohort without a page."""
    return {"cohort_id": cohort_id, "is_configured": is_configured, "page": None, "words": words}


def _board(rows: list[dict[str, Json]], cohort_id: str, titles: Mapping[str, str]) -> dict[str, Json]:
    """A leaderboard. If all texts are self-judged, the findings say so once."""
    all_self_judged = all(row["self_judged"] for row in rows)
    return {
        "stage": rows[0]["judged_stage"],
        "of": len(rows),
        "with_page": sum(row["gen_id"] in titles for row in rows),
        "texts": [_cells(row, cohort_id, titles, all_self_judged) for row in rows[:LISTED]],
    }


def _cells(row: Mapping[str, Json], cohort_id: str, titles: Mapping[str, str], all_self_judged: bool) -> list[Json]:
    """A row of the leaderboard."""
    gen_id = row["gen_id"]
    link = Link(titles[gen_id], f"cohorts/{cohort_id}/{gen_id}.html") if gen_id in titles else gen_id
    return [
        row["rank"],
        [link, _SELF_JUDGED] if row["self_judged"] and not all_self_judged else link,
        Interval(row["mean"], row["ci_low"], row["ci_high"]),
        f"{row['scores']}/{row['planned']}",
        row["model"],
        row["template"],
        row["concepts"],
    ]


def _ranked(scores: pd.DataFrame) -> pd.DataFrame:
    """The ranked texts of a table of scores, essays before drafts."""
    ranked = ranking(scores)
    return ranked[ranked["rank"].notna()]


def _members(scores: pd.DataFrame, family: "Cohorts") -> Iterator[Facts]:
    """The generations that a table of scores names and that still exist."""
    find = finder(Members({}, {}), family.layout.root, Summaries(family.layout.root))
    ids = (scores["draft_gen_id"], scores["parent_gen_id"], scores["gen_id"])
    names = dict.fromkeys(name for column in ids for name in column.dropna().unique() if is_name(name))
    return (made for made in map(find, names) if made)


def _summary(boards: list[list[dict[str, Json]]], made: int, planned: int) -> str:
    if not boards:
        return "no text is finished yet"
    texts = " and ".join(counted(len(rows), rows[0]["judged_stage"]) for rows in boards)
    best = boards[0][0]["mean"]
    return f"{texts}, {made:,} of {planned:,} planned scores" + ("" if best is None else f"; the best has {best:.2f}")
