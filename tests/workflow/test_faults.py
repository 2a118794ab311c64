"""The matrix of faults: whatever happens, chains end complete or with a reason, and nothing is bought twice.

`tests/benchmarks/faults.py` runs the same with 600 chains.
"""

import shutil
from pathlib import Path

import pytest
from fault_classes import CALM, CLASSES, faketime
from matrix import Trial
from service import Service

CHAINS = 30
NEEDS = {"full_disk": "bubblewrap", "read_only": "bubblewrap", "clock_jump": "faketime"}


@pytest.mark.parametrize("fault", CLASSES)
def test_fault(fault: str, tmp_path: Path) -> None:
    needed = NEEDS.get(fault)
    if needed and not {"bubblewrap": shutil.which("bwrap"), "faketime": faketime()}[needed]:
        pytest.skip(f"needs {needed}")
    with Service(CALM) as service:
        trial = Trial(tmp_path / "project", service, CHAINS)
        CLASSES[fault](trial)
        trial.check_rest()
    assert not trial.problems, "\n".join(trial.problems)
