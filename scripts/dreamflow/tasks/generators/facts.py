"""Short facts from a given text: a question whose answer is a word or two of it, among others that are wrong."""

from collections.abc import Callable, Mapping
from random import Random

from .base import PHRASE, Made, Template, fill, kind_of
from .words import LISTS

Values = Mapping[str, str]

# skill, template, context, what is right (a slot, or a function of the slots' words), prompt, how to answer
_ROWS: tuple[tuple[str, str, str, str | Callable[[Values], str], str, str], ...] = (
    (
        "who", "repair", "stories", "first2",
        "{first} found the old {goods} in the {place}. {first2} repaired it, and {first3} sold it in {city}.\n\n"
        "Who repaired it?", "Answer with the name only.",
    ),
    (
        "who", "kitchen", "recipes", "first",
        "For the feast {first} brought the {ingredient}, {first2} the {fruits} and {first3} the {ingredient2}.\n\n"
        "Who brought the {ingredient}?", "Answer with the name only.",
    ),
    (
        "who", "choir", "news", "person2",
        "The choir of {city} was founded by {person} in {year}. Today {person2} leads its {n} singers.\n\n"
        "Who leads the choir today?", "Answer with the full name only.",
    ),
    (
        "who", "duty", "schedules", "first3",
        "On {day} {first} is on duty, on {day2} {first2}, and on {day3} {first3}. They meet in room {room}.\n\n"
        "Who is on duty on {day3}?", "Answer with the name only.",
    ),
    (
        "where", "key", "notes", "place2",
        "The {tool} lies in the {place}. The spare key hangs in the {place2}, and the {goods} is in the {place3}.\n\n"
        "In which room is the spare key?", "Answer with one word.",
    ),
    (
        "where", "move", "biographies", "city3",
        "{person} was born in {city}, learnt to be a {job} in {city2}, and has lived in {city3} since {year}.\n\n"
        "In which city does this person live now?", "Answer with the city only.",
    ),
    (
        "where", "tour", "travel", "city2",
        "The band plays in {city} on {day}, in {city2} on {day2} and in {city3} on {day3}. Tickets "
        "cost {amount} euros.\n\n"
        "Where does the band play on {day2}?", "Answer with the city only.",
    ),
    (
        "where", "animals", "stories", "place",
        "A {animal} slept in the {place}. A {animal2} hid in the {place2}. {first} looked for both until {time}.\n\n"
        "In which room did the {animal} sleep?", "Answer with one word.",
    ),
    (
        "when", "shop", "notices", "time",
        "On {day} the {shop} opens at {time} and closes at {time2}. On {day2} it stays closed.\n\n"
        "At what time does it open on {day}?", "Answer with the time only.",
    ),
    (
        "when", "bridge", "history", "year2",
        "The bridge of {city} was planned in {year} by {person}, finished in {year2} and repaired in {year3}.\n\n"
        "In which year was it finished?", "Answer with the year only.",
    ),
    (
        "when", "course", "schedules", "day2",
        "The {sport} course is on {day}, the {instrument} course on {day2}, both with {first} in room {room}.\n\n"
        "On which day is the {instrument} course?", "Answer with the day only.",
    ),
    (
        "when", "garden", "gardening", "month2",
        "Sow the seeds in {month}, plant them out in {month2} and harvest in {month3}, says {person}.\n\n"
        "In which month are they planted out?", "Answer with the month only.",
    ),
    (
        "how-many", "farm", "reports", "n2",
        "{first}'s farm has {n} cows, {n2} goats and {n3} hens. {first2} comes by every {n4} days.\n\n"
        "How many goats does the farm have?", "Answer with the number only.",
    ),
    (
        "how-many", "library", "reports", "hundred",
        "The library of {city} lent {hundred} books in {month} and {hundred2} in {month2}, to {n} readers.\n\n"
        "How many books were lent in {month}?", "Answer with the number only.",
    ),
    (
        "how-many", "seats", "travel", "n3",
        "The {train} has {n} seats in first class, {n2} in the restaurant and {n3} in the quiet zone.\n\n"
        "How many seats are in the quiet zone?", "Answer with the number only.",
    ),
    (
        "what", "colour", "product data", "colour2",
        "The {goods} is {colour}, the {goods2} is {colour2} and the {goods3} is {colour3}. All come from {firm}.\n\n"
        "What colour is the {goods2}?", "Answer with the colour only.",
    ),
    (
        "what", "job", "biographies", "job2",
        "{first} works as a {job} in {city}. {first2}, next door, is a {job2}, and {first3} is a {job3}.\n\n"
        "What does {first2} work as?", "Answer with one word.",
    ),
    (
        "what", "music", "stories", "instrument",
        "At the concert in {city} {first} played the {instrument} and {first2} the {instrument2} until {time}.\n\n"
        "What did {first} play?", "Answer with the instrument only.",
    ),
    (
        "what", "material", "product data", "material2",
        "The lid of the {goods} is made of {material}, its body of {material2}. {firm} sells it for {amount} euros.\n\n"
        "What is the body made of?", "Answer with one word.",
    ),
    (
        "what", "soup", "recipes", "ingredient3",
        "Fry the {ingredient}, add the {ingredient2} after {n} minutes, and put in the {ingredient3} last.\n\n"
        "What is put in last?", "Answer with one word.",
    ),
    (
        "which", "train", "timetables", "train2",
        "{train} goes to {city} at {time}. {train2} goes to {city2} at {time2}. Both stop in {city3}.\n\n"
        "Which train goes to {city2}?", "Answer with the train only.",
    ),
    (
        "which", "server", "logs", "host",
        "{host} was restarted at {time} by {first}. {host2} ran on, and {host3} has been off since {day}.\n\n"
        "Which machine was restarted?", "Answer with its name only.",
    ),
    (
        "which", "platform", "timetables", "platform2",
        "The train to {city} leaves from platform {platform}, the one to {city2} from platform "
        "{platform2}, at {time}.\n\n"
        "From which platform does the train to {city2} leave?", "Answer with the number only.",
    ),
    (
        "which", "room", "schedules", "room",
        "{person} teaches {topic} in room {room} at {time}; {person2} teaches {topic2} in room {room2}.\n\n"
        "In which room is {topic} taught?", "Answer with the room only.",
    ),
    (
        "compare", "price", "shopping",
        lambda v: v["goods"] if float(v["amount"]) < float(v["amount2"]) else v["goods2"],
        "At {firm} the {goods} costs {amount} euros and the {goods2} {amount2} euros.\n\n"
        "Which of the two is cheaper?", "Answer with one word.",
    ),
    (
        "compare", "early", "timetables", lambda v: v["first"] if v["time"] < v["time2"] else v["first2"],
        "{first} came to the {shop} in {city} at {time}. {first2} came there at {time2} on the same day.\n\n"
        "Who came first?", "Answer with the name only.",
    ),
    (
        "compare", "old", "history", lambda v: v["shop"] if v["year"] < v["year2"] else v["shop2"],
        "The {shop} of {city} was built in {year}. The {shop2} was built in {year2} by {person}.\n\n"
        "Which of the two is older?", "Answer with one word.",
    ),
    (
        "compare", "more", "reports", lambda v: v["city"] if int(v["hundred"]) > int(v["hundred2"]) else v["city2"],
        "In {month} the office in {city} answered {hundred} letters, and the one in {city2} {hundred2}.\n\n"
        "Which office answered more letters?", "Answer with the city only.",
    ),
)  # fmt: skip


def _in_order(values: Values) -> Values:
    """`values`, but years, times and months come in their order, as a story has them."""
    ordered = dict(values)
    for kind, key in (("year", int), ("time", str), ("month", LISTS["month"].index)):
        slots = [slot for slot in values if kind_of(slot) == kind]
        ordered.update(zip(slots, sorted((values[slot] for slot in slots), key=key), strict=True))
    return ordered


def _others(values: Values, answer: str) -> list[str]:
    """The words of the answer's kind that are wrong."""
    kinds = {kind_of(slot) for slot, word in values.items() if word == answer}
    return [word for slot, word in values.items() if kind_of(slot) in kinds and word != answer]


def _template(
    number: int, skill: str, name: str, context: str, right: str | Callable[[Values], str], text: str, how: str
) -> Template:
    """Every second template lets a model talk, so that it tells what it knows; the others want the answer alone.

    So do all comparisons: a sentence may well name what is compared, and both could be right.
    """
    free = number % 2 == 1 and skill != "compare"
    ending = "Answer in one short sentence." if free else how

    def make(random: Random) -> Made:
        _, values = fill(random, text)
        if skill != "compare":
            values = _in_order(values)
        answer = values[right] if isinstance(right, str) else right(values)
        grader = {"name": "mentions", "others": _others(values, answer)} if free else PHRASE
        return Made(f"{text.format_map(values)} {ending}", answer, grader)

    return Template(f"facts.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(number, *row) for number, row in enumerate(_ROWS))
