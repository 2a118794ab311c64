"""The long table of scores: a row for each planned evaluation, whether it exists or not."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from ..generation.model import Json
from .lineage import (
    Facts,
    Find,
    Metadata,
    as_answered,
    draft_and_essay,
    finder,
    gen_path,
    read_metadata,
    same_model,
    total_cost,
    writers,
)

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

MISSING = "missing parsed.txt"  # the original's text for an evaluation that does not exist


def collect_scores(members: Mapping[str, Facts], data_root: Path | str, cohort_id: str) -> pd.DataFrame:
    """The long table of the evaluations among the `members` of a cohort, in plan order.

    The columns are those of the original, then ours. `error` and `reason` say why a score is empty. `score_01` is the
    score, rescaled linearly from the template's scale to 0-1. `cohort_id` is the origin of evaluations that do not
    exist yet. Paths begin with `data_root`.
    """
    find = finder(members, data_root)
    return as_frame(
        score_row(member, read_metadata(data_root, "evaluation", member.gen_id), find, data_root, cohort_id)
        for member in members.values()
        if member.stage == "evaluation"
    )


def as_frame(rows: Iterable[Mapping[str, Json]]) -> pd.DataFrame:
    """Rows of `score_row` as a table; the types of its columns do not depend on the rows."""
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    kinds = dict.fromkeys(_FLOATS, "float64") | dict.fromkeys(_COUNTS, "Int64")
    text = {column: "object" for column in COLUMNS if column not in kinds}
    return table.astype({**kinds, **text, "self_judged": "bool"})


def score_row(
    evaluation: Facts, metadata: Metadata | None, find: Find, data_root: Path | str, cohort_id: str
) -> dict[str, Json]:
    """A row of the long table; `metadata` is None if the evaluation does not exist yet."""
    parent = next(iter(evaluation.parents), "")
    draft, essay = draft_and_essay(parent, find)
    judged = essay or draft
    evaluation = as_answered(evaluation, metadata)
    is_copy = judged is not None and judged.mode == "copy" and judged.parents
    score, status, reason = read_score(evaluation, metadata, data_root)
    return {
        "gen_id": evaluation.gen_id,
        "parent_gen_id": parent,
        "evaluation_template": evaluation.template_id,
        "evaluation_llm_model": evaluation.model_id,
        "score": score,
        "error": reason,
        "evaluation_response_path": gen_path(data_root, "evaluation", evaluation.gen_id),
        "combo_id": evaluation.combo_id or (draft.combo_id if draft else ""),
        "draft_template": draft.template_id if draft else "",
        "generation_template": essay.template_id if essay else "",
        "generation_model": generation_model(draft, essay),
        "origin_cohort_id": (metadata and metadata.origin_cohort_id) or cohort_id,
        "generation_response_path": gen_path(data_root, judged.stage, parent) if judged else "",
        "input_mode": "copy" if is_copy else "prompt",
        "copied_from": gen_path(data_root, "draft", judged.parents[0]) if is_copy else "",
        "status": status,
        "reason": reason,
        "judged_stage": judged.stage if judged else "",
        "scale_low": evaluation.scale[0],
        "scale_high": evaluation.scale[1],
        "score_01": on_unit(score, *evaluation.scale),
        "draft_gen_id": draft.gen_id if draft else "",
        "draft_model": draft.model_id if draft else "",
        "draft_replicate": draft.replicate if draft else None,
        "essay_replicate": essay.replicate if essay else None,
        "evaluation_replicate": evaluation.replicate,
        "self_judged": any(same_model(evaluation, writer) for writer in writers(draft, essay)),
        "cost_usd": total_cost(metadata, data_root) if metadata else None,
        "warnings": "; ".join(((metadata.parsed if metadata else None) or {}).get("warnings") or []),
    }


def generation_model(draft: Facts | None, essay: Facts | None) -> str:
    """The model that wrote the judged text: the essay's model, or the draft's for copied essays and drafts."""
    texts = writers(draft, essay)
    return texts[-1].model_id if texts else ""


def read_score(evaluation: Facts, metadata: Metadata | None, data_root: Path | str) -> tuple[float | None, str, str]:
    """(score, status, reason) of an evaluation. Without a score the reason is never empty.

    If parsed.txt was edited and has no number on the scale, the evaluation counts as failed.
    """
    if metadata is None:
        return None, "missing", MISSING
    status = metadata.status or "ok"
    if status != "ok":
        return None, status, " ".join((metadata.reason or status).split())
    try:
        path = Path(gen_path(data_root, "evaluation", evaluation.gen_id))
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None, "missing", MISSING
    score = number(text)
    low, high = evaluation.scale
    if score is None:
        return None, "failed", "parsed.txt has no score in its last line"
    if low is not None and not low <= score <= high:
        return None, "failed", f"parsed.txt: score {score:g} is outside the scale {low:g}-{high:g}"
    return score, "ok", ""


def number(parsed: str) -> float | None:
    """The score in a parsed.txt: the number on its last line, or the "score" of its JSON object."""
    try:
        score = float(parsed.rstrip().rpartition("\n")[2])
    except ValueError:
        score = _json_score(parsed)
    return score if math.isfinite(score) else None


def _json_score(parsed: str) -> float:
    try:
        value = json.loads(parsed)["score"]
    except (ValueError, KeyError, TypeError):
        return math.nan
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def on_unit(score: float | None, low: float | None, high: float | None) -> float | None:
    """`score`, rescaled linearly from low-high to 0-1; None without a score or a scale."""
    return None if score is None or low is None or high is None else (score - low) / (high - low)
