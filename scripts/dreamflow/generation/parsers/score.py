"""Parsers that read an evaluator's score from the last lines of its answer.

Every "score" followed by a value is a *mention*. Totals take precedence over plain scores, and these over sub-scores; a
label ("Score: 7") takes precedence over running text ("a score of 7"), unless it labels a sub-score; among equals the
last mention is used. If that is ambiguous, it is an error and not a guess: another sample costs one call, while a wrong
number stays in the tables. A form that was not filled in ("SCORE: <n>") is an error too, unless the score is elsewhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from .base import Options, Parsed, ParseError, drop_thinking, on_scale, register, scale_of
from .placeholders import BLANK, NO_DECIMALS, NOT_FILLED_IN, NUMBER, RANGE_BEGINS, with_letters

_MARKS = str.maketrans(
    {"_": " ", "[": "(", "{": "(", "]": ")", "}": ")", "：": ":", "＝": "=", "／": "/", "⁄": "/", "，": ","}
    | dict.fromkeys("–—−", "-")
    | dict.fromkeys('*#`"“”$\\', None)
)
_NUMBER = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{1,20}|,[0-9]{1,2}(?![0-9]))?|\.[0-9]{1,20})"
_RANGE = rf"[^()0-9]{{0,40}}(?:[01]\ ?(?:-|to)|/|out\ of|max\w*\.?:?)\ ?({_NUMBER})[^()0-9]{{0,20}}"

_SCORE = re.compile(r"\bscore\b", re.I)
# Between "score" and its value: a range or a remark in parentheses, a topic, separators.
_AFTER = re.compile(
    rf"""(?:\ ?\((?:{_RANGE}|(?P<remark>[^()0-9]{{0,60}})(?=\)\ ?[:=|]))\))?
    (?:\ (?:for|on)\ (?P<topic>[^:=0-9]{{1,60}}?)\ ?(?=[:=]))?
    (?P<separator>(?:[\s:=|→>(]|-(?=[\s>-])|(?:is|was|of|at)\b)*+)""",
    re.I | re.X,
)
_TRIPLE = re.compile(r"(?!100)([0-9])([0-9])([0-9])(?![0-9])|([0-9])[, ]+([0-9])[, ]+([0-9])(?![0-9])")
_VALUE = re.compile(
    rf"""(?P<number>{_NUMBER})(?:
        (?:\ points?)?\ ?\(?\ ?(?:/|out\ of|of)\ ?(?:a\ possible\ )?(?P<best>{_NUMBER})
        |\ ?(?P<percent>%)
        |\ ?\({_RANGE}\)
        |\ on\ an?\ scale\ (?:of|from)\ {_RANGE})?(?:\ ?(?:points?|pts)\b)?""",
    re.I | re.X,
)
# A value may be followed by nothing, by punctuation or an open parenthesis before words, or by a reason. Anything else
# ("1 2 3 items", "7-8", "2 points lower", "7+") means that the number is not the score, or not all of it.
_NO_NUMBER = r"(?!\ ?[-+(]?\.?[0-9])"
_TAIL = re.compile(
    rf"""(?!{NO_DECIMALS}|{RANGE_BEGINS})\ ?(?:$
        |[^\w\s+±~/*^=<>%°(-]++(?=\s|$){_NO_NUMBER}
        |-{{1,3}}\ {_NO_NUMBER}
        |\({_NO_NUMBER}
        |(?:because|since|as|due|given|based|reflecting|reflects|overall|(?:to|for)\ (?:this|the|its))\b)""",
    re.I | re.X,
)
_UNFILLED = re.compile(rf"(?:{BLANK}|{NUMBER.pattern})\)?(?:\ ?\(?(?:/|out\ of|of)\ ?{_NUMBER}\)?)?\W*$", re.I)
_LEAD = re.compile(r"[ :=|>(]*(?:- )?")
_ALONE = re.compile(r"[^\w(+-]*$")

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_TOTAL = {"final", "total", "overall", "combined", "composite", "aggregate", "average", "mean"}
_PART = {"sub", "subtotal", "partial"}
# Topics ("score for this essay") that mean the whole text, and words before "score" that name no aspect.
_WHOLE = {"this", "the", "your", "my", "essay", "response", "draft", "text", "idea", "piece", "answer"}
_NEUTRAL = _WHOLE | {"a", "an", "our", "its", "that", "is", "as", "of", "and", "i", "i'd", "would", "will"}
_NEUTRAL |= {"numeric", "numerical", "evaluation", "assigned", "verdict"}
# Before "score", these words refer to scores that were not given.
_OTHER = {"maximum", "max", "minimum", "min", "highest", "lowest", "higher", "lower", "perfect", "possible"}


class _Kind(IntEnum):
    SUB = 0
    PLAIN = 1
    TOTAL = 2


class _Value(NamedTuple):
    score: float
    end: int  # where it ends in its line
    out_of: bool = False  # "7/9", "7 out of 9", "78%"
    warning: str = ""


@dataclass(frozen=True)
class _Mention:
    kind: _Kind
    aspect: str
    labelled: bool
    value: _Value | None  # None: the value is ambiguous
    line: str
    filled: bool = True  # False: the value is a placeholder

    @property
    def rank(self) -> tuple[bool, bool, _Kind]:
        return self.kind > _Kind.SUB, self.labelled, self.kind


@register("in_last_line", version=1)
def in_last_line(raw: str, options: Options) -> Parsed:
    """The labelled score ("Score: 7", "Final score: **7/9**") in the last 3 non-empty lines."""
    return _read(raw, options, 3)


@register("complex", version=1)
def complex_(raw: str, options: Options) -> Parsed:
    """Like in_last_line, in the last 30 non-empty lines: for long answers that end in remarks."""
    return _read(raw, options, 30)


def _read(raw: str, options: Options, count: int) -> Parsed:
    kept = [line for line in drop_thinking(raw).splitlines() if any(map(str.isalnum, line))][-count:]
    where = "\n".join(kept)
    lines = [" ".join(with_letters(line).translate(_MARKS).split()) for line in kept]
    found = [mention for at in range(len(lines)) for mention in _mentions(lines, at, scale_of(options))]
    mentions = [mention for mention in found if mention.filled] or _unlabelled(lines, scale_of(options))
    blanks = [mention for mention in found if not mention.filled]
    if not mentions and not blanks:
        raise ParseError(f"no line such as 'Score: 7' in the last {count} lines", where, end=True)
    if blanks and max((mention.kind for mention in mentions), default=-1) < max(blank.kind for blank in blanks):
        raise ParseError(NOT_FILLED_IN, blanks[-1].line)
    rank = max(mention.rank for mention in mentions)
    rivals = [mention for mention in mentions if mention.rank == rank]
    winner = rivals[-1]
    if winner.kind == _Kind.SUB and len({mention.aspect for mention in mentions}) > 1:
        raise ParseError("several sub-scores and no total", where, end=True)
    if winner.value is None:
        raise ParseError("a score that can be read in more than one way", winner.line)
    score = on_scale(winner.value.score, options, winner.line)
    warnings = [winner.value.warning] if winner.value.warning else []
    if any(rival.value is None or rival.value.score != winner.value.score for rival in rivals):
        warnings.append(f"{len(rivals)} scores that differ: the last one was taken")
    return Parsed(f"{score!r}\n", {"score": score}, tuple(warnings))


def _mentions(lines: list[str], at: int, scale: tuple[float, float]) -> Iterator[_Mention]:
    """The scores mentioned in a line, in order; a label at the end of a line has its value on the next line."""
    line = lines[at]
    last_digit: int | None = None
    for match in _SCORE.finditer(line):
        if last_digit is None:
            last_digit = next((i for i in range(len(line) - 1, -1, -1) if line[i].isdigit()), -1)
        before, opens_line = _words_before(line, match.start())
        after = _AFTER.match(line, match.end())
        best = _number(after[1]) if after[1] else None
        if _OTHER & {*before[-2:]}:
            continue
        if after.end() == len(line):
            below = lines[at + 1] if opens_line and at + 1 < len(lines) else ""
            # A fraction, or a number alone ("7. Style" is a list).
            value = _value(below, _LEAD.match(below).end(), best, scale)
            if value and (value.out_of or _ALONE.match(below, value.end)):
                yield _Mention(*_kind(before, after), True, value, below)
            continue
        value = _value(line, after.end(), best, scale)
        colon = ":" in after["separator"] or "=" in after["separator"]
        if value is None and (colon or opens_line) and _UNFILLED.match(line, after.end()):
            yield _Mention(*_kind(before, after), True, None, line, filled=False)
            continue
        # After a label an unclear number is a claim; in running text ("a score of 9 would need …") it is not.
        unclear = last_digit >= after.end() if colon else opens_line and line[after.end()].isdigit()
        if value or unclear:
            yield _Mention(*_kind(before, after), colon or opens_line, value, line)


def _words_before(line: str, end: int) -> tuple[list[str], bool]:
    """The words of the clause before "score", and whether they form a label: at most 4 words that open the line."""
    start = max(0, end - 60)
    clause = re.split(r"[.;:!?,(|>]", line[start:end])[-1]
    words = _WORD.findall(clause.lower())
    opens_line = not _WORD.search(line[start : end - len(clause)]) and not start
    return words, opens_line and len(words) <= 4


def _kind(before: list[str], after: re.Match) -> tuple[_Kind, str]:
    """The kind of a mention, and the aspect of a sub-score."""
    topic = _WORD.findall((after["topic"] or "").lower())
    words = {*before[-3:], *topic, *_WORD.findall((after["remark"] or "").lower())}
    aspect = " ".join([*before[-1:], *topic])
    if words & _PART:
        return _Kind.SUB, aspect
    if words & _TOTAL:
        return _Kind.TOTAL, ""
    plain = not {*before[-1:]} - _NEUTRAL and not {*topic} - _WHOLE
    return (_Kind.PLAIN, "") if plain else (_Kind.SUB, aspect)


def _value(line: str, start: int, best: float | None, scale: tuple[float, float]) -> _Value | None:
    """The value that begins at `start`; None if the text after it makes it ambiguous."""
    triple = _TRIPLE.match(line, start) if scale[1] == 9 and best is None else None
    if triple and _TAIL.match(line, triple.end()):
        digits = [float(digit) for digit in triple.groups() if digit]
        return _Value(sum(digits) / 3, triple.end(), warning=f"mean of three digits, {triple[0]!r}")
    match = _VALUE.match(line, start)
    if not match or not _TAIL.match(line, match.end()):
        return None
    own_best = "100" if match["percent"] else match["best"] or match[4] or match[5]
    rescaled = _rescaled(_number(match["number"]), _number(own_best) if own_best else best, scale)
    return rescaled and _Value(rescaled[0], match.end(), own_best is not None, rescaled[1])


def _unlabelled(lines: list[str], scale: tuple[float, float]) -> list[_Mention]:
    """A fraction that fills the last line ("8 out of 10"), or a number that fills the only line."""
    value = _value(lines[-1], 0, None, scale) if lines else None
    if value and _ALONE.match(lines[-1], value.end) and (value.out_of or len(lines) == 1):
        return [_Mention(_Kind.PLAIN, "", False, value, lines[-1])]
    return []


def _rescaled(number: float, best: float | None, scale: tuple[float, float]) -> tuple[float, str] | None:
    """`number` out of `best`, rescaled linearly to the scale, and a warning; None if that is impossible."""
    low, high = scale
    if best is None or best == high:
        return number, ""
    bottom = max(low, 0.0)
    if not bottom < min(best, high):
        return None
    score = round(bottom + (number - bottom) * (high - bottom) / (best - bottom), 9)
    return score, f"{number:g}/{best:g} rescaled to {score:g} on {low:g}-{high:g}"


def _number(digits: str) -> float:
    return float(digits.replace(",", "."))
