"""Parsers of chunkings: which units a model put together, in any of the forms in which models say it.

A window of a conversation is shown to the model as numbered units. Whatever the answer, the result is a list of
chunks that partition these units: text is never taken from an answer, so no instruction inside a conversation can
drop or change any of it. What can be read in one way only is repaired and counted; the rest is refused.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from ..errors import ConfigError
from ..files import pretty
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, register
from ..generation.parsers.fences import drop_fence
from ..generation.parsers.json_text import Found, find_json

_LISTS = ("chunks", "data", "results", "result", "items", "segments", "topics", "output")
_FIRST = ("from", "first", "start", "begin", "from_unit", "first_unit", "start_unit", "begin_unit")
_LAST = ("to", "last", "end", "stop", "to_unit", "last_unit", "end_unit")
_RANGE = ("units", "range", "unit_range", "unit")
_LABELS = ("labels", "label", "tags", "topics", "topic", "title")
_CONTENT = ("content", "text")
_NEW, _SAME = ("new", "yes", True), ("same", "no", False)  # said of a unit: does it begin a topic?
_CHOICES = (*_NEW, *_SAME)
_BEGINS = ("begins", "boundaries", "begin")

_NUMBER = re.compile(r"\s*(?:units?\s*)?\[?([0-9]{1,9})\]?\s*", re.I)
_SPAN = re.compile(rf"{_NUMBER.pattern}(?:(?:-|–|—|\.{{2,3}}|:|,|to|至|到){_NUMBER.pattern})?", re.I)
_ANY = 10**9  # more than any unit's number
_BROKEN = 20  # places where JSON may begin and does not, after which an answer is given up
_LONGEST = {"label": 60, "summary": 600}  # characters; longer ones are no labels and no sentences
_MOST = 12  # labels or entities of a chunk
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.I)
_LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "中文": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de",
    "italian": "it", "japanese": "ja", "日本語": "ja", "korean": "ko", "portuguese": "pt", "russian": "ru",
    "spanish": "es",
}  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """A chunk as an answer has it. `last` is None where the next chunk's beginning ends it."""

    first: int
    last: int | None
    about: Mapping[str, Any]
    intact: bool = True


@dataclass
class _Answer:
    """Chunk objects (or the bare numbers of `begins`) of an answer, and what had to be repaired to get at them."""

    objects: list[Any]
    about: Mapping[str, Any]  # the object that holds them
    warnings: list[str]
    whole: bool = True  # False: the JSON is broken or cut off


@register("chunks", version=1)
def chunks(raw: str, options: Options) -> Parsed:
    """Chunks of the units `first` to `last` (options), by unit number, by beginnings, or verbatim.

    Without these options, to look at an answer alone, the units are those up to the highest number that it names.
    `format` is "numbers" ({"chunks": [{"from", "to", "labels", …}]}; without "to" a chunk ends where the next
    begins), "begins" ({"begins": [unit numbers], "labels": [one for each chunk]}, or {"7": "new", "9": "same"}) or
    "verbatim" ({"chunks": [{"content", …}]}; `units` has the texts). The value: {"chunks": [{first, last, labels,
    language, entities, summary}], "validity": share of the answer's chunks, its frame counted as one more, that
    needed no repair}.
    """
    first, last, form = _checked(options)
    try:
        return _read(raw, options, first, last, form)
    except RecursionError:
        raise ParseError("an answer that is nested too deeply", raw) from None


def _read(raw: str, options: Options, first: int, last: int, form: str) -> Parsed:
    answer = _find(drop_thinking(raw), form)
    warnings = answer.warnings
    if form == "verbatim":
        pieces = _aligned(answer.objects, first, options["units"], warnings)
    elif form == "begins" and not any(isinstance(item, Mapping) for item in answer.objects):
        pieces = _begins(answer, first, last, warnings)
    else:
        pieces = [_ranged(item, first, last, form) for item in answer.objects]
    if any(a.first > b.first for a, b in pairwise(pieces)):
        warnings.append("chunks out of order")
        pieces.sort(key=lambda piece: piece.first)
    if last == _ANY:
        last = max(piece.last or piece.first for piece in pieces)
    claimed, frame_intact = len(pieces), not warnings
    covered = _partition(pieces, first, last, answer, warnings)
    intact = sum(piece.intact for piece in covered) + frame_intact
    validity = round(intact / (claimed + 1), 4)
    result = [_described(piece, warnings) for piece in covered]
    values = {"chunks": len(result), "validity": validity}
    return Parsed(pretty({"chunks": result, "validity": validity}), values, tuple(dict.fromkeys(warnings)))


def _checked(options: Options) -> tuple[int, int, str]:
    form = options.get("format", "numbers")
    first, last = options.get("first", 1), options.get("last", _ANY)
    if form not in ("numbers", "begins", "verbatim"):
        raise ConfigError(f"parser chunks: format {form!r}; known: numbers, begins, verbatim")
    if not isinstance(first, int) or not isinstance(last, int) or not 1 <= first <= last:
        raise ConfigError(f"parser chunks: first {first!r} and last {last!r} are not the units of a window")
    if form == "verbatim" and len(options.get("units", ())) != last - first + 1:
        raise ConfigError(f"parser chunks: the format verbatim needs the texts of units {first}-{last} (units)")
    return first, last, form


def _find(text: str, form: str) -> _Answer:
    """The chunk list of an answer: in a fence or in prose, under a wrong key, in JSON that breaks off."""
    body = drop_fence(text).strip()
    values: list[Found] = []
    broken = 0
    for one in find_json(body):
        if one.error is None:
            values.append(one)
        elif (broken := broken + 1) > _BROKEN:
            break
    is_chunk = partial(_is_chunk, keys=_CONTENT if form == "verbatim" else (*_FIRST, *_RANGE))
    found = [(one, answer) for one in values if (answer := _listed(one.value, is_chunk, form)) is not None]
    if any(answer.objects != found[0][1].objects for _, answer in found[1:]):
        raise ParseError("several lists of chunks that differ", body)
    if not found:
        # One object after another without a list around them, or what is complete of a list that breaks off.
        loose = [one.value for one in values if is_chunk(one.value)]
        if not loose:
            raise ParseError("no JSON list of chunks", text)
        what = "the JSON is broken: its complete chunks were read" if broken else "chunks without a list around them"
        return _Answer(loose, {}, [what], whole=not broken)
    place, answer = found[0]
    if body[: place.start].strip() or body[place.end :].strip():
        answer.warnings.append("words around the JSON")
    return answer


def _is_chunk(value: Any, keys: Sequence[str]) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in keys)


def _listed(value: Any, is_chunk: Any, form: str) -> _Answer | None:
    """The list in a JSON value, if there is one, with a warning unless it stands under its right key."""
    if isinstance(value, list):
        if value and all(map(is_chunk, value)):
            return _Answer(value, {}, ["a bare list"])
        return None
    if not isinstance(value, Mapping):
        return None
    if form == "begins":
        key = next((key for key in _BEGINS if isinstance(value.get(key), list)), None)
        if key is not None:
            return _Answer(value[key], value, [] if key == "begins" else [f"the key {key!r}"])
        if value and all(key.isdecimal() and _choice(choice) in _CHOICES for key, choice in value.items()):
            return _Answer([int(key) for key, choice in value.items() if _choice(choice) in _NEW], value, [])
    if value.get("chunks") == []:
        raise ParseError("the list of chunks is empty", str(value))
    for key in _LISTS:
        inner = _listed(value[key], is_chunk, form) if isinstance(value.get(key), dict | list) else None
        if inner is not None:
            plain = isinstance(value[key], list) and key in ("chunks", "topics")
            inner.warnings[:] = [] if plain else [f"the list under the key {key!r}"]
            return inner
    return None


def _choice(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value if isinstance(value, bool) else None


def _ranged(item: Mapping[str, Any], first: int, last: int, form: str) -> _Piece:
    """The units that a chunk object names; refused if they are not in the window."""
    start, start_plain = _number(item, _FIRST)
    end, end_plain = _number(item, _LAST)
    plain = start_plain and end_plain
    if start is None:
        start, end = _span(item)
        plain = False
    named = [start] if end is None else [start, end]
    if start is None or named != sorted(named) or not all(first <= number <= last for number in named):
        raise ParseError(f"a chunk that is no range of units {first}-{last}", json.dumps(item, ensure_ascii=False))
    # In the short format a chunk always ends where the next begins.
    return _Piece(start, end, item, intact=plain and (end is not None or form == "begins"))


def _number(item: Mapping[str, Any], keys: Sequence[str]) -> tuple[int | None, bool]:
    """The unit number under the first of `keys` that is there, and whether it needed no reading."""
    key = next((key for key in keys if item.get(key) is not None), None)
    value = item.get(key) if key else None
    if value is None:
        return None, True
    number = _integer(value)
    if number is None:
        raise ParseError(f"{key!r} is no unit number", json.dumps(item, ensure_ascii=False))
    return number, type(value) is int and key == keys[0]


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value)):
        return int(match[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _span(item: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(first, last) of "units": "12-19", "12", [12, 19] or [12, 13, 14]."""
    value = next((item[key] for key in _RANGE if item.get(key) is not None), None)
    if isinstance(value, str) and (match := _SPAN.fullmatch(value)):
        return int(match[1]), int(match[2] or match[1])
    if isinstance(value, list):
        numbers = [_integer(part) for part in value]
        if numbers and None not in numbers and (len(numbers) == 2 or all(b == a + 1 for a, b in pairwise(numbers))):
            return numbers[0], numbers[-1]
        return None, None
    number = _integer(value)
    return number, number


def _begins(answer: _Answer, first: int, last: int, warnings: list[str]) -> list[_Piece]:
    """Chunks from a list of the unit numbers at which they begin."""
    read = []
    for value in answer.objects:
        number = _integer(value)
        if number is None or not first <= number <= last:
            raise ParseError(f"a beginning that is none of the units {first}-{last}", json.dumps(value))
        read.append(number)
    numbers = sorted({first, *read})
    labels = answer.about.get("labels", [])
    if not isinstance(labels, list) or len(labels) not in (0, len(numbers)):
        warnings.append("there is not one label for each chunk: labels dropped")
        labels = []
    if read != sorted(set(read)):
        warnings.append("beginnings out of order or repeated")
    counts = {number: read.count(number) for number in numbers}
    abouts = [{"labels": label} for label in labels] or [{}] * len(numbers)
    return [_Piece(n, None, about, intact=counts[n] <= 1) for n, about in zip(numbers, abouts, strict=True)]


def _partition(pieces: list[_Piece], first: int, last: int, answer: _Answer, warnings: list[str]) -> list[_Piece]:
    """The pieces, which are in order, repaired so that they partition units `first` to `last`; or a `ParseError`."""
    kept = pieces[:1]
    for piece in pieces[1:]:
        if (piece.first, piece.last) == (kept[-1].first, kept[-1].last):
            warnings.append(f"chunk {piece.first}-{piece.last} is there twice: the first was taken")
            kept[-1] = replace(kept[-1], intact=False)
        else:
            kept.append(piece)
    ended = [_ended(piece, after, last, warnings) for piece, after in zip(kept, [*kept[1:], None], strict=True)]
    missing = last - first + 1 - sum(piece.last - piece.first + 1 for piece in ended)
    if missing and not answer.whole:
        raise ParseError(f"the JSON breaks off, and {missing} units are in none of its complete chunks")
    if 2 * missing > last - first + 1:
        raise ParseError(f"{missing} of the {last - first + 1} units are in no chunk")
    result = []
    if ended[0].first > first:
        warnings.append(f"units {first}-{ended[0].first - 1} are in no chunk: joined to the following one")
        ended[0] = replace(ended[0], first=first, intact=False)
    for piece, after in zip(ended, [*ended[1:], None], strict=True):
        end = after.first - 1 if after else last
        if end > piece.last:
            warnings.append(f"units {piece.last + 1}-{end} are in no chunk: joined to the preceding one")
            piece = replace(piece, last=end, intact=False)
        result.append(piece)
    return result


def _ended(piece: _Piece, after: _Piece | None, last: int, warnings: list[str]) -> _Piece:
    """The piece with an end before the next one begins. Two chunks may share one unit: it begins the second."""
    limit = after.first - 1 if after else last
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


def _aligned(items: list[Any], first: int, units: Sequence[str], warnings: list[str]) -> list[_Piece]:
    """Chunks whose contents were found in the source, each after the one before.

    Whitespace is left out of the comparison altogether: models add spaces between Chinese and Latin characters and
    break lines as they like, and no text is taken from the answer. A unit of two chunks goes to the one that has more
    of it. A speaker's header that is left out at the beginning of a chunk does no harm.
    """
    edges = [0]  # where each unit begins in the source without whitespace
    for unit in units:
        edges.append(edges[-1] + len(_bare(unit)))
    source = _bare("".join(units))
    pieces: list[_Piece] = []
    at = 0
    for item in items:
        content = _bare(_text(item, _CONTENT))
        if not content:
            warnings.append("a chunk without content: passed over")
            continue
        start = source.find(content, at)
        if start < 0:
            raise ParseError(
                "not verbatim: this is not in the text, or not in this order", _strange(content, source, at)
            )
        begin = bisect_right(edges, start) - 1  # the unit in which it begins
        if edges[begin] < at:  # the chunk before has a part of that unit, too
            begin = _nearest(edges, start, 0)
        at = start + len(content)
        end = _nearest(edges, at, 1)
        if pieces:
            begin = max(begin, pieces[-1].last - first + 1)
        if end < begin:
            warnings.append("a chunk of less than half a unit: joined to its neighbour")
            continue
        pieces.append(_Piece(first + begin, first + end, item, intact=at in edges))
    if not pieces:
        raise ParseError("no chunk has content")
    return pieces


def _bare(text: str) -> str:
    return "".join(text.split())


def _nearest(edges: list[int], place: int, end: int) -> int:
    """The index of the unit that begins (or, with `end` 1, ends) nearest to `place`.

    Units of nothing but whitespace have both edges in one place: they belong to the chunk that is before them.
    """
    indices = range(len(edges) - 1)
    return min(reversed(indices), key=lambda index: abs(edges[index + end] - place))


def _strange(content: str, source: str, at: int) -> str:
    """The part of `content` where it leaves the source, with a few characters before it."""
    low, high = 0, len(content)
    while low < high:
        middle = (low + high + 1) // 2
        if source.find(content[:middle], at) >= 0:
            low = middle
        else:
            high = middle - 1
    return content[max(0, low - 30) :]


def _described(piece: _Piece, warnings: list[str]) -> dict[str, Any]:
    about = piece.about
    language = _text(about, ("language", "lang"))
    language = _LANGUAGES.get(language.lower(), language)
    return {
        "first": piece.first,
        "last": piece.last,
        "labels": list(_names(about, _LABELS, warnings)),
        "language": language.lower() if _LANGUAGE.fullmatch(language) else "",
        "entities": list(_names(about, ("entities",), warnings)),
        "summary": _text(about, ("summary", "description"))[: _LONGEST["summary"]],
    }


def _text(about: Mapping[str, Any], keys: Sequence[str]) -> str:
    value = next((about[key] for key in keys if about.get(key) is not None), "")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _names(about: Mapping[str, Any], keys: Sequence[str], warnings: list[str]) -> Iterator[str]:
    """Short names, each once whatever its case, from a list of texts or {"name": …}, or a text with commas."""
    value = next((about[key] for key in keys if about.get(key)), [])
    parts = re.split(r"[,，、;；]", value) if isinstance(value, str) else value if isinstance(value, list) else []
    names: dict[str, str] = {}
    for part in parts:
        name = _text(part, ("name", "label", "text")) if isinstance(part, Mapping) else _text({"": part}, ("",))
        if len(name) > _LONGEST["label"]:
            warnings.append(f"a name of {len(name)} characters was dropped")
        elif name:
            names.setdefault(name.casefold(), name)
    if len(names) > _MOST:
        warnings.append(f"{len(names)} names for a chunk: the first {_MOST} were taken")
    yield from list(names.values())[:_MOST]


@register("cluster", version=1)
def cluster(raw: str, options: Options) -> Parsed:
    """Theme, summary and contradictions of a cluster, whose chunk ids must be among the option `ids`.

    The value: {"theme", "summary", "contradictions": [{"a": chunk id, "b": chunk id, "what", "resolved"}]}.
    """
    known = set(options.get("ids", ()))
    text = drop_fence(drop_thinking(raw)).strip()
    first = next(find_json(text), None)
    if first and first.error:
        raise ParseError(f"a JSON object was expected: {first.error}", text)
    if first is None or not isinstance(first.value, Mapping):
        raise ParseError("no JSON object", text)
    value = first.value
    theme, summary = _text(value, ("theme", "topic")), _text(value, ("summary",))
    if not theme or len(theme) > _LONGEST["label"] * 2:
        raise ParseError("no short theme", text)
    found = value.get("contradictions") or []
    if not isinstance(found, list):
        raise ParseError("the contradictions are no list", text)
    contradictions = [_contradiction(item, known) for item in found]
    result = {"theme": theme, "summary": summary[: _LONGEST["summary"]], "contradictions": contradictions}
    return Parsed(pretty(result), {"contradictions": len(contradictions)})


def _contradiction(item: Any, known: set[str]) -> dict[str, str]:
    where = json.dumps(item, ensure_ascii=False)
    if not isinstance(item, Mapping):
        raise ParseError("a contradiction that is no object", where)
    a, b, what = (_text(item, (key,)) for key in ("a", "b", "what"))
    if not {a, b} <= known:
        raise ParseError("a contradiction between chunks that are not in the cluster", where)
    if a == b or not what:
        raise ParseError("a contradiction needs two chunks and what they disagree on", where)
    resolved = _text(item, ("resolved",))
    return {"a": a, "b": b, "what": what[: _LONGEST["summary"]], "resolved": resolved[: _LONGEST["summary"]]}
