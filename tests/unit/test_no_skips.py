"""Skipped tests are failures where DREAMFLOW_NO_SKIPS is set; elsewhere they are named with their reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import REPOSITORY

SKIPPED = {
    "in a test": "import pytest\ndef test_it():\n    pytest.skip('no tool here')\n",
    "in a fixture": (
        "import pytest\n@pytest.fixture\ndef tool():\n    pytest.skip('no tool here')\ndef test_it(tool): pass\n"
    ),
    "by a mark": "import pytest\n@pytest.mark.skipif(True, reason='no tool here')\ndef test_it(): pass\n",
    "a file": "import pytest\npytest.skip('no tool here', allow_module_level=True)\n",
    "an import": "import pytest\npytest.importorskip('no_such_package', reason='no tool here')\n",
}


def run(folder: Path, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in another folder, with this project's settings and plugin, on these tests and one that passes."""
    (folder / "test_one.py").write_text(code)
    (folder / "test_two.py").write_text("def test_passes(): pass\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DREAMFLOW_", "PYTEST_"))}
    settings = ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(folder), "-p", "no_skips"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *settings, "-p", "no:cacheprovider", *arguments, str(folder)],
        env={**kept, "PYTHONPATH": str(REPOSITORY / "tests"), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("code", SKIPPED.values(), ids=SKIPPED)
def test_a_skipped_test_is_a_failure_where_nothing_may_be_skipped(tmp_path: Path, code: str) -> None:
    done = run(tmp_path, code, DREAMFLOW_NO_SKIPS="1")
    assert done.returncode != 0
    assert "no tool here" in done.stdout and "DREAMFLOW_NO_SKIPS is set" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_in_processes_of_their_own_too(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED["in a test"], "-n", "1", DREAMFLOW_NO_SKIPS="1").returncode == 1


@pytest.mark.parametrize("code", SKIPPED.values(), ids=SKIPPED)
def test_elsewhere_what_is_not_tested_is_said_with_its_reason(tmp_path: Path, code: str) -> None:
    done = run(tmp_path, code)
    assert done.returncode == 0, done.stdout
    assert "no tool here" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


@pytest.mark.parametrize("environment", [{}, {"DREAMFLOW_NO_SKIPS": "1"}])
def test_a_failure_that_is_expected_is_no_skip(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    done = run(tmp_path, code, **environment)
    assert done.returncode == 0, done.stdout


def test_this_suite_uses_the_plugin(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.has_plugin("no_skips")
