"""Code: a small Python function with hidden tests.

Each row has the reference twice, as text and as a function: the text is the answer that is kept, the function says what
the hidden calls return. That the two agree is what the tests of this project run.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

from .base import Made, Template
from .words import LISTS

_CALLS = 8  # hidden calls of a task
_THINGS = (*LISTS["fruit"], *LISTS["goods"])

Draw = Callable[[Random, int], tuple[Any, ...]]


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
    words = random.sample(_THINGS, random.randint(1, 5))
    return (
        [*words, *(random.choice([one for one in _THINGS if len(one) == k + more]) for more in range(2 * bool(k)))],
    )


def _word(random: Random, _: int) -> tuple[str]:
    return (random.choice(_THINGS),)


def _phrase(random: Random, _: int) -> tuple[str]:
    return (" ".join(random.sample(_THINGS, random.randint(1, 4))),)


# skill, template, context, names of the function, constants k, what it does, its parameters and body, calls, the same
# as a function of k and the arguments
_ROWS: tuple[tuple[str, str, str, str, Sequence[int], str, str, Draw, Callable[..., Any]], ...] = (
    (
        "map", "scale", "measurements", "scale grow times stretch", range(2, 12),
        "returns a list of the numbers, each multiplied by {k}",
        "numbers): return [number * {k} for number in numbers]",
        _numbers(), lambda k, numbers: [number * k for number in numbers],
    ),
    (
        "map", "shift", "measurements", "shift raise_all offset add_to_all", range(1, 15),
        "returns a list of the numbers, each with {k} added",
        "numbers): return [number + {k} for number in numbers]",
        _numbers(), lambda k, numbers: [number + k for number in numbers],
    ),
    (
        "map", "lengths", "texts", "lengths sizes letter_counts word_lengths", (0,),
        "returns a list of the lengths of the words",
        "words): return [len(word) for word in words]",
        _words, lambda k, words: [len(word) for word in words],
    ),
    (
        "filter", "above", "measurements", "above over larger_ones exceeding", range(2, 25),
        "returns a list of those numbers that are greater than {k}",
        "numbers): return [number for number in numbers if number > {k}]",
        _numbers(), lambda k, numbers: [number for number in numbers if number > k],
    ),
    (
        "filter", "divisible", "schedules", "divisible multiples pick_multiples", range(2, 8),
        "returns a list of those numbers that can be divided by {k} without rest",
        "numbers): return [number for number in numbers if number % {k} == 0]",
        _numbers(0, 60, 3), lambda k, numbers: [number for number in numbers if number % k == 0],
    ),
    (
        "filter", "long-words", "texts", "long_words longer_than keep_long", range(3, 8),
        "returns a list of those words that have more than {k} letters",
        "words): return [word for word in words if len(word) > {k}]",
        _words, lambda k, words: [word for word in words if len(word) > k],
    ),
    (
        "sum", "plus-fee", "invoices", "total bill amount_due invoice_total", range(3, 20),
        "returns the sum of the numbers plus a fee of {k}",
        "numbers): return sum(numbers) + {k}",
        _numbers(1, 90), lambda k, numbers: sum(numbers) + k,
    ),
    (
        "sum", "squares", "measurements", "sum_of_squares squares_total energy", (0,),
        "returns the sum of the squares of the numbers",
        "numbers): return sum(number * number for number in numbers)",
        _numbers(), lambda k, numbers: sum(number * number for number in numbers),
    ),
    (
        "sum", "capped", "accounts", "capped_sum limited_total cap_total", range(20, 60, 4),
        "returns the sum of the numbers, but {k} at most",
        "numbers): return min(sum(numbers), {k})",
        _numbers(1, 30), lambda k, numbers: min(sum(numbers), k),
    ),
    (
        "count", "below", "measurements", "count_below how_many_below low_values", range(3, 25),
        "returns how many of the numbers are less than {k}",
        "numbers): return sum(1 for number in numbers if number < {k})",
        _numbers(), lambda k, numbers: sum(number < k for number in numbers),
    ),
    (
        "count", "vowels", "texts", "count_vowels vowels vowel_count", (0,),
        "returns how many letters of the text are one of a, e, i, o, u",
        'text): return sum(1 for letter in text if letter in "aeiou")',
        _phrase, lambda k, text: sum(letter in "aeiou" for letter in text),
    ),
    (
        "count", "words", "texts", "count_words word_count number_of_words", (0,),
        "returns the number of words in the text, which are separated by spaces",
        "text): return len(text.split())",
        _phrase, lambda k, text: len(text.split()),
    ),
    (
        "choose", "larger", "numbers", "larger bigger_of maximum_of_two", (0,),
        "returns the larger of two numbers",
        "a, b): return a if a > b else b",
        _two_numbers, lambda k, a, b: max(a, b),
    ),
    (
        "choose", "clamp", "measurements", "at_most limit cap clip", range(5, 60, 3),
        "returns the number, or {k} if the number is greater than {k}",
        "number): return min(number, {k})",
        _number, lambda k, number: min(number, k),
    ),
    (
        "choose", "spread", "measurements", "spread value_range span", (0,),
        "returns the difference between the largest and the smallest of the numbers",
        "numbers): return max(numbers) - min(numbers)",
        _numbers(), lambda k, numbers: max(numbers) - min(numbers),
    ),
    (
        "choose", "last", "queues", "last_items tail final_entries", range(2, 5),
        "returns a list of the last {k} numbers, or all of them if there are fewer",
        "numbers): return numbers[-{k}:]",
        _numbers(), lambda k, numbers: numbers[-k:],
    ),
    (
        "test", "even-sum", "numbers", "has_even_sum even_total sum_is_even", (0,),
        "returns True if the sum of the numbers is even, else False",
        "numbers): return sum(numbers) % 2 == 0",
        _numbers(), lambda k, numbers: sum(numbers) % 2 == 0,
    ),
    (
        "test", "starts", "texts", "any_starts starts_with_b has_b_word", (0,),
        "returns True if any of the words begins with the letter b, else False",
        'words): return any(word.startswith("b") for word in words)',
        _words, lambda k, words: any(word[0] == "b" for word in words),
    ),
    (
        "test", "rising", "measurements", "is_rising sorted_upwards never_falls", (0,),
        "returns True if no number is less than the one before it, else False",
        "numbers): return numbers == sorted(numbers)",
        _numbers(0, 9), lambda k, numbers: all(a <= b for a, b in pairwise(numbers)),
    ),
    (
        "text", "reverse", "texts", "reverse backwards mirrored", (0,),
        "returns the text with its letters in reverse order",
        "text): return text[::-1]",
        _word, lambda k, text: "".join(reversed(text)),
    ),
    (
        "text", "repeat", "texts", "repeat echo say_again", range(2, 7),
        "returns the word {k} times in a row, with a dash between",
        'word): return "-".join([word] * {k})',
        _word, lambda k, word: "-".join(word for _ in range(k)),
    ),
    (
        "text", "shout", "chats", "shout loud exclaim", range(1, 5),
        "returns the text in upper case with {k} exclamation marks after it",
        'text): return text.upper() + "!" * {k}',
        _phrase, lambda k, text: f"{text.upper()}{'!' * k}",
    ),
    (
        "text", "cut", "messages", "cut shorten first_letters", range(2, 6),
        "returns the first {k} letters of the text",
        "text): return text[:{k}]",
        _phrase, lambda k, text: text[:k],
    ),
    (
        "text", "initials", "contacts", "initials short_name abbreviation", (0,),
        "returns the first letters of the words of the text, in upper case, without spaces",
        'text): return "".join(word[0].upper() for word in text.split())',
        _phrase, lambda k, text: "".join(word[:1] for word in text.upper().split()),
    ),
)  # fmt: skip


def _template(
    number: int,
    skill: str,
    name: str,
    context: str,
    entries: str,
    constants: Sequence[int],
    does: str,
    body: str,
    draw: Draw,
    reference: Callable[..., Any],
) -> Template:
    """Every second template wants the code alone; the others let a model talk around it."""
    ending = "" if number % 2 else " Answer with the code only."

    def make(random: Random) -> Made:
        entry, k = random.choice(entries.split()), random.choice(constants)
        head, _, result = body.format(k=k).partition(": ")
        signature = f"{entry}({head}"
        answer = f"def {signature}:\n    {result}"
        prompt = f"Write a Python function {signature} that {does.format(k=k)}.{ending}"
        tests = _tests(entry, partial(draw, Random(prompt), k), partial(reference, k))  # noqa: S311
        forgiven = {"wrapped": True} if number % 2 else {"allow": ["fence"]}
        return Made(prompt, answer, {"name": "code", "entry": entry, "tests": tests, **forgiven})

    return Template(f"code.{skill}.{name}", context, make)


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


TEMPLATES = tuple(_template(number, *row) for number, row in enumerate(_ROWS))
