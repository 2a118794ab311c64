"""Chats of people as their programs save them: every message begins with a time, a name, or both.

WhatsApp (iOS and Android, in any language), Telegram, Discord, LINE, KakaoTalk, Zoom, Slack and Teams as copied; and
IRC as irssi, WeeChat, ZNC, HexChat and mIRC log it. The text stays unchanged: a line that begins no message goes on
with the one before. What a program says ("Anna left") is a turn of the role "system".
"""

import re
from collections.abc import Sequence
from itertools import islice

from ..conversation import Turn
from ..speaker_names import ROLES
from .dates import Stamps
from .message import Detail, Marked, Read

_MARKS = r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]*"
_D = r"\d{1,4}[./年\u200f-]+[ ]?\d{1,2}[./月\u200f-]+[ ]?\d{1,4}[.日]?"
_HALF = r"[ap]\.?[ \u00a0\u202f]?m\.?|[πμ]\.μ\.|[صم]|오전|오후|上午|下午|凌晨|早上|中午|晚上|午前|午後|SA|CH"
_T = rf"(?:(?:{_HALF})[ \u00a0\u202f]?)?\d{{1,2}}[:.h]\d\d(?:[:.]\d\d)?(?:[ \u00a0\u202f]*(?:{_HALF})(?![\w]))?"
_DT = rf"(?:{_D})(?:[,،]?[ \u00a0\u202f]+(?:(?:at|um|kl\.?|klo|à|в)[ ])?|T)(?:{_T})"
_MONTHLY = r"(?:[A-Z][a-z]{2}[ ]{1,2}\d{1,2}|\d{1,2}-[A-Z][a-z]{2}-\d{2,4})[ ]"
_IRC_TIME = rf"(?:[\[(]?(?:{_D}[ T]|{_MONTHLY})?\d{{1,2}}:\d\d(?::\d\d(?:\.\d+)?)?Z?[\])]?)"
_NAME = r"[^:\n]{1,70}?"


def _kind(pattern: str, least: int = 2) -> tuple[re.Pattern, int]:
    return re.compile(f"^{_MARKS}(?:{pattern})", re.M | re.I), least


# How a message begins, with `time` and `name` (none: the program speaks), and of how many messages there are at least.
_KINDS = {
    "WhatsApp on iOS": _kind(
        rf"\[(?P<time>{_DT})\][ ]{_MARKS}(?:(?:~[ \u00a0\u202f])?(?P<name>{_NAME}):(?:[ ]|\r?$))?", 1
    ),
    "WhatsApp on Android": _kind(rf"(?P<time>{_DT})[ ][-–][ ]{_MARKS}(?:(?P<name>{_NAME}):(?:[ ]|\r?$))?"),
    "Telegram": _kind(rf"(?P<name>[^\n\[\]]{{1,60}}),[ ]\[(?P<time>{_DT})\]:?[ ]*\r?\n"),
    "Discord": _kind(
        rf"(?P<name>[^\n]{{1,40}}?)[ ][—–][ ](?P<time>(?:(?:today|yesterday)[ ](?:at[ ])?|{_D},?[ ]+)?{_T})[ ]*\r?\n"
    ),
    "DiscordChatExporter": _kind(
        rf"\[(?P<time>(?:{_D}|\d{{1,2}}-[A-Z][a-z]{{2}}-\d\d)[ ]{_T})\][ ]"
        r"(?P<name>[^\n:]{2,40}?)(?:[ ]\(pinned\))?\r?\n"
    ),
    "LINE": _kind(rf"(?P<time>{_T})\t(?P<name>[^\t\n]{{1,40}})\t"),
    "KakaoTalk": _kind(rf"\[(?P<name>[^\]\n]{{1,40}})\][ ]\[(?P<time>{_T})\][ ]"),
    "KakaoTalk on a telephone": _kind(
        r"(?P<time>\d{4}(?:년|\.) \d{1,2}(?:월|\.) \d{1,2}(?:일|\.) (?:오전|오후) \d{1,2}:\d\d),[ ]"
        rf"(?:(?P<name>{_NAME})[ ]:[ ])?"
    ),
    "Zoom": _kind(
        r"(?P<time>\d\d:\d\d:\d\d)[ \t]+(?:From[ ]+)?(?P<name>[^:\n]{1,60}?)(?:[ ]+to[ ]+[^:\n]{1,40}?)?[ ]*:"
        r"(?:[ \t]|\r?\n)"
    ),
    "Slack": _kind(
        r"(?P<name>[^\W\d_][^\n\t:\[\]]{1,38}?)(?:[ ]APP)?[ \t]{1,3}"
        r"\[?(?P<time>\d{1,2}:\d\d(?::\d\d)?(?:[ ][AP]M)?)\]?[ ]*\r?\n",
        3,
    ),
}
_LEVELS = frozenset(["info", "warn", "warning", "error", "debug", "trace", "critical", "fatal", "notice"])

_IRC = re.compile(
    rf"""^\ufeff?(?:(?P<time>{_IRC_TIME})[ \t]*)?(?:
    <(?P<name>[ ~&@%+!]?[^\s<>/]{{1,40}})>(?:[ \t]|$)
    |[ ]?\*[ \t]+(?P<actor>[^\s*]{{1,40}})(?=[ \t])
    |(?P<program>-!-|-\w*[:-]\w*-|\*\*\*|-->|<--|--|=!=|===|---|\*\*\*\*|\[)[ \t]?
    |(?P<tabbed>[~&@%+]?[^\s<>:*]{{1,40}})\t
    )""",
    re.M | re.X,
)
_LOOKED_AT = 400  # lines by which a kind is recognised


def recognises(text: str) -> bool:
    """Whether messages begin as in one of the kinds."""
    return _is_irc(text) or _kind_of(text) is not None


def read(text: str, detail: Detail) -> Read:
    """The chat."""
    if _is_irc(text):
        yield Marked(_irc_turns(text))
        return
    found = list(_kind_of(text).finditer(text))
    stamps = Stamps([match["time"] for match in found])
    names = [_name(match) for match in found]
    known = {ROLES.get(name.lower()) for name in names if name}
    roles = [
        "system" if not name else ROLES[name.lower()] if known == {"user", "assistant"} else name for name in names
    ]
    ends = [
        match.end() if name or not match["name"] else match.start("name")
        for match, name in zip(found, names, strict=True)
    ]
    places = zip(roles, found, ends, stamps.iso(), strict=True)
    starts = [(role, match.start(), end, time) for role, match, end, time in places]
    yield Marked(_turns(text, starts))


def _kind_of(text: str) -> re.Pattern | None:
    head = _head(text)
    lines = sum(1 for line in head.split("\n") if line.strip())
    for pattern, least in _KINDS.values():
        found = list(islice(pattern.finditer(head), _LOOKED_AT))
        names = [name for match in found if (name := _name(match))]
        if len(found) < least or not names or sum(name.lower() in _LEVELS for name in names) * 2 > len(names):
            continue
        before = sum(1 for line in head[: found[0].start()].split("\n") if line.strip())
        if before <= 10 and len(found) * 12 >= lines - before:
            return pattern
    return None


def _head(text: str) -> str:
    """The first lines of a text, and no very long one."""
    place = 0
    for _ in range(_LOOKED_AT):
        place = text.find("\n", place) + 1
        if not place:
            return text[:200_000]
    return text[: min(place, 200_000)]


def _name(match: re.Match) -> str:
    """Who says a message; "" for the program."""
    name = re.sub(f"{_MARKS}", "", match["name"] or "").strip().removeprefix("~").strip()
    return "" if re.search('[“”"«»]', name) else " ".join(name.split())


def _turns(text: str, starts: Sequence[tuple[str, int, int, str | None]]) -> list[Turn]:
    turns: list[Turn] = []
    if starts and text[: starts[0][1]].removeprefix("\ufeff").strip():
        turns.append(Turn(1, "text", 0, starts[0][1], 0))
    ends = [start for _, start, *_ in starts[1:]] + [len(text)]
    for (role, _, content_start, time), end in zip(starts, ends, strict=True):
        start = turns[-1].end if turns else 0
        turns.append(Turn(len(turns) + 1, role, start, end, min(content_start, end), time))
    return turns


# --- IRC


def _is_irc(text: str) -> bool:
    lines = [line for line in _head(text).removeprefix("\ufeff").split("\n") if line.strip()]
    found = [_IRC.match(line[:200]) for line in lines]
    named = [match for match in found if match and match["name"]]
    tabbed = [match for match in found if match and match["time"] and match["tabbed"] and len(match["time"]) > 12]
    if len(tabbed) > 1 and len(tabbed) * 2 >= len(lines):  # WeeChat
        return True
    timed = sum(bool(match["time"]) for match in named)
    whole = sum(match is not None for match in found)
    if timed > 1 or (timed and len(lines) < 4):
        return whole * 10 >= len(lines) * 6 and timed * 2 >= len(named)
    tags = sum("</" in line for line in lines)
    return len({match["name"] for match in named}) > 1 and len(named) * 10 >= len(lines) * 7 and not tags


def _irc_turns(text: str) -> list[Turn]:
    starts = []
    for match in _IRC.finditer(text):
        if not (match["time"] or match["name"]) and not (match["program"] or "").startswith(("---", "***")):
            continue
        nick = (match["name"] or match["actor"] or match["tabbed"] or "").lstrip(" ~&@%+!")
        is_program = bool(match["program"]) or re.fullmatch(r"-->|<--|--|=!=|\*|-!-", nick) is not None
        end = match.start("actor") if match["actor"] else match.start("program") if match["program"] else match.end()
        time = (match["time"] or "").strip("[]()") or None
        starts.append(("system" if is_program or not nick else nick, match.start(), end, time))
    times = Stamps([time for *_, time in starts]).iso()
    return _turns(text, [(*start[:3], time) for start, time in zip(starts, times, strict=True)])
