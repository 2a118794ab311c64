"""YAML and JSON files, read strictly (a repeated key is an error), and the line number of a value."""

import json
from pathlib import Path

import yaml

from .errors import ConfigError, Key
from .generation.model import Json


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Raises an error for a repeated key: YAML would silently keep only its last value."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(problem=_twice(key.value), problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_document(text: str, path: Path | str) -> Json:
    """The value in the text of a YAML or JSON file (by suffix). Raises a `ConfigError` with line and column."""
    is_json = Path(path).suffix.lower() == ".json"
    try:
        if is_json:
            return json.loads(text, object_pairs_hook=_unique_keys)
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{path}: values are nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        kind = "JSON" if is_json else "YAML"
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        if mark and "\t" in "".join(text.splitlines()[mark.line : mark.line + 1])[: mark.column + 1]:
            problem = "a tab; YAML indents with spaces only"
        raise ConfigError(f"{place}: not valid {kind}: {problem}") from None


def line_of(text: str, key: Key) -> int | None:
    """The line number (from 1) of the value at `key`, or of the longest part of the key that exists."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader) if text else None
    except (yaml.YAMLError, RecursionError):  # JSON that is not YAML, such as JSON indented by tabs
        return None
    if node is None:
        return None
    line = node.start_mark.line
    for part in key:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(_twice(next(key for key in keys if keys.count(key) > 1)))
    return value


def _twice(key: str) -> str:
    return f"the key {key!r} occurs twice; delete one or merge both"
