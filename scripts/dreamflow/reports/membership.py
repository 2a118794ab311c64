"""The members of a cohort: manifest.json and membership.csv."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..cohorts.stages import STAGE_NAMES
from ..files import read_text, sha256, write_atomic
from ..generation.model import Json
from .frames import write_table

if TYPE_CHECKING:
    from ..cohorts.compile import Cohort

MEMBERSHIP_COLUMNS = (*("stage", "gen_id", "parent_gen_id", "combo_id", "template_id", "llm_model_id", "replicate"),)


def membership(cohort: "Cohort") -> pd.DataFrame:
    """A row for each generation, drafts first; within a stage in the order of the spec's rows."""
    rows: dict[str, list[tuple[Json, ...]]] = {stage: [] for stage in STAGE_NAMES}
    for made in cohort.members.values():
        parent = made.parents[0] if made.parents else ""
        row = (made.stage, made.gen_id, parent, made.combo_id, made.template_id, made.model_id, made.replicate)
        rows[made.stage].append(row)
    return pd.DataFrame(list(chain.from_iterable(rows.values())), columns=MEMBERSHIP_COLUMNS)


def write_membership(cohort: "Cohort", path: Path | str) -> None:
    """Write membership.csv: the two columns of the original (stage, gen_id), then ours."""
    write_table(membership(cohort), path)


def manifest(cohort: "Cohort") -> dict[str, Json]:
    """The keys of the original, then counts of rows and generations, so that no row of the spec is lost unnoticed.

    `rows_sharing` counts in each stage the rows that share their generation with another row, as drafts of a crossed
    design do. `repeated_rows` counts the rows with the same generations as an earlier row.
    """
    members = membership(cohort)
    by_stage = {stage: members[members["stage"] == stage] for stage in STAGE_NAMES}
    distinct = {tuple(ids.values()) for ids in cohort.row_ids}
    return {
        "combos": _distinct(members, "combo_id"),
        "templates": {stage: _distinct(by_stage[stage], "template_id") for stage in STAGE_NAMES},
        "llms": {
            "generation": _models(members[members["stage"] != "evaluation"]),
            "evaluation": _models(by_stage["evaluation"]),
        },
        "replication": {stage: by_stage[stage]["replicate"].nunique() for stage in STAGE_NAMES},
        "cohort_id": cohort.cohort_id,
        "spec": {"path": cohort.spec_path.as_posix(), "sha256": sha256(read_text(cohort.spec_path))},
        "rows": len(cohort.rows),
        "kept": len(cohort.kept),
        "generations": {stage: len(by_stage[stage]) for stage in STAGE_NAMES},
        "rows_sharing": {
            stage: sum(n for gen_id, n in Counter(ids.get(stage) for ids in cohort.row_ids).items() if gen_id and n > 1)
            for stage in STAGE_NAMES
        },
        "repeated_rows": len(cohort.rows) - len(distinct),
    }


def write_manifest(cohort: "Cohort", path: Path | str) -> None:
    """Write manifest.json, indented, with the keys in the order of `manifest`."""
    write_atomic(path, json.dumps(manifest(cohort), ensure_ascii=False, indent=2) + "\n")


def _distinct(members: pd.DataFrame, column: str) -> list[str]:
    return sorted(members[column].unique())


def _models(members: pd.DataFrame) -> list[str]:
    return [model for model in _distinct(members, "llm_model_id") if model]
