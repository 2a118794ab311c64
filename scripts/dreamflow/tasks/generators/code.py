"""Code: a small Python function with hidden tests.

Each reference is there twice, as text in the table and as a function here: the text is the answer that is kept,
the function says what the hidden calls return. That the two agree is what the tests of this project run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from random import Random
from typing import Any

from .base import Made, Make, Row, lists

_CALLS = 8  # hidden calls of a task

Draw = Callable[[Random, int], tuple[Any, ...]]


@cache
def _things() -> Sequence[str]:
    return (*lists()["fruit"], *lists()["goods"])


def _numbers(low: int = -20, high: int = 40, least: int = 1) -> Draw:
    """Lists of numbers; half of them have k and its neighbours, where "more than k" and "k or more" part."""

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
    """Lists of words; one of them has k letters and one k + 1, where there is a k."""
    words = random.sample(_things(), random.randint(1, 5))
    return (
        [*words, *(random.choice([one for one in _things() if len(one) == k + more]) for more in range(2 * bool(k)))],
    )


def _word(random: Random, _: int) -> tuple[str]:
    return (random.choice(_things()),)


def _phrase(random: Random, _: int) -> tuple[str]:
    return (" ".join(random.sample(_things(), random.randint(1, 4))),)


# Template: how to draw arguments, and the function of k and the arguments that says what the hidden calls return.
_REFERENCES: Mapping[str, tuple[Draw, Callable[..., Any]]] = {
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

    def make(random: Random) -> Made:
        entry, k = random.choice(names), random.choice(constants)
        signature = f"{entry}({row['takes']})"
        answer = f"def {signature}:\n    {row['body'].format(k=k)}"
        prompt = f"Write a Python function {signature} that {row['does'].format(k=k)}.{ending}"
        tests = _tests(entry, partial(draw, Random(prompt), k), partial(reference, k))  # noqa: S311
        forgiven = {"wrapped": True} if row["free"] else {"allow": ["fence"]}
        return Made(prompt, answer, {"name": "code", "entry": entry, "tests": tests, **forgiven})

    return make


def _tests(entry: str, draw: Callable[[], tuple[Any, ...]], reference: Callable[..., Any]) -> list[dict[str, str]]:
    """Hidden calls, the same for the same prompt; drawn until a function that always returns the same would fail."""
    tests: list[dict[str, str]] = []
    while len({test["returns"] for test in tests}) < 2:
        calls = [draw() for _ in range(_CALLS)]
        tests = [
            {"call": f"{entry}({', '.join(map(repr, arguments))})", "returns": repr(reference(*arguments))}
            for arguments in calls
        ]
    return tests
