"""Tables over all cohorts: every evaluation under data/gens, planned or not."""

import os
from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from ..generation.summary import Look, Summaries, Summary, read_metadata, read_score_text, summarise
from . import CROSS_FILES
from .frames import evaluator_means, in_order, prepared, write_table
from .lineage import Facts, as_reported, facts, stage_of
from .scores import as_frame, score_rows
from .tables import judged_texts

PIVOT_COLUMNS = (
    *("essay_task_id", "essay_gen_id", "origin_cohort_id", "combo_id", "draft_template", "generation_template"),
    *("generation_model", "judged_stage"),
)
TASK = ["combo_id", "draft_template", "generation_model", "generation_template"]  # parts of essay_task_id


def all_scores(
    data_root: Path | str, planned: Mapping[str, Facts] | None = None, look: Look | None = None
) -> pd.DataFrame:
    """The long table (`scores.COLUMNS`) of all existing evaluations, by id, from the files under data/gens.

    `score_01` and the scale are empty if metadata.json has no `parser_options`. Of `planned` generations only the
    summaries that `look` gives are read.
    """
    planned = planned or {}
    look = look or Summaries(Path(data_root))

    @cache
    def unplanned(gen_id: str) -> tuple[Facts, Summary] | None:
        stage = stage_of(gen_id)
        metadata = read_metadata(data_root, stage, gen_id)
        text = read_score_text(Path(data_root), stage, gen_id)
        return metadata and (facts(metadata), summarise(metadata, Path(data_root), text))

    def existing(gen_id: str) -> tuple[Facts, Summary] | None:
        if gen_id not in planned:
            return unplanned(gen_id)
        made = planned[gen_id]
        summary = look(made.stage, gen_id)
        return summary and (as_reported(made, summary), summary)

    def find(gen_id: str) -> Facts | None:
        found = existing(gen_id)
        return found and found[0]

    folder = Path(data_root) / "gens" / "evaluation"
    names = {entry.name for entry in os.scandir(folder)} if folder.exists() else set()
    # In the order of the plan, in which evaluations of a text are close together.
    order = chain((name for name in planned if name in names), sorted(name for name in names if name not in planned))
    rows = score_rows(filter(None, map(existing, order)), find, data_root, "")
    return as_frame(rows).sort_values("gen_id", ignore_index=True)


def by_template_and_model(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each judged text and a column for each evaluator (`<template>__<model>`): the mean of its replicates.

    `allowlisted_template_score_sum` is empty if the score of an evaluator is missing, so compare cohorts with different
    evaluators by columns.
    """
    table = prepared(scores)
    template, model = (table[name].astype("object") for name in ("evaluation_template", "evaluation_llm_model"))
    table = table.assign(evaluator=pd.Categorical(template + "__" + model))
    texts = judged_texts(table).set_index("parent_gen_id")
    means = evaluator_means(table, "score").reindex(texts.index)
    total = means.sum(axis=1, skipna=False) if means.shape[1] else np.nan
    origins: dict[str, list[str]] = {}
    for text, origin in sorted(set(zip(table["parent_gen_id"], table["origin_cohort_id"], strict=True))):
        origins.setdefault(text, []).append(origin)
    tasks = ["_".join(filter(None, parts)) for parts in zip(*(texts[part] for part in TASK), strict=True)]
    texts = texts.assign(essay_task_id=tasks, origin_cohort_id=[" ".join(origins[text]) for text in texts.index])
    wide = texts.join(means).assign(allowlisted_template_score_sum=total)
    columns = [*PIVOT_COLUMNS, *means.columns, "allowlisted_template_score_sum", "scores", "planned"]
    return in_order(wide.rename_axis("essay_gen_id").reset_index(), columns, ["essay_task_id", "essay_gen_id"])


def write_cross(
    data_root: Path | str,
    folder: Path | str,
    planned: Mapping[str, Facts] | None = None,
    look: Look | None = None,
) -> None:
    """Write the tables over all cohorts, the `CROSS_FILES`, into `folder`; `planned` and `look` as in `all_scores`."""
    scores = all_scores(data_root, planned, look)
    for name, table in zip(CROSS_FILES, (scores, by_template_and_model(scores)), strict=True):
        write_table(table, Path(folder) / name)
