"""What a cohort consists of: manifest.json and membership.csv."""

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
    """One row a generation, drafts first; within a stage in the order in which the spec's rows name them."""
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
    """Write membership.csv: the original's two columns (stage, gen_id), then ours."""
    write_atomic(path, membership(cohort).to_csv(index=False, lineterminator="\n"))


def manifest(cohort: "Cohort") -> dict[str, Json]:
    """The original's keys (originals.md §1.3), then what the spec became, so that no row can vanish unseen.

    `rows_sharing` counts by stage the rows whose generation is also another row's: ordinary for drafts of a
    crossed design. `repeated_rows` counts the rows that add nothing, since an earlier row names the same
    generations.
    """
    made = list(cohort.members.values())
    distinct = {tuple(ids.values()) for ids in cohort.row_ids}
    return {
        "combos": sorted({one.combo_id for one in made}),
        "templates": {s: sorted({one.template_id for one in made if one.stage == s}) for s in STAGE_NAMES},
        "llms": {
            "generation": _models(one for one in made if one.stage != "evaluation"),
            "evaluation": _models(one for one in made if one.stage == "evaluation"),
        },
        "replication": {s: len({one.replicate for one in made if one.stage == s}) for s in STAGE_NAMES},
        "cohort_id": cohort.cohort_id,
        "spec": {"path": cohort.spec_path.as_posix(), "sha256": sha256(read_text(cohort.spec_path))},
        "rows": len(cohort.rows),
        "kept": len(cohort.kept),
        "generations": {stage: sum(one.stage == stage for one in made) for stage in STAGE_NAMES},
        "rows_sharing": {s: _sharing(ids[s] for ids in cohort.row_ids if s in ids) for s in STAGE_NAMES},
        "repeated_rows": len(cohort.rows) - len(distinct),
    }


def write_manifest(cohort: "Cohort", path: Path | str) -> None:
    """Write manifest.json, indented and in the order of `manifest`."""
    write_atomic(path, json.dumps(manifest(cohort), ensure_ascii=False, indent=2) + "\n")


def _models(made: Iterable[Facts]) -> list[str]:
    return sorted({one.model_id for one in made} - {""})


def _sharing(names: Iterable[str]) -> int:
    return sum(count for count in Counter(names).values() if count > 1)
