"""The parser for answers that are a JSON object."""

import json as jsonlib
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from ...errors import ConfigError
from ...files import canonical, pretty
from .base import Options, Parsed, ParseError, drop_thinking, on_scale, quoted, register

# In an object the brace is followed by a key or by its end; other braces belong to prose, code or LaTeX.
_START = re.compile(r'\{\s*+["}]')
_TOKEN = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_FENCE = re.compile(r"^[^\S\n]*+```[^\S\n]*+json\b", re.I | re.M)
_DEEPEST = 100  # far beyond any answer, well below the interpreter's own limit


class _NotJson(ValueError):
    """Something that Python's decoder would accept although it is not JSON, or is not one value."""


@register("json", version=1)
def json(raw: str, options: Options) -> Parsed:
    """The first JSON object of the answer, checked against the template's schema and scale."""
    text = _first_object(drop_thinking(raw))
    try:
        values = _decoder.decode(text)
    except ValueError as error:
        raise ParseError(f"a JSON object was expected: {error}", text) from None
    _validate(values, options.get("schema"), text)
    score = values.get("score")
    if isinstance(score, int | float) and not isinstance(score, bool):
        values["score"] = on_scale(score, options, text)
    return Parsed(pretty(values), values)


def _first_object(text: str) -> str:
    """The first balanced {…} that begins like an object; braces inside its strings do not count."""
    fence = _FENCE.search(text)
    start, depth, in_string = None, 0, False
    for token in _TOKEN.finditer(text, fence.end() if fence else 0):
        mark = token[0]
        if start is None:
            if mark == "{" and _START.match(text, token.start()):
                start, depth = token.start(), 1
        elif mark == '"':
            in_string = not in_string
        elif in_string or len(mark) > 1:
            continue
        elif mark in "{[":
            depth += 1
            if depth > _DEEPEST:
                raise ParseError(f"a JSON object nested more than {_DEEPEST} levels deep", text[start:])
        else:
            depth -= 1
            if not depth:
                return text[start : token.end()]
    if start is not None:
        raise ParseError("the JSON object is never closed: the answer is cut off", text[start:], end=True)
    raise ParseError("no JSON object", text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _NotJson(f"key {quoted(key)} is there more than once")
    return result


def _constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not a JSON number")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _NotJson(f"{quoted(digits)} is too large a number")
    return number


# strict=False: small models break lines inside strings, and nothing is ambiguous about that.
_decoder = jsonlib.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, strict=False)


def _validate(values: Mapping[str, Any], schema: Mapping[str, Any] | None, text: str) -> None:
    if schema is None:
        return
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(_validator(canonical(schema)).iter_errors(values))
    except Unresolvable as missing:
        raise ConfigError(f"the schema refers to {missing.ref!r}, which is not in it") from None
    if error:
        raise ParseError(f"{error.json_path}: {_expectation(error.message)}", text)


def _expectation(message: str) -> str:
    """jsonschema's message, which begins with the offending value at any length, cut to its telling end."""
    return message if len(message) <= 300 else f"{message[:100]} … {message[-200:]}"


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    # Imported late: most runs have no JSON answers, and the import costs more than a whole plan.
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    content = jsonlib.loads(schema)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        kind.check_schema(content)
    except SchemaError as error:
        raise ConfigError(f"not a JSON Schema: {error.json_path}: {error.message}") from None
    return kind(content, registry=Registry())  # an empty registry: nothing is fetched from the network
