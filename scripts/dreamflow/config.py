"""Configuration: YAML checked against JSON Schemas; every complaint names file, line, key and expectation."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from .errors import ConfigError
from .files import read_text

_UPGRADE = re.compile(r"upgrade[._](\w+)")
SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"


def load_yaml(path: Path | str, schema: str) -> dict[str, Any]:
    """The mapping in a YAML file, checked against `config/schemas/<schema>.schema.json`, defaults filled in."""
    text = read_text(path)
    value = parse_document(text, Path(path))
    return check({} if value is None else value, schema, path, text)


def unfolded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which `upgrade_limit: 5` has become `upgrade: {limit: 5}`.

    The command line can set top-level keys only: Snakemake's `--config` takes no dot in a name. It also strips quotes
    from the end of a value, so one that a filter lost there is given back.
    """
    whole = {key: value for key, value in config.items() if not _UPGRADE.fullmatch(key)}
    upgrade = {match[1]: config[key] for key in config if (match := _UPGRADE.fullmatch(key))}
    given = whole.get("upgrade") or {}
    if not upgrade or not isinstance(given, Mapping):
        return whole
    if isinstance(text := upgrade.get("filter"), str):
        opened = ""  # the quotation that is open at the end, if any
        for character in text:
            opened = "" if character == opened else character if not opened and character in "'\"" else opened
        upgrade["filter"] = text + opened
    return {**whole, "upgrade": {**given, **upgrade}}


def check(value: Any, schema: str, where: Path | str, text: str = "") -> dict[str, Any]:
    """A copy of `value` with the schema's defaults; all that is wrong with it comes in one `ConfigError`."""
    try:
        value = json.loads(json.dumps(value, default=str, allow_nan=False))  # as JSON sees it: no YAML dates
    except (TypeError, ValueError) as error:  # a key that is no text, a value that contains itself, NaN
        raise ConfigError(f"{where}: {error}") from None
    validator = _validator(schema)
    _fill_defaults(value, validator.schema, validator.schema)
    errors = sorted(validator.iter_errors(value), key=lambda e: [str(part) for part in e.absolute_path])
    if errors:
        raise ConfigError("\n".join(_describe(error, where, text) for error in errors))
    return value


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    return root["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def _fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    schema = _resolve(schema, root)
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for key, part in properties.items():
        if "default" in part:
            value.setdefault(key, json.loads(json.dumps(part["default"])))
    extra = schema.get("additionalProperties")
    for key, item in value.items():
        part = properties.get(key, extra if isinstance(extra, Mapping) else None)
        if part is not None:
            _fill_defaults(item, part, root)


def _describe(error: jsonschema.ValidationError, where: Path | str, text: str) -> str:
    path = list(error.absolute_path)
    unexpected = _unexpected(error)
    line = _line(text, [*path, *unexpected[:1]])
    key = ".".join(str(part) for part in path) or "(top level)"
    expected = error.schema.get("description", "") if isinstance(error.schema, Mapping) else ""
    hint = ""
    if unexpected:
        known = ", ".join(sorted(error.schema.get("properties", {})))
        hint = f" (known keys: {known})" if known else ""
        expected = ""
    message = error.message if len(error.message) < 300 else error.message[:300] + " …"
    place = f"{where}:{line}" if line else str(where)
    return f"{place}: {key}: {message}{hint}" + (f"; expected: {expected}" if expected else "")


def _unexpected(error: jsonschema.ValidationError) -> list[str]:
    """The keys that a schema does not know, where that is what is wrong."""
    if error.validator != "additionalProperties":
        return []
    return [key for key in error.instance if key not in error.schema.get("properties", {})]


def _line(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) of the node at `path`, or of the deepest part of it that is there."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader) if text else None
    except yaml.YAMLError:  # JSON that is no YAML: indented by tabs
        return None
    if node is None:
        return None
    line = node.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1


# YAML and JSON, both strict about a key that is written twice.


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a repeated key: YAML would keep its last value, and an axis or a rule would silently vanish."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is there twice; delete or merge one",
                        problem_mark=key.start_mark,
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_document(text: str, path: Path) -> Any:
    """The value in the text of a YAML or JSON file (by its suffix); messages have line and column."""
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_unique_keys)
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        kind = "JSON" if path.suffix.lower() == ".json" else "YAML"
        raise ConfigError(f"{place}: not valid {kind}: {getattr(error, 'problem', None) or error}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice; delete or merge one")
    return value
