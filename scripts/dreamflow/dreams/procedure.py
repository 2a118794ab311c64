"""Procedures: Python functions in files, each with a YAML card that says what it is for and how to call it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import in_file, load_yaml
from ..errors import ConfigError
from ..files import checked_name, read_text
from ..generation.model import Json
from ..pyanalysis.source import parse_python
from .spec import ProcedureCard


@dataclass(frozen=True)
class Procedure:
    """A procedure and its card. `source` is the whole module; `entry` names the function in it that is dreamt about.

    `effects` declares what calls do that analysis cannot look into: dotted name as written -> effect words, none for
    a pure one. `fakes` stand in for the outside during tests, by dotted name in the module. `files` lie in the
    working directory before every call. `inputs` are calls: {"args": [...], "kwargs": {...}}.
    """

    procedure_id: str
    project: str
    category: str
    tags: tuple[str, ...]
    contexts: tuple[str, ...]
    description: str
    entry: str
    source: str
    effects: Mapping[str, tuple[str, ...]]
    fakes: Mapping[str, Mapping[str, Json]]
    files: Mapping[str, str]
    inputs: tuple[Mapping[str, Json], ...]
    generate: bool
    card: str = ""  # the file that it was read from


def load_procedures(root: Path) -> dict[str, Procedure]:
    """The procedures under `<root>/<project>/<name>.yaml` with their `.py` beside them, by `<project>.<name>`."""
    found = (load_procedure(card) for card in sorted(root.glob("*/*.yaml")))
    return {procedure.procedure_id: procedure for procedure in found}


def load_procedure(card_path: Path) -> Procedure:
    """The procedure of a card; errors name the file that is wrong."""
    card = load_yaml(card_path, ProcedureCard).as_dict()
    name = checked_name(f"{card_path.parent.name}.{card_path.stem}", "procedure")
    code = card_path.with_suffix(".py")
    source, entry = read_text(code), card.get("entry", card_path.stem)
    try:
        module = parse_python(source)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{code}{line}: not Python: {error}") from None
    functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    if entry not in functions:
        known = ", ".join(functions) or "none"
        with in_file(card_path):
            raise ConfigError(f"{code} defines no function {entry!r} (it defines: {known})", ("entry",))
    return Procedure(
        procedure_id=name,
        project=card_path.parent.name,
        category=card["category"],
        tags=tuple(card["tags"]),
        contexts=tuple(card["contexts"]),
        description=card["description"],
        entry=entry,
        source=source,
        effects={call: tuple(words) for call, words in card["effects"].items()},
        fakes=card["fakes"],
        files=card["files"],
        inputs=tuple({"args": [], "kwargs": {}, **call} for call in card["inputs"]),
        generate=card["generate"],
        card=card_path.as_posix(),
    )
