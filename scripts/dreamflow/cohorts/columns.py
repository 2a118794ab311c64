"""The columns of a cohort's rows: their names, their other names, and where a spec gives them a value."""

from typing import Any

from ..errors import ConfigError, Key, did_you_mean, joined
from .selection import COLUMN
from .spec import CohortSpec
from .spec_language import Rows

ALIASES = {
    "combo": "combo_id",
    "draft_model": "draft_llm",
    "generation_llm": "draft_llm",
    "essay_model": "essay_llm",
    "evaluation_model": "evaluation_llm",
    "draft_template_replicate": "draft_replicate",
    "draft_rep": "draft_replicate",
    "essay_template_replicate": "essay_replicate",
    "essay_rep": "essay_replicate",
    "evaluation_template_replicate": "evaluation_replicate",
    "evaluation_llm_replicate": "evaluation_replicate",
    "evaluation_rep": "evaluation_replicate",
}
FIELDS = (
    *("combo_id", "draft_template", "draft_llm", "draft_replicate"),
    *("essay_template", "essay_llm", "essay_replicate"),
    *("evaluation_template", "evaluation_llm", "evaluation_replicate"),
)
SELECTION_FIELDS = (COLUMN, "evaluation_template", "evaluation_llm", "evaluation_replicate")


def canonical_fields(rows: Rows, spec: CohortSpec, fields: tuple[str, ...]) -> Rows:
    """The rows with the names of `fields`. Raises a `ConfigError` for an unknown column."""
    renamed = rows.renamed(ALIASES)
    if len(set(renamed.fields)) != len(renamed.fields):
        raise ConfigError(f"one field is given under two names (aliases: {ALIASES})", ("axes",))
    unknown = sorted(set(renamed.fields) - set(fields))
    if unknown:
        why = " ('from' takes the place of drafts and essays)" if fields is SELECTION_FIELDS else ""
        message = joined(
            f"unknown field {unknown[0]!r}",
            did_you_mean(unknown[0], fields),
            f"a row can have {', '.join(fields)}{why}",
        )
        raise ConfigError(message, written_at(spec, unknown[0], None))
    return renamed


def written_at(spec: CohortSpec, name: str, value: Any) -> Key:
    """The key at which a spec gives `value` to a field: a level of an axis or a value of a tuple, if it is listed."""
    names = {name, *(alias for alias, field_name in ALIASES.items() if field_name == name)}
    for axis, levels in spec.axes.items():
        if axis in names:
            return ("axes", axis, *_index(levels, value))
    for title, rule in ((spec.rules or {}).get("tuples") or {}).items():
        for column in (place for place, axis in enumerate(rule["axes"]) if axis in names):
            items = rule["items"] if isinstance(rule["items"], list) else []
            number = next((n for n, item in enumerate(items) if item[column] == value), None)
            return ("rules", "tuples", title, "items", *(() if number is None else (number, column)))
    return ("axes", name)


def _index(levels: Any, value: Any) -> tuple[int, ...]:
    return (levels.index(value),) if isinstance(levels, list) and value in levels else ()
