"""The matrix of faults: whatever happens, chains end complete or with a reason, and nothing is bought twice.

`tests/benchmarks/faults.py` runs the same with 600 chains.
"""

import shutil
from pathlib import Path

import pytest
from fault_classes import CALM, CLASSES
from matrix import Trial
from service import Service

CHAINS = 30
IN_SANDBOX = ("full_disk", "read_only")
BY_HAND = ("clock_jump",)  # libfaketime breaks time.sleep now and then, so such a run may not even start


@pytest.mark.parametrize("fault", [name for name in CLASSES if name not in BY_HAND])
def test_fault(fault: str, tmp_path: Path) -> None:
    if fault in IN_SANDBOX and not shutil.which("bwrap"):
        pytest.skip("needs bubblewrap")
    with Service(CALM) as service:
        trial = Trial(tmp_path / "project", service, CHAINS)
        CLASSES[fault](trial)
        trial.check_rest()
    assert not trial.problems, "\n".join(trial.problems)
