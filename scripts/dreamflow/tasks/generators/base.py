"""Templates of tasks, and the words that fill their slots.

Persons, firms and addresses are fictional; `.example` is reserved (RFC 2606).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from string import Formatter
from typing import NamedTuple

from ...files import read_table
from ...generation.model import Json

Grader = Mapping[str, Json]  # name and options, see tasks/graders.py

Row = Mapping[str, Json]  # a row of a table beside this module, with skill, name, number and `free`


class Content(NamedTuple):
    """The content of a task."""

    prompt: str
    answer: str
    grader: Grader


Make = Callable[[Random], Content]


@dataclass(frozen=True)
class Template:
    """A group of similar tasks. `make` draws a task from the given random numbers only."""

    group: str
    context: str
    make: Make


def fill(random: Random, text: str, **words: str) -> tuple[str, dict[str, str]]:
    """Fill slots such as {city}; returns the text and the words by slot. {city2} is a different city from {city}.

    `words` are the words of slots that are not drawn.
    """
    values = dict(words)
    for _, slot, _, _ in Formatter().parse(text):
        if slot and slot not in values:
            values[slot] = _draw(random, slot, values)
    return text.format_map(values), values


def kind_of(slot: str) -> str:
    """Return the kind of a slot: "city" for city, city2 and city3."""
    return slot.rstrip("0123456789")


def _draw(random: Random, slot: str, values: Mapping[str, str]) -> str:
    taken = [word for other, word in values.items() if kind_of(other) == kind_of(slot)]
    kind = kind_of(slot)
    draw = _WORDS.get(kind, lambda random: _pick(random, kind))
    while (word := draw(random)) in taken:
        pass
    return word


@cache
def lists() -> Mapping[str, Sequence[str]]:
    """Return the words of each slot that draws from a list."""
    return {slot: words.split() for slot, words in read_table(__file__, "words.yaml").items()}


def _pick(random: Random, slot: str) -> str:
    return random.choice(lists()[slot])


def _digits(random: Random, count: int) -> str:
    """Draw a number of `count` digits."""
    return str(random.randrange(10 ** (count - 1), 10**count))


def _letters(random: Random, count: int) -> str:
    return "".join(random.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(count))


# What the other slots draw: {date}, {date2}, ... all draw from "date".
_WORDS: Mapping[str, Callable[[Random], str]] = {
    "person": lambda r: f"{_pick(r, 'first')} {_pick(r, 'surname')}",
    "firm": lambda r: f"{_pick(r, 'firm_name')} {_pick(r, 'firm_end')}",
    "date": lambda r: f"{r.randint(1, 28)} {_pick(r, 'month')} {r.randint(2015, 2029)}",
    "iso": lambda r: f"{r.randint(2015, 2029)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}",
    "time": lambda r: f"{r.randint(6, 22):02}:{r.randrange(0, 60, 5):02}",
    "afternoon": lambda r: f"{r.randint(1, 11)}:{r.randrange(0, 60, 5):02} pm",
    "email": lambda r: f"{_pick(r, 'first')}.{_pick(r, 'surname')}@{_pick(r, 'firm_name')}.example".lower(),
    "phone": lambda r: f"0{_digits(r, 3)} {_digits(r, 3)} {_digits(r, 4)}",
    "amount": lambda r: f"{r.randint(5, 950)}.{r.randrange(0, 100, 5):02}",
    "order": lambda r: f"{_letters(r, 1)}-{_digits(r, 4)}",
    "invoice": lambda r: f"INV-{_digits(r, 5)}",
    "ticket": lambda r: f"#{_digits(r, 5)}",
    "sku": lambda r: f"{_letters(r, 2)}{_digits(r, 3)}",
    "train": lambda r: f"{r.choice(('IC', 'RE', 'EC'))} {_digits(r, 3)}",
    "flight": lambda r: f"{_letters(r, 2)} {_digits(r, 3)}",
    "platform": lambda r: str(r.randint(1, 24)),
    "room": lambda r: f"{r.choice('ABCDEFGH')}{_digits(r, 3)}",
    "address": lambda r: f"{r.randint(1, 98)} {_pick(r, 'street')} {r.choice(('Street', 'Road', 'Lane'))}",
    "host": lambda r: f"{r.choice(('web', 'db', 'app', 'mail', 'cache', 'edge'))}-{r.randint(1, 99):02}",
    "ip": lambda r: f"10.{r.randint(0, 250)}.{r.randint(0, 250)}.{r.randint(1, 250)}",
    "code": lambda r: f"E{_digits(r, 3)}",
    "version": lambda r: f"{r.randint(1, 9)}.{r.randint(0, 20)}.{r.randint(0, 20)}",
    "year": lambda r: str(r.randint(1850, 2020)),
    "n": lambda r: str(r.randint(2, 40)),
    "hundred": lambda r: str(r.randint(100, 990)),
    "percent": lambda r: str(r.randint(3, 97)),
}
