"""Arithmetic: a short story with small numbers, and the number that it comes to."""

import re
from collections.abc import Callable, Mapping
from random import Random

from .base import NUMBER, Made, Template, fill

Numbers = Mapping[str, int]
Range = tuple[int, int]

_ALONE = "Answer with the number only."

# skill, template, context, {number: (lowest, highest)}, result, prompt; all results are whole and not negative
_ROWS: tuple[tuple[str, str, str, Mapping[str, Range], Callable[[Numbers], int], str], ...] = (
    (
        "add", "letters", "post", {"a": (12, 89), "b": (12, 89)}, lambda v: v["a"] + v["b"],
        "{first} sorted {a} letters before noon and {b} after noon. How many letters is that together?",
    ),
    (
        "add", "stops", "travel", {"a": (5, 60), "b": (5, 60), "c": (5, 60)}, lambda v: v["a"] + v["b"] + v["c"],
        "The way from {city} has three parts of {a}, {b} and {c} km. How many km are they together?",
    ),
    (
        "add", "shelves", "inventories", {"a": (110, 480), "b": (110, 480)}, lambda v: v["a"] + v["b"],
        "{a} {goods}s are in stock and {b} more arrive from {firm}. How many are there then?",
    ),
    (
        "subtract", "eggs", "farms", {"a": (40, 95), "b": (3, 38)}, lambda v: v["a"] - v["b"],
        "{first} had {a} eggs and sold {b} of them in {city}. How many eggs are left?",
    ),
    (
        "subtract", "pages", "reading", {"a": (180, 420), "b": (20, 170)}, lambda v: v["a"] - v["b"],
        "A book about the {animal} has {a} pages. {first} has read {b} of them. How many pages are still unread?",
    ),
    (
        "subtract", "seats", "events", {"a": (150, 400), "b": (20, 140)}, lambda v: v["a"] - v["b"],
        "The hall in {city} has {a} seats, and {b} of them are taken. How many seats are free?",
    ),
    (
        "multiply", "boxes", "deliveries", {"a": (3, 12), "b": (6, 24)}, lambda v: v["a"] * v["b"],
        "{firm} sends {a} boxes with {b} {tool}s in each box. How many {tool}s is that?",
    ),
    (
        "multiply", "rows", "gardening", {"a": (3, 15), "b": (4, 20)}, lambda v: v["a"] * v["b"],
        "{first} plants {a} rows of {b} tulips each. How many tulips are planted?",
    ),
    (
        "multiply", "wage", "work", {"a": (11, 30), "b": (3, 9)}, lambda v: v["a"] * v["b"],
        "A {job} in {city} earns {a} euros an hour and works {b} hours. How many euros is that?",
    ),
    (
        "divide", "share", "meals", {"a": (2, 12), "b": (2, 15)}, lambda v: v["b"],
        "{total} {fruits} are shared equally among {a} children in {city}. How many does each child get?",
    ),
    (
        "divide", "teams", "sports", {"a": (3, 9), "b": (3, 14)}, lambda v: v["b"],
        "{total} people came to play {sport} and made {a} equal teams. How many people are in a team?",
    ),
    (
        "divide", "speed", "travel", {"a": (2, 9), "b": (20, 95)}, lambda v: v["b"],
        "A bus drives {total} km to {city} in {a} hours, always at one speed. How many km does it drive in an hour?",
    ),
    (
        "change", "market", "shopping", {"a": (3, 18), "b": (20, 60)}, lambda v: v["b"] - v["a"],
        "{first} buys {fruits} for {a} euros and pays with {b} euros. How many euros come back?",
    ),
    (
        "change", "two-things", "shopping", {"a": (4, 25), "b": (4, 25)}, lambda v: 100 - v["a"] - v["b"],
        "A {goods} costs {a} euros and a {goods2} {b} euros. {first} buys both and pays with 100 euros. "
        "How many euros come back?",
    ),
    (
        "change", "bus", "travel", {"a": (25, 60), "b": (3, 20), "c": (2, 15)}, lambda v: v["a"] - v["b"] + v["c"],
        "{a} people are on the bus. In {city} {b} get off and {c} get on. How many people are on the bus now?",
    ),
    (
        "minutes", "film", "timetables", {"a": (1, 4), "b": (5, 55)}, lambda v: 60 * v["a"] + v["b"],
        "A film about a {job} lasts {a} hours and {b} minutes. How many minutes is that?",
    ),
    (
        "minutes", "dough", "recipes", {"a": (10, 45), "b": (10, 45), "c": (5, 30)}, lambda v: v["a"] + v["b"] + v["c"],
        "The dough with {ingredient} rests {a} minutes, is baked {b} minutes and cools {c} minutes. "
        "How many minutes is that?",
    ),
    (
        "minutes", "wait", "timetables", {"a": (2, 25), "b": (27, 59)}, lambda v: v["b"] - v["a"],
        "{first} reaches the station {a} minutes after nine. The train to {city} leaves {b} minutes after nine. "
        "How many minutes does {first} wait?",
    ),
    (
        "percent", "sale", "shopping", {"a": (1, 9), "b": (2, 40)}, lambda v: v["a"] * v["b"],
        "A {goods} costs {ten_b} euros. In the sale it is {ten_a} percent cheaper. By how many euros is it cheaper?",
    ),
    (
        "percent", "votes", "reports", {"a": (1, 9), "b": (3, 50)}, lambda v: v["a"] * v["b"],
        "{ten_a} percent of the {ten_b} people in the club of {city} voted. How many people voted?",
    ),
    (
        "difference", "ages", "families", {"a": (31, 79), "b": (2, 29)}, lambda v: v["a"] - v["b"],
        "{first} is {a} years old and {first2} is {b}. By how many years is {first} older?",
    ),
    (
        "difference", "scores", "sports", {"a": (41, 99), "b": (5, 40)}, lambda v: v["a"] - v["b"],
        "In {sport} {city} scored {a} points and {city2} {b}. By how many points did {city} win?",
    ),
    (
        "two-steps", "crates", "deliveries", {"a": (3, 9), "b": (4, 12), "c": (2, 11)},
        lambda v: v["a"] * v["b"] - v["c"],
        "{first} carries {a} crates with {b} bottles each; {c} bottles break. How many bottles are whole?",
    ),
    (
        "two-steps", "savings", "money", {"a": (10, 60), "b": (5, 15), "c": (2, 8)}, lambda v: v["a"] + v["b"] * v["c"],
        "{first} has {a} euros and saves {b} euros a week for {c} weeks. How many euros are there then?",
    ),
    (
        "plain", "sum", "schoolbooks", {"a": (2, 30), "b": (2, 30)}, lambda v: v["a"] + v["b"],
        "What is {a} + {b}?",
    ),
    (
        "plain", "sum-in-words", "schoolbooks", {"a": (2, 30), "b": (2, 30)}, lambda v: v["a"] + v["b"],
        "Add {a} and {b}.",
    ),
    (
        "plain", "difference", "schoolbooks", {"a": (22, 60), "b": (2, 21)}, lambda v: v["a"] - v["b"],
        "Work out {a} - {b}.",
    ),
    (
        "plain", "difference-in-words", "schoolbooks", {"a": (22, 60), "b": (2, 21)}, lambda v: v["a"] - v["b"],
        "What do you get if you take {b} away from {a}?",
    ),
    (
        "plain", "product", "schoolbooks", {"a": (2, 25), "b": (2, 12)}, lambda v: v["a"] * v["b"],
        "Calculate {a} x {b}.",
    ),
    (
        "plain", "product-in-words", "schoolbooks", {"a": (2, 25), "b": (2, 12)}, lambda v: v["a"] * v["b"],
        "What is {a} times {b}?",
    ),
)  # fmt: skip


def _template(
    number: int,
    skill: str,
    name: str,
    context: str,
    ranges: Mapping[str, Range],
    result: Callable[[Numbers], int],
    text: str,
) -> Template:
    """Every second template wants the number alone; the others let a model reckon first."""
    how, grader = ("Give the result at the end.", {**NUMBER, "last": True}) if number % 2 else (_ALONE, NUMBER)

    def make(random: Random) -> Made:
        while True:
            numbers = {name: random.randint(*ends) for name, ends in ranges.items()}
            derived = {"total": numbers["a"] * numbers["b"], "ten_a": 10 * numbers["a"], "ten_b": 10 * numbers["b"]}
            story, _ = fill(random, text, **{name: str(value) for name, value in {**derived, **numbers}.items()})
            answer = str(result(numbers))
            if answer not in re.findall(r"\d+", story):  # else who repeats the question would be right
                return Made(f"{story} {how}", answer, grader)

    return Template(f"arithmetic.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(number, *row) for number, row in enumerate(_ROWS))
