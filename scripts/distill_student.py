"""Train a student (rule distill_student): LoRA on the chat messages that teachers' accepted answers became."""

import os
import sys
from pathlib import Path

# Threads that wait for each other spin for so long before they sleep. The default is practically for ever: two
# processes that share the processors then slow each other down tenfold. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.distill.student import processors
from dreamflow.distill.train import train
from dreamflow.entry import attempt, tell
from dreamflow.files import read_json


def main() -> None:
    """Train, and say how fast."""
    job, given = read_json(snakemake.input.job[0]), snakemake.input  # noqa: F821  (Snakemake provides it)
    job["training"]["threads"] = processors(snakemake.threads)  # noqa: F821
    folder = Path(snakemake.output.adapter).parent  # noqa: F821
    summary = train(job, given.train, given.validation, folder, tell)
    memory = ", ".join(f"{name} {size:.2f} GB" for name, size in summary["peak_memory_gb"].items() if size)
    tell(f"trained {summary['steps']} steps at {summary['tokens_per_s']:.0f} tokens/s; peak memory: {memory}")


attempt(snakemake.log[0], main)  # noqa: F821
