"""Times as chats write them, in ISO 8601 where their order of day and month is certain."""

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

_DATE = re.compile(r"(\d{1,4})\D{1,3}(\d{1,2})\D{1,3}(\d{1,4})")
_CLOCK = re.compile(r"(\d{1,2})[:.h](\d\d)(?:[:.](\d\d))?")
_AFTERNOON = re.compile(r"p\.?[ \u00a0\u202f]?m|μ|م|오후|下午|晚上|午後|CH", re.I)
_MORNING = re.compile(r"a\.?[ \u00a0\u202f]?m|π|ص|오전|上午|凌晨|早上|午前|SA", re.I)
_YEAR_FIRST = re.compile("[오상하전후午上下年凌早晚]")
_ORDERS = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}


class Stamps:
    """The times of a chat, in its order."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        self.texts = [" ".join(text.split()) if text else None for text in texts]

    def iso(self) -> list[str | None]:
        """Each time in ISO 8601, without a zone; all as they are written if day and month cannot be told apart."""
        dates = [_DATE.match(text) if text else None for text in self.texts]
        numbers = [tuple(map(int, date.groups())) for date in dates if date]
        order = _order(numbers, self.texts) if numbers else None
        if not order:
            return list(self.texts)
        return [_iso(text, date, order) if date else text for text, date in zip(self.texts, dates, strict=True)]


def _order(dates: Sequence[tuple[int, int, int]], texts: Sequence[str | None]) -> str | None:
    """Which of the numbers of dates is what: the only order in which all are dates, or in which they do not go back."""
    if any(text and _YEAR_FIRST.search(text) for text in texts):
        return "ymd"
    orders = [order for order in _ORDERS if order != "ymd" or max(date[0] for date in dates) > 99]
    possible = [order for order in orders if all(_day(date, order) for date in dates)]
    if len(possible) < 2:
        return possible[0] if possible else None
    backwards = {
        order: sum(_day(second, order) < _day(first, order) for first, second in pairwise(dates)) for order in possible
    }
    least = min(backwards.values())
    best = [order for order, count in backwards.items() if count == least]
    if len(best) > 1 and re.match(r"\d{1,2}\.\d{1,2}\.", next(filter(None, texts))):
        return "dmy"  # dots are not used for other orders
    return best[0] if len(best) == 1 else None


def _day(date: tuple[int, int, int], order: str) -> datetime | None:
    year, month, day = (date[place] for place in _ORDERS[order])
    if 100 <= year < 1900 or year > 2100:
        return None
    try:
        return datetime(year + 2000 if year < 100 else year, month, day)
    except ValueError:
        return None


def _iso(text: str, date: re.Match, order: str) -> str:
    day = _day(tuple(map(int, date.groups())), order)
    clock = _CLOCK.search(text, date.end())
    if not day or not clock:
        return text
    hour, minute = int(clock[1]), int(clock[2])
    rest = text[date.end() :]
    if _AFTERNOON.search(rest) and hour < 12:
        hour += 12
    elif _MORNING.search(rest) and hour == 12:
        hour = 0
    try:
        time = day.replace(hour=hour, minute=minute, second=int(clock[3] or 0))
    except ValueError:
        return text
    return time.isoformat(timespec="seconds" if clock[3] else "minutes")
