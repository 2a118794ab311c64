"""The report tables of a cohort, from its long table of scores (`scores.collect_scores`).

A missing score lowers `count` and `scores`; it never counts as 0 in a mean. Raw scores are averaged only if all have
the same scale; columns that end in `_01`, and all intervals, are on the scale 0-1.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from . import LONG_TABLES, TABLE_FILES
from .analysis import evaluator_agreement, paired_differences, variance_analysis, variance_table
from .frames import (
    GENERATION,
    common_scales,
    evaluator_means,
    evaluator_names,
    in_order,
    on_nine,
    prepared,
    write_table,
)
from .groups import Groups
from .scores import collect_scores
from .statistics import clustered_means, t_quantile

if TYPE_CHECKING:
    from ..cohorts.compile import Cohort

ANALYSIS_TYPES = {
    "by_generation_template": ["generation_template"],
    "by_generation_model": ["generation_model"],
    "by_evaluation_model": ["evaluation_llm_model"],
    "by_combo_id": ["combo_id"],
    "by_template_and_generation_model": ["generation_template", "generation_model"],
    "by_generation_vs_evaluation_model": ["generation_model", "evaluation_llm_model"],
    "overall_statistics": [],
    # not in the original:
    "by_draft_template": ["draft_template"],
    "by_draft_model": ["draft_model"],
    "by_evaluation_template": ["evaluation_template"],
}
_LEVELS = ("generation_template", "generation_model", "evaluation_llm_model", "combo_id")
_OUR_LEVELS = ("draft_template", "draft_model", "evaluation_template")
_MEASURES = (
    *("count", "average", "std_dev", "min_score", "max_score", "perfect_scores", "perfect_score_pct"),
    *("high_scores_8plus", "high_score_pct", "low_scores_3minus"),
)
_RAW = ("average", "std_dev", "min_score", "max_score")  # only of scores on one scale
_OUR_MEASURES = (
    *("judged_stage", "planned", "missing", "scale", "average_01", "ci_low", "ci_high", "texts", "self_judged_scores"),
)
FINAL_COLUMNS = ("analysis_type", *_LEVELS, *_MEASURES, *_OUR_LEVELS, *_OUR_MEASURES)
PERFECT_COLUMNS = (
    *("gen_id", "parent_gen_id", "combo_id", "draft_template", "generation_template", "generation_model"),
    *("evaluation_template", "evaluation_llm_model", "score", "generation_response_path"),
    *("evaluation_response_path", "notes", "judged_stage"),
)
RANKING_COLUMNS = ("rank", "gen_id", "judged_stage", "mean", "ci_low", "ci_high", "scores", "planned")
RANKING_LINEAGE = (
    *("self_judged", "mean_by_others", "draft_template", "generation_template", "draft_model", "generation_model"),
    *("combo_id", "draft_gen_id", "generation_response_path"),
)


def generation_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each judged text: mean, minimum, maximum and number of each evaluator's scores.

    `allowlisted_template_score_sum` is empty if an evaluator's score is missing; `mean_01` is the mean over the
    evaluators with a score.
    """
    table = prepared(scores)
    texts = judged_texts(table)
    grouped = table.groupby(["parent_gen_id", "evaluator"])["score"]
    wide = grouped.agg(["mean", "min", "max", "count"]).unstack("evaluator").reindex(texts["parent_gen_id"])
    names, ends = evaluator_names(table), {"mean": "", "min": "_min", "max": "_max", "count": "_n"}
    columns = {f"{name}{ends[kind]}": wide[kind, name].to_numpy() for name in names for kind in ends}
    columns |= {f"{name}_n": np.nan_to_num(columns[f"{name}_n"]).astype(int) for name in names}
    means = pd.DataFrame({name: columns[name] for name in names}, index=texts.index)
    total = means.sum(axis=1, skipna=False) if names else np.nan
    tail = pd.DataFrame({**columns, "allowlisted_template_score_sum": total}, index=texts.index)
    mean_01 = evaluator_means(table, "score_01").mean(axis=1).reindex(texts["parent_gen_id"]).to_numpy()
    result = pd.concat([texts, tail], axis=1).assign(mean_01=mean_01)
    ours = ("generation_response_path", "judged_stage", "draft_gen_id", "draft_model", "mean_01", "scores", "planned")
    return in_order(result, [*GENERATION, *tail.columns, *ours], GENERATION)


def judged_texts(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each judged text, by id: lineage, number of `scores` and `planned` scores, any self-judging."""
    lineage = ("judged_stage", "draft_gen_id", "draft_model", "generation_response_path")
    texts = table.drop_duplicates("parent_gen_id").set_index("parent_gen_id")[[*GENERATION[:-1], *lineage]]
    grouped = table.groupby("parent_gen_id")
    counts = grouped.agg(scores=("score", "count"), planned=("score", "size"), self_judged=("self_judged", "any"))
    return texts.sort_index().join(counts).reset_index()


def final_results(scores: pd.DataFrame) -> pd.DataFrame:
    """The statistics of the groups of each analysis type, separate for drafts and essays."""
    table = prepared(scores)
    blank = dict.fromkeys((*_LEVELS, *_OUR_LEVELS), "")
    parts = []
    for analysis_type, keys in ANALYSIS_TYPES.items():
        by = ["judged_stage", *keys]
        number = table.groupby(by).ngroup().to_numpy()
        _, first = np.unique(number, return_index=True)
        levels = {key: table[key].to_numpy(object)[first] for key in by}
        parts.append(measures(table, Groups(number, len(first))).assign(analysis_type=analysis_type, **blank | levels))
    return pd.concat(parts, ignore_index=True)[list(FINAL_COLUMNS)]


def measures(table: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """The measures of each group of rows of the long table.

    Perfect is the maximum of the template's scale; high and low are 8 and 3 of 9, or the same share of another scale.
    The 95% interval is that of `average_01`, clustered by the judged text.
    """
    has_score = table["score"].notna().to_numpy()
    scored, made = table[has_score], groups.where(has_score)
    score, nine, count = scored["score"].to_numpy(), on_nine(scored["score_01"]), made.counts
    scale = common_scales(table["scale"], groups)
    lowest, highest = made.extremes(score)
    average, deviation = made.means_and_deviations(score)
    texts, _ = pd.factorize(scored["parent_gen_id"], sort=True)
    estimates = clustered_means(scored["score_01"].to_numpy(), texts, made, (0.0, 1.0))
    perfect, high, low, self_judged = (
        made.count(rows.to_numpy())
        for rows in (scored["score"] == scored["scale_high"], nine >= 8, nine <= 3, scored["self_judged"])
    )
    has_share = np.where(count, count, np.nan)
    result = {
        "count": count,
        "average": average,
        "std_dev": deviation,
        "min_score": lowest,
        "max_score": highest,
        "perfect_scores": perfect,
        "perfect_score_pct": 100 * perfect / has_share,
        "high_scores_8plus": high,
        "high_score_pct": 100 * high / has_share,
        "low_scores_3minus": low,
        "planned": groups.counts,
        "missing": groups.counts - count,
        "scale": scale,
        "average_01": [estimate.mean for estimate in estimates],
        "ci_low": [estimate.low for estimate in estimates],
        "ci_high": [estimate.high for estimate in estimates],
        "texts": [estimate.clusters for estimate in estimates],
        "self_judged_scores": self_judged,
    }
    raw = {name: np.where(scale == "mixed", np.nan, result[name]) for name in _RAW}
    return pd.DataFrame(result | raw)


def perfect_score_paths(scores: pd.DataFrame) -> pd.DataFrame:
    """The evaluations with the highest score of their scale, and the paths of their texts."""
    table = prepared(scores)
    perfect = table[table["score"] == table["scale_high"]]
    own = perfect["self_judged"].map({True: "the model judged itself", False: ""})
    notes = ["; ".join(note for note in pair if note) for pair in zip(own, perfect["warnings"], strict=True)]
    return in_order(perfect.assign(notes=notes), PERFECT_COLUMNS, ["combo_id", "parent_gen_id", "gen_id"])


def evaluation_model_template_pivot(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each combination, templates and models: each evaluator's mean score, and the coverage of the plan."""
    table = prepared(scores)
    keys = ["combo_id", "draft_template", "generation_template", "generation_model", "draft_model", "judged_stage"]
    means = evaluator_means(table, "score", keys)
    counts = table.groupby(keys).agg(
        texts=("parent_gen_id", "nunique"), scores=("score", "count"), planned=("score", "size")
    )
    counts["coverage_pct"] = 100 * counts["scores"] / counts["planned"]
    return means.join(counts).reset_index().sort_values(keys, ignore_index=True)


def ranking(scores: pd.DataFrame) -> pd.DataFrame:
    """Judged texts, best first, by the mean of their evaluators' means of score_01; essays and drafts separately.

    Each evaluator counts once, however many replicates it has. The interval is t over the evaluators' means (E - 1
    degrees of freedom), that is, how far other evaluators might move the mean; it is empty for one evaluator. Equal
    means share a rank, in the order of ids; texts without a score have no rank and are last. `mean_by_others` leaves
    out evaluators that judged themselves.
    """
    table = prepared(scores)
    texts = judged_texts(table).set_index("parent_gen_id")
    means = evaluator_means(table, "score_01").reindex(texts.index)
    others = evaluator_means(table.assign(score_01=table["score_01"].where(~table["self_judged"])), "score_01")
    count = means.count(axis=1)
    half = t_quantile(count - 1) * means.std(axis=1, ddof=1) / np.sqrt(count)
    mean = means.mean(axis=1).round(10)
    texts = texts.assign(
        mean=mean,
        ci_low=(mean - half).clip(lower=0),
        ci_high=(mean + half).clip(upper=1),
        mean_by_others=others.mean(axis=1).reindex(texts.index),
        rank=mean.groupby(texts["judged_stage"]).rank(method="min", ascending=False).astype("Int64"),
        stage_order=(texts["judged_stage"] != "essay").astype(int),
    )
    texts = texts.join(means).rename_axis("gen_id").reset_index()
    columns = [*RANKING_COLUMNS, *means.columns, *RANKING_LINEAGE]
    return in_order(texts, columns, ["stage_order", "rank", "gen_id"])


TABLES = (  # in the order of TABLE_FILES, after the long table
    generation_scores,
    final_results,
    perfect_score_paths,
    evaluation_model_template_pivot,
    ranking,
    variance_analysis,
    variance_table,
    evaluator_agreement,
    paired_differences,
)


def write_reports(
    cohort: "Cohort", data_root: Path | str, folder: Path | str, scores: pd.DataFrame | None = None
) -> None:
    """Write all tables of a cohort, the `TABLE_FILES`, into `folder`. `scores` is its long table (default: collected
    from the files of the generations)."""
    scores = collect_scores(cohort.members, data_root, cohort.cohort_id) if scores is None else scores
    write_table(scores, *(Path(folder) / name for name in LONG_TABLES))
    scores = prepared(scores)
    for name, table in zip(TABLE_FILES[len(LONG_TABLES) :], TABLES, strict=True):
        write_table(table(scores), Path(folder) / name)
