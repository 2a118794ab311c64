"""The filter language: which chunks of the archives are meant.

    quality_level=basic AND needs_upgrade=true
    labels CONTAINS 'billing' AND quality_level != 'premium'
    (language IN (zh, ja) OR tokens > 500) AND NOT confidence >= 0.8 AND time >= 2026-02-01

    filter     := all ("OR" all)*
    all        := one ("AND" one)*                      binds closer than OR
    one        := "NOT" one | "(" filter ")" | comparison
    comparison := field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | field "CONTAINS" value | field "IN" "(" value ("," value)* ")"
    value      := word, number, date, or text in '…' or "…"

Words of the language and texts are compared without regard to case. Quality levels are ordered: basic < good <
premium. CONTAINS asks a list (labels, entities, speaker) for a member, as = does, and a text for a part. A date
without a time means the whole day (UTC); the time of a chunk is that of its first turn. What a chunk does not know (a
confidence that could not be measured, a missing time) satisfies no comparison but `!=`; `field = null` asks for it.
Types are checked when the filter is read.
"""

import difflib
import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NoReturn

from ..errors import ConfigError
from .conversation import LEVELS, ArchivedChunk

Predicate = Callable[[ArchivedChunk], bool]
Value = bool | float | str | list[str] | date | None  # of a field

_DEEPEST = 100


class FilterError(ConfigError):
    """A filter that cannot be read: what is wrong, with a caret under the column."""


@dataclass(frozen=True)
class _Field:
    kind: str  # level, boolean, text, number, time, list
    of: Callable[[ArchivedChunk], Value]


_FIELDS = {
    "quality_level": _Field("level", lambda chunk: LEVELS.index(chunk["quality_level"])),
    "needs_upgrade": _Field("boolean", lambda chunk: chunk["needs_upgrade"]),
    "labels": _Field("list", lambda chunk: [label.casefold() for label in chunk["labels"]]),
    "entities": _Field("list", lambda chunk: [entity.casefold() for entity in chunk["entities"]]),
    "speaker": _Field("list", lambda chunk: [speaker.casefold() for speaker in chunk["speakers"]]),
    "language": _Field("text", lambda chunk: _folded(chunk["language"])),
    "conversation_id": _Field("text", lambda chunk: _folded(chunk["parent_id"])),
    "llm_used": _Field("text", lambda chunk: _folded(chunk["llm_used"])),
    "tokens": _Field("number", lambda chunk: chunk["token_range"][1] - chunk["token_range"][0]),
    "confidence": _Field("number", lambda chunk: chunk["confidence"]),
    "cost_usd": _Field("number", lambda chunk: chunk["cost_usd"]),
    "time": _Field("time", lambda chunk: _moment((chunk["time_range"] or [None])[0])),
}
_COMPARE = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_OPERATORS = dict.fromkeys(("level", "number", "time"), tuple(_COMPARE))
_OPERATORS |= {"boolean": ("=", "!="), **dict.fromkeys(("text", "list"), ("=", "!=", "CONTAINS"))}
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<mark>!=|<=|>=|<>|==|[=<>(),])|(?P<word>[^\s'"=<>!(),]+)|(?P<end>\Z))"""
)


@dataclass(frozen=True)
class _Token:
    kind: str  # quoted, mark, word, end
    text: str
    at: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


def parse_filter(text: str) -> Predicate:
    """A function that says of a chunk (a member of an archive's `b_chunks`) whether the filter means it.

    Raises a `FilterError` that points at the column of what is wrong.
    """
    reader = _Reader(text)
    predicate = reader.disjunction(0)
    if reader.now.kind != "end":
        reader.fail("AND, OR or the end was expected here")
    return predicate


class _Reader:
    """Reads a filter from left to right; `now` is the token that comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._split()
        self.place = 0

    @property
    def now(self) -> _Token:
        return self.tokens[self.place]

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        while True:
            match = _TOKEN.match(self.text, at)
            if not match:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                quote = self.text[at] in "'\""
                self.fail("this quotation is never closed" if quote else f"{self.text[at]!r} is not understood", at)
            kind = match.lastgroup
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            if kind == "end":
                return tokens
            at = match.end()

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        at = self.now.at if at is None else at
        line = "".join(" " if c.isspace() else c for c in self.text)
        # Chinese and Japanese characters are two columns wide on a screen.
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line[:at])
        raise FilterError(f"the filter is wrong at column {at + 1}: {problem}\n  {line}\n  {' ' * width}^")

    def take(self) -> _Token:
        token = self.now
        if token.kind != "end":
            self.place += 1
        return token

    def accepts(self, word: str) -> bool:
        found = self.now.is_word(word) or (self.now.kind == "mark" and self.now.text == word)
        if found:
            self.place += 1
        return found

    def disjunction(self, depth: int) -> Predicate:
        parts = [self.conjunction(depth)]
        while self.accepts("OR"):
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda chunk: any(part(chunk) for part in parts)

    def conjunction(self, depth: int) -> Predicate:
        parts = [self.one(depth)]
        while self.accepts("AND"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else lambda chunk: all(part(chunk) for part in parts)

    def one(self, depth: int) -> Predicate:
        if depth > _DEEPEST:
            self.fail(f"more than {_DEEPEST} levels of NOT and parentheses")
        if self.accepts("NOT"):
            inner = self.one(depth + 1)
            return lambda chunk: not inner(chunk)
        if self.accepts("("):
            inner = self.disjunction(depth + 1)
            if not self.accepts(")"):
                self.fail("')' was expected here")
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        token = self.now
        if token.kind != "word" or token.text.upper() in ("AND", "OR", "IN", "CONTAINS"):
            self.fail(f"a field was expected here; there are {', '.join(sorted(_FIELDS))}")
        name = token.text.lower()
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            self.fail(f"there is no field {token.text!r}{meant}; there are {', '.join(sorted(_FIELDS))}")
        self.take()
        field = _FIELDS[name]
        if self.accepts("IN"):
            return self.members(name, field)
        sign = self.sign(name, field)
        value = self.value(name, field, sign)
        return _comparison(field, sign, value)

    def sign(self, name: str, field: _Field) -> str:
        token = self.now
        sign = {"<>": "!=", "==": "="}.get(token.text, token.text.upper())
        if sign not in (*_COMPARE, "CONTAINS"):
            self.fail("=, !=, <, <=, >, >=, CONTAINS or IN was expected here")
        if sign not in _OPERATORS[field.kind]:
            allowed = ", ".join((*_OPERATORS[field.kind], "IN"))
            self.fail(f"{name} cannot be compared by {token.text}; it can by {allowed}")
        self.take()
        return sign

    def members(self, name: str, field: _Field) -> Predicate:
        if not self.accepts("("):
            self.fail("'(' was expected here: IN (a, b)")
        parts = [_comparison(field, "=", self.value(name, field, "="))]
        while self.accepts(","):
            parts.append(_comparison(field, "=", self.value(name, field, "=")))
        if not self.accepts(")"):
            self.fail("',' or ')' was expected here")
        return lambda chunk: any(part(chunk) for part in parts)

    def value(self, name: str, field: _Field, sign: str) -> Value:
        token = self.now
        if token.kind not in ("word", "quoted"):
            self.fail(f"a value for {name} was expected here")
        text = token.text[1:-1] if token.kind == "quoted" else token.text
        if token.is_word("NULL"):
            if sign not in ("=", "!="):
                self.fail(f"null can be compared by = and != only, not by {sign}")
            value = None
        else:
            value = self.typed(name, field, text)
        self.take()
        return value

    def typed(self, name: str, field: _Field, text: str) -> Value:
        lower = text.strip().lower()
        match field.kind:
            case "level":
                if lower not in LEVELS:
                    self.fail(f"{text!r} is no quality level; there are {', '.join(LEVELS)}")
                return LEVELS.index(lower)
            case "boolean":
                if lower not in ("true", "false"):
                    self.fail(f"{name} is true or false, not {text!r}")
                return lower == "true"
            case "number":
                if not re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", lower, re.ASCII):
                    self.fail(f"{name} is a number, not {text!r}")
                return float(lower)
            case "time":
                value = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) and _moment(text) else None
                value = value or _moment(text)
                if value is None:
                    self.fail(f"{name} is a date or time such as 2026-02-13 or '2026-02-13T08:00Z', not {text!r}")
                return value
        return text.casefold()


def _comparison(field: _Field, sign: str, wanted: Value) -> Predicate:
    def holds(chunk: ArchivedChunk) -> bool:
        value = field.of(chunk)
        if wanted is None:
            return (value is None or value == []) == (sign == "=")
        if value is None:
            return sign == "!="
        if sign == "CONTAINS":
            return wanted in value
        if field.kind == "list":
            return (wanted in value) == (sign == "=")
        if isinstance(wanted, date) and not isinstance(wanted, datetime):
            value = value.date()
        return _COMPARE[sign](value, wanted)

    return holds


def _folded(text: str | None) -> str | None:
    return text.casefold() if text else None


def _moment(text: str | None) -> datetime | None:
    """A time in UTC; one without a zone is taken to be in UTC. None where it is no ISO 8601."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
