"""Configuration: YAML checked against pydantic models. Every message names file, line, key and what is expected."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from .errors import ConfigError, DreamflowError, Key, did_you_mean, dotted, joined
from .files import read_text
from .yaml_file import line_of, parse_document

T = TypeVar("T")
M = TypeVar("M", bound="Section")


class Section(BaseModel):
    """A section of a configuration file. Unknown keys are errors, and no value is converted to another type."""

    # Built on first use: a project of cohorts alone does not pay for the models of the other families.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True, protected_namespaces=())

    def as_dict(self) -> dict[str, Any]:
        """A copy as plain JSON values with the keys of the file; optional keys that were not given are absent."""
        fields = type(self).model_fields
        return {
            fields[name].alias or name: _plain(value)
            for name, value in self
            if name in fields and (value is not None or name in self.model_fields_set)  # not: cached properties
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# Types of values.


class _NotNull:
    """The annotation allows None only as the default, for a key that is not given; a file must not say null."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable) -> Any:
        return handler(source)["schema"]


def _as_written(value: Any, validate: Callable) -> Any:
    validate(value)
    return value  # 1 stays 1: as a float it would be another value in plan rows and store keys


def _no_repeats(values: list) -> list:
    repeated = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if repeated is not None:
        raise PydanticCustomError("repeated", "{shown} occurs twice; delete one", {"shown": show(repeated)})
    return values


def _cycle(value: Any) -> Any:
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise PydanticCustomError("cycle", "{shown} is not a whole number from 1, or auto", {"shown": show(value)})
    return value


NO_REPEATS = AfterValidator(_no_repeats)
AS_WRITTEN = WrapValidator(_as_written)
Optional = Annotated[T | None, _NotNull()]
Different = Annotated[list[T], Field(min_length=1), NO_REPEATS]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0), AS_WRITTEN]
NotNegative = Annotated[float, Field(ge=0), AS_WRITTEN]
Share = Annotated[float, Field(ge=0, le=1), AS_WRITTEN]


Cycle = Annotated[  # "auto": see `cycles`
    int | str,
    PlainValidator(_cycle),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]


# Checking.


def load_yaml(path: Path | str, model: type[M]) -> M:
    """The content of a YAML file as an instance of `model`; an empty file is an empty mapping."""
    text = read_text(path)
    value = parse_document(text, path)
    return check({} if value is None else value, model, path, text)


def check(value: Any, model: type[M], where: Path | str, text: str = "") -> M:
    """`value` as an instance of `model`. Raises one ConfigError with all mistakes; `text` is what `where` contains."""
    return check_placed(value, model, lambda key: place(where, text, key), where)


def check_placed(value: Any, model: type[M], placed: Callable[[Key], str], where: Path | str) -> M:
    """As `check`, with `placed` giving the file and line of a key."""
    try:
        value = json.loads(json.dumps(value, default=str, allow_nan=False))  # as JSON has it: dates become text
    except (TypeError, ValueError, RecursionError) as error:  # keys that are not text, a value inside itself, NaN
        raise ConfigError(f"{where}: {error}", placed=True) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        schema = model.model_json_schema()
        problems = [_problem(one, value, schema) for one in error.errors(include_url=False)]
    lines = [f"{placed(key)}: {dotted(key) or '(top level)'}: {message}" for key, message in sorted(problems, key=str)]
    raise ConfigError("\n".join(lines), placed=True)


def place(where: Path | str, text: str, key: Key) -> str:
    """`file:line` of a key in a file with this text; the file alone if the line is not known."""
    line = line_of(text, key)
    return f"{where}:{line}" if line else str(where)


@contextmanager
def in_file(path: Path | str) -> Iterator[None]:
    """Add file and line to an error that is raised in this block and names only its key, or nothing."""
    try:
        yield
    except DreamflowError as error:
        key = error.key if isinstance(error, ConfigError) else ()
        if isinstance(error, ConfigError) and error.placed:
            raise
        text = read_text(path) if key and Path(path).is_file() else ""
        raise ConfigError(f"{place(path, text, key)}: {error}", placed=True) from None


@contextmanager
def under(*key: str | int) -> Iterator[None]:
    """Put these parts before the key of a ConfigError that is raised in this block."""
    try:
        yield
    except ConfigError as error:
        if error.placed:
            raise
        raise ConfigError(error.message, (*key, *error.key)) from None


# Messages.

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _problem(error: Mapping[str, Any], value: Any, schema: Mapping[str, Any]) -> tuple[Key, str]:
    """The key of the value that pydantic complains of, and what is wrong with it and expected of it."""
    kind, given, limits = error["type"], error["input"], error.get("ctx", {})
    is_key = error["loc"][-1:] == ("[key]",)
    key, node, above, expected = _walk(error["loc"], value, schema)
    if kind == "extra_forbidden":
        return key, _unknown_key(key[-1], list(above.get("properties", {})))
    if kind == "missing":
        return key[:-1], _ending(f"{key[-1]!r} is missing", expected)
    if is_key and kind == "literal_error":
        return key, _unknown_key(key[-1], above["propertyNames"]["enum"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):  # which of several forms a mapping has
        tags = list(node.get("discriminator", {}).get("mapping", {}))
        tag = given.get(limits["discriminator"].strip("'")) if isinstance(given, Mapping) else None
        name = limits["discriminator"].strip("'")
        if tag is None:
            return key, _ending(f"{name!r} is missing; known: {', '.join(tags)}", expected)
        return (*key, name), _one_of(tag, tags)
    shown = show(given)
    if kind == "too_short" and not given:
        is_optional = bool(key) and key[-1] not in above.get("required", ()) and isinstance(key[-1], str)
        what = "the list is empty" if isinstance(given, list) else "the mapping is empty"
        return key, _ending(
            f"{what}; name at least one, {'or delete the key' if is_optional else 'or it can do nothing'}", expected
        )
    if kind == "literal_error":
        return key, _ending(_one_of(given, node.get("enum") or [node.get("const")]), expected)
    texts = {
        "greater_than_equal": f"{shown} is below the minimum of {limits.get('ge', 0):g}",
        "less_than_equal": f"{shown} is above the maximum of {limits.get('le', 0):g}",
        "greater_than": f"{shown} must be greater than {limits.get('gt', 0):g}",
        "less_than": f"{shown} must be less than {limits.get('lt', 0):g}",
        "string_too_short": "the text is empty",
        "too_short": f"{shown} has too few entries: the minimum is {limits.get('min_length')}",
        "string_pattern_mismatch": f"{shown} does not match {limits.get('pattern')}",
    }
    if kind in _KINDS and given is None and key:
        return key, _ending(f"the key has no value; give it one ({_KINDS[kind]}), or delete it", expected)
    if kind in _KINDS:
        return key, _ending(f"{shown} is not {_KINDS[kind]}", expected)
    return key, _ending(texts.get(kind, error["msg"]), expected)


def _walk(loc: Sequence[Any], value: Any, schema: Mapping[str, Any]) -> tuple[Key, Mapping, Mapping, str]:
    """pydantic's path as a key of the file, the JSON Schema of the value there, that of the mapping around it, and the
    description of the value or, if it has none, of what it is a part of."""
    key: list[Any] = []
    node = above = _resolved(schema, value, schema)
    expected = ""
    for number, part in enumerate(loc):
        is_last = number == len(loc) - 1
        if isinstance(value, Mapping) and (part in value or (is_last and part != "[key]")):
            above, value = node, value.get(part)
            node = node.get("properties", {}).get(part) or _of_any_key(node)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value, node = value[part], node.get("items") or {}
        else:
            continue  # the tag of one of several forms, which is not written in the file
        key.append(part)
        node = _resolved(node, value, schema)
        expected = node.get("description", expected)
    return tuple(key), node, above, expected


def _of_any_key(node: Mapping[str, Any]) -> Any:
    """The JSON Schema of the values of a mapping with free keys."""
    return next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties") or {})


def _resolved(node: Any, value: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node of a JSON Schema without references: with its own description, and the form that `value` has."""
    if not isinstance(node, Mapping):
        return {}
    if "$ref" in node:
        node = {**schema["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
    form = node.get("discriminator", {})
    tag = value.get(form.get("propertyName")) if isinstance(value, Mapping) else None
    if isinstance(tag, str) and tag in form.get("mapping", {}):
        return _resolved({"$ref": form["mapping"][tag]}, value, schema)
    return node


def _unknown_key(name: Any, known: list[str]) -> str:
    return joined("unknown key", did_you_mean(name, known), f"known keys: {', '.join(sorted(known)) or 'none'}")


def _one_of(given: Any, known: list[str]) -> str:
    return joined(f"{show(given)} is not one of {', '.join(map(str, known))}", did_you_mean(given, map(str, known)))


def _ending(message: str, expected: str) -> str:
    expected = expected.partition(". ")[0].rstrip(".")  # the first sentence; the README has the others
    return joined(message, f"expected: {expected}" if expected else "")


def show(value: Any) -> str:
    """A value as it would stand in a file, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:120] + " ..."
