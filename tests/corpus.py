"""Real functions of the standard library and of installed packages, as procedures; `corpus.yaml` lists them.

They were chosen because the safe operators find something to do in them, not by how that turns out: none is ever taken
out because a variant of it differs. A procedure is the whole source of the function's module, so modules that import
relatively are left out, and so are functions that C replaces.

A function has calls, and may have more of what cards have: `files:`, `effects:`, `generate:`. Effects are declared
where nothing would be parallelised without them, and only what is true for the calls given. These functions get no
generated inputs, which might break that promise by a missing file or a wrong type.
"""

import ast
import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from dreamflow.dreams.procedure import Procedure
from dreamflow.pyanalysis.source import parse_python


@cache
def corpus() -> Mapping[str, Mapping[str, Any]]:
    """What stands in `corpus.yaml`, by the name of the function, in its order."""
    listed = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: {"calls": entry} if isinstance(entry, str) else entry for name, entry in listed.items()}


def procedure(name: str) -> Procedure:
    """A function of the corpus, by its name "module.function"."""
    card = corpus()[name]
    module, _, entry = name.rpartition(".")
    effects = {call: tuple(words) for call, words in card.get("effects", {}).items()}
    return Procedure(
        procedure_id=name,
        project=module,
        category="corpus",
        tags=(),
        contexts=(),
        description=f"{entry} of {module}.",
        entry=entry,
        source=_source(module),
        effects=effects,
        fakes={},
        files=card.get("files", {}),
        inputs=tuple(map(_call, card["calls"].splitlines())),
        generate=card.get("generate", not effects),
        card=f"tests/corpus.yaml: {name}",
    )


@cache
def _source(module: str) -> str:
    return Path(importlib.import_module(module).__file__).read_text(encoding="utf-8")


def _call(text: str) -> dict[str, Any]:
    """A call as cards have it."""
    call = parse_python(f"f({text})", mode="eval").body
    return {
        "args": [{"python": ast.unparse(value)} for value in call.args],
        "kwargs": {keyword.arg: {"python": ast.unparse(keyword.value)} for keyword in call.keywords},
    }
