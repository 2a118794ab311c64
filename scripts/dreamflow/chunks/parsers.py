"""Parsers of chunks and clusters: which units a model grouped, in any of the forms in which models answer.

A model sees a window of a conversation as numbered units. The result is always a list of chunks that partition these
units. No text is taken from an answer, so an instruction inside a conversation cannot drop or change any text.
Mistakes that have only one reading are repaired and counted; all others are errors. The text of a `ParseError` is a
part of the repair prompt, and so of the key of a stored answer: keep it unchanged.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..errors import ConfigError
from ..files import pretty
from ..generation.model import Json
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, register
from ..generation.parsers.fences import drop_fence
from ..generation.parsers.json_text import Found, find_json
from ..generation.parsers.placeholders import NOT_FILLED_IN, is_blank_text

_LISTS = ("chunks", "data", "results", "result", "items", "segments", "topics", "output")
_FIRST = ("from", "first", "start", "begin", "from_unit", "first_unit", "start_unit", "begin_unit")
_LAST = ("to", "last", "end", "stop", "to_unit", "last_unit", "end_unit")
_RANGE = ("units", "range", "unit_range", "unit")
_LABELS = ("labels", "label", "tags", "topics", "topic", "title")
_CONTENT = ("content", "text")
_DESCRIBED = (*_LABELS, "entities", "summary", "description")
_NEW, _SAME = ("new", "yes", True), ("same", "no", False)  # whether a unit begins a topic
_BEGINS = ("begins", "boundaries", "begin")

_NUMBER = re.compile(r"\s*(?:units?\s*)?\[?([0-9]{1,9})\]?\s*", re.I)
_SPAN = re.compile(rf"{_NUMBER.pattern}(?:(?:-|–|—|\.{{2,3}}|:|,|to|至|到){_NUMBER.pattern})?", re.I)
_NO_LIMIT = 10**9  # above the number of any unit
_MAX_BROKEN = 20  # stop after this many places that look like the beginning of JSON and are not
_EXAMPLE = ("two to six words", "at most three sentences")  # of the template: what a theme and a summary consist of
_MAX_NAME, _MAX_THEME, _MAX_SUMMARY = 60, 120, 600  # characters
_MAX_NAMES = 12  # labels, and entities, of a chunk
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.I)
_LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "中文": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de",
    "italian": "it", "japanese": "ja", "日本語": "ja", "korean": "ko", "portuguese": "pt", "russian": "ru",
    "spanish": "es",
}  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """A chunk as the answer gives it. With `last` None it ends where the next chunk begins."""

    first: int
    last: int | None
    about: Mapping[str, Json]
    intact: bool = True


@dataclass
class _Answer:
    """The chunk objects of an answer (or the numbers of `begins`), and the repairs that were needed to read them."""

    objects: list[Json]
    about: Mapping[str, Json]  # the object that contains them
    warnings: list[str]
    complete: bool = True  # False: the JSON is broken or truncated


@register("chunks", version=1)
def chunks(raw: str, options: Options) -> Parsed:
    """Chunks of the units `first` to `last` (options), by unit number, by beginnings, or verbatim.

    Without these options the highest number in the answer is the last unit. `format` is "numbers" ({"chunks": [{"from",
    "to", "labels", …}]}; without "to" a chunk ends where the next begins), "begins" ({"begins": [unit numbers],
    "labels": [one for each chunk]}, or {"7": "new", "9": "same"}) or "verbatim" ({"chunks": [{"content", …}]}; the
    option `units` has the texts). The result: {"chunks": [{first, last, labels, language, entities, summary}],
    "validity": the share of the chunks, plus the surrounding JSON as one more part, that needed no repair}.
    """
    form, first, last = options.get("format", "numbers"), options.get("first", 1), options.get("last", _NO_LIMIT)
    if form not in ("numbers", "begins", "verbatim"):
        raise ConfigError(f"parser chunks: unknown format {form!r}; known: numbers, begins, verbatim")
    if not isinstance(first, int) or not isinstance(last, int) or not 1 <= first <= last:
        raise ConfigError(f"parser chunks: first {first!r} and last {last!r} are not a range of units")
    if form == "verbatim" and len(options.get("units", ())) != last - first + 1:
        raise ConfigError(f"parser chunks: format verbatim needs the option `units`: the texts of units {first}-{last}")
    try:
        return _read(raw, options, first, last, form)
    except RecursionError:
        raise ParseError("an answer that is nested too deeply", raw) from None


def _read(raw: str, options: Options, first: int, last: int, form: str) -> Parsed:
    answer = _find(drop_thinking(raw), form)
    warnings = answer.warnings
    if _is_unfilled(answer):
        raise ParseError(NOT_FILLED_IN, raw)
    if form == "verbatim":
        pieces = _align(answer.objects, first, options["units"], warnings)
    elif form == "begins" and not any(isinstance(item, Mapping) for item in answer.objects):
        pieces = _from_beginnings(answer, first, last)
    else:
        pieces = [_from_range(item, first, last, form) for item in answer.objects]
    if any(a.first > b.first for a, b in pairwise(pieces)):
        warnings.append("chunks out of order")
        pieces.sort(key=lambda piece: piece.first)
    if last == _NO_LIMIT:
        last = max(piece.last or piece.first for piece in pieces)
    json_intact = not warnings
    covered = _partition(pieces, first, last, answer)
    validity = round((sum(piece.intact for piece in covered) + json_intact) / (len(pieces) + 1), 4)
    result = [_chunk(piece, warnings) for piece in covered]
    values = {"chunks": len(result), "validity": validity}
    return Parsed(pretty({"chunks": result, "validity": validity}), values, tuple(dict.fromkeys(warnings)))


def _find(text: str, form: str) -> _Answer:
    """The list of chunks in an answer: in a fence or in prose, under a wrong key, in truncated JSON."""
    keys = _CONTENT if form == "verbatim" else (*_FIRST, *_RANGE)

    def is_chunk(value: Json) -> bool:
        return isinstance(value, Mapping) and any(key in value for key in keys)

    body = drop_fence(text).strip()
    values: list[Found] = []
    broken = 0
    for value in find_json(body):
        if value.error is None:
            values.append(value)
        elif (broken := broken + 1) > _MAX_BROKEN:
            break
    lists = [(place, answer) for place in values if (answer := _list_in(place.value, is_chunk, form)) is not None]
    if any(answer.objects != lists[0][1].objects for _, answer in lists[1:]):
        raise ParseError("several lists of chunks that differ", body)
    if not lists:
        # Objects without a list around them, or the complete objects of a truncated list.
        loose = [place.value for place in values if is_chunk(place.value)]
        if not loose:
            raise ParseError("no JSON list of chunks", text)
        warning = "the JSON is broken: its complete chunks were read" if broken else "chunks without a list around them"
        return _Answer(loose, {}, [warning], complete=not broken)
    place, answer = lists[0]
    if body[: place.start].strip() or body[place.end :].strip():
        answer.warnings.append("words around the JSON")
    return answer


def _list_in(value: Json, is_chunk: Callable[[Json], bool], form: str) -> _Answer | None:
    """The list of chunks in a JSON value, if any, with a warning unless its key is the expected one."""
    if isinstance(value, list):
        return _Answer(value, {}, ["a bare list"]) if value and all(map(is_chunk, value)) else None
    if not isinstance(value, Mapping):
        return None
    if form == "begins":
        key = next((key for key in _BEGINS if isinstance(value.get(key), list)), None)
        if key is not None:
            return _Answer(value[key], value, [] if key == "begins" else [f"the key {key!r}"])
        if value and all(key.isdecimal() and _choice(choice) in (*_NEW, *_SAME) for key, choice in value.items()):
            return _Answer([int(key) for key, choice in value.items() if _choice(choice) in _NEW], value, [])
    if value.get("chunks") == []:
        raise ParseError("the list of chunks is empty", str(value))
    for key in _LISTS:
        inner = _list_in(value[key], is_chunk, form) if isinstance(value.get(key), dict | list) else None
        if inner is not None:
            expected = isinstance(value[key], list) and key in ("chunks", "topics")
            inner.warnings[:] = [] if expected else [f"the list under the key {key!r}"]
            return inner
    return None


def _is_unfilled(answer: _Answer) -> bool:
    """Whether every label, entity and summary of an answer is a placeholder ("…"), as in the example of a template."""
    abouts = [item for item in answer.objects if isinstance(item, Mapping)] or [answer.about]
    written = [text for about in abouts for key in _DESCRIBED for text in _texts(about.get(key))]
    return bool(written) and all(map(is_blank_text, written)) and any(map(str.strip, written))


def _texts(value: Json) -> list[str]:
    return (
        [value]
        if isinstance(value, str)
        else [text for item in value for text in _texts(item)]
        if isinstance(value, list)
        else []
    )


def _choice(value: Json) -> str | bool | None:
    return value.strip().lower() if isinstance(value, str) else value if isinstance(value, bool) else None


def _from_range(item: Mapping[str, Json], first: int, last: int, form: str) -> _Piece:
    """The units of a chunk object. Raises a `ParseError` unless they are in the window."""
    start, start_intact = _number(item, _FIRST)
    end, end_intact = _number(item, _LAST)
    intact = start_intact and end_intact
    if start is None:
        start, end = _span(item)
        intact = False
    numbers = [start] if end is None else [start, end]
    if start is None or numbers != sorted(numbers) or not all(first <= number <= last for number in numbers):
        raise ParseError(f"a chunk that is no range of units {first}-{last}", json.dumps(item, ensure_ascii=False))
    # In the format `begins` a chunk always ends where the next begins.
    return _Piece(start, end, item, intact=intact and (end is not None or form == "begins"))


def _number(item: Mapping[str, Json], keys: Sequence[str]) -> tuple[int | None, bool]:
    """The unit number under the first of `keys` that has a value, and whether it is a plain number at its own key."""
    key = next((key for key in keys if item.get(key) is not None), None)
    if key is None:
        return None, True
    number = _integer(item[key])
    if number is None:
        raise ParseError(f"{key!r} is no unit number", json.dumps(item, ensure_ascii=False))
    return number, type(item[key]) is int and key == keys[0]


def _integer(value: Json) -> int | None:
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        return int(match[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _span(item: Mapping[str, Json]) -> tuple[int | None, int | None]:
    """(first, last) of "units": "12-19", "12", [12, 19] or [12, 13, 14]."""
    value = next((item[key] for key in _RANGE if item.get(key) is not None), None)
    if isinstance(value, str) and (match := _SPAN.fullmatch(value)):
        return int(match[1]), int(match[2] or match[1])
    if not isinstance(value, list):
        return (number := _integer(value)), number
    numbers = [_integer(part) for part in value]
    if numbers and None not in numbers and (len(numbers) == 2 or all(b == a + 1 for a, b in pairwise(numbers))):
        return numbers[0], numbers[-1]
    return None, None


def _from_beginnings(answer: _Answer, first: int, last: int) -> list[_Piece]:
    """Chunks from the list of the unit numbers at which they begin."""
    given = [_integer(value) for value in answer.objects]
    for value, number in zip(answer.objects, given, strict=True):
        if number is None or not first <= number <= last:
            raise ParseError(f"a beginning that is none of the units {first}-{last}", json.dumps(value))
    numbers = sorted({first, *given})
    labels = answer.about.get("labels", [])
    if not isinstance(labels, list) or len(labels) not in (0, len(numbers)):
        answer.warnings.append("the number of labels differs from the number of chunks: labels dropped")
        labels = []
    if given != sorted(set(given)):
        answer.warnings.append("beginnings out of order or repeated")
    abouts = [{"labels": label} for label in labels] or [{}] * len(numbers)
    return [_Piece(n, None, about, intact=given.count(n) <= 1) for n, about in zip(numbers, abouts, strict=True)]


def _partition(pieces: list[_Piece], first: int, last: int, answer: _Answer) -> list[_Piece]:
    """The sorted pieces, repaired so that they partition units `first` to `last`. Raises a `ParseError`."""
    warnings = answer.warnings
    kept = pieces[:1]
    for piece in pieces[1:]:
        if (piece.first, piece.last) == (kept[-1].first, kept[-1].last):
            warnings.append(f"chunk {piece.first}-{piece.last} occurs twice: the first was kept")
            kept[-1] = replace(kept[-1], intact=False)
        else:
            kept.append(piece)
    limits = [*(piece.first - 1 for piece in kept[1:]), last]
    ended = [_with_end(piece, limit, warnings) for piece, limit in zip(kept, limits, strict=True)]
    units = last - first + 1
    missing = units - sum(piece.last - piece.first + 1 for piece in ended)
    if missing and not answer.complete:
        raise ParseError(f"the JSON breaks off, and {missing} units are in none of its complete chunks")
    if 2 * missing > units:
        raise ParseError(f"{missing} of the {units} units are in no chunk")
    if ended[0].first > first:
        warnings.append(f"units {first}-{ended[0].first - 1} are in no chunk: joined to the following one")
        ended[0] = replace(ended[0], first=first, intact=False)
    for place, (piece, limit) in enumerate(zip(ended, limits, strict=True)):
        if limit > piece.last:
            warnings.append(f"units {piece.last + 1}-{limit} are in no chunk: joined to the preceding one")
            ended[place] = replace(piece, last=limit, intact=False)
    return ended


def _with_end(piece: _Piece, limit: int, warnings: list[str]) -> _Piece:
    """The piece with an end up to `limit`, the unit before the next piece. A unit in two chunks begins the second."""
    if limit < piece.first:
        raise ParseError(f"two chunks begin at unit {piece.first}")
    if piece.last is None:
        return replace(piece, last=limit)
    if piece.last > limit + 1:
        raise ParseError(f"chunk {piece.first}-{piece.last} overlaps the next one, which begins at {limit + 1}")
    if piece.last == limit + 1:
        warnings.append(f"unit {piece.last} is in two chunks: it begins the second")
        return replace(piece, last=limit, intact=False)
    return piece


def _align(items: list[Json], first: int, units: Sequence[str], warnings: list[str]) -> list[_Piece]:
    """Find the content of each chunk in the source, after the chunk before it.

    Whitespace is ignored: models add spaces between Chinese and Latin characters and break lines freely. A unit of two
    chunks goes to the chunk that has more of it. A missing speaker header at the beginning of a chunk does no harm.
    """
    edges = [0]  # where each unit begins in the source without whitespace
    for unit in units:
        edges.append(edges[-1] + len(_without_space(unit)))
    source = _without_space("".join(units))
    pieces: list[_Piece] = []
    at = 0
    for item in items:
        content = _without_space(_text(item, _CONTENT))
        if not content:
            warnings.append("a chunk without content: skipped")
            continue
        start = source.find(content, at)
        if start < 0:
            mismatch = _mismatch(content, source, at)
            raise ParseError("not verbatim: this is not in the text, or not in this order", mismatch)
        begin = bisect_right(edges, start) - 1  # the unit in which the content begins
        if edges[begin] < at:  # the chunk before has a part of that unit, too
            begin = _nearest(edges[:-1], start)
        at = start + len(content)
        end = _nearest(edges[1:], at)
        if pieces:
            begin = max(begin, pieces[-1].last - first + 1)
        if end < begin:
            warnings.append("a chunk of less than half a unit: joined to its neighbour")
            continue
        pieces.append(_Piece(first + begin, first + end, item, intact=at in edges))
    if not pieces:
        raise ParseError("no chunk has content")
    return pieces


def _without_space(text: str) -> str:
    return "".join(text.split())


def _nearest(edges: Sequence[int], place: int) -> int:
    """The index of the edge nearest to `place`; the last of equals, as blank units belong to the chunk before them."""
    return min(reversed(range(len(edges))), key=lambda index: abs(edges[index] - place))


def _mismatch(content: str, source: str, at: int) -> str:
    """The part of `content` that differs from the source, with at most 30 characters before it."""
    same = bisect_left(range(1, len(content)), True, key=lambda length: source.find(content[:length], at) < 0)
    return content[max(0, same - 30) :]


def _chunk(piece: _Piece, warnings: list[str]) -> dict[str, Json]:
    about = piece.about
    language = _text(about, ("language", "lang"))
    language = _LANGUAGES.get(language.lower(), language)
    return {
        "first": piece.first,
        "last": piece.last,
        "labels": _names(about, _LABELS, warnings),
        "language": language.lower() if _LANGUAGE.fullmatch(language) else "",
        "entities": _names(about, ("entities",), warnings),
        "summary": _text(about, ("summary", "description"))[:_MAX_SUMMARY],
    }


def _text(about: Mapping[str, Json], keys: Sequence[str]) -> str:
    value = next((about[key] for key in keys if about.get(key) is not None), "")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _names(about: Mapping[str, Json], keys: Sequence[str], warnings: list[str]) -> list[str]:
    """Short names without repetitions (ignoring case), from a list of texts or {"name": …}, or a text with commas."""
    value = next((about[key] for key in keys if about.get(key)), [])
    parts = re.split(r"[,，、;；]", value) if isinstance(value, str) else value if isinstance(value, list) else []
    names: dict[str, str] = {}
    for part in parts:
        name = _text(part if isinstance(part, Mapping) else {"name": part}, ("name", "label", "text"))
        if len(name) > _MAX_NAME:
            warnings.append(f"a name of {len(name)} characters was dropped")
        elif name:
            names.setdefault(name.casefold(), name)
    if len(names) > _MAX_NAMES:
        warnings.append(f"{len(names)} names for a chunk: the first {_MAX_NAMES} were kept")
    return list(names.values())[:_MAX_NAMES]


@register("cluster", version=1)
def cluster(raw: str, options: Options) -> Parsed:
    """Theme, summary and contradictions of a cluster, whose chunk ids must be among the option `ids`.

    The result: {"theme", "summary", "contradictions": [{"a": chunk id, "b": chunk id, "what", "resolved"}]}.
    """
    text = drop_fence(drop_thinking(raw)).strip()
    first = next(find_json(text), None)
    if first and first.error:
        raise ParseError(f"a JSON object was expected: {first.error}", text)
    if first is None or not isinstance(first.value, Mapping):
        raise ParseError("no JSON object", text)
    theme, summary = _text(first.value, ("theme", "topic")), _text(first.value, ("summary",))
    if not theme or len(theme) > _MAX_THEME:
        raise ParseError("no short theme", text)
    if is_blank_text(theme) or theme.lower() == _EXAMPLE[0] or summary.lower() == _EXAMPLE[1]:
        raise ParseError(NOT_FILLED_IN, text)
    items = first.value.get("contradictions") or []
    if not isinstance(items, list):
        raise ParseError("the contradictions are no list", text)
    contradictions = [_contradiction(item, set(options.get("ids", ()))) for item in items]
    result = {"theme": theme, "summary": summary[:_MAX_SUMMARY], "contradictions": contradictions}
    return Parsed(pretty(result), {"contradictions": len(contradictions)})


def _contradiction(item: Json, known: set[str]) -> dict[str, str]:
    where = json.dumps(item, ensure_ascii=False)
    if not isinstance(item, Mapping):
        raise ParseError("a contradiction that is no object", where)
    a, b, what, resolved = (_text(item, (key,)) for key in ("a", "b", "what", "resolved"))
    if not {a, b} <= known:
        raise ParseError("a contradiction between chunks that are not in the cluster", where)
    if a == b or not what:
        raise ParseError("a contradiction needs two chunks and what they disagree on", where)
    return {"a": a, "b": b, "what": what[:_MAX_SUMMARY], "resolved": resolved[:_MAX_SUMMARY]}
