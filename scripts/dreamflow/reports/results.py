"""The best texts of a cohort as Markdown files, and the short table at the end of a run."""

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..files import write_atomic
from ..generation.model import Json
from ..generation.summary import Look, Summaries
from .findings import Findings, as_markdown, as_text, findings
from .lineage import Facts, Find, draft_and_essay, finder, gen_path, was_paid, writers
from .render import render
from .scores import collect_scores, generation_model
from .tables import ranking

if TYPE_CHECKING:
    from ..cohorts.compile import Cohort

WIDTH = 100
_OURS = re.compile(r"\d+-[a-z]_[0-9a-z-]+\.md")


def standing(
    cohort: "Cohort", data_root: Path | str, scores: pd.DataFrame | None = None, look: Look | None = None
) -> pd.DataFrame:
    """The texts to show, best first: the ranked essays, or the ranked drafts if no essay is judged.

    Without any score: all finished essays (or drafts, in a cohort without essays), by id and without a rank.
    """
    look = look or Summaries(Path(data_root))
    scores = collect_scores(cohort.members, data_root, cohort.cohort_id, look) if scores is None else scores
    ranked = ranking(scores)
    ranked = ranked[ranked["rank"].notna()]
    if len(ranked):
        return ranked[ranked["judged_stage"] == ranked["judged_stage"].iloc[0]].reset_index(drop=True)
    members = cohort.members
    find = finder(members, data_root, look)
    stage = "essay" if any(members.of_stage("essay")) else "draft"
    ids = sorted(made.gen_id for made in members.of_stage(stage))
    usable = [gen_id for gen_id in ids if (summary := look(stage, gen_id)) and summary.status == "ok"]
    rows = [_unranked(gen_id, find, data_root) for gen_id in usable]
    return pd.DataFrame(rows, columns=ranked.columns).astype({"rank": "Int64"})


def _unranked(gen_id: str, find: Find, data_root: Path | str) -> dict[str, Json]:
    draft, essay = draft_and_essay(gen_id, find)
    judged = essay or draft
    return {
        "gen_id": gen_id,
        "judged_stage": judged.stage,
        "scores": 0,
        "planned": 0,
        "self_judged": False,
        "draft_template": draft.template_id if draft else "",
        "generation_template": essay.template_id if essay else "",
        "draft_model": draft.model_id if draft else "",
        "generation_model": generation_model(draft, essay),
        "combo_id": judged.combo_id,
        "draft_gen_id": draft.gen_id if draft else "",
        "generation_response_path": gen_path(data_root, judged.stage, gen_id),
    }


def file_names(ranked: pd.DataFrame) -> list[str]:
    """NN-<gen_id>.md for each row: NN is the rank (equal means share a rank), else the position in the list."""
    ranks = (rank if pd.notna(rank) else place for place, rank in enumerate(ranked["rank"], start=1))
    return [f"{rank:02d}-{gen_id}.md" for rank, gen_id in zip(ranks, ranked["gen_id"], strict=True)]


def write_results(
    cohort: "Cohort",
    data_root: Path | str,
    folder: Path | str,
    top_n: int = 10,
    scores: pd.DataFrame | None = None,
    look: Look | None = None,
    found: Findings | None = None,
) -> str:
    """Write the `top_n` best texts and README.md into `folder`, and delete the files of earlier runs.

    Returns the short table (`best_table`) and the findings, for the screen. `scores` is the cohort's long table, `look`
    gives summaries (default: both from the files of the generations), `found` are the findings of these scores.
    """
    look = look or Summaries(Path(data_root))
    scores = collect_scores(cohort.members, data_root, cohort.cohort_id, look) if scores is None else scores
    all_texts = standing(cohort, data_root, scores, look)
    best = all_texts.head(top_n)
    names = file_names(best)
    find = finder(cohort.members, data_root, look)
    folder = Path(folder)
    for row, name in zip(best.to_dict("records"), names, strict=True):
        text = Path(row["generation_response_path"]).read_text(encoding="utf-8", errors="replace")
        own_scores = scores[scores["parent_gen_id"] == row["gen_id"]]
        front = front_matter(cohort, row, len(all_texts), own_scores, find, look, data_root)
        matter = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=10_000)
        write_atomic(folder / name, f"---\n{matter}---\n\n{text.rstrip()}\n")
    for old in folder.glob("*.md"):
        if _OURS.fullmatch(old.name) and old.name not in names:
            old.unlink()
    found = findings(scores) if found is None else found
    write_atomic(folder / "README.md", index_page(cohort, best, len(all_texts), scores, found))
    return f"{best_table(best, folder)}\n\nWhat the scores of cohort {cohort.cohort_id} say:\n{as_text(found)}"


def front_matter(
    cohort: "Cohort",
    row: Mapping[str, Json],
    of: int,
    own_scores: pd.DataFrame,
    find: Find,
    look: Look,
    data_root: Path | str,
) -> dict[str, Json]:
    """The front matter of a text: rank among `of` texts, scores, lineage, costs. `row` is a row of the ranking."""
    draft, essay = draft_and_essay(row["gen_id"], find)
    front: dict[str, Json] = {"cohort": cohort.cohort_id, "gen_id": row["gen_id"], "stage": row["judged_stage"]}
    front |= {"rank": None if pd.isna(row["rank"]) else int(row["rank"]), "of": of}
    if own_scores["score"].notna().any():
        front["score"] = {
            "mean": _plain(row["mean"]),
            "interval_95": [_plain(row["ci_low"]), _plain(row["ci_high"])],
            "scale": "0-1",
            "scores": int(row["scores"]),
            "planned": int(row["planned"]),
            "self_judged": bool(row["self_judged"]),
            "mean_by_others": _plain(row["mean_by_others"]),
        }
    front |= {"evaluators": _evaluators(own_scores), "combo": _combo(cohort, row["combo_id"], draft)}
    front |= {text.stage: _text_entry(text, data_root) for text in (draft, essay) if text}
    return {**front, "model": row["generation_model"], "cost_usd": _costs(draft, essay, own_scores, find, look)}


def _plain(value: float, digits: int = 4) -> float | None:
    return None if pd.isna(value) else round(float(value), digits)


def _evaluators(own_scores: pd.DataFrame) -> list[dict[str, Json]]:
    return [
        {
            "model": model,
            "template": template,
            "scale": f"{group['scale_low'].iloc[0]:g}-{group['scale_high'].iloc[0]:g}",
            "mean": _plain(group["score"].mean()),
            "scores": int(group["score"].count()),
            "planned": len(group),
            "self_judged": bool(group["self_judged"].any()),
        }
        for (model, template), group in own_scores.groupby(["evaluation_llm_model", "evaluation_template"])
    ]


def _combo(cohort: "Cohort", combo_id: str, draft: Facts | None) -> dict[str, Json]:
    """The concepts in the draft's prompt, with names and levels from its plan row, else the ids of the combination."""
    row = cohort.generations.get(draft.gen_id) if draft else None
    concepts = row.variables.get("concepts") if row else draft.concepts if draft else None
    if concepts is None:
        known = cohort.combos.get(combo_id)
        return {"combo_id": combo_id, "concepts": [{"concept_id": c} for c in (known.concept_ids if known else ())]}
    listed = [{key: concept[key] for key in ("concept_id", "name", "level")} for concept in concepts]
    return {"combo_id": combo_id, "concepts": listed}


def _text_entry(text: Facts, data_root: Path | str) -> dict[str, Json]:
    return {
        "gen_id": text.gen_id,
        "template": text.template_id,
        "model": text.model_id or None,
        "mode": text.mode,
        "file": gen_path(data_root, text.stage, text.gen_id),
    }


def _costs(
    draft: Facts | None, essay: Facts | None, own_scores: pd.DataFrame, find: Find, look: Look
) -> dict[str, float | int | None]:
    """The costs of the texts and of their evaluations, with all samples; None if nothing is known. `unknown` counts the
    answers that the sums leave out, as their cost is unknown; it is absent if there are none."""
    costs: dict[str, float | int | None] = {}
    unknown = 0

    def add(name: str, texts: Iterable[Facts]) -> None:
        nonlocal unknown
        each = [(made, summary) for made in texts if (summary := look(made.stage, made.gen_id))]
        known = [summary.cost_usd for _, summary in each if summary.cost_usd is not None]
        unknown += sum(summary.cost_usd is None and was_paid(made, summary) for made, summary in each)
        costs[name] = round(sum(known), 6) if known else None

    for writer in writers(draft, essay):
        add(writer.stage, [writer])
    if len(own_scores):
        add("evaluations", map(find, own_scores["gen_id"]))
    known = [cost for cost in costs.values() if cost is not None]
    costs["total"] = round(sum(known), 6) if known else None
    return costs | {"unknown": unknown} if unknown else costs


def index_page(cohort: "Cohort", best: pd.DataFrame, of: int, scores: pd.DataFrame, found: Findings) -> str:
    """README.md of a results folder: what the scores say, how the texts are ranked, and a row for each file."""
    rows = []
    for row, name in zip(best.to_dict("records"), file_names(best), strict=True):
        cells = (
            *_score_cells(row),
            f"[{row['gen_id']}]({name})" + (" (self-judged)" if row["self_judged"] else ""),
            row["generation_model"],
            templates(row),
            ", ".join(known.concept_ids) if (known := cohort.combos.get(row["combo_id"])) else row["combo_id"],
        )
        rows.append([str(cell).replace("|", "\\|") for cell in cells])
    said = as_markdown(found)
    return render(
        "results.md", cohort_id=cohort.cohort_id, said=said, explained=_explained(best, of, scores), rows=rows
    )


def _explained(best: pd.DataFrame, of: int, scores: pd.DataFrame) -> str:
    shown, planned = len(best), len(scores)
    if not shown:
        return "Nothing is written yet."
    stage = best["judged_stage"].iloc[0]
    if pd.isna(best["rank"].iloc[0]):
        unscored = f"none of {planned:,} planned evaluations has a score"
        why = unscored if planned else "the cohort has no evaluations"
        return f"{shown} of {of:,} {stage}s in the order of their ids: {why}, so there is no rank."
    made = int(scores["score"].notna().sum())
    return (
        f"{shown} of {of:,} scored {stage}s, by the mean of their evaluators' means; {made:,} of {planned:,} "
        "planned evaluations have a score. Scores are carried from the scale of each template to 0-1. The "
        "interval says how far other such evaluators might move the mean (empty for one evaluator). "
        "Self-judged means that a model that wrote the text is among its evaluators."
    )


def _score_cells(row: Mapping[str, Json]) -> tuple[str, str, str, str]:
    """Rank, score, interval and "n/planned" of a row of the ranking, as text."""
    rank = "" if pd.isna(row["rank"]) else str(int(row["rank"]))
    mean = "" if pd.isna(row["mean"]) else f"{row['mean']:.2f}"
    interval = "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f}–{row['ci_high']:.2f}"
    return rank, mean, interval, f"{row['scores']}/{row['planned']}" if row["planned"] else ""


def templates(row: Mapping[str, Json]) -> str:
    """The templates of a text: draft → essay, or the draft's template."""
    return " → ".join(name for name in (row["draft_template"], row["generation_template"]) if name)


def best_table(ranked: pd.DataFrame, folder: Path | str, top_n: int = 5) -> str:
    """The short table at the end of a run (at most 100 columns, no colours): the first rows of a `standing`.

    The last column is the file in `folder` with the text.
    """
    best = ranked.head(top_n)
    if best.empty:
        return "No text is finished yet."
    stage, names = best["judged_stage"].iloc[0], file_names(best)
    scored = pd.notna(best["rank"].iloc[0])
    title = f"Best {stage}s" if scored else f"First {stage}s by id (no scores)"
    title += f", to read in {Path(folder).as_posix()}/"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("rank", "score (0-1)", "scores") if scored else ():
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("model", "template"):
        table.add_column(name, overflow="ellipsis")
    table.add_column("file", no_wrap=True)
    for row, name in zip(best.to_dict("records"), names, strict=True):
        rank, score, _, counts = _score_cells(row)
        template = row["generation_template"] or row["draft_template"]
        cells = (*((rank, score, counts) if scored else ()), row["generation_model"], template, name)
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    screen = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    screen.print(Text(title))
    screen.print(table)
    return "\n".join(line.rstrip() for line in screen.file.getvalue().rstrip().splitlines())
