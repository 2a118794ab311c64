"""The parser of a judge's verdict on a variant: its viability (0 to 1), its tier, and the reasons.

Every number that is called viability, score or confidence is a *mention*, and so is every "Tier N". A label
("Viability: 0.8") outranks running text ("a viability of 0.8"), viability outranks score, and score confidence. The
highest mentions must agree. A verdict that contradicts itself is an error: a new call is cheaper than a wrong tier.
So is a form that was not filled in ("Viability: 0.NN"), unless the viability is elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..files import pretty
from ..generation.model import Json
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, quoted, register
from ..generation.parsers.json_text import find_json
from ..generation.parsers.placeholders import (
    BLANK,
    NO_DECIMALS,
    NOT_FILLED_IN,
    NUMBER,
    RANGE_BEGINS,
    are_blank_reasons,
    with_letters,
)

TIERS = {1: "viable", 2: "speculative", 3: "archive"}
_VIABLE, _SPECULATIVE = 0.6, 0.3  # the original's thresholds of tier 1 and tier 2

# Each character maps to one character, so positions in the plain text are positions in the answer.
_PLAIN = str.maketrans(
    dict.fromkeys("*_`#\"'“”‘’\\", " ")
    | dict.fromkeys("–—−", "-")
    | {"：": ":", "＝": "=", "→": ":", "≈": "~", "，": ",", "［": "[", "\t": " ", "\xa0": " "}
)
_NUMBER = r"[-+]?(?:[0-9]{1,9}(?:[.,][0-9]{1,18})?|\.[0-9]{1,18})"
_VALUE = rf"(?P<number>{_NUMBER})(?:\ *(?P<percent>%|percent\b)|\ *(?:/|out\ of|of)\ *(?P<best>{_NUMBER}))?"
# The next characters must not continue the number: "0.6-0.8", "0.8.1", "0.8x", "0.8+", "0.NN", "0.6 or more".
_BOUND = r"(?:or|and)\ +(?:more|higher|above|better|less|lower|below)\b"
_END = rf"(?![0-9A-Za-z+%]|[.,][0-9]|\ *(?:-|/|to|or|and)\ *[.0-9]|{NO_DECIMALS}|{RANGE_BEGINS}|\ *{_BOUND})"
_RANGE = r"(?:\ *[(\[][^()\[\]\n]{1,40}[)\]])?"
_BULLET = r"(?:[ >|•([]|[-+](?=[-+ ])|[0-9]{1,2}[.)]\ )*+"  # "-0.2" is a number, not a bullet
_HEADER = r"(?:dream|variant|procedure)\ *\#?[0-9]+(?:\ *\([^()\n]{0,80}\))?\ *[:.)|]?"
_OPENING = rf"{_BULLET}(?:{_HEADER}(?:[ :|]|-(?=[- ]))*+)?"
_MENTION = re.compile(
    rf"""(?P<opening>^{_OPENING}(?:tier\ *[:=\#-]?\ *[0-9]\ *[-,:;(|]\ *)?)?
    (?P<words>(?:\b[a-z]++\ ++){{0,3}})
    \b(?P<label>viability|score|confidence)(?:\ +(?:score|rating|assessment))?\b{_RANGE}
    (?P<link>\ *+(?:[:=|]\s*+)++(?:(?:[a-z]++\ ++){{1,2}}(?=\())?
        |\ ++-++\ ++(?=[.0-9])
        |[^\n0-9.;:=|()]{{0,40}}?\b(?:of|is|at|as|be|about|around|roughly)\b
        |)
    [\ (\[~]*+(?:(?:about|around|roughly|approximately)\ ++)?
    (?:(?P<value>{_VALUE}{_END})|(?P<blank>{NUMBER.pattern}|{BLANK})|(?P<unclear>[-+<>]?\ *\.?[0-9]))""",
    re.I | re.M | re.X,
)
_BELOW = re.compile(rf"^{_BULLET}viability(?:\ +score)?\ *+:?\ *+\n\s*+{_VALUE}{_END}[ .,]*$", re.I | re.M | re.X)
_ALONE = re.compile(
    rf"""^{_OPENING}{_VALUE}{_END}(?=[ ,.;:()|-]*(?:$|tier))""",  # "Dream 1: 0.8, Tier 1", "85%"
    re.I | re.M | re.X,
)
_RATED = re.compile(
    rf"""(?<![\w.,/]){_VALUE}(?:(?<=/1)|(?<=/1\.0)|(?<=/\ 1)|(?<=/\ 1\.0)|(?=\ viable\b|\ viability\b)){_END}""",
    re.I | re.X,
)
# Several tiers to choose from: "1/2/3", "1, 2 or 3", "[1-3]"; but not "Tier 1/3" or "Tier 1, 2 tests differ".
_OTHERS = (
    r"(?:(?:[-,]|\ *(?:,\ |\bto\b|\bor\b|,\ *or\b|\.{2,}|…)\ *|\ -\ )[1-3]\b(?!\.[0-9]|\ *[a-z%(:])"
    r"|\ ?[/|]\ ?2\b(?!\.[0-9]|\ *[a-z%(:])|,\ *2,?\ *or\ *3\b)"
)
_TIER = re.compile(
    rf"""(?P<opening>^{_OPENING})?\btier\b
    (?P<link>\ *+[-\#]?\ *+(?:[:=|]\s*+|is\ ++|of\ ++)?[ (\[]*+|\ *+\n\s*+(?=\w++\W*$))
    (?:(?P<digits>[0-9]+(?:[.,][0-9]+)?)|(?P<word>one|two|three|i{{1,3}}|viable|speculative|archived?)\b)
    (?P<remark>\ *\((?:viable|speculative|archived?)\))?(?P<others>{_OTHERS})?""",
    re.I | re.M | re.X,
)
_WORDS = {"one": 1, "two": 2, "three": 3, "i": 1, "ii": 2, "iii": 3}
_WORDS |= {"viable": 1, "speculative": 2, "archive": 3, "archived": 3}
_REASONS = re.compile(
    rf"(?:^{_BULLET}|[|.;]\ +)(?:reason(?:s|ing)?|rationale|justification|explanation)\ *(?::|$)", re.I | re.M | re.X
)
_NO_REASON = re.compile(rf"{_BULLET}{_HEADER}[ :]*|\s*(?:json)?\s*", re.I | re.X)  # a title, a fence
_TOTAL = {"overall", "final", "total"}
_NEUTRAL = {*re.findall("[a-z]+", "the a an my its this of and is dream variant viability give it with")}

_SCORE_KEYS = ("viability", "viability_score", "score", "confidence")
_REASON_KEYS = ("reasons", "reasoning", "reason", "rationale", "justification", "explanation")


@dataclass(frozen=True)
class _Mention:
    """A score or a tier: its rank, its value (None if it is ambiguous), and its line."""

    rank: tuple[int, ...]
    value: float | int | None
    quote: str
    span: tuple[int, int] | None = None  # its position in the answer, unless it is running text
    filled: bool = True  # False: the value is a placeholder


def tier_of(viability: float, viable: float = _VIABLE, speculative: float = _SPECULATIVE) -> int:
    """The tier of a viability: 1 from `viable`, 2 from `speculative`, else 3."""
    return 1 if viability >= viable else 2 if viability >= speculative else 3


@register("verdict", version=1)
def verdict(raw: str, options: Options) -> Parsed:
    """The viability (0-1), the tier (by viability, unless the answer names it) and the reasons of a verdict."""
    text = drop_thinking(raw).replace("\r\n", "\n")
    objects = [
        (match.start, match.end, judged)
        for match in find_json(text, parse_float=Decimal, parse_int=Decimal)
        for judged in _judged(match.value)
    ]
    prose = _blanked(text, ((start, end) for start, end, _ in objects), " ")
    plain = with_letters(prose).translate(_PLAIN)
    judged = [fields for _, _, fields in objects]
    mentions = [_json_score(fields) for fields in judged] + list(_scores(plain))
    blanks = [mention for mention in mentions if not mention.filled]
    scores = [mention for mention in mentions if mention.filled]
    if not scores or max(mention.rank[2] for mention in scores) < max((b.rank[2] for b in blanks), default=0):
        scores = list(_unlabelled(plain))
        if blanks and not scores:
            raise ParseError(NOT_FILLED_IN, blanks[0].quote)
    tiers = [tier for fields in judged if (tier := _json_tier(fields))] + list(_tiers(plain))
    score = _agreed(scores, "viability", "such as 'Viability: 0.8'", text)
    viability = float(score.value)
    if not 0 <= viability <= 1:
        raise ParseError(f"viability {viability:g} is outside 0-1", score.quote)
    limits = (float(options.get("viable", _VIABLE)), float(options.get("speculative", _SPECULATIVE)))
    tier = tier_of(viability, *limits)
    if tiers:
        stated = _agreed(tiers, "tier", "", text)
        if stated.value not in TIERS:
            raise ParseError(f"there is no tier {stated.value}, only 1, 2 and 3", stated.quote)
        if stated.value != tier:
            raise ParseError(
                f"the verdict contradicts itself: viability {viability:g} ({quoted(score.quote)}) is tier {tier} "
                f"(1 from {limits[0]:g}, 2 from {limits[1]:g}), but it says {quoted(stated.quote)}"
            )
    reasons = _json_reasons(judged) or _reasons(prose, plain, [*scores, *blanks, *tiers])
    if are_blank_reasons(reasons):
        raise ParseError(f"{NOT_FILLED_IN}: its reasons are {quoted(reasons)}", text)
    values = {"viability": viability, "tier": tier, "reasons": reasons}
    return Parsed(pretty(values), values)


def _blanked(text: str, spans: Iterable[tuple[int, int]], mark: str) -> str:
    characters = list(text)
    for start, end in spans:
        characters[start:end] = mark * (end - start)
    return "".join(characters)


def _agreed(mentions: list[_Mention], what: str, example: str, text: str) -> _Mention:
    """The mention with the highest rank. Raises `ParseError` if it is missing, ambiguous or disputed by its equals."""
    if not mentions:
        raise ParseError(f"no {what} {example}", text, end=True)
    best = max(mention.rank for mention in mentions)
    rivals = [mention for mention in mentions if mention.rank == best]
    for rival in rivals:
        if rival.value is None:
            raise ParseError(f"a {what} that can be read in more than one way", rival.quote)
    different = {rival.value: rival.quote for rival in rivals}
    if len(different) > 1:
        quotes = " and ".join(quoted(quote) for quote in list(different.values())[:3])
        raise ParseError(f"several verdicts that differ, so that the {what} is ambiguous: {quotes}")
    return rivals[0]


def _number(match: Mapping[str, str | None]) -> float | None:
    """The exact value of "0.85", ".8", "85%", "8/10" or "0,85"; None for a division by zero."""
    value = Decimal(match["number"].replace(",", "."))
    best = Decimal("100" if match["percent"] else (match["best"] or "1").replace(",", "."))
    return float(value / best) + 0.0 if best else None  # no negative zero


def _line(text: str, at: int) -> str:
    """The text around a position, at most its line."""
    return text[max(text.rfind("\n", 0, at) + 1, at - 150) : at + 150].partition("\n")[0].strip()


def _scores(plain: str) -> Iterator[_Mention]:
    for match in _MENTION.finditer(plain):
        words = match["words"].lower().split()
        opens = match["opening"] is not None and len(words) <= 2
        labelled = bool(re.search("[:=|]", match["link"])) or (opens and not match["link"].strip(" -"))
        if match["value"] is None and not labelled:
            continue  # "its viability, given 3 callers"
        label = match["label"].lower()
        kind = {"viability": 3, "score": 2, "confidence": 0}[label]
        if kind == 2 and words and not {words[-1]} & (_NEUTRAL | _TOTAL):
            kind = 1  # the score of something else: "novelty score"
        if "viability" in words:
            kind = 3
        whole = bool({*words} & _TOTAL)
        value = _number(match.groupdict()) if match["value"] else None
        span = (match.start(), match.end()) if labelled else None
        rank, filled = (int(kind > 0), int(labelled), kind, int(whole)), match["blank"] is None
        yield _Mention(rank, value, _line(plain, match.end()), span, filled)
    for match in _BELOW.finditer(plain):
        yield _Mention((1, 1, 3, 0), _number(match.groupdict()), _line(plain, match.end()), match.span())


def _unlabelled(plain: str) -> Iterator[_Mention]:
    """Numbers without a label, such as "Dream 1: 0.8", "85%" or "0.8/1.0"; used only without any other score."""
    for rank, pattern in ((1, _ALONE), (0, _RATED)):
        for match in pattern.finditer(plain):
            span = match.span() if rank else None
            yield _Mention((rank,), _number(match.groupdict()), _line(plain, match.end()), span)


def _tiers(plain: str) -> Iterator[_Mention]:
    for match in _TIER.finditer(plain):
        # A label, or text right after a number: "Viability 0.8, Tier 1".
        behind = plain[max(match.start() - 9, 0) : match.start()].rstrip(" ,;|()[]-.")[-1:]
        labelled = behind.isdigit() or behind == "%" or bool(re.search("[:=|\n]", match["link"]))
        rank = 2 if labelled else int(match["opening"] is not None)
        number = Decimal(_WORDS[match["word"].lower()] if match["word"] else match["digits"].replace(",", "."))
        value = int(number) if number == int(number) and not match["others"] else None
        yield _Mention((rank,), value, _line(plain, match.end()), match.span() if rank else None)


def _reasons(prose: str, plain: str, mentions: list[_Mention]) -> str:
    """The text after a label such as "Reasoning:", else all text except the verdict."""
    if match := _REASONS.search(plain):
        return prose[match.end() :].strip().lstrip("*_ ").lstrip()
    touched = _blanked(prose, (mention.span for mention in mentions if mention.span), "\0")
    lines = []
    for line in touched.split("\n"):
        if "\0" in line:
            pieces = (piece.lstrip(" \t*_`|#,;:.)]-–—").rstrip(" \t*_`|#,;:([-–—") for piece in line.split("\0"))
            line = " ".join(filter(None, pieces))
        if any(map(str.isalnum, line)) and not _NO_REASON.fullmatch(line.translate(_PLAIN)):
            lines.append(line.strip())
    return "\n".join(lines)


def _judged(value: Json) -> Iterator[dict[str, Json]]:
    """The objects with a score in a JSON value, with lower-case keys."""
    if isinstance(value, dict):
        folded = {str(key).lower().replace(" ", "_"): item for key, item in value.items()}
        if any(isinstance(folded.get(key), Decimal | str) for key in _SCORE_KEYS):
            yield folded
        else:
            for item in value.values():
                yield from _judged(item)
    elif isinstance(value, list):
        for item in value:
            yield from _judged(item)


def _json_score(fields: Mapping[str, Json]) -> _Mention:
    key = next(key for key in _SCORE_KEYS if isinstance(fields.get(key), Decimal | str))
    written = str(fields[key]).strip()
    match = re.fullmatch(_VALUE, written, re.X | re.I)
    kind = {"score": 2, "confidence": 0}.get(key, 3)
    value = float(fields[key]) if isinstance(fields[key], Decimal) else _number(match.groupdict()) if match else None
    return _Mention((int(kind > 0), 1, kind, 0), value, f'"{key}": {written}')


def _json_tier(fields: Mapping[str, Json]) -> _Mention | None:
    if fields.get("tier") in (None, ""):
        return None
    text = str(fields["tier"]).strip()
    match = _TIER.fullmatch(text if text.lower().startswith("tier") else f"tier {text}")
    value = None
    if match and match["word"]:
        value = _WORDS[match["word"].lower()]
    elif match and match["digits"].isdigit():
        value = int(match["digits"])
    return _Mention((1,), value, f'"tier": {text}')


def _json_reasons(judged: list[dict[str, Json]]) -> str:
    for fields in judged:
        for key in _REASON_KEYS:
            if isinstance(fields.get(key), str):
                return fields[key].strip()
            if isinstance(fields.get(key), list):
                return "\n".join(str(item).strip() for item in fields[key])
    return ""
