"""What every test needs."""

import dreamflow.families  # noqa: F401  (it registers the parsers of all families)
import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["no_skips"]

# How long an example takes depends on what else the machine does. Half of the usual examples: the suite has to end.
settings.register_profile("any machine", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of Slurm, which wait most of their time, so that others run beside them."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")
