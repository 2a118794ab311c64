"""Export a trained adapter as safetensors, GGUF and merged weights (rule export_student)."""

import json
import os
import sys
from pathlib import Path

# A few texts are compared, in float32, which a GPU is not needed for; read when torch is loaded.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Threads that wait for each other spin for so long, then sleep: on shared processors the default, which is practically
# for ever, made this rule nine times as slow. Read when torch is loaded too.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.distill.export import export_student
from dreamflow.distill.student import processors
from dreamflow.errors import DreamflowError
from dreamflow.files import read_text


def read(name: str) -> dict:
    return json.loads(read_text(snakemake.input[name]))  # noqa: F821


job = json.loads(snakemake.params.job)  # noqa: F821  (Snakemake provides it)
try:
    export_student(
        job,
        Path(snakemake.input.adapter),  # noqa: F821
        [json.loads(line) for line in read_text(snakemake.input.held_out).splitlines() if line],  # noqa: F821
        {"Gate": read("gate"), "Results": read("validation"), "Data": read("teaching"), "Training": read("training")},
        Path(snakemake.output[0]),  # noqa: F821
        threads=processors(snakemake.threads),  # noqa: F821
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
except DreamflowError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit("interrupted")
