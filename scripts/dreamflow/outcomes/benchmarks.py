"""Rows of benchmarks: questions that several models answered elsewhere, with exact grades, as CSV files.

`prompt`, maybe `domain`, and a column for each model with its outcomes from 0 to 1; an empty cell is unknown. This is
the layout of the evaluations of RouteLLM (Ong et al. 2024, arXiv 2406.18665).
"""

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

from ..files import sha256
from .csv_files import number, place_of, raise_all, read_rows
from .outcome import Outcome

STAGE = "benchmark"
PROMPT, DOMAIN = "prompt", "domain"


def read_benchmarks(folder: Path, root: Path, models: Container[str], left_out: Counter[str]) -> list[Outcome]:
    """The outcomes in all CSV files of a folder; `root` is the data folder, `models` are the known models.

    Columns of other models and repeated rows are counted in `left_out`. Raises a `DreamflowError` that names file,
    line and column of everything that is no outcome.
    """
    outcomes: dict[str, Outcome] = {}
    problems: list[str] = []
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        for outcome in _outcomes(path, root, models, left_out, problems):
            if outcomes.setdefault(outcome.outcome_id, outcome) is not outcome:
                left_out["benchmark: the same row and outcome twice"] += 1
    raise_all(problems)
    return list(outcomes.values())


def _outcomes(
    path: Path, root: Path, models: Container[str], left_out: Counter[str], problems: list[str]
) -> Iterator[Outcome]:
    columns, rows = read_rows(path, [PROMPT])
    if not columns:
        left_out[f"{path}: an empty file"] += 1
    others = [name for name in columns if name not in (PROMPT, DOMAIN)]
    for name in others:
        if name not in models:
            left_out[f"{path}:1: {name or '(no name)'}: no model of models.yaml has this id"] += len(rows)
    asked = [name for name in others if name in models]
    for line, row in rows:
        prompt, domain = row[PROMPT], row.get(DOMAIN) or STAGE
        if not prompt:
            problems.append(f"{path}:{line}: {PROMPT}: empty; expected the text that was asked")
            continue
        task_id = sha256(f"{domain}\n{prompt}")[:16]
        evidence = (place_of(path, line, root),)
        for model in asked:
            if not row[model]:
                continue
            value = number(row[model])
            if value is None or not 0 <= value <= 1:
                problems.append(f"{path}:{line}: {model}: {row[model]!r}; expected an outcome from 0 to 1")
                continue
            yield Outcome(
                **{"model_id": model, "stage": STAGE, "gen_id": "", "kind": domain, "context": domain},
                **{"evidence_class": "exact", "verified_by": "row", "outcome": value},
                columns={DOMAIN: domain},
                passed=value == 1 if value in (0, 1) else None,
                why="as recorded",
                **{"prompt": prompt, "evidence": evidence, "task_id": task_id},
            )
