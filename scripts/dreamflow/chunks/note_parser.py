"""The parser of notes: atomic claims, each of which cites chunks that exist, or the answer is refused.

The text of a `ParseError` is a part of the repair prompt, and so of the key of a stored answer: keep it unchanged.
"""

import json
import re
from collections.abc import Collection, Mapping
from datetime import date

from ..files import pretty
from ..generation.model import Json
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, register
from ..generation.parsers.fences import drop_fence
from ..generation.parsers.json_text import find_json
from ..generation.parsers.placeholders import NOT_FILLED_IN, is_blank_text

_EXAMPLE = "one fact in one sentence"  # of the template
_MOST_NOTES, _LONGEST = 100, 400  # notes of an answer; characters of a claim
_DAY = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")


@register("notes", version=1)
def notes(raw: str, options: Options) -> Parsed:
    """Notes of a cluster, each of which cites chunk ids among the option `ids`; one that does not is an error.

    The result: {"notes": [{"claim", "chunk_ids", "valid_from", "valid_to"}], "superseded": [{"old", "new"}],
    "contradictions": [{"a", "b", "what"}]}, in which numbers are places in the list, from 1. A list may be empty.
    """
    text = drop_fence(drop_thinking(raw)).strip()
    first = next(find_json(text), None)
    if first and first.error:
        raise ParseError(f"a JSON object was expected: {first.error}", text)
    answer = {"notes": first.value} if first and isinstance(first.value, list) else first.value if first else None
    if not isinstance(answer, Mapping) or not isinstance(answer.get("notes"), list):
        raise ParseError('no JSON object with a list "notes"', text)
    items = answer["notes"]
    if len(items) > _MOST_NOTES:
        raise ParseError(f"{len(items)} notes; at most {_MOST_NOTES} are read")
    known = set(options.get("ids", ()))
    found = [_note(item, number, known) for number, item in enumerate(items, 1)]
    result = {
        "notes": found,
        "superseded": [_pair(item, ("old", "new"), len(found)) for item in _list(answer, "superseded")],
        "contradictions": [
            _pair(item, ("a", "b"), len(found)) | {"what": _text(item.get("what"))[:_LONGEST]}
            for item in _list(answer, "contradictions")
        ],
    }
    return Parsed(pretty(result), {name: len(values) for name, values in result.items()})


def _list(answer: Mapping[str, Json], key: str) -> list[Json]:
    items = answer.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise ParseError(f'"{key}" is no list of objects', json.dumps(items, ensure_ascii=False))
    return items


def _note(item: Json, number: int, known: Collection[str]) -> dict[str, Json]:
    where = json.dumps(item, ensure_ascii=False)
    if not isinstance(item, Mapping):
        raise ParseError(f"note {number} is no object", where)
    claim = _text(item.get("claim"))
    if claim.lower() == _EXAMPLE or (claim and is_blank_text(claim)):
        raise ParseError(NOT_FILLED_IN, where)
    if not claim or len(claim) > _LONGEST:
        raise ParseError(f"note {number} needs a claim of at most {_LONGEST} characters", where)
    cited = item.get("chunks")
    ids = [cited] if isinstance(cited, str) else cited
    if not isinstance(ids, list) or not ids:
        raise ParseError(f'note {number} cites no passage under "chunks"', where)
    unknown = [name for name in ids if not isinstance(name, str) or name.strip() not in known]
    if unknown:
        raise ParseError(f"note {number} cites {unknown[0]}, which is none of the passages", where)
    days = {key: _day(item.get(key), key, number) for key in ("from", "until")}
    names = list(dict.fromkeys(name.strip() for name in ids))
    return {"claim": claim, "chunk_ids": names, "valid_from": days["from"], "valid_to": days["until"]}


def _day(value: Json, key: str, number: int) -> str | None:
    text = _text(value)
    if not text:
        return None
    match = _DAY.match(text)
    try:
        date.fromisoformat(f"{match[0]}-01-01"[:10] if match else "")
    except ValueError:
        raise ParseError(f'note {number}: "{key}" is no day, month or year such as 2026-02-22', text) from None
    return match[0]


def _pair(item: Mapping[str, Json], keys: tuple[str, str], most: int) -> dict[str, Json]:
    numbers = [item.get(key) for key in keys]
    places = [int(n) if isinstance(n, str) and n.strip().isdecimal() else n for n in numbers]
    right = all(type(place) is int and 1 <= place <= most for place in places)
    if not right or places[0] == places[1]:
        raise ParseError(
            f'"{keys[0]}" and "{keys[1]}" have to be the numbers of two notes', json.dumps(item, ensure_ascii=False)
        )
    return dict(zip(keys, places, strict=True))


def _text(value: Json) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
