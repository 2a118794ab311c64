"""Templates of tasks, and texts with slots to fill at random."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from string import Formatter
from typing import NamedTuple

from ...generation.model import Json
from .words import draw

Grader = Mapping[str, Json]  # name and options, see tasks/graders.py

Row = Mapping[str, Json]  # a row of a table beside this module, with skill, name, number and `free`


class Made(NamedTuple):
    """A task of a template."""

    prompt: str
    answer: str
    grader: Grader


Make = Callable[[Random], Made]


@dataclass(frozen=True)
class Template:
    """A group of similar tasks. `make` draws a task from the given random numbers only."""

    group: str
    context: str
    make: Make


def fill(random: Random, text: str, **given: str) -> tuple[str, dict[str, str]]:
    """Fill slots such as {city}; returns the text and the words by slot. {city2} is a different city from {city}.

    `given` are the words of slots that are not drawn.
    """
    values = dict(given)
    for _, slot, _, _ in Formatter().parse(text):
        if slot and slot not in values:
            values[slot] = _draw(random, slot, values)
    return text.format_map(values), values


def kind_of(slot: str) -> str:
    """Return the kind of a slot: "city" for city, city2 and city3."""
    return slot.rstrip("0123456789")


def _draw(random: Random, slot: str, values: Mapping[str, str]) -> str:
    taken = [word for other, word in values.items() if kind_of(other) == kind_of(slot)]
    while (word := draw(random, kind_of(slot))) in taken:
        pass
    return word
