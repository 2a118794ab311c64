"""The value of a JSON file or of JSON Lines, and the conversations in it."""

import json
from collections.abc import Mapping, Sequence

from ...errors import ConfigError
from ...generation.model import Json
from . import claude_code, codex
from .formats import CONVERSATIONS, DOCUMENTS
from .message import Detail, NotRecognised, NotUnderstood, Read
from .messages import is_message
from .values import first_label

LINES = (".jsonl", ".ndjson")
_WRAPPERS = (
    "conversations",
    "chats",
    "data",
    "items",
    "results",
    "history",
    "sessions",
    "threads",
    "biz_data",
    "export",
)
_NESTED = 3  # wrappers within wrappers
_CUT_OFF = (claude_code, codex)  # these write as they go, so the last line may be half written


_ODD = (TypeError, ValueError, AttributeError, LookupError, RecursionError)


class Lines(list):
    """The values of JSON Lines; `numbers` are the numbers of their lines, `broken` what is wrong with others."""

    def __init__(self, values: Sequence[Json], numbers: Sequence[int], broken: Mapping[int, str]) -> None:
        super().__init__(values)
        self.numbers, self.broken = numbers, broken


def json_value(text: str, suffix: str, where: str) -> Json | None:
    """The value of a text that is JSON or JSON Lines; None if it is neither and its suffix does not promise it.

    Raises a `ConfigError` with the place of a mistake."""
    text = text.removeprefix("\ufeff")
    if suffix in LINES:
        return _lines(text, where)
    begins_with_object = isinstance(_try(text.lstrip().partition("\n")[0]), dict)
    if suffix == ".json":
        try:
            return parse_json(text, where)
        except ConfigError:
            if not begins_with_object:
                raise
            return _lines(text, where)
    if begins_with_object:
        lines = _lines(text, where)
        first = lines[0] if lines else None
        is_turn = isinstance(first, dict) and "role" in first and "content" in first
        return lines if is_turn or (not lines.broken and is_known(lines)) else None
    value = _try(text) if text.lstrip()[:1] in ("[", "{") else None
    return value if is_known(value) else None


def is_known(value: Json) -> bool:
    """Whether a format recognises a value."""
    return any(format_.recognises(value) for format_ in DOCUMENTS) or any(
        format_.recognises(item) for item in conversations_in(value)[:5] for format_ in CONVERSATIONS
    )


def talks_in(value: Json, stem: str, detail: Detail) -> Read:
    """The conversations in the value of a JSON file, and an error for each that is not understood.

    Raises a `NotRecognised` if no format recognises it. A conversation without an id has the file's stem and a number.
    """
    document = next((format_ for format_ in DOCUMENTS if format_.recognises(value)), None)
    broken = dict(value.broken) if isinstance(value, Lines) else {}
    if document:
        last = max(value.numbers, default=0) if broken else 0
        if broken and not (document in _CUT_OFF and min(broken) > last):
            raise NotUnderstood(next(iter(broken.values())), place=f"\0{min(broken)}")
        try:
            yield from document.read(value, detail)
        except _ODD as error:
            raise NotUnderstood(_odd(error)) from None
    else:
        yield from _of_export(value, stem, detail)
    for number, message in broken.items():
        yield NotUnderstood(message, place=f"\0{number}")


def _of_export(value: Json, stem: str, detail: Detail) -> Read:
    items = conversations_in(value)
    readers = [next((format_ for format_ in CONVERSATIONS if format_.recognises(item)), None) for item in items]
    if not any(readers):
        raise NotRecognised("expected an export of conversations, or a list of turns {role, content}")
    for number, (item, reader) in enumerate(zip(items, readers, strict=True), 1):
        try:
            if not reader and item:
                raise NotUnderstood(f"not a conversation: an object with {', '.join(map(repr, list(item)[:8]))}")
            talk = reader.read(item, detail) if reader else None
        except NotUnderstood as error:
            yield error.at(_place(number, item))
            continue
        except _ODD as error:
            yield NotUnderstood(_odd(error), place=_place(number, item))
            continue
        if talk:
            yield talk if talk.raw_id or item is value else talk._replace(raw_id=f"{stem}-{number}")


def _odd(error: Exception) -> str:
    """What to say of values that a format never has, such as a number in place of a list."""
    return f"values of other types than this format has ({type(error).__name__}: {str(error)[:100]})"


def conversations_in(value: Json, depth: int = 0) -> Sequence[Mapping[str, Json]]:
    """The objects of an export: the items of a list, those in a wrapper such as {"conversations": [...]}, or the one
    object that it is; of a list of lists of messages an object for each."""
    if isinstance(value, dict):
        if any(format_.recognises(value) for format_ in CONVERSATIONS):
            return [value]
        for key in _WRAPPERS:
            inner = value.get(key)
            if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
                return inner
            if isinstance(inner, dict) and depth < _NESTED and (found := conversations_in(inner, depth + 1)):
                return found
        return [value] if not depth else []
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(item, list) and item and is_message(item[0]) for item in value):
        return [{"messages": item} for item in value]
    return value if all(isinstance(item, dict) for item in value) else []


def _place(number: int, item: Mapping[str, Json]) -> str:
    """The place of a conversation in an export, such as "conversation 3 ('Taxes')"."""
    about = item.get("conversation") if isinstance(item.get("conversation"), dict) else item
    title = first_label(about, "title", "name")
    return f"conversation {number}" + (f" ({title[:80]!r})" if title else "")


def placed(error: NotUnderstood, value: Json, where: str) -> str:
    """A message with the file, and the line of JSON Lines or the number of a turn."""
    if error.place.startswith("\0"):
        return f"{where}:{error.place[1:]}: {error.message}"
    if error.place or not error.key or not isinstance(error.key[0], int):
        return f"{where}: {error}"
    number, inner = error.key[0], NotUnderstood(error.message, error.key[1:])
    if isinstance(value, Lines):
        return f"{where}:{value.numbers[number]}: {inner}"
    return f"{where}: turn {number + 1}: {inner}"


def _lines(text: str, where: str) -> Lines:
    # Not splitlines(): a JSON string may contain U+2028 and similar characters.
    values, numbers, broken = [], [], {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(parse_json(line, ""))
                numbers.append(number)
            except ConfigError as error:
                broken[number] = str(error).removeprefix(": ")
    if broken and not values:
        whole = _try(text)
        if isinstance(whole, list | dict):
            return whole
        raise ConfigError(f"{where}:{min(broken)}: {broken[min(broken)]}")
    return Lines(values, numbers, broken)


def _try(text: str) -> Json:
    try:
        return parse_json(text, "")
    except ConfigError:
        return None


def parse_json(text: str, where: str) -> Json:
    """The value of a JSON text. Raises a `ConfigError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise ConfigError(f"{where}: not valid JSON: {error.msg}{line}, column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{where}: the JSON is nested too deeply") from None
    except ValueError as error:  # a number of more than 4,300 digits
        raise ConfigError(f"{where}: not valid JSON: {error}") from None
