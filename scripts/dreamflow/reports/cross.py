"""Tables over all cohorts: every evaluation under data/gens, planned or not."""

from pathlib import Path

import numpy as np
import pandas as pd

from . import CROSS_FILES
from .frames import evaluator_means, in_order, prepared, write_table
from .lineage import facts, finder, read_metadata
from .scores import as_frame, score_row
from .tables import judged_texts

PIVOT_COLUMNS = (
    *("essay_task_id", "essay_gen_id", "origin_cohort_id", "combo_id", "draft_template", "generation_template"),
    *("generation_model", "judged_stage"),
)
TASK = ["combo_id", "draft_template", "generation_model", "generation_template"]  # parts of essay_task_id


def all_scores(data_root: Path | str) -> pd.DataFrame:
    """The long table (`scores.COLUMNS`) of all existing evaluations, by id, from the files under data/gens.

    `score_01` and the scale are empty if metadata.json has no `parser_options`.
    """
    find = finder({}, data_root)
    names = sorted(path.name for path in Path(data_root).glob("gens/evaluation/*"))
    evaluations = [read_metadata(data_root, "evaluation", name) for name in names]
    return as_frame(score_row(facts(each), each, find, data_root, "") for each in evaluations if each is not None)


def by_template_and_model(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each judged text and a column for each evaluator (`<template>__<model>`): the mean of its replicates.

    `allowlisted_template_score_sum` is empty if the score of an evaluator is missing, so compare cohorts with different
    evaluators by columns.
    """
    table = prepared(scores)
    table = table.assign(evaluator=table["evaluation_template"] + "__" + table["evaluation_llm_model"])
    texts = judged_texts(table).set_index("parent_gen_id")
    means = evaluator_means(table, "score").reindex(texts.index)
    total = means.sum(axis=1, skipna=False) if means.shape[1] else np.nan
    origins = table.groupby("parent_gen_id")["origin_cohort_id"].agg(lambda ids: " ".join(sorted(set(ids))))
    tasks = ["_".join(part for part in parts if part) for parts in texts[TASK].itertuples(index=False)]
    texts = texts.assign(essay_task_id=tasks, origin_cohort_id=origins.reindex(texts.index))
    wide = texts.join(means).assign(allowlisted_template_score_sum=total)
    columns = [*PIVOT_COLUMNS, *means.columns, "allowlisted_template_score_sum", "scores", "planned"]
    return in_order(wide.rename_axis("essay_gen_id").reset_index(), columns, ["essay_task_id", "essay_gen_id"])


def write_cross(data_root: Path | str, folder: Path | str) -> None:
    """Write the tables over all cohorts, the `CROSS_FILES`, into `folder`."""
    scores = all_scores(data_root)
    for name, table in zip(CROSS_FILES, (scores, by_template_and_model(scores)), strict=True):
        write_table(table, Path(folder) / name)
