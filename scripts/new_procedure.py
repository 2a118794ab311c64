"""Make a function of your own project a procedure: write its card, and a night for it.

    python scripts/new_procedure.py path/to/module.py::function
    snakemake dreams --config 'procedures=[PROJECT]'

The card, data/1_raw/procedures/PROJECT/FUNCTION.yaml, names the module: its code is read where it is. PROJECT is the
name of the project's folder. The night, config/procedures/PROJECT.yaml, selects all procedures of PROJECT; files that
exist are never changed. The command prints what tests will see of the project.
"""

import argparse
import ast
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import yaml
from dreamflow.dreams.procedure import Procedure, load_procedure
from dreamflow.dreams.surroundings import project_folder
from dreamflow.errors import ConfigError, did_you_mean, joined
from dreamflow.files import checked_name, read_text, write_atomic
from dreamflow.generation.model import Json
from dreamflow.pyanalysis.source import parse_python
from dreamflow.settings import load_settings

CARD = """{matter}# Calls to test with, besides those that are generated from the types of the parameters:
# inputs:
#   - args: [{example}]
"""
NIGHT = """# A night over {project}: variants by operators, without a model. config/README.md has every key.
procedures: ["{project}.*"]
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _command_line().parse_args(arguments)
    try:
        card, night, procedure = make(options.function, options.project, options.python)
    except ConfigError as error:
        print(f"new_procedure: {error}", file=sys.stderr)
        return 1
    print("\n".join(_report(card, night, procedure)))
    return 0


def _command_line() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    command.add_argument("function", metavar="MODULE.py::FUNCTION", help="the function, at the top level of a module")
    command.add_argument("--project", metavar="NAME", help="default: the name of the project's folder")
    command.add_argument(
        "--python",
        metavar="PATH",
        help="an interpreter or environment with the packages that the project needs; default: its .venv or venv, "
        "if our own environment lacks a package",
    )
    return command


def make(function: str, project: str | None = None, python: str | None = None) -> tuple[Path, Path, Procedure]:
    """Write the card of `module.py::function` and a night, unless they exist; returns both paths and the procedure.

    Raises `ConfigError`."""
    name, _, entry = function.rpartition("::")
    module = Path(name).expanduser()
    if not name or not entry.isidentifier():
        raise ConfigError(f"{function}: expected a file and a function, such as shop/pricing.py::quote")
    node = _function(module, entry)
    folder = project_folder(module, read_text(module))
    project = checked_name(project or re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-") or "mine", "project")
    card = Path(load_settings().raw_root) / "procedures" / project / f"{checked_name(entry, 'procedure')}.yaml"
    if card.exists():
        raise ConfigError(f"{card} exists; edit it, or delete it first")
    content = {"category": project, "description": _purpose(node, entry), "module": module.as_posix()}
    write_atomic(card, _card(content, node))
    try:
        procedure = load_procedure(card)
        python = python or _environment(procedure, folder)
        if python:
            write_atomic(card, _card({**content, "python": python}, node))
            procedure = load_procedure(card)
    except ConfigError:
        card.unlink()
        raise
    night = Path(f"config/procedures/{project}.yaml")
    if not night.exists():
        write_atomic(night, NIGHT.format(project=project))
    return card, night, procedure


def _function(module: Path, entry: str) -> ast.FunctionDef:
    """The function in a module. Raises `ConfigError` if it cannot be a procedure."""
    try:
        tree = parse_python(read_text(module))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{module}: not valid Python: {error}") from None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {node.name: node for node in tree.body if isinstance(node, kinds)}
    node = defined.get(entry)
    if isinstance(node, ast.FunctionDef):
        return node
    if node is not None:
        kind = "a class" if isinstance(node, ast.ClassDef) else "an async function"
        raise ConfigError(f"{module}:{node.lineno}: {entry} is {kind}; a procedure is a plain function of a module")
    known = [name for name, node in defined.items() if isinstance(node, ast.FunctionDef)]
    defines = f"it defines: {', '.join(known) or 'none at its top level'}"
    raise ConfigError(joined(f"{module} defines no function {entry!r}", did_you_mean(entry, known), defines))


def _purpose(node: ast.FunctionDef, entry: str) -> str:
    """The first paragraph of the docstring on one line."""
    text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return text or f"{entry.replace('_', ' ').capitalize()}."


def _card(content: Mapping[str, Json], node: ast.FunctionDef) -> str:
    matter = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    return CARD.format(matter=matter, example=", ".join("..." for _ in (*node.args.posonlyargs, *node.args.args)))


def _environment(procedure: Procedure, folder: Path) -> str | None:
    """The project's own environment, if our packages are not enough."""
    if not _missing(procedure):
        return None
    return next((str(folder / name) for name in (".venv", "venv") if (folder / name / "bin").is_dir()), None)


def _missing(procedure: Procedure) -> list[str]:
    """The imported packages that Python and our environment lack."""
    names = {name.partition(".")[0] for name in (procedure.surroundings.external if procedure.surroundings else ())}
    return sorted(name for name in names if name not in sys.stdlib_module_names and find_spec(name) is None)


def _report(card: Path, night: Path, procedure: Procedure) -> list[str]:
    lines = [f"{card}: the procedure {procedure.procedure_id}, from {procedure.file}"]
    around = procedure.surroundings
    if around and around.files:
        lines.append(f"  its tests see, of {around.root}: {', '.join(around.files)}")
    if around and around.packages:
        lines.append(f"  and the packages of {', '.join(around.packages)}")
    elif missing := _missing(procedure):
        lines.append(f"  not installed: {', '.join(missing)}. Name an environment that has it: `python: path/to/.venv`")
    function = _function(Path(procedure.file), procedure.entry)
    arguments = [arg for arg in (*function.args.posonlyargs, *function.args.args) if arg.annotation is None]
    if arguments:
        names = ", ".join(arg.arg for arg in arguments)
        lines.append(f"  without a type: {names}. Write some `inputs` in the card, as generated ones are a guess.")
    lines.append(f"Then: snakemake dreams --config 'procedures=[{night.stem}]'")
    return lines


if __name__ == "__main__":
    sys.exit(main())
