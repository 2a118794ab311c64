"""Measure a student before and after its training, and decide whether it may go to work (rule validate_student)."""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # see scripts/distill_student.py
sys.path.insert(0, str(Path(__file__).parent))

from dreamflow.errors import DreamflowError
from dreamflow.files import pretty, write_atomic


def main() -> None:
    """Answer, grade, compare; the three files are written when all is known."""
    import torch
    from dreamflow.distill.measure import load_trained, measured
    from dreamflow.distill.student import processors
    from dreamflow.distill.validate import SETS, gate, validated
    from dreamflow.probe.running import sandbox

    job, given, made = json.loads(snakemake.params.job), snakemake.input, snakemake.output  # noqa: F821
    torch.set_num_threads(processors(snakemake.threads))  # noqa: F821
    sets = {name: _lines(given[name]) for name in SETS}
    model, tokenizer = load_trained(job["student"], Path(job["cache"]), Path(given.adapter))
    limits = {"max_new_tokens": job["max_new_tokens"], "batch": job["batch"]}
    rows = measured(model, tokenizer, sets, **limits, run=sandbox(), tell=_tell)
    validation = validated(rows, job["seed"])
    decided = gate(validation, job["gate"])
    write_atomic(made.answers, "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows))
    write_atomic(made.validation, pretty(validation))
    write_atomic(made.gate, pretty(decided))
    _tell("it may go to work" if decided["deployed"] else f"not deployed: {'; '.join(decided['reasons'])}")


def _lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


try:
    main()
except DreamflowError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit("interrupted")
