"""Write a list of the best essays, to edit by hand and to use in a cohort as `from: {csv: FILE}`.

    python scripts/select_essays.py --cohort demo --template rigor-v1 --top-n 5 --out data/curation/rigor.csv

The score of an essay is the mean over its evaluators (a model with a template) of their means over replicates, on the
scale 0-1. A missing score does not count.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from dreamflow.errors import ConfigError
from dreamflow.files import checked_name
from dreamflow.reports import CROSS_FILES, LONG_TABLES
from dreamflow.reports.frames import write_table

EVALUATOR = ["evaluation_llm_model", "evaluation_template"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _command_line().parse_args(arguments)
    try:
        chosen = select(_scores(options), options.top_n, options.span, max_only=options.max_only)
    except ConfigError as error:
        print(f"select_essays: {error}", file=sys.stderr)
        return 1
    chosen["proposed_cohort_id"] = f"curated-{options.cohort}"
    write_table(chosen, options.out)
    print(f"{len(chosen)} essays in {options.out}; to leave an essay out, set its 'selected' to false")
    return 0


def _command_line() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR", help="default: data")
    command.add_argument(
        "--cohort", required=True, metavar="ID", help="use the scores of this cohort; 'all': of all cohorts"
    )
    command.add_argument(
        "--template", action="append", metavar="T", help="use only this evaluation template (repeatable)"
    )
    command.add_argument(
        "--evaluator", action="append", metavar="MODEL", help="use only this evaluating model (repeatable)"
    )
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--top-n", type=int, metavar="N", help="the N best essays")
    how.add_argument("--span", type=float, metavar="X", help="all essays at most X below the best score (scale 0-1)")
    how.add_argument("--max-only", action="store_true", help="all essays with the best score")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the CSV file to write")
    return command


def _scores(options: argparse.Namespace) -> pd.DataFrame:
    """The scores that the options select, with `score_01` as a number."""
    if options.cohort == "all":
        path = options.data_root / "7_cross_experiment" / CROSS_FILES[0]
    else:
        path = options.data_root / "cohorts" / checked_name(options.cohort, "cohort") / "reports" / LONG_TABLES[0]
    if not path.exists():
        raise ConfigError(f"{path}: no such file; run snakemake first to make the scores of the configured cohorts")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = table[table["judged_stage"] == "essay"]
    for option, column, wanted in (
        ("--evaluator", "evaluation_llm_model", options.evaluator),
        ("--template", "evaluation_template", options.template),
    ):
        present = sorted(set(table[column]))
        if unknown := [name for name in wanted or () if name not in present]:
            raise ConfigError(f"{option} {unknown[0]}: no evaluation in {path}; it has {', '.join(present) or 'none'}")
        table = table[table[column].isin(wanted or present)]
    table = table.assign(score_01=pd.to_numeric(table["score_01"], errors="coerce")).dropna(subset="score_01")
    if table.empty:
        raise ConfigError(f"{path}: no essay has a score")
    return table


def select(scores: pd.DataFrame, top_n: int | None, span: float | None, *, max_only: bool) -> pd.DataFrame:
    """The selected essays, best first, equal scores by id, with the columns of the original."""
    means = scores.groupby(["parent_gen_id", *EVALUATOR])["score_01"].mean()
    of_essay = means.groupby("parent_gen_id")
    by_model = means.groupby(["parent_gen_id", "evaluation_llm_model"]).mean().unstack("evaluation_llm_model")
    # Rounded, so that equal means are equal in any order of summation.
    essays = pd.DataFrame({"avg_score": of_essay.mean().round(10), "max_score": of_essay.max()})
    essays["models_covered"] = by_model.count(axis=1)
    essays = essays.join(by_model.add_prefix("score__")).rename_axis("essay_gen_id").reset_index()
    essays = essays.sort_values(["avg_score", "essay_gen_id"], ascending=[False, True], ignore_index=True)
    method, limit = ("max_only", "") if max_only else ("top_n", top_n) if span is None else ("score_span", span)
    if method == "top_n":
        essays = essays.head(top_n)
    else:
        essays = essays[essays["avg_score"] >= round(essays["avg_score"].max() - (span or 0), 10)]
    essays.insert(0, "selection_rank", essays["avg_score"].rank(method="min", ascending=False).astype(int))
    essays.insert(1, "selected", "true")
    return essays.assign(
        evaluation_template=" ".join(sorted(set(scores["evaluation_template"]))),
        source_models=" ".join(sorted(set(scores["evaluation_llm_model"]))),
        selection_method=method,
        selection_limit=limit,
    )


if __name__ == "__main__":
    sys.exit(main())
