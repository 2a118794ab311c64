"""JSON in the text of an answer: where it begins, and strict rules for its keys and numbers."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from ..model import Json
from .base import quoted

# The brace of an object is followed by a key or by its end, the bracket of a list of objects or lists by a bracket.
# Other brackets belong to prose, code or LaTeX.
OBJECT = re.compile(r'(?<!(?<!\\)\\)\{\s*+["}]')  # no escaped brace
OBJECT_OR_LIST = re.compile(r'\{\s*+["}]|\[\s*+[\[{]')


class Found(NamedTuple):
    """A position in a text where JSON begins: its `value` up to `end`, or the `error` of the decoder."""

    start: int
    end: int
    value: Json
    error: ValueError | RecursionError | None = None


def find_json(text: str, begins: re.Pattern = OBJECT_OR_LIST, **options: Json) -> Iterator[Found]:
    """Yield the outermost JSON values of a text and the positions that only begin like JSON, in order.

    `options` are passed to the decoder. Line breaks inside strings are allowed: small models write them.
    """
    decoder = json.JSONDecoder(strict=False, **options)
    at = 0
    while match := begins.search(text, at):
        start = match.start()
        try:
            value, at = decoder.raw_decode(text, start)
        except ValueError as error:  # also raised for a number with thousands of digits
            at = start + 1
            yield Found(start, at, None, error)
        except RecursionError as error:  # stop here: every inner bracket would be tried
            yield Found(start, len(text), None, error)
            return
        else:
            yield Found(start, at, value)


def unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An `object_pairs_hook` that raises a ValueError for a repeated key."""
    value = dict(pairs)
    if len(value) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {quoted(key)} is there more than once")
    return value


def no_constant(name: str) -> NoReturn:
    """A `parse_constant` that raises a ValueError for NaN and Infinity, which Python accepts and JSON does not."""
    raise ValueError(f"{name} is not a JSON number")
