"""Words for the slots of templates. Persons, firms and addresses are fictional; `.example` is reserved (RFC 2606)."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random

from ...files import read_table


@cache
def lists() -> Mapping[str, Sequence[str]]:
    """Return the words of each slot that draws from a list."""
    return {slot: words.split() for slot, words in read_table(__file__, "words.yaml").items()}


def draw(random: Random, slot: str) -> str:
    """Draw a word for a slot."""
    return _WORDS[slot](random) if slot in _WORDS else _pick(random, slot)


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
