"""The pages on the judged texts of a cohort, each with its concepts, draft and evaluations; and two side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
from msgspec import Struct

from ..errors import ConfigError
from ..generation.catalog import Catalog, description
from ..generation.model import Json
from ..reports.results import templates
from ..site.generations import Shown, read_shown
from ..site.page import Document, Page
from ..site.parts import Amount, Badge, Column
from ..site.text import rendered
from .combos import Combo

PAGES = 500  # texts of a cohort and a stage that have a page of their own: the best
EVALUATOR_COLUMNS = (
    "evaluator",
    "rubric",
    Column("mean score", "number"),
    "scale",
    Column("on 0-1", "number"),
    Column("n", "number", "scores, of those planned"),
    "note",
)
_DRAFTS = 64  # in memory; texts with one draft are often close together
_TITLE = 70  # characters


class Concept(Struct, frozen=True):
    """A concept of a combination, as the draft's prompt describes it."""

    concept_id: str
    name: str
    level: str
    text: str


def concepts_of(combo: Combo | None, catalog: Catalog) -> list[Concept]:
    """The concepts of a combination; those that are no longer among the inputs have only their id."""
    found = []
    for concept_id in combo.concept_ids if combo else ():
        try:
            level, text = description(catalog, concept_id, combo.level)
            found.append(Concept(concept_id, catalog.concepts[concept_id], level, text))
        except (ConfigError, ValueError):
            found.append(Concept(concept_id, concept_id, "", ""))
    return found


def text_rows(ranked: pd.DataFrame, names: Mapping[str, str]) -> list[dict[str, Json]]:
    """The rows of the leaderboard: plain values, None where unknown. `names` has the names of combinations."""
    kept = ("gen_id", "judged_stage", "mean", "ci_low", "ci_high", "scores", "planned", "self_judged", "mean_by_others")
    rows = []
    for place, row in enumerate(ranked.to_dict("records"), 1):
        values = {key: None if pd.isna(value) else value for key, value in row.items()}
        models = dict.fromkeys(filter(None, (values["draft_model"], values["generation_model"])))
        combo = values["combo_id"] or ""
        rows.append(
            {key: values[key] for key in (*kept, "draft_gen_id")}
            | {
                "place": place,
                "rank": None if values["rank"] is None else int(values["rank"]),
                "model": " → ".join(models),
                "template": templates({key: values[key] or "" for key in ("draft_template", "generation_template")}),
                "combo_id": combo,
                "concepts": names.get(combo, combo),
            }
        )
    return rows


def text_pages(
    cohort_id: str,
    root: Path,
    boards: Sequence[Sequence[Mapping[str, Json]]],
    scores: pd.DataFrame,
    concepts: Callable[[str], list[Concept]],
) -> Iterator[Page]:
    """The pages on the first texts of each ranking, with a data file for each, and the page that compares two of them.

    `boards` are `text_rows`, of essays and of drafts; `concepts` gives those of a combination.
    """
    texts = {
        row["gen_id"]: read_shown(root, row["judged_stage"], row["gen_id"]) for rows in boards for row in rows[:PAGES]
    }
    judged: dict[str, list[dict[str, Json]]] = {}
    for each in scores[scores["parent_gen_id"].isin(texts)].to_dict("records"):
        judged.setdefault(each["parent_gen_id"], []).append(each)
    draft = lru_cache(_DRAFTS)(lambda gen_id: read_shown(root, "draft", gen_id))
    listed: list[dict[str, Json]] = []
    found: set[str] = set()  # drafts that the search finds
    for rows in boards:
        shown = [row for row in rows[:PAGES] if texts[row["gen_id"]]]
        for place, row in enumerate(shown):
            text = texts[row["gen_id"]]
            evaluations = [_evaluation(root, each) for each in judged.get(row["gen_id"], ())]
            evaluators = _by_evaluator(evaluations)
            title = title_of(text.text or "", row["concepts"])
            is_essay = row["judged_stage"] == "essay" and row["draft_gen_id"]
            facts = {
                "trail": [*_trail(cohort_id), (f"{row['judged_stage']} {_rank(row)}", "")],
                "cohort_id": cohort_id,
                "row": row,
                "of": len(rows),
                "text": text,
                "draft": draft(row["draft_gen_id"]) if is_essay else None,
                "draft_page": _path(cohort_id, row["draft_gen_id"])
                if is_essay and texts.get(row["draft_gen_id"])
                else "",
                "concepts": concepts(row["combo_id"]),
                "evaluations": evaluations,
                "evaluator_columns": EVALUATOR_COLUMNS,
                "evaluator_rows": [_evaluator_cells(row) for row in evaluators],
                "before": _neighbour(cohort_id, shown, place - 1, "previous"),
                "after": _neighbour(cohort_id, shown, place + 1, "next"),
            }
            is_new = bool(facts["draft"]) and not facts["draft_page"] and row["draft_gen_id"] not in found
            found.add(row["draft_gen_id"])
            documents = _documents(facts, title, with_draft=is_new)
            newest = max((document.date for document in documents), default="")
            path = _path(cohort_id, row["gen_id"])
            yield Page(path, title, "cohorts", "cohorts_text.html", facts, _summary(row), documents, date=newest)
            entry = {"gen_id": row["gen_id"], "title": title}
            listed.append({**entry, "label": f"{row['judged_stage']} {_rank(row)}: {title} ({row['model']})"})
            data = {**entry, "html": str(rendered(text.text or "")), "text": text.text or "", "path": path}
            data |= {key: row[key] for key in ("rank", "mean", "ci_low", "ci_high", "model", "template", "concepts")}
            data["scores"] = [{key: each[key] for key in ("who", "mean", "count")} for each in evaluators]
            path = f"cohorts/{cohort_id}/data/{row['gen_id']}.js"
            yield Page(path, title, "cohorts", "cohorts_data.js", {"value": data})
    if len(listed) > 1:
        trail = [*_trail(cohort_id), ("side by side", "")]
        facts = {"trail": trail, "cohort_id": cohort_id, "texts": listed, "of": sum(map(len, boards))}
        path = f"cohorts/{cohort_id}/compare.html"
        yield Page(path, f"{cohort_id}: two texts side by side", "cohorts", "cohorts_compare.html", facts)


def _path(cohort_id: str, gen_id: str) -> str:
    return f"cohorts/{cohort_id}/{gen_id}.html"


def _trail(cohort_id: str) -> list[tuple[str, str]]:
    return [("Cohorts", "cohorts/index.html"), (cohort_id, f"cohorts/{cohort_id}/index.html")]


def _neighbour(cohort_id: str, rows: Sequence[Mapping[str, Json]], place: int, which: str) -> tuple[str, str] | None:
    if not 0 <= place < len(rows):
        return None
    return (
        f"{which} {rows[place]['judged_stage']}, {_rank(rows[place])}",
        f"cohorts/{cohort_id}/{rows[place]['gen_id']}.html",
    )


def title_of(text: str, otherwise: str) -> str:
    """The title of a text: its first line if that is a heading of Markdown, else its first words."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    title = first.lstrip("#").strip().strip("*_") if first.startswith(("#", "**")) else first
    title = title or otherwise or "(empty)"
    return title if len(title) <= _TITLE else f"{title[:_TITLE].rsplit(' ', 1)[0]} …"


def _rank(row: Mapping[str, Json]) -> str:
    return f"#{row['rank']}" if row["rank"] is not None else f"({row['place']})"


def _summary(row: Mapping[str, Json]) -> str:
    if row["mean"] is None:
        return "not scored"
    return f"rank {row['rank']}, score {row['mean']:.2f}, {row['scores']} of {row['planned']} scores"


def _evaluation(root: Path, row: Mapping[str, Json]) -> dict[str, Json]:
    made = read_shown(root, "evaluation", row["gen_id"]) if row["status"] != "missing" else None
    known = not pd.isna(row["score"])
    return {
        "gen_id": row["gen_id"],
        "judge": row["evaluation_llm_model"],
        "template": row["evaluation_template"],
        "replicate": int(row["evaluation_replicate"]),
        "score": row["score"] if known else None,
        "score_01": None if pd.isna(row["score_01"]) else row["score_01"],
        "scale": "" if pd.isna(row["scale_low"]) else f"{row['scale_low']:g} to {row['scale_high']:g}",
        "status": row["status"],
        "reason": row["reason"],
        "self_judged": bool(row["self_judged"]),
        "made": made,
        "why": reasons_of(made),
    }


def reasons_of(made: Shown | None) -> str:
    """Why a judge gave its score: the reason that it was asked for, else all that it wrote."""
    if made is None:
        return ""
    for name in ("reason", "reasons", "reasoning", "rationale", "explanation"):
        if isinstance(made.parsed.get(name), str):
            return made.parsed[name]
    return made.raw or ""


def _by_evaluator(evaluations: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    groups: dict[tuple[str, str], list[Mapping[str, Json]]] = {}
    for each in evaluations:
        groups.setdefault((each["judge"], each["template"]), []).append(each)
    rows = []
    for (judge, template), own in groups.items():
        known = [each["score"] for each in own if each["score"] is not None]
        mean = sum(known) / len(known) if known else None
        own_scale, self_judged = own[0]["scale"], any(each["self_judged"] for each in own)
        on_unit = [each["score_01"] for each in own if each["score_01"] is not None]
        row = {"who": f"{judge}, {template}", "judge": judge, "template": template, "mean": mean, "count": len(known)}
        row |= {"mean_01": sum(on_unit) / len(on_unit) if on_unit else None, "planned": len(own), "scale": own_scale}
        rows.append({**row, "self_judged": self_judged})
    return rows


def _evaluator_cells(row: Mapping[str, Json]) -> list[Json]:
    own = [Badge("judged itself", "warn")] if row["self_judged"] else ""
    counts = f"{row['count']}/{row['planned']}"
    return [row["judge"], row["template"], Amount(row["mean"], 2), row["scale"], Amount(row["mean_01"], 2), counts, own]


def _documents(facts: Mapping[str, Json], title: str, *, with_draft: bool) -> list[Document]:
    row, text, draft = facts["row"], facts["text"], facts["draft"]
    made = text.created_at or (draft.created_at if draft else "")
    found = [Document(row["judged_stage"], title, text.text or "", "text", made)]
    if with_draft and draft.text and draft.text != text.text:
        found.append(Document("draft", f"draft of {title}", draft.text, "draft", draft.created_at))
    for each in facts["evaluations"]:
        if each["why"]:
            score = "" if each["score"] is None else f": {each['score']:g}"
            heading = f"{each['judge']}, {each['template']}{score}, on {title}"
            found.append(Document("evaluation", heading, each["why"], each["gen_id"], each["made"].created_at))
    return found
