"""Measure a student before and after its training, and decide whether it may be deployed (rule validate_student)."""

import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # see scripts/distill_student.py
sys.path.insert(0, str(Path(__file__).parent))

import torch
from dreamflow.distill.measure import load_trained, measure_student
from dreamflow.distill.student import processors
from dreamflow.distill.validate import SETS, compare_answers, gate
from dreamflow.entry import run_script, show
from dreamflow.files import jsonl, pretty, read_json, read_jsonl, write_atomic
from dreamflow.tasks.running import sandbox


def main() -> None:
    """Answer, grade and compare; the three files are written at the end."""
    job, files, outputs = read_json(snakemake.input.job[0]), snakemake.input, snakemake.output  # noqa: F821
    torch.set_num_threads(processors(snakemake.threads))  # noqa: F821
    sets = {name: read_jsonl(files[name]) for name in SETS}
    model, tokenizer = load_trained(job["student"], Path(job["cache"]), Path(files.adapter))
    limits = {"max_new_tokens": job["max_new_tokens"], "batch": job["batch"]}
    rows = measure_student(model, tokenizer, sets, **limits, run=sandbox(), tell=show)
    validation = compare_answers(rows, job["seed"])
    decision = gate(validation, job["gate"])
    write_atomic(outputs.answers, jsonl(rows))
    write_atomic(outputs.validation, pretty(validation))
    write_atomic(outputs.gate, pretty(decision))
    show("the student may be deployed" if decision["deployed"] else f"not deployed: {'; '.join(decision['reasons'])}")


run_script(snakemake.log[0], main)  # noqa: F821
