"""The conda environments of single rules name the same versions as the lock that pip installs."""

from pathlib import Path

import pytest
import yaml

ENVS = Path(__file__).parents[2] / "envs"
NOT_FROM_PIP = {"python", "bubblewrap"}


def pinned(name):
    lines = (ENVS / name).read_text().splitlines()
    return {line.split("==")[0].lower(): line.split("==")[1] for line in lines if "==" in line}


@pytest.mark.parametrize("path", sorted(ENVS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_conda_environment_is_what_the_lock_says(path):
    environment = yaml.safe_load(path.read_text())
    named = dict(entry.split("=", 1) for entry in environment["dependencies"] if "=" in entry)
    locked = pinned("base.txt")
    assert {name: version for name, version in named.items() if name not in NOT_FROM_PIP} == {
        name: locked[name] for name in named if name not in NOT_FROM_PIP
    }
    assert {entry.split("=")[0] for entry in environment["dependencies"]} <= locked.keys() | NOT_FROM_PIP
    assert environment["channels"] == ["conda-forge", "nodefaults"]
