"""Tables over all cohorts: every evaluation that lies in the store of gens, whoever planned it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from . import CROSS_FILES
from .frames import evaluator_means, in_order, prepared, write_table
from .lineage import Metadata, facts, finder, read_metadata
from .scores import as_frame, score_row
from .tables import judged_texts

PIVOT_COLUMNS = (
    *("essay_task_id", "essay_gen_id", "origin_cohort_id", "combo_id", "draft_template", "generation_template"),
    *("generation_model", "judged_stage"),
)
TASK = ["combo_id", "draft_template", "generation_model", "generation_template"]  # the parts of essay_task_id


def all_scores(data_root: Path | str) -> pd.DataFrame:
    """The long table (`scores.COLUMNS`) of all evaluations that were made, by id; reads only files of gens.

    A scale is known where metadata.json has `parser_options`; elsewhere `score_01` and the scale are empty.
    """
    find = finder({}, data_root)
    made = metadata_of_stage(data_root, "evaluation")
    return as_frame(score_row(facts(metadata), metadata, find, data_root, "") for metadata in made)


def metadata_of_stage(data_root: Path | str, stage: str) -> Iterator[Metadata]:
    """The metadata of every generation of a stage that is there, in the order of ids."""
    folder = Path(data_root) / "gens" / stage
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        if (metadata := read_metadata(data_root, stage, name)) is not None:
            yield metadata


def by_template_and_model(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a judged text, one column an evaluator (`<template>__<model>`): the mean of all its replicates.

    `allowlisted_template_score_sum` is empty where the score of an evaluator is missing: among cohorts with
    different evaluators compare columns, not sums.
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
    """Write the tables over all cohorts under `folder` (data/7_cross_experiment): the `CROSS_FILES`."""
    scores = all_scores(data_root)
    for name, table in zip(CROSS_FILES, (scores, by_template_and_model(scores)), strict=True):
        write_table(table, Path(folder) / name)
