"""The matrix of faults with many chains.

Run: python tests/benchmarks/faults.py [CHAINS] [CLASS ...]
Prints a line for each class of faults, and what is wrong. The class clock_jump needs Debian's package faketime.
"""

import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from fault_classes import CALM, CLASSES
from matrix import Trial
from service import Service


def main(chains: int, names: list[str]) -> int:
    """Run the classes; the number of those in which something is wrong."""
    wrong = 0
    print(f"{'class':18} {'chains':>6} {'calls':>6} {'answers':>7} {'ledger':>6} {'lost':>5} {'s':>5}  result")
    for name in names or CLASSES:
        with tempfile.TemporaryDirectory() as folder, Service(CALM) as service:
            trial, started = Trial(Path(folder) / "project", service, chains), time.monotonic()
            try:
                CLASSES[name](trial)
                trial.check_rest()
            except Exception:  # the others go on
                trial.problem(traceback.format_exc())
            counts, seconds = service.counts(), time.monotonic() - started
            figures = f"{trial.chains:6} {counts['calls']:6} {counts['answers']:7} {len(trial.rows()):6}"
            result = "ok" if not trial.problems else f"{len(trial.problems)} problems"
            print(f"{name:18} {figures} {len(trial.lost()):5} {seconds:5.0f}  {result}", flush=True)
            for problem in trial.problems:
                print("    " + problem.replace("\n", "\n      "), flush=True)
            wrong += bool(trial.problems)
    return wrong


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, sys.argv[2:]))
