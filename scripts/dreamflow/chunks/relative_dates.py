"""Relative dates in English, Chinese and Japanese ("yesterday", 上周五, 先週), resolved against the time of a turn.

A table decides, no model, so the same words at the same time are always the same date. Dates are ISO 8601: a day
(2023-05-07), a month (2023-05), a year (2022), or an interval of days (2023-05-01/2023-05-07). Weeks begin on Monday;
"last Friday" is the latest Friday before the day of the turn. Words that name no certain date ("recently", "a few days
ago", "on Friday") are left alone.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

_ENGLISH = {"a": 1, "an": 1, "one": 1, "a couple of": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_ENGLISH |= {"seven": 7, "eight": 8, "nine": 9, "ten": 10}
_HAN = {word: number for number, word in enumerate("一二三四五六七八九十", 1)} | {"两": 2, "兩": 2}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HAN_DAYS = {**{day: place for place, day in enumerate("一二三四五六")}, "日": 6, "天": 6}
_WEEKDAYS = {**{day: place for place, day in enumerate("月火水木金土日")}}
_NUMBER = rf"(?P<n>\d{{1,3}}|a couple of|{'|'.join(word for word in _ENGLISH if ' ' not in word)})"
_HAN_NUMBER = r"(?P<n>\d{1,3}|[一二三四五六七八九十两兩])"

# (pattern, unit, offset): with a number in the pattern, the offset is its sign.
_TABLE: tuple[tuple[str, str, int], ...] = (
    (r"the day before yesterday", "day", -2),
    (r"the day after tomorrow", "day", 2),
    (r"yesterday|last night", "day", -1),
    (r"today|tonight|this (?:morning|afternoon|evening)", "day", 0),
    (r"tomorrow", "day", 1),
    (rf"{_NUMBER} (?P<unit>day|week|month|year)s? ago", "", -1),
    (rf"in {_NUMBER} (?P<unit>day|week|month|year)s?(?! (?:ago|time))", "", 1),
    (rf"last (?P<weekday>{'|'.join(f'{day}|{day[:3]}' for day in _DAYS)}|tues|thurs)", "weekday", -1),
    (rf"next (?P<weekday>{'|'.join(_DAYS)})", "weekday", 1),
    (r"last weekend", "weekend", -1),
    (r"this weekend", "weekend", 0),
    (r"next weekend", "weekend", 1),
    (r"last (?P<unit>week|month|year)", "", -1),
    (r"this (?P<unit>week|month|year)", "", 0),
    (r"next (?P<unit>week|month|year)", "", 1),
    (r"大前天", "day", -3),
    (r"前天|一昨日|おととい", "day", -2),
    (r"昨天|昨晚|昨夜|昨日", "day", -1),
    (r"今天|今晚|今日|今夜|今朝|今早", "day", 0),
    (r"大后天", "day", 3),
    (r"后天|明後日|あさって", "day", 2),
    (r"明天|明晚|明日", "day", 1),
    (r"(?:上周|上星期|上个星期|上週|上個星期)(?P<han>[一二三四五六日天])", "han", -1),
    (r"(?:下周|下星期|下个星期|下週|下個星期)(?P<han>[一二三四五六日天])", "han", 1),
    (r"(?:这周|本周|这个星期|這週)(?P<han>[一二三四五六日天])", "han", 0),
    (r"先週の?(?P<kanji>[月火水木金土日])曜日?", "kanji", -1),
    (r"今週の?(?P<kanji>[月火水木金土日])曜日?", "kanji", 0),
    (r"来週の?(?P<kanji>[月火水木金土日])曜日?", "kanji", 1),
    (r"上周|上星期|上个星期|上週|上個星期|先週", "week", -1),
    (r"这周|本周|这个星期|這週|今週", "week", 0),
    (r"下周|下星期|下个星期|下週|下個星期|来週", "week", 1),
    (r"上个月|上個月|上月|先月", "month", -1),
    (r"这个月|這個月|本月|今月", "month", 0),
    (r"下个月|下個月|下月|来月", "month", 1),
    (r"前年|一昨年|おととし", "year", -2),
    (r"去年|昨年", "year", -1),
    (r"今年", "year", 0),
    (r"明年|来年", "year", 1),
    (rf"{_HAN_NUMBER}\s?(?:天|日)(?:以)?前(?!まで)", "day", -1),
    (rf"{_HAN_NUMBER}\s?(?:个星期|個星期|周|週間?|星期)(?:以)?前(?!まで)", "week", -1),
    (rf"{_HAN_NUMBER}\s?(?:个月|個月|か月|ヶ月|カ月)(?:以)?前(?!まで)", "month", -1),
    (rf"{_HAN_NUMBER}\s?年(?:以)?前(?!まで)", "year", -1),
)
_PATTERNS = [
    (re.compile(rf"\b(?:{pattern})\b" if pattern.isascii() else pattern, re.I), unit, offset)
    for pattern, unit, offset in _TABLE
]


class Resolved(NamedTuple):
    """Words of a text from `start` on, and the date that they mean."""

    start: int
    text: str
    date: str


def resolve(text: str, time: str | None) -> list[Resolved]:
    """The relative dates in a text that was said at a time (ISO 8601), in order; none if the time is not known."""
    try:
        day = datetime.fromisoformat(time or "").date()
    except ValueError:
        return []
    found: list[Resolved] = []
    taken: set[int] = set()
    for pattern, unit, offset in _PATTERNS:
        for match in pattern.finditer(text):
            if taken.isdisjoint(range(*match.span())):  # a longer phrase counts before its parts
                resolved = _date(day, match, unit, offset)
                if resolved:
                    taken.update(range(*match.span()))
                    found.append(Resolved(match.start(), match[0], resolved))
    return sorted(found)


def _date(day: date, match: re.Match[str], unit: str, offset: int) -> str:
    parts = match.groupdict()
    number = parts.get("n")
    if number:
        word = number.lower()
        offset *= int(number) if number.isdecimal() else _ENGLISH.get(word) or _HAN[word]
    unit = (parts.get("unit") or unit).lower()
    try:
        return _OF[unit](day, offset, parts, bool(number))
    except (OverflowError, ValueError):  # no such year
        return ""


def _days(day: date, offset: int, _parts: dict[str, str], _counted: bool) -> str:
    return (day + timedelta(days=offset)).isoformat()


def _week(day: date, offset: int, _parts: dict[str, str], counted: bool) -> str:
    if counted:  # "two weeks ago" is a day about then: the week around it
        day += timedelta(weeks=offset)
        offset = 0
    first = day - timedelta(days=day.weekday()) + timedelta(weeks=offset)
    return f"{first}/{first + timedelta(days=6)}"


def _weekend(day: date, offset: int, _parts: dict[str, str], _counted: bool) -> str:
    saturday = day - timedelta(days=day.weekday()) + timedelta(weeks=offset, days=5)
    return f"{saturday}/{saturday + timedelta(days=1)}"


def _month(day: date, offset: int, _parts: dict[str, str], _counted: bool) -> str:
    months = day.year * 12 + day.month - 1 + offset
    return date(months // 12, months % 12 + 1, 1).isoformat()[:7]


def _year(day: date, offset: int, _parts: dict[str, str], _counted: bool) -> str:
    return f"{date(day.year + offset, 1, 1).year:04}"


def _weekday(day: date, offset: int, parts: dict[str, str], _counted: bool) -> str:
    wanted = next(place for place, name in enumerate(_DAYS) if name.startswith(parts["weekday"].lower()[:3]))
    distance = (wanted - day.weekday()) % 7 or 7
    return (day + timedelta(days=distance if offset > 0 else distance - 7 or -7)).isoformat()


def _of_week(table: dict[str, int], key: str) -> Callable[[date, int, dict[str, str], bool], str]:
    def find(day: date, offset: int, parts: dict[str, str], _counted: bool) -> str:
        monday = day - timedelta(days=day.weekday()) + timedelta(weeks=offset)
        return (monday + timedelta(days=table[parts[key]])).isoformat()

    return find


_OF: dict[str, Callable[[date, int, dict[str, str], bool], str]] = {
    "day": _days,
    "week": _week,
    "weekend": _weekend,
    "month": _month,
    "year": _year,
    "weekday": _weekday,
    "han": _of_week(_HAN_DAYS, "han"),
    "kanji": _of_week(_WEEKDAYS, "kanji"),
}
