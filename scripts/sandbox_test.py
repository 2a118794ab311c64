"""Test a procedure's variants in the sandbox (rule sandbox_test)."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.dreams.night import write_tests
from dreamflow.entry import attempt, tell

job = json.loads(snakemake.params.job)  # noqa: F821  (Snakemake provides it)
attempt(snakemake.log[0], lambda: tell(write_tests(job, snakemake.input[0], snakemake.output[0])))  # noqa: F821
