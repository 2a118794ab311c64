"""Words to fill templates with. Persons, firms and addresses are made up; `.example` belongs to nobody (RFC 2606)."""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

# Slots that draw from a list of words.
_LISTS = {
    "first": (
        "Ada Ben Carla Dino Elena Farid Greta Hugo Ines Jonas Karin Leo Marta Nils Olga Pavel Quinn Rosa "
        "Samir Tara Uwe Vera Wanda Yusuf Zoe Amir Bianca Chidi Daria Emil Fatima Goran Hanna Igor Jana Kofi "
        "Lena Milo Nadia Oskar"
    ),
    "surname": (
        "Klein Rossi Novak Silva Berg Okafor Lund Moreau Petrov Garcia Weber Tanaka Murphy Kaya Jansen Costa "
        "Haddad Nowak Fischer Larsen Mensah Romano Singh Torres Virtanen Walsh Yilmaz Zeman Baker Dubois "
        "Ferrari Gruber Horvat Ivanov Jensen Kowal Lopez Marin Nagy Olsen"
    ),
    "city": (
        "Lyon Oslo Porto Riga Turin Ghent Bergen Cadiz Dresden Eger Faro Graz Hull Izmir Jena Kiel Lille "
        "Malmo Nantes Odense Pisa Rouen Split Tartu Umea Vigo Wells York Zadar Arles Basel Cork Delft Essen "
        "Fulda Girona Haarlem Krakow Leeds Mainz"
    ),
    "month": "January February March April May June July August September October November December",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "fruits": (
        "apples pears plums figs dates lemons limes grapes melons peaches cherries oranges bananas apricots "
        "kiwis mangoes quinces papayas raisins currants"
    ),
    "fruit": (
        "apple pear plum fig lemon lime grape melon peach cherry orange banana apricot kiwi mango quince papaya coconut"
    ),
    "animal": (
        "cat dog fox weasel hen goat horse sheep duck goose mouse rabbit pigeon badger heron robin crow swan "
        "donkey hamster"
    ),
    "colour": "red blue green yellow black white grey brown purple violet pink silver",
    "tool": ("hammer saw drill chisel wrench spanner ladder rake spade shovel crowbar level clamp file mallet trowel"),
    "goods": (
        "lamp chair kettle bucket carpet mirror pillow blanket teapot basket candle clock radio heater fan "
        "stool rack desk towel curtain vase tray bottle helmet tent rope lantern backpack suitcase cushion"
    ),
    "material": "wood steel glass cotton wool paper copper clay leather rubber bamboo linen",
    "ingredient": (
        "flour sugar butter salt rice oats honey milk yeast cocoa cinnamon garlic onions lentils beans cheese "
        "eggs cream"
    ),
    "job": (
        "nurse baker pilot plumber teacher farmer lawyer painter tailor gardener driver dentist miller "
        "chemist carpenter cook"
    ),
    "sport": "tennis rowing chess hockey judo cycling rugby golf fencing archery climbing sailing",
    "instrument": "violin flute piano drum harp cello guitar trumpet oboe banjo clarinet organ",
    "place": "kitchen cellar library garage attic workshop office hall pantry studio laundry nursery",
    "shop": "bakery pharmacy bookshop florist butcher museum theatre station harbour market stadium cinema",
    "service": "auth billing search mailer cart gateway backup report upload export",
    "topic": (
        "safety budget hiring pricing training travel recycling parking security branding insurance catering payroll"
    ),
    "firm_name": (
        "Alder Birch Cobalt Delta Ember Falcon Garnet Harbor Indigo Juniper Kestrel Lumen Meridian Nimbus "
        "Orchard Pioneer Quartz Ridge Summit Tidal"
    ),
    "firm_end": "Ltd AG Foods Tools Travel Energy Books Logistics Labs Textiles",
    "street": "Mill Station Church Park River Garden Bridge Market School Harbour Castle Forest",
}
LISTS = {slot: tuple(words.split()) for slot, words in _LISTS.items()}


def _pick(random: Random, slot: str) -> str:
    return random.choice(LISTS[slot])


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


# What a slot draws: {city}, {city2}, ... all draw from "city".
WORDS: Mapping[str, Callable[[Random], str]] = {
    **{slot: partial(_pick, slot=slot) for slot in LISTS},
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
