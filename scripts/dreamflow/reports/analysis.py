"""Tables about the reliability of scores: spread, variance components, agreement, differences."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from ..generation.model import Json
from .frames import GENERATION, blank_below_two, in_order, on_nine, prepared
from .statistics import krippendorff_alpha, paired_difference, variance_components

SPREADS = {
    "overall_variance": [],
    "template_variance": ["evaluation_llm_model"],
    "model_variance": ["evaluation_template"],
}
VARIANCE_COLUMNS = (
    *("analysis_type", *GENERATION, "evaluation_llm_model", "evaluation_template"),
    *("n", "mean", "std", "min", "max", "range", "cv", "stability_classification"),
    *("judged_stage", "planned", "scale", "mean_01", "range_01", "evaluators", "evaluator_std_01", "replicate_std_01"),
)
COMPONENT_COLUMNS = (*("judged_stage", "component", "variance", "share_pct", "scores", "texts", "evaluators"),)
AGREEMENT_COLUMNS = (
    *("judged_stage", "comparison", "evaluation_llm_model", "evaluation_template"),
    *("raters", "texts", "ratings", "alpha"),
)
DIFFERENCE_COLUMNS = (
    *("judged_stage", "factor", "level_a", "level_b", "mean_a", "mean_b", "difference", "ci_low", "ci_high"),
    *("pairs", "combos"),
)
ALL_FACTORS = (
    *("combo_id", "draft_template", "draft_model", "draft_replicate"),
    *("generation_template", "generation_model", "essay_replicate"),
    *("evaluation_template", "evaluation_llm_model", "evaluation_replicate"),
)
FACTORS = {
    "draft_template": ["draft_template"],
    "generation_template": ["generation_template"],
    "templates": ["draft_template", "generation_template"],
    "draft_model": ["draft_model"],
    "generation_model": ["generation_model"],
    "models": ["draft_model", "generation_model"],
    "evaluation_template": ["evaluation_template"],
    "evaluation_model": ["evaluation_llm_model"],
}


def variance_analysis(scores: pd.DataFrame) -> pd.DataFrame:
    """The spread of a text's scores: of all scores, of one model over templates, and of one template over models.

    `range` decides the classification as in the original: up to 1 of 9 is high, 2 moderate, 3 low agreement, with
    proportional limits on other scales. All replicates count. `evaluator_std_01` is the spread of the evaluators'
    means, `replicate_std_01` the pooled spread of an evaluator's scores.
    """
    table = prepared(scores)
    table = table.assign(scale_code=table["scale"].cat.codes)
    parts = [_spread(table, name, [*GENERATION, *keys]) for name, keys in SPREADS.items()]
    return pd.concat(parts, ignore_index=True)


def _spread(table: pd.DataFrame, name: str, keys: list[str]) -> pd.DataFrame:
    scored = table[table["score"].notna()]
    spread = table.groupby(keys).agg(
        judged_stage=("judged_stage", "first"),
        planned=("score", "size"),
        n=("score", "count"),
        mean=("score", "mean"),
        std=("score", "std"),
        min=("score", "min"),
        max=("score", "max"),
        mean_01=("score_01", "mean"),
        lowest=("score_01", "min"),
        highest=("score_01", "max"),
        first_scale=("scale_code", "min"),
        last_scale=("scale_code", "max"),
    )
    by_evaluator = scored.groupby([*keys, "evaluator"])["score_01"].agg(["mean", "var", "count"]).reset_index()
    spread["evaluators"] = by_evaluator.groupby(keys).size().reindex(spread.index).fillna(0).astype(int)
    spread["evaluator_std_01"] = by_evaluator.groupby(keys)["mean"].std().reindex(spread.index)
    by_evaluator["free"] = by_evaluator["count"] - 1
    by_evaluator["squares"] = by_evaluator["var"] * by_evaluator["free"]
    pooled = by_evaluator.groupby(keys)[["squares", "free"]].sum()
    within = np.sqrt(pooled["squares"] / pooled["free"].where(pooled["free"] > 0))
    spread["replicate_std_01"] = within.reindex(spread.index)
    spread["range"] = blank_below_two(spread["max"] - spread["min"], spread["n"])
    spread["range_01"] = blank_below_two(spread["highest"] - spread["lowest"], spread["n"])
    spread["cv"] = spread["std"] / spread["mean"].where(spread["mean"] != 0)
    mixed = spread["first_scale"] != spread["last_scale"]
    spread.loc[mixed, ["mean", "std", "min", "max", "range", "cv"]] = np.nan
    names = np.array(table["scale"].cat.categories, dtype="object")
    spread["scale"] = np.where(mixed, "mixed", names[spread["first_scale"]])
    nines = on_nine(spread["range_01"])
    grades = ["insufficient_data", "high_agreement", "moderate_agreement", "low_agreement"]
    conditions = [nines.isna(), nines <= 1, nines <= 2, nines <= 3]
    spread["stability_classification"] = np.select(conditions, grades, "poor_agreement")
    spread = spread.reset_index().assign(analysis_type=name)
    absent = {column: "" for column in VARIANCE_COLUMNS if column not in spread}
    return in_order(spread.assign(**absent), VARIANCE_COLUMNS, keys)


def variance_table(scores: pd.DataFrame) -> pd.DataFrame:
    """The sources of the variance of score_01: the text, the evaluator, their interaction, replicates.

    See `statistics.variance_components`. In shares an estimate below 0 counts as 0. If `replicate` is empty, it is
    included in the interaction.
    """
    table = prepared(scores).dropna(subset="score_01")
    rows = []
    for stage, group in table.groupby("judged_stage"):
        parts = variance_components(group["score_01"], group["parent_gen_id"], group["evaluator"])
        total = sum(max(part, 0) for part in parts.values() if not np.isnan(part))
        known = not np.isnan(parts["text"] + parts["evaluator"] + parts["interaction"])
        rows += [
            {
                "judged_stage": stage,
                "component": component,
                "variance": part,
                "share_pct": 100 * max(part, 0) / total if known and total > 0 and not np.isnan(part) else np.nan,
                "scores": len(group),
                "texts": group["parent_gen_id"].nunique(),
                "evaluators": group["evaluator"].nunique(),
            }
            for component, part in parts.items()
        ]
    return pd.DataFrame(rows, columns=COMPONENT_COLUMNS)


def evaluator_agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Krippendorff's alpha (interval metric, on score_01): between all evaluators, between the models that use a
    template, between the templates of a model (replicates averaged first), and between an evaluator's replicates.

    High agreement means reliability, not validity: evaluators can share a bias.
    """
    table = prepared(scores).dropna(subset="score_01")
    rows = []
    for stage, group in table.groupby("judged_stage"):
        rows.append({"judged_stage": stage, **_agreement(group, "all_evaluators", "evaluator")})
        rows += [{"judged_stage": stage, **row} for row in _agreements(group) if row["raters"] > 1]
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS)


def _agreements(group: pd.DataFrame) -> Iterator[dict[str, Json]]:
    for template, part in group.groupby("evaluation_template"):
        yield {**_agreement(part, "models", "evaluation_llm_model"), "evaluation_template": template}
    for model, part in group.groupby("evaluation_llm_model"):
        yield {**_agreement(part, "templates", "evaluation_template"), "evaluation_llm_model": model}
    pair = ["evaluation_llm_model", "evaluation_template"]
    for names, part in group.groupby(pair):
        yield {**_agreement(part, "replicates", "evaluation_replicate"), **dict(zip(pair, names, strict=True))}


def _agreement(group: pd.DataFrame, comparison: str, rater: str) -> dict[str, Json]:
    ratings = group.groupby([rater, "parent_gen_id"])["score_01"].mean().unstack("parent_gen_id")
    comparable = ratings.loc[:, ratings.count() >= 2]
    return {
        "comparison": comparison,
        "evaluation_llm_model": "",
        "evaluation_template": "",
        "raters": len(ratings),
        "texts": comparable.shape[1],
        "ratings": int(comparable.count().sum()),
        "alpha": krippendorff_alpha(ratings.to_numpy()),
    }


def paired_differences(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean differences of score_01 between two levels of a factor, over pairs in which everything else is equal.

    The levels of `templates` and `models` differ in both phases (`draft → essay`). The interval is clustered by
    combination, hence empty for one combination. Levels without a pair have no row.
    """
    table = prepared(scores).dropna(subset="score_01")
    table["essay_replicate"] = table["essay_replicate"].fillna(0)
    rows = [
        {"judged_stage": stage, "factor": factor, **row}
        for factor, columns in FACTORS.items()
        for stage, group in table.groupby("judged_stage")
        for row in _differences(group, columns)
    ]
    return pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS)


def _differences(group: pd.DataFrame, columns: list[str]) -> Iterator[dict[str, Json]]:
    held = [column for column in ALL_FACTORS if column not in columns]
    number = group.groupby(columns).ngroup().to_numpy()
    _, first = np.unique(number, return_index=True)
    levels = list(group[columns].iloc[first].itertuples(index=False, name=None))
    wide = group.assign(level=number).groupby([*held, "level"])["score_01"].mean().unstack("level")
    combos = wide.index.get_level_values("combo_id").to_numpy()
    for (a, first), (b, second) in combinations(enumerate(levels), 2):
        if any(one == other for one, other in zip(first, second, strict=True)):
            continue
        a, b = wide[a].to_numpy(), wide[b].to_numpy()
        both = ~np.isnan(a) & ~np.isnan(b)
        if not both.any():
            continue
        estimate = paired_difference(a[both], b[both], combos[both])
        yield {
            "level_a": " → ".join(first),
            "level_b": " → ".join(second),
            "mean_a": a[both].mean(),
            "mean_b": b[both].mean(),
            "difference": estimate.mean,
            "ci_low": estimate.low,
            "ci_high": estimate.high,
            "pairs": estimate.n,
            "combos": estimate.clusters,
        }
