"""The parser for answers that are a JSON object."""

import json as jsonlib
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...errors import ConfigError
from ...files import canonical, pretty
from ..model import Json
from .base import Options, Parsed, ParseError, drop_thinking, on_scale, quoted, register
from .fences import JSON_OPENING
from .json_text import OBJECT, find_json, no_constant, unique_keys
from .placeholders import NOT_FILLED_IN, is_blank_number

_DEEPEST = 100  # far beyond any answer, well below the interpreter's own limit


@register("json", version=1)
def json(raw: str, options: Options) -> Parsed:
    """The first JSON object of the answer, checked against the template's schema and scale."""
    values, text = _first_object(drop_thinking(raw))
    _validate(values, options.get("schema"), text)
    score = values.get("score")
    if isinstance(score, int | float) and not isinstance(score, bool):
        values["score"] = on_scale(score, options, text)
    if isinstance(score, str) and is_blank_number(score):
        raise ParseError(NOT_FILLED_IN, text)
    return Parsed(pretty(values), values)


def _first_object(text: str) -> tuple[dict[str, Json], str]:
    """The first object of a text (after a ```json fence, if there is one) and the text that it was read from."""
    fence = JSON_OPENING.search(text)
    whole, text = text, text[fence.end() :] if fence else text
    strict = {"object_pairs_hook": unique_keys, "parse_constant": no_constant, "parse_float": _finite}
    match = next(find_json(text, OBJECT, **strict), None)
    if match is None:
        raise ParseError("no JSON object", whole)
    if isinstance(match.error, RecursionError) or _depth(match.value) > _DEEPEST:
        raise ParseError(f"a JSON object nested more than {_DEEPEST} levels deep", text[match.start :])
    if match.error is None:
        return match.value, text[match.start : match.end]
    text, error = text[match.start :], match.error
    if isinstance(error, jsonlib.JSONDecodeError):
        at = error.pos - match.start
        if at >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise ParseError("the JSON object is never closed: the answer is cut off", text, end=True)
        error = jsonlib.JSONDecodeError(error.msg, text, at)  # with its position within the object
    raise ParseError(f"a JSON object was expected: {error}", text)


def _depth(value: Json) -> int:
    """The levels of objects and lists of a value."""
    depth, level = 0, [value]
    while level := [node for node in level if isinstance(node, dict | list)]:
        depth += 1
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{quoted(digits)} is too large a number")
    return number


def _validate(values: Mapping[str, Json], schema: Mapping[str, Json] | None, text: str) -> None:
    if schema is None:
        return
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(_validator(canonical(schema)).iter_errors(values))
    except Unresolvable as missing:
        raise ConfigError(f"the schema refers to {missing.ref!r}, which it does not contain") from None
    if error:
        message = error.message  # it begins with the wrong value, which may be long
        message = message if len(message) <= 300 else f"{message[:100]} … {message[-200:]}"
        raise ParseError(f"{error.json_path}: {message}", text)


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:  # a jsonschema validator, whose import is late
    # Imported late: most runs have no JSON answers, and the import takes longer than compiling a plan.
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    content = jsonlib.loads(schema)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        kind.check_schema(content)
    except SchemaError as error:
        raise ConfigError(f"not a JSON Schema: {error.json_path}: {error.message}") from None
    return kind(content, registry=Registry())  # an empty registry fetches nothing from the network
