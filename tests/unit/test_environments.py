"""The conda environments of single rules name the same versions as the locks that pip installs."""

from pathlib import Path

import pytest
import yaml

ENVS = Path(__file__).parents[2] / "envs"
NOT_FROM_PIP = {"python", "bubblewrap"}
PIP_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "llama-cpp-python": "llama_cpp_python"}


def pinned(*names):
    lines = [line for name in names for line in (ENVS / name).read_text().splitlines()]
    return {line.split("==")[0].lower(): line.split("==")[1] for line in lines if "==" in line}


@pytest.mark.parametrize("path", sorted(ENVS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_conda_environment_is_what_the_lock_says(path):
    environment = yaml.safe_load(path.read_text())
    named = dict(entry.split("=", 1) for entry in environment["dependencies"] if "=" in entry)
    locked = pinned("base.txt", "local_models.txt", "distill.txt")
    from_pip = {PIP_NAMES.get(name, name): named[name] for name in named if name not in NOT_FROM_PIP}
    assert from_pip == {name: locked[name] for name in from_pip}
    assert {entry.split("=")[0] for entry in environment["dependencies"]} <= from_pip.keys() | NOT_FROM_PIP | set(
        PIP_NAMES
    )
    assert environment["channels"] == ["conda-forge", "nodefaults"]
