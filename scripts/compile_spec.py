"""Print the rows that a cohort's spec compiles to: `python scripts/compile_spec.py SPEC`, a file or a cohort's name.

Run it in the folder in which you run `snakemake`. With --ids it reads the models and the existing combinations that
config/config.yaml names; without --ids only the spec (and, for a `combos` block, the concepts).
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from dreamflow.cohorts.combos import load_mappings
from dreamflow.cohorts.compile import Cohort, compile_cohort, compile_rows, read_spec, spec_path
from dreamflow.cohorts.selection import Known
from dreamflow.cohorts.stages import STAGE_NAMES, STAGES
from dreamflow.errors import ConfigError
from dreamflow.generation.catalog import Catalog, load_catalog
from dreamflow.generation.layout import Layout
from dreamflow.generation.model import Json
from dreamflow.generation.models import load_models
from dreamflow.routing.auto import Router
from dreamflow.settings import Settings, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _command_line().parse_args(arguments)
    try:
        config = load_settings()
        rows = _rows(_compiled(options, config), ids=options.ids)
    except ConfigError as error:
        print(f"compile_spec: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    try:
        _print(rows, options.format)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has closed the pipe; without this line Python reports that again when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _command_line() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("spec", metavar="SPEC", help="a .yaml or .json file, or a name in config/cohorts/")
    command.add_argument(
        "--raw-root", metavar="DIR", help="the folder of inputs (default: raw_root in config/config.yaml)"
    )
    command.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="default: csv")
    command.add_argument("--ids", action="store_true", help="add the ids of each row's generations")
    return command


def _compiled(options: argparse.Namespace, config: Settings) -> Cohort:
    path, root = spec_path(options.spec), Path(options.raw_root or config.raw_root)
    spec, data_root = read_spec(path), Path(config.data_root)
    prompts = [prompt for stage in STAGES for prompt in stage.prompts]
    if options.ids:
        known = Known(data_root, load_mappings(data_root / "combo_mappings.csv"))
        models = load_models(config.models, Layout(data_root).registered_models, config.local_models.as_dict())
        router = Router(config.trust, data_root, models)
        return compile_cohort(path, spec, load_catalog(root, prompts), models, known, router)
    catalog = load_catalog(root, prompts) if spec.combos else Catalog(root, {})
    return compile_rows(path, spec, catalog, data_root)


def _rows(cohort: Cohort, *, ids: bool) -> Iterable[dict[str, Json]]:
    if not ids:
        return cohort.rows
    columns = ({f"{stage}_gen_id": ids[stage] for stage in STAGE_NAMES if stage in ids} for ids in cohort.row_ids)
    return [{**row, **ids} for row, ids in zip(cohort.rows, columns, strict=True)]


def _print(rows: Iterable[dict[str, Json]], form: str) -> None:
    if form == "jsonl":
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    rows = list(rows)
    table = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
