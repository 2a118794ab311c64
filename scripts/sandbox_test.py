"""Test a procedure's variants in the sandbox (rule sandbox_test)."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.dreams.night import write_tests

job = json.loads(snakemake.params.job)  # noqa: F821  (Snakemake provides it)
print(write_tests(job, snakemake.input[0], snakemake.output[0]), file=sys.stderr)  # noqa: F821
