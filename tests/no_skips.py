"""A pytest plugin: where DREAMFLOW_NO_SKIPS is set, as in .ci/run, a skipped test is a failure.

On a machine that has everything, a skip means that something was not tested which should have been.
"""

import os
from collections.abc import Generator

import pytest

VARIABLE = "DREAMFLOW_NO_SKIPS"


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get(VARIABLE) and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}. A skipped test is a failure here, since {VARIABLE} is set."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the report of a skipped test into that of a failed one."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a file of tests that is skipped as a whole."""
    report = yield
    _fail_if_skipped(report)
    return report
