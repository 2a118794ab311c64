"""Shared by all report tables: keys, evaluators as columns, scales, and CSV files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import write_atomic
from .groups import Groups

GENERATION = ["combo_id", "draft_template", "generation_template", "generation_model", "parent_gen_id"]
AS_READ = ("score", "cost_usd")  # columns that are never rounded
DECIMALS = 4


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Write a CSV file, with a header even without rows; unknown values are empty cells."""
    write_atomic(path, rounded(table).to_csv(index=False, lineterminator="\n"))


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with floats rounded to four decimals, without negative zero; scores and costs are not rounded."""
    floats = [c for c in table.columns if table[c].dtype.kind == "f" and c not in AS_READ]
    return table.assign(**{column: table[column].round(DECIMALS) + 0.0 for column in floats})


def prepared(scores: pd.DataFrame) -> pd.DataFrame:
    """The long table sorted by id, so that sums do not depend on its order, with two more columns: `evaluator`, as
    `<model>_<template>`, and `scale`, as `0-9`."""
    table = scores.sort_values("gen_id", kind="stable", ignore_index=True)
    pairs = len(table[["evaluation_llm_model", "evaluation_template"]].drop_duplicates())
    names = [
        table["evaluation_llm_model"] + separator + table["evaluation_template"] for separator in ("_", "__", " / ")
    ]
    scale = [f"{low:g}-{high:g}" for low, high in zip(table["scale_low"], table["scale_high"], strict=True)]
    evaluator = next((name for name in names if name.nunique() == pairs), names[-1])
    return table.assign(evaluator=evaluator, scale=pd.Series(scale, index=table.index, dtype="object"))


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
    """The `columns` of a table, its rows sorted by `by`."""
    return table.sort_values(by, kind="stable", ignore_index=True)[list(columns)]


def blank_below_two(values: pd.Series, counts: pd.Series) -> pd.Series:
    """`values`, or NaN for fewer than two scores."""
    return values.where(counts >= 2, np.nan)
