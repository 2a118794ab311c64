"""Parts of pages as data: what a cell of a table may hold besides text and numbers. `templates/components.html` shows
them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TONES = ("plain", "good", "bad", "warn", "info")
_STATUS_TONES = {
    "ok": "good",
    "done": "good",
    "failed": "bad",
    "skipped": "plain",
    "pending": "warn",
    "stopped": "warn",
}


@dataclass(frozen=True)
class Badge:
    """A short word with a colour and a mark: `tone` is one of `TONES`."""

    text: str
    tone: str = "plain"
    hint: str = ""


@dataclass(frozen=True)
class Link:
    """A link to a place of the site (`cohorts/demo/index.html#scores`), with a note after it."""

    text: str
    target: str
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval; `digits` decimals. An unknown value is shown as a dash."""

    value: float | None
    low: float | None = None
    high: float | None = None
    digits: int = 2


@dataclass(frozen=True)
class Amount:
    """A number with `digits` decimals and what stands before or after it, such as "$" or " s"."""

    value: float | None
    digits: int = 0
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Seconds:
    """A time, shown as "45 s", "3:05 min" or "2:10 h"."""

    value: float | None


@dataclass(frozen=True)
class Column:
    """A column of a table. `kind`: "text", "number" (right), "date", "id" (as code), "long" (takes the room that is
    left). `hint` explains the title. With `choices` the filter of the table offers the column's values."""

    title: str
    kind: str = "text"
    hint: str = ""
    choices: bool = False


def status_badge(status: str) -> Badge:
    """The badge of a status of a generation, a phase or a run."""
    return Badge(status, _STATUS_TONES.get(status, "plain"))


def usd(value: float | None) -> Amount:
    """US dollars: cents from a dollar on, else four decimals."""
    return Amount(value, 4 if value and abs(value) < 1 else 2 if value else 0, before="$")


def sort_key(cell: Any) -> str | float | None:
    """What a cell is sorted and filtered by; None if it is unknown."""
    match cell:
        case None | bool():
            return None if cell is None else str(cell).lower()
        case int() | float():
            return cell
        case Interval() | Amount() | Seconds():
            return cell.value
        case Badge() | Link():
            return cell.text
        case str():
            return str(cell)
        case Sequence():
            keys = [sort_key(part) for part in cell]
            return keys[0] if len(keys) == 1 else " ".join(str(key) for key in keys if key is not None)
    return str(cell)
