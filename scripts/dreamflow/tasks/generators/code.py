"""Code: a small Python function with hidden tests.

Each reference exists twice: as text in the table (the reference answer) and as a function here (the results of the
hidden calls). The tests of this project check that they agree.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from random import Random

from ...generation.model import Json
from .base import Content, Make, Row, lists

_CALLS = 8  # hidden calls of a task

Draw = Callable[[Random, int], tuple[Json, ...]]


@cache
def _things() -> Sequence[str]:
    return (*lists()["fruit"], *lists()["goods"])


def _numbers(low: int = -20, high: int = 40, least: int = 1) -> Draw:
    """Draw lists of numbers. Half of them contain k and its neighbours, to tell "more than k" from "k or more"."""

    def draw(random: Random, k: int) -> tuple[list[int]]:
        numbers = [random.randint(low, high) for _ in range(random.randint(least, 6))]
        if k and random.random() < 0.5:
            numbers += random.sample([k - 1, k, k + 1], 3)
        return (numbers,)

    return draw


def _number(random: Random, k: int) -> tuple[int]:
    return (random.randint(k - 30, k + 30),)


def _two_numbers(random: Random, _: int) -> tuple[int, int]:
    return random.randint(-30, 60), random.randint(-30, 60)


def _words(random: Random, k: int) -> tuple[list[str]]:
    """Draw a list of words. If k is not 0, it contains words of k and k + 1 letters."""
    words = random.sample(_things(), random.randint(1, 5))
    return (
        [
            *words,
            *(random.choice([word for word in _things() if len(word) == k + more]) for more in range(2 * bool(k))),
        ],
    )


def _word(random: Random, _: int) -> tuple[str]:
    return (random.choice(_things()),)


def _phrase(random: Random, _: int) -> tuple[str]:
    return (" ".join(random.sample(_things(), random.randint(1, 4))),)


# Template name: the function that draws arguments, and the reference function of k and the arguments.
_REFERENCES: Mapping[str, tuple[Draw, Callable[..., Json]]] = {
    "scale": (_numbers(), lambda k, numbers: [number * k for number in numbers]),
    "shift": (_numbers(), lambda k, numbers: [number + k for number in numbers]),
    "lengths": (_words, lambda k, words: [len(word) for word in words]),
    "above": (_numbers(), lambda k, numbers: [number for number in numbers if number > k]),
    "divisible": (_numbers(0, 60, 3), lambda k, numbers: [number for number in numbers if number % k == 0]),
    "long-words": (_words, lambda k, words: [word for word in words if len(word) > k]),
    "plus-fee": (_numbers(1, 90), lambda k, numbers: sum(numbers) + k),
    "squares": (_numbers(), lambda k, numbers: sum(number * number for number in numbers)),
    "capped": (_numbers(1, 30), lambda k, numbers: min(sum(numbers), k)),
    "below": (_numbers(), lambda k, numbers: sum(number < k for number in numbers)),
    "vowels": (_phrase, lambda k, text: sum(letter in "aeiou" for letter in text)),
    "words": (_phrase, lambda k, text: len(text.split())),
    "larger": (_two_numbers, lambda k, a, b: max(a, b)),
    "clamp": (_number, lambda k, number: min(number, k)),
    "spread": (_numbers(), lambda k, numbers: max(numbers) - min(numbers)),
    "last": (_numbers(), lambda k, numbers: numbers[-k:]),
    "even-sum": (_numbers(), lambda k, numbers: sum(numbers) % 2 == 0),
    "starts": (_words, lambda k, words: any(word[0] == "b" for word in words)),
    "rising": (_numbers(0, 9), lambda k, numbers: all(a <= b for a, b in pairwise(numbers))),
    "reverse": (_word, lambda k, text: "".join(reversed(text))),
    "repeat": (_word, lambda k, word: "-".join(word for _ in range(k))),
    "shout": (_phrase, lambda k, text: f"{text.upper()}{'!' * k}"),
    "cut": (_phrase, lambda k, text: text[:k]),
    "initials": (_phrase, lambda k, text: "".join(word[:1] for word in text.upper().split())),
}


def code(row: Row) -> Make:
    ending = "" if row["free"] else " Answer with the code only."
    draw, reference = _REFERENCES[row["name"]]
    names, constants = row["names"].split(), range(*row.get("k", (1,)))

    def make(random: Random) -> Content:
        entry, k = random.choice(names), random.choice(constants)
        signature = f"{entry}({row['takes']})"
        answer = f"def {signature}:\n    {row['body'].format(k=k)}"
        prompt = f"Write a Python function {signature} that {row['does'].format(k=k)}.{ending}"
        tests = _tests(entry, partial(draw, Random(prompt), k), partial(reference, k))  # noqa: S311
        forgiven = {"wrapped": True} if row["free"] else {"allow": ["fence"]}
        return Content(prompt, answer, {"name": "code", "entry": entry, "tests": tests, **forgiven})

    return make


def _tests(entry: str, draw: Callable[[], tuple[Json, ...]], reference: Callable[..., Json]) -> list[dict[str, str]]:
    """Return hidden tests, the same for the same prompt. Their results differ, so that a constant function fails."""
    tests: list[dict[str, str]] = []
    while len({test["returns"] for test in tests}) < 2:
        calls = [draw() for _ in range(_CALLS)]
        tests = [
            {"call": f"{entry}({', '.join(map(repr, arguments))})", "returns": repr(reference(*arguments))}
            for arguments in calls
        ]
    return tests
