"""How long a plan takes to compile, and to make each of its rows with its digest; and the memory of the process.

Run: python tests/benchmarks/compile.py [ROWS]
Prints seconds of CPU and megabytes for a cohort with a generation for almost every row, and for one with three, each
beside the time of so many SHA-256 digests of texts as long as a row.
"""

import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.generation.digest import row_digest
from dreamflow.plan import compile_plan
from project import Project

PER_DRAFT = {"crossed": 100, "chains": 1}  # rows
ROW_BYTES = 900


def spec(shape: str, rows: int) -> dict:
    """A cohort of so many rows: chains of three generations, or many evaluations of few essays."""
    crossed = shape == "crossed"
    return {
        "combos": {"lists": [["a", "b"]]},
        "axes": {
            "draft_template": ["plain"],
            "draft_llm": ["recorded"],
            "draft_replicate": list(range(1, rows // PER_DRAFT[shape] + 1)),
            "essay_template": ["long", "kept"] if crossed else ["long"],
            "evaluation_template": ["novelty", "rigor"] if crossed else ["novelty"],
            "evaluation_llm": ["recorded"],
            "evaluation_replicate": list(range(1, 26)) if crossed else [1],
        },
        "output": {"field_order": ["combo_id"]},
    }


def seconds(work: Callable[[], object]) -> float:
    """The CPU time of this process for some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main(shape: str, rows: int) -> None:
    """Measure and print."""
    plans = []
    with tempfile.TemporaryDirectory() as folder:
        Project(Path(folder), {"recorded": {"provider": "replay", "name": "answers.jsonl"}}, spec(shape, rows))
        os.chdir(folder)
        compiled = seconds(lambda: plans.append(compile_plan({"cohorts": ["trial"]})))
        made = plans[0].generations
        digests = seconds(lambda: [row_digest(row) for row in made.values()])
        text = b"-" * ROW_BYTES
        bare = seconds(lambda: [hashlib.sha256(text).hexdigest() for _ in made])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.chdir("/")
    print(
        f"{shape}: {len(plans[0].families['cohorts'].cohorts['trial'].rows):,} rows, {len(made):,} generations: "
        f"compiled in {compiled:.2f} s ({compiled / bare:.0f} times bare digests), their digests in {digests:.2f} s "
        f"({digests / bare:.1f}), {peak:.0f} MB at most"
    )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    main("chains", number // 3)
    main("crossed", number)
