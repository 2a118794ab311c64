"""Format following: what to write stands in the text; how to write it is asked exactly."""

import json
from collections.abc import Callable, Mapping
from random import Random

from .base import EXACT, Grader, Made, Template, fill
from .words import LISTS

Values = Mapping[str, str]

_JSON: Grader = {"name": "json", "allow": ["fence"]}
_LINES: Grader = {"name": "lines"}
_COMMAS: Grader = {"name": "list", "separator": ","}
_SEMICOLONS: Grader = {"name": "list", "separator": ";"}


def _date(text: str) -> tuple[int, int, int]:
    """(year, month, day) of "3 May 2024"."""
    day, month, year = text.split()
    return int(year), LISTS["month"].index(month) + 1, int(day)


def _iso(values: Values) -> str:
    return "{}-{:02}-{:02}".format(*_date(values["date"]))


def _slashes(values: Values) -> str:
    year, month, day = _date(values["date"])
    return f"{day:02}/{month:02}/{year}"


def _clock(values: Values) -> str:
    """13:05 for "1:05 pm"; afternoons only."""
    hour, minute = values["afternoon"].removesuffix(" pm").split(":")
    return f"{int(hour) + 12}:{minute}"


def _money(values: Values) -> str:
    return f"{values['n']}.{int(values['percent']):02}"


def _initials(values: Values) -> str:
    return "".join(f"{name[0]}." for name in values["person"].split())


def _words(*slots: str) -> Callable[[Values], list[str]]:
    return lambda values: [values[slot] for slot in slots]


def _object(**slots: str) -> Callable[[Values], str]:
    """A JSON object: key=slot, and numbers for slots of whole numbers."""
    return lambda values: json.dumps(
        {key: int(values[slot]) if values[slot].isdecimal() else values[slot] for key, slot in slots.items()}
    )


def _array(*slots: str) -> Callable[[Values], str]:
    return lambda values: json.dumps(_words(*slots)(values))


def _sorted(*slots: str) -> Callable[[Values], str]:
    return lambda values: ", ".join(sorted(_words(*slots)(values)))


def _upper(slot: str) -> Callable[[Values], str]:
    return lambda values: values[slot].upper()


# skill, template, context, grader, the right answer (slots in a text, or a function of the slots' words), prompt
_ROWS: tuple[tuple[str, str, str, Grader, str | Callable[[Values], str], str], ...] = (
    (
        "date-iso", "delivery", "deliveries", EXACT, _iso,
        "The {goods} for {person} is delivered on {date}.\n\nWrite this date as YYYY-MM-DD and nothing else.",
    ),
    (
        "date-iso", "birth", "forms", EXACT, _iso,
        "Give only the date, in the form YYYY-MM-DD.\n\n{first} {surname}, {job}, born in {city} on {date}.",
    ),
    (
        "date-iso", "deadline", "e-mails", EXACT, _iso,
        "Hello {first}, the report on {topic} is due on {date}.\n\nWhen is it due? Answer in the form YYYY-MM-DD only.",
    ),
    (
        "date-iso", "file-name", "archives", EXACT, _iso,
        "A photo of {city} was taken on {date}. Its file is named by the date as YYYY-MM-DD. Write that name alone.",
    ),
    (
        "date-slash", "ticket", "travel", EXACT, _slashes,
        "Your ticket from {city} to {city2} is for {date}.\n\nWrite this date as DD/MM/YYYY and nothing else.",
    ),
    (
        "date-slash", "meeting", "calendars", EXACT, _slashes,
        "Give only the date, in the form DD/MM/YYYY.\n\nThe {topic} meeting with {firm} was moved to {date}.",
    ),
    (
        "date-slash", "expiry", "product data", EXACT, _slashes,
        "Best before {date}: {ingredient}, lot {sku}.\n\nUntil when is it good? Answer in the form DD/MM/YYYY only.",
    ),
    (
        "json-object", "order", "orders", _JSON, _object(item="goods", qty="n"),
        "{first} orders {n} pieces of the article {goods}.\n\nAnswer with JSON only, with the keys item and qty.",
    ),
    (
        "json-object", "person", "contacts", _JSON, _object(name="person", city="city"),
        "Write a JSON object with the keys name and city, and nothing else.\n\n{person} lives in {city} as a {job}.",
    ),
    (
        "json-object", "train", "timetables", _JSON, _object(train="train", platform="platform"),
        "{train} to {city} leaves from platform {platform} at {time}.\n\n"
        "Give train and platform as one JSON object, the platform as a number. No other text.",
    ),
    (
        "json-object", "login", "logs", _JSON, _object(user="first", ip="ip"),
        "{time} {service}: {first} logged in from {ip}\n\nAnswer with JSON only, with the keys user and ip.",
    ),
    (
        "json-object", "stock", "inventories", _JSON, _object(sku="sku", stock="hundred"),
        "Article {sku}, {colour} {goods}: {hundred} in stock.\n\n"
        "Write a JSON object with the keys sku and stock (a number), and nothing else.",
    ),
    (
        "json-list", "team", "work", _JSON, _array("first", "first2", "first3"),
        "The team for {topic} is {first}, {first2} and {first3}.\n\nWrite the names as a JSON list and nothing else.",
    ),
    (
        "json-list", "basket", "shopping", _JSON, _array("fruits", "fruits2", "fruits3"),
        "Answer with a JSON list of the three fruits only.\n\n"
        "{first} buys {fruits}, {fruits2} and {fruits3} in {city}.",
    ),
    (
        "json-list", "stops", "travel", _JSON, _array("city", "city2", "city3"),
        "The bus stops in {city}, then in {city2}, then in {city3}.\n\nGive the stops as a JSON list. No other text.",
    ),
    (
        "semicolons", "guests", "events", _SEMICOLONS, "{first}; {first2}; {first3}",
        "{first}, {first2} and {first3} come to the feast in {city}.\n\n"
        "Write the names with semicolons between them and nothing else.",
    ),
    (
        "semicolons", "route", "travel", _SEMICOLONS, "{city}; {city2}; {city3}",
        "List the cities, separated by semicolons, without other words.\n\n"
        "We went from {city} to {city2} and on to {city3} with {firm}.",
    ),
    (
        "semicolons", "tools", "inventories", _SEMICOLONS, "{tool}; {tool2}; {tool3}",
        "In the {place} there are a {tool}, a {tool2} and a {tool3}.\n\n"
        "Answer with the three tools only, in one line, separated by semicolons.",
    ),
    (
        "sorted", "names", "schools", _COMMAS, _sorted("first", "first2", "first3"),
        "Put these names into alphabetical order, with commas between them: {first}, {first2}, {first3}. "
        "Answer with the list only.",
    ),
    (
        "sorted", "cities", "travel", _COMMAS, _sorted("city", "city2", "city3"),
        "{person} has lived in {city}, {city2} and {city3}.\n\n"
        "Give only the three cities, in alphabetical order, separated by commas.",
    ),
    (
        "sorted", "animals", "farms", _COMMAS, _sorted("animal", "animal2", "animal3"),
        "List the animals from A to Z, separated by commas, without other words.\n\n"
        "{first} keeps a {animal}, a {animal2} and a {animal3}.",
    ),
    (
        "upper-case", "sign", "notices", EXACT, _upper("shop"),
        "A sign is needed for the {shop} in {city}. Write the word {shop} in upper case and nothing else.",
    ),
    (
        "upper-case", "name", "forms", EXACT, _upper("surname"),
        "Give only the surname, in capital letters.\n\nApplicant: {first} {surname}, {job}, {address}, {city}",
    ),
    (
        "upper-case", "warning", "reports", EXACT, _upper("colour"),
        "The lamp in room {room} turned {colour} at {time}.\n\nAnswer with the colour only, all letters in upper case.",
    ),
    (
        "key-value", "visitor", "forms", _LINES, "name: {person}\ncity: {city}",
        "{person} from {city} visits us on {day}.\n\nWrite two lines and nothing else:\nname: ...\ncity: ...",
    ),
    (
        "key-value", "server", "inventories", _LINES, "host: {host}\nip: {ip}",
        "Fill in the two lines, without other words:\nhost: ...\nip: ...\n\n"
        "The machine {host} in room {room} has the address {ip}.",
    ),
    (
        "key-value", "sale", "accounts", _LINES, "item: {goods}\nprice: {amount}",
        "{first} sold the {goods} for {amount} euros in {city}.\n\n"
        "Answer only with these two lines, filled in:\nitem: ...\nprice: ...",
    ),
    (
        "surname-first", "list", "schools", EXACT, "{surname}, {first}",
        "{first} {surname} takes part in the {sport} course.\n\n"
        "Write the name with the surname first, then a comma, then the first name. Nothing else.",
    ),
    (
        "surname-first", "index", "archives", EXACT, "{surname}, {first}",
        "Give only the author, as Surname, First name.\n\nA history of {city}, by {first} {surname}, {year}.",
    ),
    (
        "surname-first", "staff", "work", EXACT, "{surname}, {first}",
        "Our new {job} in {city} is {first} {surname}.\n\nName this person in the form Surname, First name only.",
    ),
    (
        "csv-row", "sale", "accounts", EXACT, "{first},{goods},{n}",
        "{first} sold {n} pieces of the article {goods}.\n\n"
        "Write one line of CSV with name, article and number, without spaces. Nothing else.",
    ),
    (
        "csv-row", "run", "sports", EXACT, "{first},{city},{time}",
        "Give only a CSV line: name,city,time (no spaces).\n\nAt {time} {first} from {city} reached the goal.",
    ),
    (
        "csv-row", "log", "logs", EXACT, "{host},{service},{code}",
        "On {host} the {service} service failed with {code}.\n\n"
        "Answer with host, service and code in this order, separated by commas without spaces.",
    ),
    (
        "two-lines", "label", "deliveries", _LINES, "{person}\n{city}",
        "Parcel {sku} goes to {person} in {city}.\n\n"
        "Write exactly two lines: the name in the first, the city in the second.",
    ),
    (
        "two-lines", "contact", "contacts", _LINES, "{email}\n{phone}",
        "Answer with two lines only: first the e-mail address, below it the phone number.\n\n"
        "{first} can be reached at {phone} or by {email}.",
    ),
    (
        "two-lines", "menu", "recipes", _LINES, "{fruits}\n{ingredient}",
        "{first} needs {fruits} and {ingredient} for the cake.\n\n"
        "Give the two things, each in a line of its own, without any other sign.",
    ),
    (
        "clock-24", "alarm", "messages", EXACT, _clock,
        "{first} wants to be woken at {afternoon} on {day}.\n\n"
        "Write this time in 24-hour form, HH:MM, and nothing else.",
    ),
    (
        "clock-24", "show", "events", EXACT, _clock,
        "Give only the time, in 24-hour form.\n\nThe {instrument} concert in {city} begins at {afternoon}.",
    ),
    (
        "clock-24", "call", "calendars", EXACT, _clock,
        "{firm} calls about {topic} at {afternoon}.\n\nWhen do they call? Answer in 24-hour form (HH:MM) only.",
    ),
    (
        "decimal-price", "coffee", "receipts", EXACT, _money,
        "{first} pays {n} euros and {percent} cents.\n\nWrite this as a decimal number with two places, nothing else.",
    ),
    (
        "decimal-price", "fuel", "receipts", EXACT, _money,
        "Give only the price in decimal form, such as 7.05.\n\n"
        "The {goods} costs {n} euros and {percent} cents at {firm}.",
    ),
    (
        "decimal-price", "fee", "notices", EXACT, _money,
        "The fee for {sport} is {n} euros and {percent} cents a month.\n\n"
        "Answer with the fee as a decimal number only.",
    ),
    (
        "bullets", "packing", "travel", _LINES, "- {goods}\n- {goods2}",
        "{first} packs a {goods} and a {goods2}.\n\nWrite the two things as a list with a dash (- ) before each.",
    ),
    (
        "bullets", "cooking", "recipes", _LINES, "- {ingredient}\n- {ingredient2}\n- {ingredient3}",
        "List what is needed, a line each, every line beginning with a dash and a space. Nothing else.\n\n"
        "For the soup take {ingredient}, {ingredient2} and {ingredient3}.",
    ),
    (
        "bullets", "agenda", "minutes", _LINES, "- {topic}\n- {topic2}",
        "On {day} we speak about {topic} and {topic2}.\n\n"
        "Answer only with the topics as a list, one in a line, each after \"- \".",
    ),
    (
        "brackets", "room", "schedules", EXACT, "[{room}]",
        "{person} waits in room {room}.\n\nWrite the room in square brackets and nothing else.",
    ),
    (
        "brackets", "ticket", "tickets", EXACT, "[{sku}]",
        "Give only the article number, between [ and ].\n\nArticle {sku} is a {colour} {goods} by {firm}.",
    ),
    (
        "brackets", "train", "timetables", EXACT, "[{train}]",
        "The {train} to {city} is late by {n} minutes.\n\nAnswer with the train only, set in square brackets.",
    ),
    (
        "initials", "memo", "minutes", EXACT, _initials,
        "The minutes were written by {person} in {city}.\n\n"
        "Write the initials with full stops, as in A.B., nothing else.",
    ),
    (
        "initials", "painting", "archives", EXACT, _initials,
        "Give only the initials of the painter, in the form A.B.\n\n{person} painted the {shop} in {year}.",
    ),
    (
        "initials", "approval", "work", EXACT, _initials,
        "{person} approved order {order}.\n\nAnswer with the initials of this person only, like X.Y.",
    ),
    (
        "underscores", "article", "product data", EXACT, "{colour}_{material}_{goods}",
        "Article: {colour} {material} {goods}\n\nWrite its name with underscores in place of spaces, nothing else.",
    ),
    (
        "underscores", "file", "archives", EXACT, "{topic}_{month}_{year}",
        "Give only the file name, words joined by underscores.\n\nTitle: {topic} {month} {year}",
    ),
    (
        "underscores", "variable", "software", EXACT, "{animal}_{sport}_{n}",
        "The label of a setting is \"{animal} {sport} {n}\".\n\nAnswer with the label only, with _ for each space.",
    ),
    (
        "arrow", "flight", "travel", EXACT, "{city} -> {city2}",
        "{first} flies from {city} to {city2} with {flight}.\n\nWrite the route as FROM -> TO and nothing else.",
    ),
    (
        "arrow", "move", "letters", EXACT, "{city} -> {city2}",
        "Give only the move, in the form old -> new.\n\n{person} moved to {city2}. Before that, home was {city}.",
    ),
    (
        "arrow", "handover", "schedules", EXACT, "{first} -> {first2}",
        "At {time} {first} gives the key to {first2}.\n\nAnswer with giver -> receiver only.",
    ),
    (
        "table-row", "stock", "inventories", EXACT, "| {goods} | {n} |",
        "There are {n} of the article {goods} in the {place}.\n\n"
        "Write one table row, | article | number |, and nothing else.",
    ),
    (
        "table-row", "results", "sports", EXACT, "| {first} | {hundred} |",
        "Give only a Markdown table row with name and points.\n\n{first} has {hundred} points in {sport}.",
    ),
    (
        "table-row", "rooms", "schedules", EXACT, "| {topic} | {room} |",
        "The course on {topic} is in room {room}.\n\nAnswer with the row | course | room | only.",
    ),
    (
        "tag", "city", "letters", EXACT, "<city>{city}</city>",
        "{person} wrote from {city} on {day}.\n\nWrite the city inside <city> and </city>, nothing else.",
    ),
    (
        "tag", "name", "forms", EXACT, "<name>{person}</name>",
        "Give only the name, set in <name>...</name>.\n\nThe new {job} at {firm} is {person}.",
    ),
    (
        "tag", "price", "product data", EXACT, "<price>{amount}</price>",
        "The {colour} {goods} costs {amount} euros.\n\nAnswer with the price only, in the form <price>...</price>.",
    ),
)  # fmt: skip


def _template(
    skill: str, name: str, context: str, grader: Grader, right: str | Callable[[Values], str], text: str
) -> Template:
    def make(random: Random) -> Made:
        prompt, values = fill(random, text)
        return Made(prompt, right.format_map(values) if isinstance(right, str) else right(values), grader)

    return Template(f"format.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(*row) for row in _ROWS)
