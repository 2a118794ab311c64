"""Values in the JSON of exports, as texts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from ...generation.model import Json

SURROGATE = re.compile("[\ud800-\udfff]")


def time_of(value: Json) -> str | None:
    """Seconds or milliseconds since 1970 as ISO 8601; text stays unchanged."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        except (OverflowError, ValueError, OSError):
            return None
    return label_of(value)


def label_of(value: Json) -> str | None:
    """A text or number (such as an id) on one line; None for other types."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return SURROGATE.sub("\ufffd", " ".join(str(value).split())) or None


def object_in(value: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The object at a key; an empty one if there is none."""
    return value[key] if isinstance(value.get(key), dict) else {}
