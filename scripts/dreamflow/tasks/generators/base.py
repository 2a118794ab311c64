"""What all generators share: templates, and texts whose slots are filled at random."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from string import Formatter
from typing import Any, NamedTuple

from ...generation.model import Json
from .words import draw

Grader = Mapping[str, Json]  # its name and options, see tasks/graders.py

Row = Mapping[
    str, Any
]  # of a table beside this module, with its skill, name, number, and whether its tasks let a model talk


class Made(NamedTuple):
    """One task of a template."""

    prompt: str
    answer: str
    grader: Grader


Make = Callable[[Random], Made]


@dataclass(frozen=True)
class Template:
    """A way to make tasks that are alike. `make` draws one with the given random numbers, and with nothing else."""

    group: str
    context: str
    make: Make


def fill(random: Random, text: str, **given: str) -> tuple[str, dict[str, str]]:
    """`text` with a word for each slot such as {city}, and the words by slot.

    {city2} is another city than {city}. `given` are the words of slots that are chosen already.
    """
    values = dict(given)
    for _, slot, _, _ in Formatter().parse(text):
        if slot and slot not in values:
            values[slot] = _draw(random, slot, values)
    return text.format_map(values), values


def kind_of(slot: str) -> str:
    """What a slot draws from: "city" for city, city2 and city3."""
    return slot.rstrip("0123456789")


def _draw(random: Random, slot: str, values: Mapping[str, str]) -> str:
    taken = [word for other, word in values.items() if kind_of(other) == kind_of(slot)]
    while (word := draw(random, kind_of(slot))) in taken:
        pass
    return word
