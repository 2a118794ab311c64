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
from .surroundings import Surroundings, surroundings


@dataclass(frozen=True)
class Procedure:
    """A procedure and its card. `source` is the whole module; `entry` is the name of the procedure's function.

    `effects` declares calls that the analysis cannot inspect: dotted name as written -> effect words, () for a pure
    call. `fakes` replace outside calls during tests, by dotted name in the module. `files` are in the working directory
    before every call. `inputs` are calls: {"args": [...], "kwargs": {...}}. `surroundings` is what it needs of its
    project in tests, None if nothing; `module`, `neighbours` and `python` are as in the card.
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
    file: str = ""  # the path of the module
    module: str | None = None
    neighbours: tuple[str, ...] = ()
    python: str | None = None
    surroundings: Surroundings | None = None


def load_procedures(root: Path) -> dict[str, Procedure]:
    """The procedures under `<root>/<project>/<name>.yaml` with their `.py` beside them, by `<project>.<name>`."""
    procedures = (load_procedure(card) for card in sorted(root.glob("*/*.yaml")))
    return {procedure.procedure_id: procedure for procedure in procedures}


def load_procedure(card_path: Path) -> Procedure:
    """The procedure of a card. Raises a `ConfigError` that names the invalid file."""
    card = load_yaml(card_path, ProcedureCard)
    name = checked_name(f"{card_path.parent.name}.{card_path.stem}", "procedure")
    code, place = _files(card_path, card)
    source, entry = read_text(code), card.entry or card_path.stem
    try:
        module = parse_python(source)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{code}{line}: not valid Python: {error}") from None
    with in_file(card_path):
        around = surroundings(place, source, card.neighbours, card.python)
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
        file=code.as_posix(),
        module=card.module,
        neighbours=tuple(card.neighbours),
        python=card.python,
        surroundings=around,
    )


def _files(card_path: Path, card: ProcedureCard) -> tuple[Path, Path]:
    """The file with the code of a card, and the file in whose place it runs. Raises a `ConfigError`."""
    beside = card_path.with_suffix(".py")
    place = Path(card.module).expanduser() if card.module else beside
    code = beside if beside.is_file() else place
    for path in (place, code):
        if not path.is_file():
            with in_file(card_path):
                key = ("module",) if card.module else ()
                advice = "" if card.module else "; put the code there, or name its file with `module`"
                raise ConfigError(f"{path}: no such file{advice}", key)
    return code, place
