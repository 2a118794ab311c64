"""Write a teacher's log-probabilities at each token of its accepted answers (rule teacher_logprobs)."""

import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # see scripts/distill_student.py
sys.path.insert(0, str(Path(__file__).parent))

import torch
from dreamflow.distill.student import processors
from dreamflow.distill.teacher import write_top_logprobs
from dreamflow.entry import run_script, show
from dreamflow.files import read_json, read_jsonl


def main() -> None:
    """Collect the examples that need log-probabilities, with the turns before them in the teacher's chat."""
    job = read_json(snakemake.input.job[0])  # noqa: F821  (Snakemake provides it)
    torch.set_num_threads(processors(snakemake.threads))  # noqa: F821
    rows = []
    for example in read_jsonl(snakemake.input.train):  # noqa: F821
        if "top_logprobs" in example:
            answer = read_json(Path(job["answers"]) / example["gen_id"] / "metadata.json")
            rows.append((example, answer.get("turns", [])))
    folder = Path(snakemake.output[0])  # noqa: F821
    write_top_logprobs(job["teacher"], Path(job["cache"]), rows, job["top_logprobs"], folder, show)


run_script(snakemake.log[0], main)  # noqa: F821
