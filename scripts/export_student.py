"""Export a trained adapter as safetensors, GGUF and merged weights (rule export_student)."""

import os
import sys
from pathlib import Path

# Comparing a few texts in float32 needs no GPU. torch reads both variables when it is loaded.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # see scripts/distill_student.py
sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.distill.export import export_student
from dreamflow.distill.student import processors
from dreamflow.entry import run_script, show
from dreamflow.files import read_json, read_jsonl


def main() -> None:
    """Write the export folder; the model card has all facts of the student."""
    files = snakemake.input  # noqa: F821  (Snakemake provides it)
    facts = {"Gate": "gate", "Results": "validation", "Data": "teaching", "Training": "training"}
    export_student(
        read_json(snakemake.input.job[0]),  # noqa: F821
        Path(files.adapter),
        read_jsonl(files.held_out),
        {heading: read_json(files[name]) for heading, name in facts.items()},
        Path(snakemake.output[0]),  # noqa: F821
        threads=processors(snakemake.threads),  # noqa: F821
        tell=show,
    )


run_script(snakemake.log[0], main)  # noqa: F821
