"""The conda environments of single rules name the same versions as the locks that pip installs."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
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


# Import what a script imports, and print the top-level modules that it and our own modules name when they are loaded.
CODE = """
import ast, sys
path, scripts = sys.argv[1:]
sys.path.insert(0, scripts)
def imports(path):
    return [node for node in ast.parse(open(path).read()).body if isinstance(node, ast.Import | ast.ImportFrom)]
exec(compile(ast.Module(imports(path), []), path, "exec"))
files = [path, *(module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "dreamflow")]
for node in (node for file in files for node in imports(file)):
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module] * (not node.level)
    print(*(name.partition(".")[0] for name in names))
"""


def scripts_by_environment():
    """The scripts of rules, with the environment that `--sdm conda` runs each in."""
    rules = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    found = re.findall(r'conda:\n +"\.\./envs/(\w+)\.yaml".*?script:\n +"\.\./(scripts/\w+\.py)"', rules, flags=re.S)
    return sorted((script, environment) for environment, script in found)


def with_what_they_need(packages):
    """Packages and those that they require, with normalised names."""
    found, left = set(), list(packages)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            found.add(name)
            try:
                required = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            left += [re.match(r"[\w.-]+", line)[0] for line in required if "extra ==" not in line]
    return found


@pytest.mark.parametrize(("script", "environment"), scripts_by_environment())
def test_a_conda_environment_has_what_its_scripts_import(script, environment):
    command = [sys.executable, "-c", CODE, str(ROOT / script), str(ROOT / "scripts")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    named = yaml.safe_load((ENVS / f"{environment}.yaml").read_text())["dependencies"]
    there = with_what_they_need(PIP_NAMES.get(entry.split("=")[0], entry.split("=")[0]) for entry in named)
    distributions = metadata.packages_distributions()
    missing = {
        module
        for module in set(done.stdout.split()) - sys.stdlib_module_names - {"dreamflow"}
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in distributions[module]} & there
    }
    assert missing == set()
