"""The members of a cohort: manifest.json and membership.csv."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..cohorts.stages import STAGE_NAMES
from ..files import read_text, sha256, write_atomic
from ..generation.model import Json
from .lineage import Facts

if TYPE_CHECKING:
    from ..cohorts.compile import Cohort

MEMBERSHIP_COLUMNS = (*("stage", "gen_id", "parent_gen_id", "combo_id", "template_id", "llm_model_id", "replicate"),)


def membership(cohort: "Cohort") -> pd.DataFrame:
    """A row for each generation, drafts first; within a stage in the order of the spec's rows."""
    rows = [
        {
            "stage": made.stage,
            "gen_id": gen_id,
            "parent_gen_id": next(iter(made.parents), ""),
            "combo_id": made.combo_id,
            "template_id": made.template_id,
            "llm_model_id": made.model_id,
            "replicate": made.replicate,
        }
        for gen_id, made in cohort.members.items()
    ]
    rows.sort(key=lambda row: STAGE_NAMES.index(row["stage"]))
    return pd.DataFrame(rows, columns=MEMBERSHIP_COLUMNS)


def write_membership(cohort: "Cohort", path: Path | str) -> None:
    """Write membership.csv: the two columns of the original (stage, gen_id), then ours."""
    write_atomic(path, membership(cohort).to_csv(index=False, lineterminator="\n"))


def manifest(cohort: "Cohort") -> dict[str, Json]:
    """The keys of the original, then counts of rows and generations, so that no row of the spec is lost unnoticed.

    `rows_sharing` counts in each stage the rows that share their generation with another row, as drafts of a crossed
    design do. `repeated_rows` counts the rows with the same generations as an earlier row.
    """
    members = list(cohort.members.values())
    distinct = {tuple(ids.values()) for ids in cohort.row_ids}
    by_stage = {stage: [member for member in members if member.stage == stage] for stage in STAGE_NAMES}
    return {
        "combos": sorted({member.combo_id for member in members}),
        "templates": {stage: sorted({member.template_id for member in by_stage[stage]}) for stage in STAGE_NAMES},
        "llms": {
            "generation": _models(member for member in members if member.stage != "evaluation"),
            "evaluation": _models(by_stage["evaluation"]),
        },
        "replication": {stage: len({member.replicate for member in by_stage[stage]}) for stage in STAGE_NAMES},
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


def _models(members: Iterable[Facts]) -> list[str]:
    return sorted({member.model_id for member in members} - {""})
