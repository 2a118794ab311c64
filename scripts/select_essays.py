"""The best essays as a list to edit by hand, for the `from: {csv: FILE}` of a cohort.

    python scripts/select_essays.py --cohort demo --template rigor-v1 --top-n 5 --out data/curation/rigor.csv

An essay's score is the mean over its evaluators (a model with a template) of their means over replicates, on the
scale 0-1; a missing score is missing, not 0.
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
    """Run the command; the exit status."""
    options = _command_line().parse_args(arguments)
    try:
        chosen = select(_scores(options), options.top_n, options.span, max_only=options.max_only)
    except ConfigError as error:
        print(f"select_essays: {error}", file=sys.stderr)
        return 1
    chosen["proposed_cohort_id"] = f"curated-{options.cohort}"
    write_table(chosen, options.out)
    print(f"{len(chosen)} essays in {options.out}; set 'selected' to false for those to leave out")
    return 0


def _command_line() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR", help="default: data")
    command.add_argument("--cohort", required=True, metavar="ID", help="whose scores count; 'all': every cohort's")
    command.add_argument("--template", action="append", metavar="T", help="count this evaluation template (repeatable)")
    command.add_argument("--evaluator", action="append", metavar="MODEL", help="count this model's scores (repeatable)")
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--top-n", type=int, metavar="N", help="the N best")
    how.add_argument("--span", type=float, metavar="X", help="all within X (of 1) of the best")
    how.add_argument("--max-only", action="store_true", help="only the best, all of them where several are equal")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the CSV file to write")
    return command


def _scores(options: argparse.Namespace) -> pd.DataFrame:
    """The scores of essays that count, with `score_01` as a number."""
    if options.cohort == "all":
        path = options.data_root / "7_cross_experiment" / CROSS_FILES[0]
    else:
        path = options.data_root / "cohorts" / checked_name(options.cohort, "cohort") / "reports" / LONG_TABLES[0]
    if not path.exists():
        raise ConfigError(f"{path}: no such file; run snakemake first, it makes the scores of the configured cohorts")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = table[table["judged_stage"] == "essay"]
    for option, column, wanted in (
        ("--evaluator", "evaluation_llm_model", options.evaluator),
        ("--template", "evaluation_template", options.template),
    ):
        there = sorted(set(table[column]))
        unknown = [name for name in wanted or () if name not in there]
        if unknown:
            raise ConfigError(f"{option} {unknown[0]}: no evaluation in {path}; it has {', '.join(there) or 'none'}")
        table = table[table[column].isin(wanted or there)]
    table = table.assign(score_01=pd.to_numeric(table["score_01"], errors="coerce")).dropna(subset="score_01")
    if table.empty:
        raise ConfigError(f"{path}: no essay has a score there")
    return table


def select(scores: pd.DataFrame, top_n: int | None, span: float | None, *, max_only: bool) -> pd.DataFrame:
    """The candidates, best first, equal ones by id; the columns are the original's."""
    means = scores.groupby(["parent_gen_id", *EVALUATOR])["score_01"].mean()
    of_essay = means.groupby("parent_gen_id")
    by_model = means.groupby(["parent_gen_id", "evaluation_llm_model"]).mean().unstack("evaluation_llm_model")
    # Rounded, so that equal means are equal in whatever order they were summed.
    essays = pd.DataFrame({"avg_score": of_essay.mean().round(10), "max_score": of_essay.max()})
    essays["models_covered"] = by_model.count(axis=1)
    essays = essays.join(by_model.add_prefix("score__"))
    essays = essays.rename_axis("essay_gen_id").reset_index()
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
