"""The long table of scores: a row for each planned evaluation, whether it exists or not."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..generation.model import Json
from ..generation.summary import Look, Summaries, Summary
from .lineage import Facts, Find, Members, as_answered, draft_and_essay, finder, gen_path, same_model, writers

ORIGINAL_COLUMNS = (
    *("gen_id", "parent_gen_id", "evaluation_template", "evaluation_llm_model", "score", "error"),
    *("evaluation_response_path", "combo_id", "draft_template", "generation_template", "generation_model"),
    *("origin_cohort_id", "generation_response_path", "input_mode", "copied_from"),
)
OUR_COLUMNS = (
    *("status", "reason", "judged_stage", "scale_low", "scale_high", "score_01", "draft_gen_id", "draft_model"),
    *("draft_replicate", "essay_replicate", "evaluation_replicate", "self_judged", "cost_usd", "warnings"),
)
COLUMNS = (*ORIGINAL_COLUMNS, *OUR_COLUMNS)

_FLOATS = ("score", "scale_low", "scale_high", "score_01", "cost_usd")
_COUNTS = ("draft_replicate", "essay_replicate", "evaluation_replicate")

_TEXTS = 5000  # judged texts in memory; many evaluations of a text are close together
MISSING = "missing parsed.txt"  # the original's text for an evaluation that does not exist


def collect_scores(members: Members, data_root: Path | str, cohort_id: str, look: Look | None = None) -> pd.DataFrame:
    """The long table of the evaluations among the `members` of a cohort, in plan order.

    The columns are those of the original, then ours. `error` and `reason` say why a score is empty. `score_01` is the
    score, rescaled linearly from the template's scale to 0-1. `cohort_id` is the origin of evaluations that do not
    exist yet. Paths begin with `data_root`. `look` gives summaries (default: from the files of the generations).
    """
    look = look or Summaries(Path(data_root))
    pairs = ((made, look("evaluation", made.gen_id)) for made in members.of_stage("evaluation"))
    return as_frame(score_rows(pairs, finder(members, data_root, look), data_root, cohort_id))


def as_frame(rows: Iterable[Mapping[str, Json]]) -> pd.DataFrame:
    """Rows of `score_rows` as a table; the types of its columns do not depend on the rows."""
    columns: dict[str, list[Json]] = {column: [] for column in COLUMNS}
    values = [(column, cells.append) for column, cells in columns.items()]
    for row in rows:
        for column, append in values:
            append(row.get(column))
    return pd.DataFrame({column: _typed(column, cells) for column, cells in columns.items()}, copy=False)


def _typed(column: str, cells: list[Json]) -> np.ndarray | pd.api.extensions.ExtensionArray:
    if column in _COUNTS:
        return pd.array(cells, dtype="Int64")
    return np.array(cells, dtype="float64" if column in _FLOATS else "bool" if column == "self_judged" else "object")


def score_rows(
    evaluations: Iterable[tuple[Facts, Summary | None]], find: Find, data_root: Path | str, cohort_id: str
) -> Iterator[dict[str, Json]]:
    """The rows of the long table for evaluations with their summaries (None: it does not exist yet)."""
    judged_text = lru_cache(_TEXTS)(lambda parent: _text(parent, find, data_root))
    for evaluation, summary in evaluations:
        parent = evaluation.parents[0] if evaluation.parents else ""
        text = judged_text(parent)
        evaluation = as_answered(evaluation, summary)
        low, high = evaluation.scale
        score, status, reason = read_score(evaluation, summary)
        yield text.columns | {
            "gen_id": evaluation.gen_id,
            "evaluation_template": evaluation.template_id,
            "evaluation_llm_model": evaluation.model_id,
            "score": score,
            "error": reason,
            "evaluation_response_path": gen_path(data_root, "evaluation", evaluation.gen_id),
            "combo_id": evaluation.combo_id or text.columns["combo_id"],
            "origin_cohort_id": (summary and summary.origin_cohort_id) or cohort_id,
            "status": status,
            "reason": reason,
            "scale_low": low,
            "scale_high": high,
            "score_01": on_unit(score, low, high),
            "evaluation_replicate": evaluation.replicate,
            "self_judged": any(same_model(evaluation, writer) for writer in text.writers),
            "cost_usd": summary.cost_usd if summary else None,
            "warnings": summary.warnings if summary else "",
        }


class _Text(NamedTuple):
    """A judged text: its columns of the long table, and who wrote it."""

    columns: dict[str, Json]
    writers: list[Facts]


def _text(gen_id: str, find: Find, data_root: Path | str) -> _Text:
    draft, essay = draft_and_essay(gen_id, find)
    judged = essay or draft
    is_copy = judged is not None and judged.mode == "copy" and judged.parents
    columns = {
        "parent_gen_id": gen_id,
        "combo_id": draft.combo_id if draft else "",
        "draft_template": draft.template_id if draft else "",
        "generation_template": essay.template_id if essay else "",
        "generation_model": generation_model(draft, essay),
        "generation_response_path": gen_path(data_root, judged.stage, gen_id) if judged else "",
        "input_mode": "copy" if is_copy else "prompt",
        "copied_from": gen_path(data_root, "draft", judged.parents[0]) if is_copy else "",
        "judged_stage": judged.stage if judged else "",
        "draft_gen_id": draft.gen_id if draft else "",
        "draft_model": draft.model_id if draft else "",
        "draft_replicate": draft.replicate if draft else None,
        "essay_replicate": essay.replicate if essay else None,
    }
    return _Text(columns, writers(draft, essay))


def generation_model(draft: Facts | None, essay: Facts | None) -> str:
    """The model that wrote the judged text: the essay's model, or the draft's for copied essays and drafts."""
    texts = writers(draft, essay)
    return texts[-1].model_id if texts else ""


def read_score(evaluation: Facts, summary: Summary | None) -> tuple[float | None, str, str]:
    """(score, status, reason) of an evaluation. Without a score the reason is never empty.

    If parsed.txt was edited and has no number on the scale, the evaluation counts as failed.
    """
    if summary is None:
        return None, "missing", MISSING
    if summary.status != "ok":
        return None, summary.status, " ".join((summary.reason or summary.status).split())
    if summary.no_text:
        return None, "missing", MISSING
    score = summary.score
    low, high = evaluation.scale
    if score is None:
        return None, "failed", "parsed.txt has no score in its last line"
    if low is not None and not low <= score <= high:
        return None, "failed", f"parsed.txt: score {score:g} is outside the scale {low:g}-{high:g}"
    return score, "ok", ""


def on_unit(score: float | None, low: float | None, high: float | None) -> float | None:
    """`score`, rescaled linearly from low-high to 0-1; None without a score or a scale."""
    return None if score is None or low is None or high is None else (score - low) / (high - low)
