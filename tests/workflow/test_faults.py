"""The matrix of faults: whatever happens, chains end complete or with a reason, and nothing is bought twice.

`tests/benchmarks/faults.py` runs the same with 600 chains.
"""

from pathlib import Path

import pytest
from fault_classes import CALM, CLASSES
from matrix import Trial
from service import Service

CHAINS = 30


@pytest.mark.parametrize("fault", CLASSES)
def test_fault(fault: str, tmp_path: Path) -> None:
    with Service(CALM) as service:
        trial = Trial(tmp_path / "project", service, CHAINS)
        CLASSES[fault](trial)
        trial.check_rest()
    assert not trial.problems, "\n".join(trial.problems)
