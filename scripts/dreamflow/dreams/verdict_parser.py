"""The parser of a judge's verdict on a dream: its viability (0 to 1), its tier, and the reasons.

Every number that is called viability, score or confidence is a *mention*, and so is every "Tier N". A label
("Viability: 0.8") wins over running text ("a viability of 0.8"), viability over score and score over confidence; what
is left must agree, or the verdict is ambiguous. A verdict that contradicts itself is refused: asking again costs one
call, a wrong tier stays in the journal.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..files import pretty
from ..generation.model import Json
from ..generation.parsers.base import Options, Parsed, ParseError, drop_thinking, quoted, register
from ..generation.parsers.json_text import find_json

TIERS = {1: "viable", 2: "speculative", 3: "archive"}
_VIABLE, _SPECULATIVE = 0.6, 0.3  # where the original begins tier 1 and tier 2

# One character for one, so that a place in the plain text is the same place in the answer.
_PLAIN = str.maketrans(
    dict.fromkeys("*_`#\"'“”‘’\\", " ")
    | dict.fromkeys("–—−", "-")
    | {"：": ":", "＝": "=", "→": ":", "≈": "~", "，": ",", "［": "[", "\t": " ", "\xa0": " "}
)
_NUMBER = r"[-+]?(?:[0-9]{1,9}(?:[.,][0-9]{1,18})?|\.[0-9]{1,18})"
_VALUE = rf"(?P<number>{_NUMBER})(?:\ *(?P<percent>%|percent\b)|\ *(?:/|out\ of|of)\ *(?P<best>{_NUMBER}))?"
# What follows must not make another number of it: "0.6-0.8", "0.8.1", "0.8x", "0.8+".
_END = r"(?![0-9A-Za-z+%]|[.,][0-9]|\ *(?:-|/|to|or|and)\ *[.0-9])"
_RANGE = r"(?:\ *[(\[][^()\[\]\n]{1,40}[)\]])?"
_BULLET = r"(?:[ >|•([]|[-+](?=[-+ ])|[0-9]{1,2}[.)]\ )*+"  # "-0.2" is a number, no bullet
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
    (?:(?P<value>{_VALUE}{_END})|(?P<unclear>[-+<>]?\ *\.?[0-9]))""",
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
_TIER = re.compile(
    rf"""(?P<opening>^{_OPENING})?\btier\b
    (?P<link>\ *+[-\#]?\ *+(?:[:=|]\s*+|is\ ++|of\ ++)?[ (\[]*+|\ *+\n\s*+(?=\w++\W*$))
    (?:(?P<digits>[0-9]+(?:[.,][0-9]+)?)|(?P<word>one|two|three|i{{1,3}}|viable|speculative|archived?)\b)
    (?P<remark>\ *\((?:viable|speculative|archived?)\))?""",
    re.I | re.M | re.X,
)
_WORDS = {"one": 1, "two": 2, "three": 3, "i": 1, "ii": 2, "iii": 3}
_WORDS |= {"viable": 1, "speculative": 2, "archive": 3, "archived": 3}
_REASONS = re.compile(
    rf"(?:^{_BULLET}|[|.;]\ +)(?:reason(?:s|ing)?|rationale|justification|explanation)\ *(?::|$)", re.I | re.M | re.X
)
_NO_REASON = re.compile(rf"{_BULLET}{_HEADER}[ :]*|\s*(?:json)?\s*", re.I | re.X)  # a title, a fence
_TOTAL = {"overall", "final", "total"}
_NEUTRAL = set("the a an my its this of and is dream variant viability give it with".split())  # noqa: SIM905

_SCORE_KEYS = ("viability", "viability_score", "score", "confidence")
_REASON_KEYS = ("reasons", "reasoning", "reason", "rationale", "justification", "explanation")


@dataclass(frozen=True)
class _Mention:
    """A score or a tier: how much its kind counts, its value (None: it can be read in several ways), its line."""

    rank: tuple[int, ...]
    value: float | int | None
    quote: str
    span: tuple[int, int] | None = None  # what it takes up of the answer, where that is no prose


def tier_of(viability: float, viable: float = _VIABLE, speculative: float = _SPECULATIVE) -> int:
    """The tier of a viability: 1 from `viable` on, 2 from `speculative` on, else 3."""
    return 1 if viability >= viable else 2 if viability >= speculative else 3


@register("verdict", version=1)
def verdict(raw: str, options: Options) -> Parsed:
    """The viability (0-1), the tier (by the viability where none is named) and the reasons of one dream."""
    text = drop_thinking(raw).replace("\r\n", "\n")
    objects = find_json(text, parse_float=Decimal, parse_int=Decimal)
    judged = [(found.start, found.end, one) for found in objects for one in _judged(found.value)]
    prose = _blanked(text, ((start, end) for start, end, _ in judged), " ")
    plain = prose.translate(_PLAIN)
    judged = [one for _, _, one in judged]
    scores = [_json_score(one) for one in judged] + list(_scores(plain))
    tiers = [tier for one in judged if (tier := _json_tier(one))] + list(_tiers(plain))
    scores = scores or list(_unlabelled(plain))
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
    reasons = _json_reasons(judged) or _reasons(prose, plain, [*scores, *tiers])
    values = {"viability": viability, "tier": tier, "reasons": reasons}
    return Parsed(pretty(values), values)


def _blanked(text: str, spans: Iterable[tuple[int, int]], mark: str) -> str:
    characters = list(text)
    for start, end in spans:
        characters[start:end] = mark * (end - start)
    return "".join(characters)


def _agreed(mentions: list[_Mention], what: str, example: str, text: str) -> _Mention:
    """The mention that counts most; an error where there is none, it is unclear, or its equals disagree."""
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


def _number(found: Mapping[str, str | None]) -> float | None:
    """The value of "0.85", ".8", "85%", "8/10" or "0,85", exactly as it is written; None for a division by zero."""
    value = Decimal(found["number"].replace(",", "."))
    best = Decimal("100" if found["percent"] else (found["best"] or "1").replace(",", "."))
    return float(value / best) + 0.0 if best else None  # no negative zero


def _line(text: str, at: int) -> str:
    """What stands around a place, at most its line."""
    return text[max(text.rfind("\n", 0, at) + 1, at - 150) : at + 150].partition("\n")[0].strip()


def _scores(plain: str) -> Iterator[_Mention]:
    for found in _MENTION.finditer(plain):
        words = found["words"].lower().split()
        opens = found["opening"] is not None and len(words) <= 2
        labelled = bool(re.search("[:=|]", found["link"])) or (opens and not found["link"].strip(" -"))
        if found["value"] is None and not labelled:
            continue  # "its viability, given 3 callers"
        label = found["label"].lower()
        kind = {"viability": 3, "score": 2, "confidence": 0}[label]
        if kind == 2 and words and not {words[-1]} & (_NEUTRAL | _TOTAL):
            kind = 1  # the score of something else: "novelty score"
        if "viability" in words:
            kind = 3
        whole = bool({*words} & _TOTAL)
        value = _number(found.groupdict()) if found["value"] else None
        span = (found.start(), found.end()) if labelled else None
        yield _Mention((int(kind > 0), int(labelled), kind, int(whole)), value, _line(plain, found.end()), span)
    for found in _BELOW.finditer(plain):
        yield _Mention((1, 1, 3, 0), _number(found.groupdict()), _line(plain, found.end()), found.span())


def _unlabelled(plain: str) -> Iterator[_Mention]:
    """Numbers that nothing names: "Dream 1: 0.8", "85%", "0.8/1.0"; looked for only where there is no other."""
    for rank, pattern in ((1, _ALONE), (0, _RATED)):
        for found in pattern.finditer(plain):
            span = found.span() if rank else None
            yield _Mention((rank,), _number(found.groupdict()), _line(plain, found.end()), span)


def _tiers(plain: str) -> Iterator[_Mention]:
    for found in _TIER.finditer(plain):
        # A label, or what stands right behind a number: "Viability 0.8, Tier 1".
        behind = plain[max(found.start() - 9, 0) : found.start()].rstrip(" ,;|()[]-.")[-1:]
        labelled = behind.isdigit() or behind == "%" or bool(re.search("[:=|\n]", found["link"]))
        rank = 2 if labelled else int(found["opening"] is not None)
        yield _Mention((rank,), _tier_number(found), _line(plain, found.end()), found.span() if rank else None)


def _tier_number(found: re.Match) -> int | None:
    if found["word"]:
        return _WORDS[found["word"].lower()]
    number = Decimal(found["digits"].replace(",", "."))
    return int(number) if number == int(number) else None


def _reasons(prose: str, plain: str, mentions: list[_Mention]) -> str:
    """What is said besides the verdict: behind a label such as "Reasoning:", else all but the verdict's own words."""
    if found := _REASONS.search(plain):
        return prose[found.end() :].strip().lstrip("*_ ").lstrip()
    touched = _blanked(prose, (one.span for one in mentions if one.span), "\0")
    lines = []
    for line in touched.split("\n"):
        if "\0" in line:
            pieces = (piece.lstrip(" \t*_`|#,;:.)]-–—").rstrip(" \t*_`|#,;:([-–—") for piece in line.split("\0"))
            line = " ".join(filter(None, pieces))
        if any(map(str.isalnum, line)) and not _NO_REASON.fullmatch(line.translate(_PLAIN)):
            lines.append(line.strip())
    return "\n".join(lines)


def _judged(value: Json) -> Iterator[dict[str, Json]]:
    """The objects in a JSON value that have a score, with lower-case keys."""
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


def _json_score(one: Mapping[str, Json]) -> _Mention:
    key = next(key for key in _SCORE_KEYS if isinstance(one.get(key), Decimal | str))
    written = str(one[key]).strip()
    found = re.fullmatch(_VALUE, written, re.X | re.I)
    kind = {"score": 2, "confidence": 0}.get(key, 3)
    value = float(one[key]) if isinstance(one[key], Decimal) else _number(found.groupdict()) if found else None
    return _Mention((int(kind > 0), 1, kind, 0), value, f'"{key}": {written}')


def _json_tier(one: Mapping[str, Json]) -> _Mention | None:
    written = one.get("tier")
    if written is None or written == "":
        return None
    text = str(written).strip()
    found = _TIER.fullmatch(text if text.lower().startswith("tier") else f"tier {text}")
    number = found["digits"] if found else None
    value = (
        int(number)
        if number and number.isdigit()
        else _WORDS[found["word"].lower()]
        if found and found["word"]
        else None
    )
    return _Mention((1,), value, f'"tier": {text}')


def _json_reasons(judged: list[dict[str, Json]]) -> str:
    for one in judged:
        for key in _REASON_KEYS:
            if isinstance(one.get(key), str):
                return one[key].strip()
            if isinstance(one.get(key), list):
                return "\n".join(str(item).strip() for item in one[key])
    return ""
