"""Test a procedure's variants in the sandbox (rule sandbox_test)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.dreams.night import write_tests
from dreamflow.entry import run_script, show
from dreamflow.files import read_json

job, files = snakemake.input.job[0], (snakemake.input.checks, snakemake.output[0])  # noqa: F821  (Snakemake provides it)
run_script(snakemake.log[0], lambda: show(write_tests(read_json(job), *files)))  # noqa: F821
