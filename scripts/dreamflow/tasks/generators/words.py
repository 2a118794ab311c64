"""Words to fill templates with. Persons, firms and addresses are made up; `.example` belongs to nobody (RFC 2606)."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random

from ...files import read_table


@cache
def lists() -> Mapping[str, Sequence[str]]:
    """The words of each slot that draws from a list."""
    return {slot: words.split() for slot, words in read_table(__file__, "words.yaml").items()}


def draw(random: Random, slot: str) -> str:
    """A word for a slot."""
    return _WORDS[slot](random) if slot in _WORDS else _pick(random, slot)


def _pick(random: Random, slot: str) -> str:
    return random.choice(lists()[slot])


def _digits(random: Random, count: int) -> str:
    """So many digits, the first of them not 0."""
    return str(random.randrange(10 ** (count - 1), 10**count))


def _letters(random: Random, count: int) -> str:
    return "".join(random.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(count))


def _person(random: Random) -> str:
    return f"{_pick(random, 'first')} {_pick(random, 'surname')}"


def _firm(random: Random) -> str:
    return f"{_pick(random, 'firm_name')} {_pick(random, 'firm_end')}"


def _date(random: Random) -> str:
    return f"{random.randint(1, 28)} {_pick(random, 'month')} {random.randint(2015, 2029)}"


def _iso(random: Random) -> str:
    return f"{random.randint(2015, 2029)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _time(random: Random) -> str:
    return f"{random.randint(6, 22):02}:{random.randrange(0, 60, 5):02}"


def _email(random: Random) -> str:
    name = f"{_pick(random, 'first')}.{_pick(random, 'surname')}".lower()
    return f"{name}@{_pick(random, 'firm_name').lower()}.example"


def _phone(random: Random) -> str:
    return f"0{_digits(random, 3)} {_digits(random, 3)} {_digits(random, 4)}"


def _amount(random: Random) -> str:
    return f"{random.randint(5, 950)}.{random.randrange(0, 100, 5):02}"


def _order(random: Random) -> str:
    return f"{_letters(random, 1)}-{_digits(random, 4)}"


def _address(random: Random) -> str:
    return f"{random.randint(1, 98)} {_pick(random, 'street')} {random.choice(('Street', 'Road', 'Lane'))}"


def _host(random: Random) -> str:
    return f"{random.choice(('web', 'db', 'app', 'mail', 'cache', 'edge'))}-{random.randint(1, 99):02}"


def _ip(random: Random) -> str:
    return f"10.{random.randint(0, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"


def _version(random: Random) -> str:
    return f"{random.randint(1, 9)}.{random.randint(0, 20)}.{random.randint(0, 20)}"


# What the other slots draw: {date}, {date2}, ... all draw from "date".
_WORDS: Mapping[str, Callable[[Random], str]] = {
    "person": _person,
    "firm": _firm,
    "date": _date,
    "iso": _iso,
    "time": _time,
    "afternoon": lambda random: f"{random.randint(1, 11)}:{random.randrange(0, 60, 5):02} pm",
    "email": _email,
    "phone": _phone,
    "amount": _amount,
    "order": _order,
    "invoice": lambda random: f"INV-{_digits(random, 5)}",
    "ticket": lambda random: f"#{_digits(random, 5)}",
    "sku": lambda random: f"{_letters(random, 2)}{_digits(random, 3)}",
    "train": lambda random: f"{random.choice(('IC', 'RE', 'EC'))} {_digits(random, 3)}",
    "flight": lambda random: f"{_letters(random, 2)} {_digits(random, 3)}",
    "platform": lambda random: str(random.randint(1, 24)),
    "room": lambda random: f"{random.choice('ABCDEFGH')}{_digits(random, 3)}",
    "address": _address,
    "host": _host,
    "ip": _ip,
    "code": lambda random: f"E{_digits(random, 3)}",
    "version": _version,
    "year": lambda random: str(random.randint(1850, 2020)),
    "n": lambda random: str(random.randint(2, 40)),
    "hundred": lambda random: str(random.randint(100, 990)),
    "percent": lambda random: str(random.randint(3, 97)),
}
