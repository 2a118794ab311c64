"""How long a plan of 100,000 rows takes to compile, ids and rows of all its generations included, and what it holds.

Run: python tests/benchmarks/compile.py
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.plan import compile_plan
from project import Project

ROWS = 100_000
SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {
        "draft_template": ["plain", "spare"],
        "draft_llm": ["recorded"],
        "draft_replicate": list(range(1, 251)),
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty", "rigor"],
        "evaluation_llm": ["recorded"],
        "evaluation_replicate": list(range(1, 26)),
    },
    "output": {"field_order": ["combo_id"]},
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Project(Path(folder), {"recorded": {"provider": "replay", "name": "answers.jsonl"}}, SPEC)
        os.chdir(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        plan = compile_plan({"cohorts": ["trial"]})
        seconds = time.perf_counter() - started
        held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        rows = len(plan.families["cohorts"].cohorts["trial"].rows)
        assert rows == ROWS
        print(f"{rows:,} rows, {len(plan.generations):,} generations: {seconds:.2f} s, {held:.0f} MB more than before")
