"""Settings from several layers: defaults, files, and what was said on the command line."""

import json
from pathlib import Path


def merge(base: dict, extra: dict, where: str = "") -> dict:
    """`base` with the values of `extra`; objects are merged key by key, everything else is replaced.

    None removes a key. Raises TypeError where one layer has an object and the other a plain value.
    """
    result = dict(base)
    for key, value in extra.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(old, dict) and isinstance(value, dict):
            result[key] = merge(old, value, f"{where}{key}.")
        elif old is not None and isinstance(old, dict) != isinstance(value, dict):
            raise TypeError(f"{where}{key}: an object in one layer, a plain value in another")
        else:
            result[key] = value
    return result


def as_value(text: str) -> object:
    """A setting from the command line: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def merge_settings(
    layers: list[str], overrides: list[str] | None = None, required: tuple[str, ...] = (), target: str = ""
) -> dict:
    """The settings of JSON files, later ones first in rank, then of overrides such as 'server.port=8080'.

    Files that are missing are skipped, except the first. Raises KeyError for a required key that is not there or is
    empty, ValueError for an override without '='. With `target`, the result is written there too.
    """
    settings = {}
    overrides = overrides or []
    for number, name in enumerate(layers):
        path = Path(name)
        if number > 0 and not path.exists():
            continue
        settings = merge(settings, json.loads(path.read_text(encoding="utf-8")))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"not key=value: {override}")
        value = as_value(text)
        for part in reversed(key.strip().split(".")):
            value = {part: value}
        settings = merge(settings, value)
    missing = [key for key in required if settings.get(key) in (None, "", {})]
    if missing:
        raise KeyError(f"settings without {', '.join(missing)}")
    if target:
        Path(target).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return settings
