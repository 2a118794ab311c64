"""The filter language, which selects chunks of archives.

    quality_level=basic AND needs_upgrade=true
    labels CONTAINS 'billing' AND quality_level != 'premium'
    (language IN (zh, ja) OR tokens > 500) AND NOT confidence >= 0.8 AND time >= 2026-02-01

    filter     := all ("OR" all)*
    all        := term ("AND" term)*                    binds closer than OR
    term       := "NOT" term | "(" filter ")" | comparison
    comparison := field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | field "CONTAINS" value | field "IN" "(" value ("," value)* ")"
    value      := word, number, date, or text in '…' or "…"

Keywords and texts are case-insensitive. Quality levels are ordered: basic < good < premium. CONTAINS, like =, tests
whether a list (labels, entities, speaker) has a member; it also tests whether a text has a part. A date without a
time is the whole day (UTC). The time of a chunk is that of its first turn. A missing value (such as a confidence that
was not measured) matches only `!=` and `= null`. Types are checked when the filter is parsed.
"""

import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NoReturn

from ..errors import ConfigError, unknown
from .conversation import LEVELS, ArchivedChunk

Predicate = Callable[[ArchivedChunk], bool]
Value = bool | float | str | list[str] | date | None  # of a field

_DEEPEST = 100


class FilterError(ConfigError):
    """An invalid filter: the mistake, with a caret under its column."""


@dataclass(frozen=True)
class _Field:
    kind: str  # level, boolean, text, number, time, list
    value: Callable[[ArchivedChunk], Value]


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
    "limit": _Field("boolean", lambda chunk: chunk.get("limit", False)),
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
    """A function that decides whether a chunk (an item of an archive's `b_chunks`) matches the filter.

    Raises a `FilterError` that points at the column of a mistake.
    """
    parser = _Parser(text)
    predicate = parser.disjunction(0)
    if parser.current.kind != "end":
        parser.fail("AND, OR or the end was expected here")
    return predicate


class _Parser:
    """A recursive-descent parser; `current` is the next token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokenize()
        self.place = 0

    @property
    def current(self) -> _Token:
        return self.tokens[self.place]

    def _tokenize(self) -> list[_Token]:
        tokens, at = [], 0
        while True:
            match = _TOKEN.match(self.text, at)
            if not match:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                quote = self.text[at] in "'\""
                self.fail("this quotation is never closed" if quote else f"unexpected {self.text[at]!r}", at)
            kind = match.lastgroup
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            if kind == "end":
                return tokens
            at = match.end()

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        at = self.current.at if at is None else at
        line = "".join(" " if c.isspace() else c for c in self.text)
        # Chinese and Japanese characters are two columns wide on a screen.
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line[:at])
        raise FilterError(f"the filter is wrong at column {at + 1}: {problem}\n  {line}\n  {' ' * width}^")

    def accept(self, word: str) -> bool:
        accepted = self.current.is_word(word) or (self.current.kind == "mark" and self.current.text == word)
        self.place += accepted
        return accepted

    def expect(self, word: str, expected: str) -> None:
        if not self.accept(word):
            self.fail(f"{expected} was expected here")

    def disjunction(self, depth: int) -> Predicate:
        parts = [self.conjunction(depth)]
        while self.accept("OR"):
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda chunk: any(part(chunk) for part in parts)

    def conjunction(self, depth: int) -> Predicate:
        parts = [self.term(depth)]
        while self.accept("AND"):
            parts.append(self.term(depth))
        return parts[0] if len(parts) == 1 else lambda chunk: all(part(chunk) for part in parts)

    def term(self, depth: int) -> Predicate:
        if depth > _DEEPEST:
            self.fail(f"more than {_DEEPEST} levels of NOT and parentheses")
        if self.accept("NOT"):
            inner = self.term(depth + 1)
            return lambda chunk: not inner(chunk)
        if self.accept("("):
            inner = self.disjunction(depth + 1)
            self.expect(")", "')'")
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        token = self.current
        if token.kind != "word" or token.text.upper() in ("AND", "OR", "IN", "CONTAINS"):
            self.fail(f"a field was expected here; known: {', '.join(sorted(_FIELDS))}")
        name = token.text.lower()
        if name not in _FIELDS:
            self.fail(unknown("field", token.text, _FIELDS))
        self.place += 1
        field = _FIELDS[name]
        if self.accept("IN"):
            return self.members(name, field)
        sign = self.sign(name, field)
        return _comparison(field, sign, self.value(name, field, sign))

    def sign(self, name: str, field: _Field) -> str:
        token = self.current
        sign = {"<>": "!=", "==": "="}.get(token.text, token.text.upper())
        if sign not in (*_COMPARE, "CONTAINS"):
            self.fail("=, !=, <, <=, >, >=, CONTAINS or IN was expected here")
        if sign not in _OPERATORS[field.kind]:
            allowed = ", ".join((*_OPERATORS[field.kind], "IN"))
            self.fail(f"{name} does not allow {token.text}; allowed: {allowed}")
        self.place += 1
        return sign

    def members(self, name: str, field: _Field) -> Predicate:
        self.expect("(", "'('")
        parts = [_comparison(field, "=", self.value(name, field, "="))]
        while self.accept(","):
            parts.append(_comparison(field, "=", self.value(name, field, "=")))
        self.expect(")", "',' or ')'")
        return lambda chunk: any(part(chunk) for part in parts)

    def value(self, name: str, field: _Field, sign: str) -> Value:
        token = self.current
        if token.kind not in ("word", "quoted"):
            self.fail(f"a value for {name} was expected here")
        text = token.text[1:-1] if token.kind == "quoted" else token.text
        if token.is_word("NULL"):
            if sign not in ("=", "!="):
                self.fail(f"null allows only = and !=, not {sign}")
            value = None
        else:
            value = self.typed(name, field, text)
        self.place += 1
        return value

    def typed(self, name: str, field: _Field, text: str) -> Value:
        lower = text.strip().lower()
        match field.kind:
            case "level":
                if lower not in LEVELS:
                    self.fail(unknown("quality level", text, LEVELS))
                return LEVELS.index(lower)
            case "boolean":
                if lower not in ("true", "false"):
                    self.fail(f"{name} must be true or false, not {text!r}")
                return lower == "true"
            case "number":
                if not re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", lower, re.ASCII):
                    self.fail(f"{name} must be a number, not {text!r}")
                return float(lower)
            case "time":
                value = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) and _moment(text) else None
                value = value or _moment(text)
                if value is None:
                    self.fail(f"{name} must be a date or time such as 2026-02-13 or '2026-02-13T08:00Z', not {text!r}")
                return value
        return text.casefold()


def _comparison(field: _Field, sign: str, operand: Value) -> Predicate:
    def matches(chunk: ArchivedChunk) -> bool:
        value = field.value(chunk)
        if operand is None:
            return (value is None or value == []) == (sign == "=")
        if value is None:
            return sign == "!="
        if sign == "CONTAINS":
            return operand in value
        if field.kind == "list":
            return (operand in value) == (sign == "=")
        if isinstance(operand, date) and not isinstance(operand, datetime):
            value = value.date()
        return _COMPARE[sign](value, operand)

    return matches


def _folded(text: str | None) -> str | None:
    return text.casefold() if text else None


def _moment(text: str | None) -> datetime | None:
    """A time in UTC, which is also the default zone. None if the text is not ISO 8601."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
