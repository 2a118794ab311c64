"""Procedures: Python functions in files, each with a YAML card for its purpose and its calls."""

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
    """A procedure and its card. `source` is the whole module; `entry` is the name of the procedure's function.

    `effects` declares calls that the analysis cannot inspect: dotted name as written -> effect words, () for a pure
    call. `fakes` replace outside calls during tests, by dotted name in the module. `files` are in the working directory
    before every call. `inputs` are calls: {"args": [...], "kwargs": {...}}.
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
    card: str = ""  # the path of the card


def load_procedures(root: Path) -> dict[str, Procedure]:
    """The procedures under `<root>/<project>/<name>.yaml` with their `.py` beside them, by `<project>.<name>`."""
    procedures = (load_procedure(card) for card in sorted(root.glob("*/*.yaml")))
    return {procedure.procedure_id: procedure for procedure in procedures}


def load_procedure(card_path: Path) -> Procedure:
    """The procedure of a card. Raises a `ConfigError` that names the invalid file."""
    card = load_yaml(card_path, ProcedureCard)
    name = checked_name(f"{card_path.parent.name}.{card_path.stem}", "procedure")
    code = card_path.with_suffix(".py")
    source, entry = read_text(code), card.entry or card_path.stem
    try:
        module = parse_python(source)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{code}{line}: not valid Python: {error}") from None
    functions = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    if entry not in functions:
        known = ", ".join(functions) or "none"
        with in_file(card_path):
            raise ConfigError(f"{code} defines no function {entry!r} (it defines: {known})", ("entry",))
    return Procedure(
        procedure_id=name,
        project=card_path.parent.name,
        category=card.category,
        tags=tuple(card.tags),
        contexts=tuple(card.contexts),
        description=card.description,
        entry=entry,
        source=source,
        effects={call: tuple(words) for call, words in card.effects.items()},
        fakes={call: fake.as_dict() for call, fake in card.fakes.items()},
        files=card.files,
        inputs=tuple({"args": [], "kwargs": {}, **call.as_dict()} for call in card.inputs),
        generate=card.generate,
        card=card_path.as_posix(),
    )
