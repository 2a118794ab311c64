"""The shapes that exports have in common: how conversations lie in a file."""

from collections.abc import Mapping, Sequence

from ...generation.model import Json
from .values import label_of

_WRAPPERS = ("conversations", "chats", "data", "items", "results")


def conversations_in(value: Json) -> Sequence[Mapping[str, Json]]:
    """The objects of an export: the items of a list, those in a wrapper such as {"conversations": [...]}, or the one
    object that it is."""
    if isinstance(value, dict):
        for key in _WRAPPERS:
            inner = value.get(key)
            if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
                return inner
        return [value]
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else []


def place_of(number: int, item: Mapping[str, Json]) -> str:
    """The place of a conversation in an export, such as "conversation 3 ('Taxes')"."""
    title = label_of(item.get("title")) or label_of(item.get("name")) or ""
    return f"conversation {number}" + (f" ({title[:80]!r})" if title else "")
