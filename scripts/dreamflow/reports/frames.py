"""Shared by all report tables: keys, evaluators as columns, scales, and CSV files."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_atomic
from ..generation.model import Json
from .groups import Groups

GENERATION = ["combo_id", "draft_template", "generation_template", "generation_model", "parent_gen_id"]
_CATEGORIES = (
    *(*GENERATION, "judged_stage", "draft_model"),
    *("evaluation_template", "evaluation_llm_model", "evaluator", "scale"),
)
AS_READ = ("score", "cost_usd")  # columns that are never rounded
DECIMALS = 4


def write_table(table: pd.DataFrame, *paths: Path | str) -> None:
    """Write CSV files, with a header even without rows; unknown values are empty cells."""
    table, stream = rounded(table), io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")  # as to_csv() does, in half its time
    writer.writerow(table.columns)
    writer.writerows(zip(*(_cells(table[column]) for column in table.columns), strict=True))
    content = stream.getvalue()
    for path in paths:
        write_atomic(path, content)


def _cells(column: pd.Series) -> list[Json]:
    known = column.notna()
    return (column if known.all() else column.astype("object").where(known, None)).tolist()


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with floats rounded to four decimals, without negative zero; scores and costs are not rounded."""
    floats = [c for c in table.columns if table[c].dtype.kind == "f" and c not in AS_READ]
    return table.assign(**{column: table[column].round(DECIMALS) + 0.0 for column in floats})


def prepared(scores: pd.DataFrame) -> pd.DataFrame:
    """The long table sorted by id, so that sums do not depend on its order, with two more columns: `evaluator`, as
    `<model>_<template>`, and `scale`, as `0-9`. Columns by which rows are grouped are categories in order of name. A
    prepared table is returned as it is."""
    if "evaluator" in scores.columns:
        return scores
    table = scores.sort_values("gen_id", kind="stable", ignore_index=True)
    models, templates = table["evaluation_llm_model"], table["evaluation_template"]
    pairs = table.drop_duplicates(["evaluation_llm_model", "evaluation_template"]).index
    separators = ("_", "__", " / ")
    distinct = (one for one in separators if (models[pairs] + one + templates[pairs]).is_unique)
    evaluator = models + next(distinct, separators[-1]) + templates
    scale, scales = pd.factorize(pd.MultiIndex.from_frame(table[["scale_low", "scale_high"]]))
    names = np.array([f"{low:g}-{high:g}" for low, high in scales], dtype="object")
    table = table.assign(evaluator=evaluator, scale=names[scale])
    return table.assign(**{column: pd.Categorical(table[column]) for column in _CATEGORIES})


def evaluator_names(table: pd.DataFrame) -> list[str]:
    """The planned evaluators, in the order of their columns."""
    return sorted(table["evaluator"].unique())


def evaluator_means(table: pd.DataFrame, column: str, keys: str | list[str] = "parent_gen_id") -> pd.DataFrame:
    """(texts, evaluators): the mean of an evaluator's scores of a text; NaN without a score."""
    keys = [keys] if isinstance(keys, str) else keys
    means = table.groupby([*keys, "evaluator"], dropna=False)[column].mean().unstack("evaluator")
    return means.reindex(columns=evaluator_names(table)).rename_axis(columns=None).astype("float64")


def common_scales(scale: pd.Series, groups: Groups) -> np.ndarray:
    """The scale of all rows of each group, "mixed" if there are several scales, "" without rows."""
    codes, names = pd.factorize(scale, sort=True)
    lowest, highest = groups.extremes(codes)
    common = np.array([*names, ""], dtype="object")[np.where(groups.counts, lowest, -1).astype(int)]
    return np.where(groups.counts.astype(bool) & (lowest != highest), "mixed", common)


def on_nine(score_01: pd.Series) -> pd.Series:
    """Scores on the original's scale 0-9, for which its thresholds are defined."""
    return (score_01 * 9).round(9)


def in_order(table: pd.DataFrame, columns: Iterable[str], by: list[str]) -> pd.DataFrame:
    """The `columns` of a table, its rows sorted by `by`; categories become texts."""
    table = table.sort_values(by, kind="stable", ignore_index=True)[list(columns)]
    return table.astype({column: "object" for column, kind in table.dtypes.items() if kind == "category"})


def blank_below_two(values: pd.Series, counts: pd.Series) -> pd.Series:
    """`values`, or NaN for fewer than two scores."""
    return values.where(counts >= 2, np.nan)
