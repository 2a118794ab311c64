"""Promotion: a viable variant becomes a procedure of its own, by way of a patch that a person reads and applies.

The patch only adds files, so it can neither change nor overwrite what is there: `git apply` refuses it where a file
of the same name exists.
"""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from ..errors import DreamflowError
from ..files import checked_name
from ..reports.markdown import visible
from .journal import tested
from .procedure import Procedure

_SHORT = 8  # characters of the variant's id in the new name: of 36 to the 8th, no two will meet


def promoted_id(procedure: Procedure, gen_id: str) -> str:
    """The id that a variant of `procedure` gets as a procedure: `<project>.<entry>_<the id's first letters>`."""
    letters = "".join(char for char in gen_id.partition("_")[2] if char.isalnum())
    return checked_name(f"{procedure.project}.{procedure.entry}_{letters[:_SHORT]}", "procedure")


def patch(procedure: Procedure, code: str, record: Mapping[str, Any], existing: Collection[str]) -> tuple[str, str]:
    """(name of the patch file, its text): adds `code` as a procedure beside `procedure`.

    `record` is the variant's (`records.records`); `existing` are the ids of all procedures there are. The entry keeps
    its name, which the card says. Raises `DreamflowError` where the variant is a procedure already.
    """
    new_id = promoted_id(procedure, record["gen_id"])
    if new_id in existing:
        raise DreamflowError(f"{record['gen_id']} has been promoted already: it is the procedure {new_id}")
    path = PurePosixPath(procedure.card).parent / new_id.removeprefix(f"{procedure.project}.")
    origin = _origin(procedure, record)
    header = [
        f"{new_id}: a variant of {procedure.procedure_id}",
        "",
        *origin,
        "",
        "Read it, then: git apply <this file>. Edit the description in the card; nothing else depends on it.",
    ]
    added = [_added(f"{path}.py", code), _added(f"{path}.yaml", _card(procedure, record, origin))]
    return f"{new_id}.patch", "\n".join([*map(_commented, header), *added, ""])


def _origin(procedure: Procedure, record: Mapping[str, Any]) -> list[str]:
    """Where a variant comes from and what was found out about it."""
    made_by = f"the model {record['model_id']}" if record["model_id"] else "an operator, without a model"
    lines = [
        f"Dreamt of {procedure.procedure_id} as {record['gen_id']}: {record['description']}",
        f"Made by {made_by}: {record['kind']} at {record['site']}",
        f"Verdict {record['verdict_id']}: {record['why']}",
        f"Reasons: {record['reasons'] or 'none given'}",
        f"Test: {tested(record)}",
    ]
    if record["counterexample"]:
        lines.append(f"Where they differ: {record['counterexample']}")
    return [visible(" ".join(line.split())) for line in lines]


def _commented(line: str) -> str:
    # A comment can be taken for no part of a patch, whatever a model wrote into it.
    return f"# {line}".rstrip()


def _card(procedure: Procedure, record: Mapping[str, Any], origin: list[str]) -> str:
    card = {
        "category": procedure.category,
        "tags": list(procedure.tags),
        "contexts": list(procedure.contexts),
        "description": f"{procedure.description.rstrip('.')}. Variant: {record['description']}",
        "entry": procedure.entry,
        "effects": {call: list(words) for call, words in procedure.effects.items()},
        "fakes": _plain(procedure.fakes),
        "files": dict(procedure.files),
        "inputs": _plain(procedure.inputs),
        "generate": procedure.generate,
    }
    kept = {key: value for key, value in card.items() if value not in ({}, [])}
    matter = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([*map(_commented, origin), matter])


def _plain(value: Any) -> Any:
    """A value in the types that YAML has."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _added(path: str, text: str) -> str:
    """The part of a patch that makes a new file."""
    lines = text.removesuffix("\n").split("\n")
    head = [f"diff --git a/{path} b/{path}", "new file mode 100644", "--- /dev/null", f"+++ b/{path}"]
    return "\n".join([*head, f"@@ -0,0 +1,{len(lines)} @@", *(f"+{line}" for line in lines)])
