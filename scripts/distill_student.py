"""Train a student with LoRA on chat messages (rule distill_student)."""

import os
import sys
from pathlib import Path

# Waiting threads spin this long before they sleep. With the default, practically for ever, two processes that share
# the processors slow each other down tenfold. torch reads it when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.distill.student import processors
from dreamflow.distill.train import train
from dreamflow.entry import run_script, show
from dreamflow.files import read_json


def main() -> None:
    """Train, and show the speed and the memory."""
    job, files = read_json(snakemake.input.job[0]), snakemake.input  # noqa: F821  (Snakemake provides it)
    job["training"]["threads"] = processors(snakemake.threads)  # noqa: F821
    folder = Path(snakemake.output.adapter).parent  # noqa: F821
    summary = train(job, files.train, files.validation, folder, show)
    memory = ", ".join(f"{name} {size:.2f} GB" for name, size in summary["peak_memory_gb"].items() if size)
    show(f"trained {summary['steps']} steps at {summary['tokens_per_s']:.0f} tokens/s; peak memory: {memory}")


run_script(snakemake.log[0], main)  # noqa: F821
