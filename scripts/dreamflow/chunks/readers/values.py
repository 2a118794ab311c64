"""Values in the JSON of exports, as texts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from ...generation.model import Json

SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[0-9]{9,13}(?:\.[0-9]+)?")
_MONGO = ("$date", "$numberLong", "$timestamp", "seconds", "_seconds")
_WRITTEN = ("%B %d, %Y %I:%M%p", "%b %d, %Y %I:%M%p", "%Y-%m-%d@%Hh%Mm%Ss", "%Y-%m-%d @%Hh %Mm %Ss")


def time_of(value: Json) -> str | None:
    """Seconds, milliseconds or microseconds since 1970 as ISO 8601, also in a text and as databases wrap them; other
    text stays unchanged."""
    if isinstance(value, dict):
        return next((time_of(value[key]) for key in _MONGO if key in value), None)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        while abs(value) > 1e11:
            value /= 1000
        try:
            return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        except (OverflowError, ValueError, OSError):
            return None
    return label_of(value)


def written_time(value: Json) -> str | None:
    """`time_of`, and "February 3, 2025 10:15pm" or "2025-02-03@10h15m30s" as ISO 8601 without a time zone."""
    if isinstance(value, str):
        text = re.sub(r" ?\d+ms$", "", " ".join(value.split()))
        for pattern in _WRITTEN:
            try:
                return datetime.strptime(text, pattern).isoformat()  # the source names no time zone
            except ValueError:
                continue
    return time_of(value)


def seconds_of(value: Json) -> float | None:
    """A time as `time_of` reads it, in seconds since 1970, to compare times; None if it is no time."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value)
        while abs(value) > 1e11:
            value /= 1000
        return value
    text = time_of(value)
    try:
        read = datetime.fromisoformat(text or "")
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def label_of(value: Json) -> str | None:
    """A text or number (such as an id) on one line; None for other types."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return SURROGATE.sub("\ufffd", " ".join(str(value).split())) or None


def first_label(value: Mapping[str, Json], *keys: str) -> str:
    """The label at the first of the keys that has one, else ""."""
    return next((label for key in keys if key in value and (label := label_of(value[key]))), "")


def object_in(value: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The object at a key; an empty one if there is none."""
    return value[key] if isinstance(value.get(key), dict) else {}


def list_in(value: Mapping[str, Json], key: str) -> list[Json]:
    """The list at a key; an empty one if there is none."""
    return value[key] if isinstance(value.get(key), list) else []


def objects_in(value: Mapping[str, Json], key: str) -> list[Mapping[str, Json]]:
    """The objects in the list at a key; none if there is no list."""
    return [item for item in value[key] if isinstance(item, dict)] if isinstance(value.get(key), list) else []


def joined(*parts: str | None) -> str:
    """The parts that are not empty, each on lines of its own."""
    return "\n".join(part for part in parts if part)
