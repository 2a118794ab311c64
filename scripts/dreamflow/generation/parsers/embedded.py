"""JSON that stands somewhere in an answer."""

import json
import re
from collections.abc import Iterator
from typing import Any

# An object begins with a key, a list of objects with an object; other brackets belong to prose or to code.
_START = re.compile(r'\{\s*+["}]|\[\s*+\{')


def json_values(text: str, **options: Any) -> Iterator[tuple[int, int, Any]]:
    """(start, end, value) of the JSON objects and lists of objects in a text, the outer ones only.

    `options` go to the decoder. Line breaks inside strings are allowed, since small models write them.
    """
    decoder = json.JSONDecoder(strict=False, **options)
    at = 0
    while found := _START.search(text, at):
        try:
            value, at = decoder.raw_decode(text, found.start())
        except ValueError:
            at = found.start() + 1
        except RecursionError:  # nobody nests an answer so deep, and every bracket inside would be tried
            return
        else:
            yield found.start(), at, value
