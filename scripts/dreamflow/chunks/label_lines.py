"""Lines that may begin a turn: which name a label has, and in which form it is written."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from ..generation.parsers.fences import fence_end, fence_opening
from .speaker_names import role_of

SPACE = "[ \t\u3000]*"
_LONGEST = 160  # characters of a label, with all around its name
_HEADER_END = re.compile(rf"{SPACE}(?:(?:\r?\n{SPACE})*\r?\n)?")

_MONTH = r"(?:jan|feb|mar|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dez|dec)[a-zäé]{0,6}\.?"
_DATE = rf"""(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}},?[ ])?(?:\d{{4}}[-/.年][ ]?\d{{1,2}}[-/.月][ ]?\d{{1,2}}日?
|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}|\d{{1,2}}\.?[ ]{_MONTH}(?:,?[ ]\d{{4}})?
|{_MONTH}[ ]\d{{1,2}}(?:st|nd|rd|th)?(?:,?[ ]\d{{4}})?)"""
_CLOCK = r"""\d{1,2}[:h]\d\d(?:[:.]\d\d(?:[.,]\d+)?)?(?:[ \u202f\u00a0]?[ap]\.?[ ]?m\.?)?(?![\w])
(?:[ ]?(?:Z|UTC|GMT|CES?T|[ECMP][SD]T)\b|Z|[ ]?[+-]\d\d:?\d\d)?"""
_JOINT = r"(?:[T_]|,?[ ]+(?:(?:at|um|à|kl|klo|om|alle)\.?[ ]+)?)"
_TIME = rf"(?:{_DATE}(?:{_JOINT}{_CLOCK.replace('(?![', '(?!(?!Z)[', 1)}|\b)|{_CLOCK})"
_EMOJI = r"(?:[^\w\s\#*_\[\](){}<>\"'`:：.,;!?/\\|@&%$+=~^‐-―-]+[ ]?)"
_NUMBER = r"""(?:(?:\#|(?:turn|message|msg|exchange|round|nr\.?|no\.?)[ ]?\#?)?\d{1,4}(?:[.):]|[ ]?[-–—|:])?[ ]+
|[\[(]\d{1,4}[\])][ ]*)"""
_LEAD = r"[ \t]{0,3}(?:(?:>[ ]?)+|[-*+•][ ]+|\d{1,3}[.)][ ]+(?=[*_<]))?"
_WORD = r"[^\W_][\w.'’&/+-]*"
_ANY_NAME = rf"[^\W\d_][\w.'’&/+-]*(?:[ ]{_WORD}){{0,3}}(?:[ ]?[(（][^()（）\n]{{1,60}}[)）])?"

_HEADING = re.compile(rf"[ ]{{0,3}}(?P<level>\#{{1,6}}){SPACE}(?P<inner>[^\n]+?){SPACE}\#*{SPACE}\r?$")
_CALLOUT = re.compile(r"[ ]{0,3}(?P<lead>(?:>[ ]?)+)\[!(?P<type>[\w-]+)\][+-]?[ \t]*(?P<inner>[^\n]*?)[ \t]*\r?$")
_WRAPPED = re.compile(
    rf"""(?P<lead>{_LEAD})(?P<before>{_EMOJI}|[\[(]{_TIME}[\])][ ]*)?
    (?P<open>\*\*\*|___|_\*\*|\*__|\*\*|__|\*(?![ ])|_|<b>|<strong>)(?P<inner>(?:(?!\*\*|__)[^\n<]){{1,100}}?)
    (?P<close>\*\*\*|___|\*\*_|__\*|\*\*|__|\*|_|</b>|</strong>)
    (?P<after>[ ]?{_EMOJI}?(?:{SPACE}[-–—|·,@]?[ ]?[\[(<]{{0,2}}(?:em>|sub>|sup>|i>)?{_TIME}(?:</\w+>)?[\])]?)?
        (?P<colon>{SPACE}[:：])?(?P<ends>{SPACE}(?:\\|[ ]*<br/?>)?\r?$)?)""",
    re.X | re.I,
)
_PLAIN = re.compile(
    rf"""(?P<lead>{_LEAD})(?P<before>(?:[\[(]{_TIME}[\])]|{_TIME})[ ]*[-–—|:]?[ ]*)?(?P<emoji>{_EMOJI})?
    (?P<number>{_NUMBER})?(?P<bracket>\[?)(?P<name>{_ANY_NAME})\]?
    (?P<after>[ ]*[-–—,|]?[ ]?[\[(]?{_TIME}[\])]?)?{SPACE}(?P<colon>:(?![:/\\])|：)""",
    re.X | re.I,
)
_RULE = r"={2,}|-{2,}|~{2,}|\*{3,}|\+{2,}"
_RULED = re.compile(rf"[ ]{{0,3}}(?P<open>{_RULE})[ ]*(?P<inner>[^\n=~]{{1,60}}?)[ ]*(?:{_RULE})[ ]*\r?$")
_BARE = re.compile(r"[ ]{0,3}(?P<inner>[^\n:#>*|`]{2,40}?)[ ]*\r?$")

_BEFORE = re.compile(
    rf"(?:[\[(]?(?P<time>{_TIME})[\])]?[ ]*[-–—|:]?[ ]*)?(?P<emoji>{_EMOJI})?(?P<number>{_NUMBER})?(?P<more>{_EMOJI})?",
    re.X | re.I,
)
_AFTER = re.compile(
    rf"[ ]*(?:[-–—|·,:@][ ]*)?(?:[\[(（][ ]*)?(?:(?:on|at|am|um)[ ])?(?P<time>{_TIME})[ ]*[\])）]?;?$", re.X | re.I
)
_IN_PARENS = re.compile(
    rf"^(?P<name>.*?)[ ]*[(\[（](?P<detail>[^()\[\]（）]*?)[;,|· ]*(?P<time>{_TIME})?[)\]）]$", re.X | re.I
)
_TAIL = re.compile(rf"[ ]*(?:{_EMOJI})$")
_WRAP = re.compile(r"\*\*|_|\*|<b>|<strong>")
_TAGS = re.compile(r"</?[a-z]+>|\*\*|__|^[*_]+|[*_]+$", re.I)
_NAME = re.compile(rf"{_ANY_NAME}$")
_SERIAL = re.compile(r"^(.*?[^\W\d])[ ]*\#?(\d{1,4})$")
_MODEL_DETAIL = re.compile(
    r"(?:model[: ]+)?([\w./:-]*[a-z][\w./:-]*\d[\w./:-]*(?: (?:mini|pro|sonnet|opus|haiku|flash))?)", re.I
)
_TIME_LINE = re.compile(
    rf"""[ \t>*_]*(?:<time[^>\n]*?(?:datetime="(?P<iso>[^"\n]+)")?[^>\n]*>[^<\n]*</time>
    |<su[bp]>(?P<small>{_TIME})</su[bp]>
    |[\[(]?(?P<time>{_TIME})[\])]?)[ \t*_]*\r?\n""",
    re.X | re.I,
)
_QUOTED = re.compile(r"(?:[ ]{0,3}>[ \t]?)?")
_CALLOUT_NAME = re.compile(
    rf"[ ]{{0,3}}>[ ]?\*\*(?P<name>[^*\n]{{1,60}})\*\*(?:[ ]*-[ ]*(?P<time>{_TIME}))?[ ]*\r?\n(?:>[ ]*\r?\n)?",
    re.X | re.I,
)


class Label(NamedTuple):
    """A line that may begin a turn. `form` is how it is written; `shape` is the same with all that stands around."""

    name: str
    role: str | None
    is_sure: bool  # whether the name alone says that this is a speaker
    form: str
    shape: tuple
    start: int
    end: int
    time: str | None = None
    model: str | None = None
    number: int | None = None


class _Inner(NamedTuple):
    name: str
    time: str | None
    number: int | None
    has_emoji: bool
    has_colon: bool
    model: str | None


def labels_in(text: str) -> Iterator[Label]:
    """All lines outside of code blocks that look like labels, known or not, in order."""
    in_code = code_test(text)
    start = _front_matter_end(text)
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if (label := _label(text, start, end)) and not in_code(label):
            yield label
        start = end + 1


def _label(text: str, start: int, end: int) -> Label | None:
    offset = start + text.startswith("\ufeff", start)
    found = _parsed(text[offset : min(end, offset + _LONGEST)], end - offset <= _LONGEST)
    return found._replace(start=start, end=offset + found.end) if found else None


@lru_cache(maxsize=4096)
def _parsed(line: str, is_whole: bool) -> Label | None:
    """The label with which a line begins; `is_whole` unless the line goes on."""
    first = line.lstrip(" \t")[:1]
    if not first or first in "`|":
        return None
    has_colon = ":" in line or "：" in line
    if first == "#":
        found = is_whole and _heading(line)
    elif first == ">":
        found = (is_whole and _callout(line)) or _wrapped(line, is_whole) or (has_colon and _plain(line))
    else:
        found = _wrapped(line, is_whole) if _WRAP.search(line) else None
        found = found or (has_colon and _plain(line)) or (is_whole and len(line) < 80 and (_ruled(line) or _bare(line)))
    if not found:
        return None
    inner, form, shape, length = found
    role, is_sure = role_of(inner.name)
    number = inner.number
    if role is None and (serial := _SERIAL.match(inner.name)):
        role, is_sure = role_of(serial[1])[0], False
        number = int(serial[2]) if role else number
    if form == "bare" and (role is None or inner.name[:1].islower()):
        return None
    shape = (form, *shape, inner.has_emoji, inner.has_colon, inner.time is not None, inner.number is not None)
    return Label(inner.name, role, is_sure, form, shape, 0, length, inner.time, inner.model, number)


def _inner(text: str, has_colon: bool = False) -> _Inner | None:
    """What stands between the marks of a label."""
    text = _TAGS.sub("", text.strip()).strip()
    before = _BEFORE.match(text)
    rest = text[before.end() :]
    has_emoji = bool(before["emoji"] or before["more"])
    bare = _TAIL.sub("", rest)
    has_emoji, rest = has_emoji or bare != rest, bare
    stripped = rest.rstrip(" :：")
    has_colon, rest = has_colon or stripped != rest.rstrip(), stripped
    time = before["time"]
    model = None
    if after := _AFTER.search(rest):
        time, rest = time or after["time"], rest[: after.start()].rstrip(" :：")
    elif (parens := _IN_PARENS.match(rest)) and parens["name"].strip():
        time = time or parens["time"]
        detail = parens["detail"].strip()
        known = role_of(parens["name"])[0]
        if known == "assistant" and (found := _MODEL_DETAIL.search(detail)):
            model = found[1]
        if known or parens["time"]:
            rest = parens["name"].strip() if known or not detail else f"{parens['name']} ({detail})"
    rest = _TAGS.sub("", rest).strip().removesuffix(",").rstrip()
    rest = _TAIL.sub("", rest)
    if not rest or not _NAME.match(rest):
        return None
    number = int(re.search(r"\d+", before["number"])[0]) if before["number"] else None
    return _Inner(rest, time, number, has_emoji, has_colon, model)


def _heading(line: str) -> tuple | None:
    match = _HEADING.match(line)
    inner = _inner(match["inner"]) if match else None
    return (inner, match["level"], (), len(line.rstrip("\r"))) if inner else None


def _callout(line: str) -> tuple | None:
    match = _CALLOUT.match(line)
    if not match:
        return None
    kind = match["type"].lower()
    kind = re.sub(r"^(?:nexus|chat|ai|gpt)_", "", kind)
    inner = _inner(match["inner"] or kind)
    if (inner is None or not role_of(inner.name)[0]) and role_of(kind)[1]:
        inner = _Inner(kind, inner and inner.time, None, False, False, None)
    return (inner, f"{match['lead'].strip()}[!]", (), len(line.rstrip("\r"))) if inner else None


def _wrapped(line: str, is_whole: bool) -> tuple | None:
    match = _WRAPPED.match(line)
    if not match or _mirrored(match["open"]) != match["close"].lower():
        return None
    ends = match["ends"] is not None and is_whole
    colon_inside = match["inner"].rstrip(" *_")[-1:] in (":", "：")
    if not (colon_inside or match["colon"] or ends):
        return None
    inner = _inner(f"{match['before'] or ''}{match['inner']}", bool(match["colon"]))
    if not inner:
        return None
    if (after := re.search(_TIME, match["after"] or "", re.X | re.I)) and not inner.time:
        inner = inner._replace(time=after[0])
    kind = "italic" if match["open"] in ("_", "*") else "bold"
    if match["open"] in ("_**", "*__", "***", "___"):
        kind = "bold italic"
    # A line break after the label is not its own; a colon directly after it is.
    length = match.end("close") if not (match["colon"] or match["after"].strip()) else match.end("after")
    if match["ends"]:
        length -= len(match["ends"]) if match["colon"] or match["after"].strip() else 0
    lead = match["lead"].strip()
    return inner, f"{_lead_of(lead)}{kind}", (len(match["lead"]), bool(match["colon"]), ends), length


def _mirrored(mark: str) -> str:
    return mark.replace("<", "</").lower() if mark.startswith("<") else mark[::-1]


def _lead_of(lead: str) -> str:
    """The mark of a list or quotation before a label."""
    if not lead:
        return ""
    return "- " if lead[0] not in ">" else f"{lead.replace(' ', '')} "


def _plain(line: str) -> tuple | None:
    match = _PLAIN.match(line)
    if not match:
        return None
    name = match["name"]
    text = line[match.end("lead") : match.start("colon")]
    inner = _inner(text.replace("[", "").replace("]", "") if match["bracket"] else text, True)
    if not inner:
        return None
    after = line[match.end() : match.end() + 1]
    if match["colon"] == ":" and after.strip() and role_of(name)[0] is None:
        return None
    lead = match["lead"].strip()
    timed = "before" if match["before"] else "after" if inner.time else ""
    form = f"{_lead_of(lead)}plain{' timed' if timed else ''}"
    return inner, form, (len(match["lead"]), timed), match.end()


def _ruled(line: str) -> tuple | None:
    match = _RULED.match(line)
    inner = _inner(match["inner"]) if match else None
    return (inner, f"ruled {match['open'][0]}", (), len(line.rstrip("\r"))) if inner else None


def _bare(line: str) -> tuple | None:
    match = _BARE.match(line)
    inner = _inner(match["inner"]) if match else None
    return (inner, "bare", (), len(line.rstrip("\r"))) if inner else None


def header_end(text: str, label_end: int, end: int, form: str) -> tuple[int, str | None]:
    """Where the words of a turn begin, and a time that has a line of its own under the label."""
    place = _HEADER_END.match(text, label_end, end).end()
    if form.endswith("[!]") and (named := _CALLOUT_NAME.match(text, place, end)) and role_of(named["name"])[0]:
        return named.end() + len(_QUOTED.match(text, named.end(), end)[0]), named["time"]
    if form.endswith("[!]"):
        return _QUOTED.match(text, place, end).end(), None
    time = _TIME_LINE.match(text, place, min(end, place + 200)) if place > label_end else None
    if not time:
        return place, None
    return _HEADER_END.match(text, time.end(), end).end(), time["iso"] or time["small"] or time["time"]


def _front_matter_end(text: str) -> int:
    """The end of the YAML block at the beginning of a text, 0 without one."""
    opening = re.match("\ufeff?---[ \t]*\r?\n", text)
    closing = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.M).search(text, opening.end()) if opening else None
    if not closing:
        return 0
    inside = [line for line in text[opening.end() : closing.start()].split("\n") if line.strip()]
    keys = [re.match(r"[\w.-]+:(?:\s|$)|[ \t]+\S|- |#", line) for line in inside]
    is_talk = bool(inside) and role_of(inside[0].partition(":")[0])[1]
    return closing.end() if inside and all(keys) and not is_talk else 0


def code_test(text: str) -> Callable[[Label], bool]:
    """A function that takes labels in order and returns whether a label is in a closed code block."""
    position = 0
    never_closed: dict[str, int] = {}  # by mark: the length from which fences are never closed: no second search

    def in_code(label: Label) -> bool:
        nonlocal position
        while position < label.start and (opening := fence_opening(text, position, label.start)):
            mark, length = opening["marks"][0], len(opening["marks"])
            end = None if length >= never_closed.get(mark, length + 1) else fence_end(text, opening, len(text))
            if end is None:
                never_closed[mark] = min(length, never_closed.get(mark, length))
            position = end or opening.end()
        if position > label.start:
            return True
        position = _HEADER_END.match(text, label.end).end()  # a block may begin on the line of a label
        return False

    return in_code
