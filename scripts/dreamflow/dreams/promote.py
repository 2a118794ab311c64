"""Promotion: a viable variant becomes a procedure, through a patch that a person reads and applies.

The patch only adds files, so it cannot overwrite anything: `git apply` refuses it if a file of that name exists.
"""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import yaml

from ..errors import DreamflowError
from ..files import checked_name
from ..generation.model import Json
from ..reports.markdown import visible
from .best import tested
from .procedure import Procedure
from .records import Record

_SHORT = 8  # characters of the variant's id in the new name, of 36 possible ones: enough to avoid collisions


def promoted_id(procedure: Procedure, gen_id: str) -> str:
    """The id of a promoted variant of `procedure`: `<project>.<entry>_<the first letters of its id>`."""
    letters = "".join(char for char in gen_id.partition("_")[2] if char.isalnum())
    return checked_name(f"{procedure.project}.{procedure.entry}_{letters[:_SHORT]}", "procedure")


def patch(procedure: Procedure, code: str, record: Record, existing: Collection[str]) -> tuple[str, str]:
    """(name of the patch file, its text): adds `code` as a procedure beside `procedure`.

    `record` is the variant's record; `existing` are the ids of all procedures. The entry keeps its name, which the card
    gives. Raises `DreamflowError` if the variant is a procedure already.
    """
    new_id = promoted_id(procedure, record.gen_id)
    if new_id in existing:
        raise DreamflowError(f"{record.gen_id} is promoted already: it is the procedure {new_id}")
    path = PurePosixPath(procedure.card).parent / new_id.removeprefix(f"{procedure.project}.")
    origin = _origin(procedure, record)
    header = [
        f"{new_id}: a variant of {procedure.procedure_id}",
        "",
        *origin,
        "",
        "Read it, then run: git apply <this file>. Edit the description in the card; nothing else depends on it.",
    ]
    added = [_added(f"{path}.py", code), _added(f"{path}.yaml", _card(procedure, record, origin))]
    return f"{new_id}.patch", "\n".join([*map(_commented, header), *added, ""])


def _origin(procedure: Procedure, record: Record) -> list[str]:
    """The origin of a variant and its results."""
    author = f"the model {record.model_id}" if record.model_id else "an operator, without a model"
    lines = [
        f"Variant {record.gen_id} of {procedure.procedure_id}: {record.description}",
        f"Written by {author}: {record.kind} at {record.site}",
        f"Verdict {record.verdict_id}: {record.why}",
        f"Reasons: {record.reasons or 'none given'}",
        f"Test: {tested(record)}",
    ]
    if record.counterexample:
        lines.append(f"Difference: {record.counterexample}")
    return [visible(" ".join(line.split())) for line in lines]


def _commented(line: str) -> str:
    # Whatever a model wrote, a comment is not a part of a patch.
    return f"# {line}".rstrip()


def _card(procedure: Procedure, record: Record, origin: list[str]) -> str:
    card = {
        "category": procedure.category,
        "tags": list(procedure.tags),
        "contexts": list(procedure.contexts),
        "description": f"{procedure.description.rstrip('.')}. Variant: {record.description}",
        "entry": procedure.entry,
        "module": procedure.module or (procedure.file if procedure.surroundings else None),
        "neighbours": list(procedure.neighbours),
        "python": procedure.python,
        "effects": {call: list(words) for call, words in procedure.effects.items()},
        "fakes": _plain(procedure.fakes),
        "files": dict(procedure.files),
        "inputs": _plain(procedure.inputs),
        "generate": procedure.generate,
    }
    kept = {key: value for key, value in card.items() if value not in ({}, [], None)}
    matter = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([*map(_commented, origin), matter])


def _plain(value: Json) -> Json:
    """A value in types that YAML can write."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _added(path: str, text: str) -> str:
    """The part of a patch that adds a file."""
    lines = text.removesuffix("\n").split("\n")
    head = [f"diff --git a/{path} b/{path}", "new file mode 100644", "--- /dev/null", f"+++ b/{path}"]
    return "\n".join([*head, f"@@ -0,0 +1,{len(lines)} @@", *(f"+{line}" for line in lines)])
