"""What the workflow itself costs: 3,000 generations whose answers are replayed, from nothing to reports.

Run: python tests/benchmarks/overhead.py [DRAFTS]
Prints milliseconds a generation (start-up, DAG, jobs and reports included), for a first run and for a run with
nothing to do, and both as ratios to what Snakemake needs for as many jobs that only touch their four files.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from project import REPOSITORY, Project

STAGES = 3
BARE = """
rule make:
    output: "out/{i}/a", "out/{i}/b", "out/{i}/c", "out/{i}/d"
    run:
        for path in output:
            open(path, "w").close()
rule all:
    input: expand("out/{i}/a", i=range(COUNT))
    default_target: True
onstart:
    workflow.scheduler.job_rate_limiter = None
"""


def spec(drafts: int) -> dict:
    """A cohort of so many drafts, each with one essay and one evaluation."""
    return {
        "combos": {"lists": [["a", "b"]]},
        "axes": {
            "draft_template": ["plain"],
            "draft_llm": ["recorded"],
            "draft_replicate": list(range(1, drafts + 1)),
            "essay_template": ["long"],
            "evaluation_template": ["novelty"],
            "evaluation_llm": ["recorded"],
        },
        "output": {"field_order": ["combo_id"]},
        "stages": {"draft": {"min_lines": 1}},
    }


def seconds(command: list[str], project: Project) -> float:
    """Wall time of a run that has to succeed."""
    started = time.perf_counter()
    subprocess.run(command, env=project.environment(), check=True, capture_output=True)
    return time.perf_counter() - started


def main(drafts: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = {"provider": "replay", "name": "answers.jsonl", "sampling": {"max_tokens": 200}}
        project = Project(root / "project", {"recorded": model}, spec(drafts))
        project.write("answers.jsonl", '{"contains": "Rate", "text": "SCORE: 7"}\n{"text": "A text."}\n')
        bare = Project(root / "bare", {}, {})
        bare.write("Snakefile", BARE.replace("COUNT", str(STAGES * drafts)))
        profile = ["--workflow-profile", str(REPOSITORY / "profiles/default")]
        plain = [sys.executable, "-m", "snakemake", "--directory", str(bare.root)]
        plain += ["--snakefile", str(bare.root / "Snakefile"), *profile]
        for what in ("first run", "nothing to do"):
            ours, theirs = seconds(project.command(), project), seconds(plain, bare)
            each = 1000 * ours / (STAGES * drafts)
            print(f"{what}: {ours:.1f} s, {each:.1f} ms a generation, {ours / theirs:.2f} times bare Snakemake")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
