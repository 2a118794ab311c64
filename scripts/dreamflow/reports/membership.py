"""What a cohort consists of: manifest.json and membership.csv."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..files import read_text, sha256, write_atomic
from .lineage import facts

if TYPE_CHECKING:
    from ..plan.cohort import Cohort

STAGES = ("draft", "essay", "evaluation")
MEMBERSHIP_COLUMNS = (*("stage", "gen_id", "parent_gen_id", "combo_id", "template_id", "llm_model_id", "replicate"),)


def membership(cohort: "Cohort") -> pd.DataFrame:
    """One row a generation, drafts first; within a stage in the order in which the spec's rows name them."""
    rows = [
        {
            "stage": made["stage"],
            "gen_id": gen_id,
            "parent_gen_id": next(iter(made["parents"]), ""),
            "combo_id": made["combo_id"],
            "template_id": made["template_id"],
            "llm_model_id": made["model_id"],
            "replicate": made["replicate"],
        }
        for gen_id, made in ((gen_id, facts(row)) for gen_id, row in cohort.generations.items())
    ]
    rows.sort(key=lambda row: STAGES.index(row["stage"]))
    return pd.DataFrame(rows, columns=MEMBERSHIP_COLUMNS)


def write_membership(cohort: "Cohort", path: Path | str) -> None:
    """Write membership.csv: the original's two columns (stage, gen_id), then ours."""
    write_atomic(path, membership(cohort).to_csv(index=False, lineterminator="\n"))


def manifest(cohort: "Cohort") -> dict[str, Any]:
    """The original's keys (originals.md §1.3), then what the spec became, so that no row can vanish unseen.

    `rows_sharing` counts by stage the rows whose generation is also another row's: ordinary for drafts of a
    crossed design. `repeated_rows` counts the rows that add nothing, since an earlier row names the same
    generations.
    """
    made = [facts(row) for row in cohort.generations.values()]
    of_rows = rows_of_generations(cohort)
    names = {stage: [name(row) for row in cohort.rows] for stage, name in of_rows.items()}
    distinct = len(set(zip(*names.values(), strict=True))) if names else 0
    return {
        "combos": sorted({one["combo_id"] for one in made}),
        "templates": {s: sorted({one["template_id"] for one in made if one["stage"] == s}) for s in STAGES},
        "llms": {
            "generation": _models(one for one in made if one["stage"] != "evaluation"),
            "evaluation": _models(one for one in made if one["stage"] == "evaluation"),
        },
        "replication": {s: len({one["replicate"] for one in made if one["stage"] == s}) for s in STAGES},
        "cohort_id": cohort.cohort_id,
        "spec": {"path": cohort.spec_path.as_posix(), "sha256": sha256(read_text(cohort.spec_path))},
        "rows": len(cohort.rows),
        "generations": {stage: sum(one["stage"] == stage for one in made) for stage in STAGES},
        "rows_sharing": {stage: _sharing(names.get(stage, [])) for stage in STAGES},
        "repeated_rows": len(cohort.rows) - distinct if names else 0,
    }


def write_manifest(cohort: "Cohort", path: Path | str) -> None:
    """Write manifest.json, indented and in the order of `manifest`."""
    write_atomic(path, json.dumps(manifest(cohort), ensure_ascii=False, indent=2) + "\n")


def _models(made: Any) -> list[str]:
    return sorted({one["model_id"] for one in made} - {""})


def _sharing(names: list[tuple]) -> int:
    return sum(count for count in Counter(names).values() if count > 1)


def rows_of_generations(cohort: "Cohort") -> dict[str, Callable[[Mapping[str, Any]], tuple]]:
    """By stage, a function from a spec's row to what tells its generation from all others of that stage.

    A copied essay is the same whichever model the row names for it. Of a row that has both its draft and its
    essay judged, the stage "evaluation" means the two together.
    """
    fields = {key for row in cohort.rows for key in row}
    copies = {
        row["template_id"] for row in cohort.generations.values() if row["stage"] == "essay" and row["mode"] == "copy"
    }

    def parts(row: Mapping[str, Any], stages: tuple[str, ...]) -> tuple:
        copied = row.get("essay_template") in copies
        wanted = (key for key in sorted(fields) if key == "combo_id" or key.split("_")[0] in stages)
        return tuple(None if key == "essay_llm" and copied else row.get(key) for key in wanted)

    judged = {
        cohort.generations[parent]["stage"]
        for row in cohort.generations.values()
        if row["stage"] == "evaluation"
        for parent in row["parents"]
        if parent in cohort.generations
    }
    upto = {"draft": ("draft",)}
    if "essay_template" in fields:
        upto["essay"] = ("draft", "essay")
    if "evaluation_template" in fields:
        judges_drafts_only = judged == {"draft"}
        upto["evaluation"] = ("draft", "evaluation") if judges_drafts_only else STAGES
    return {stage: lambda row, stages=stages: parts(row, stages) for stage, stages in upto.items()}
