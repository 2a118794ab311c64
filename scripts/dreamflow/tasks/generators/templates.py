"""The templates of each kind of text, from the tables beside this module."""

import json
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from .base import Grader, Made, Make, Row, fill, kind_of
from .words import lists

Values = Mapping[str, str]

_EXACT: Grader = {"name": "exact"}
_PHRASE: Grader = {"name": "exact", "allow": ["quotes", "full stop"]}
_NUMBER: Grader = {"name": "number"}


def extraction(row: Row) -> Make:
    """One field out of a text of everyday business, without a word around it."""

    def make(random: Random) -> Made:
        prompt, values = fill(random, row["prompt"])
        return Made(prompt, values[row["answer"]], _EXACT)

    return make


_FORMATS: Mapping[str, Grader] = {
    "exact": _EXACT,
    "json": {"name": "json", "allow": ["fence"]},
    "lines": {"name": "lines"},
    "commas": {"name": "list", "separator": ","},
    "semicolons": {"name": "list", "separator": ";"},
}


def _date(text: str) -> dict[str, int]:
    """The parts of "3 May 2024"."""
    day, month, year = text.split()
    return {"day": int(day), "month": lists()["month"].index(month) + 1, "year": int(year)}


def _clock(afternoon: str) -> str:
    """13:05 for "1:05 pm"; afternoons only."""
    hour, minute = afternoon.removesuffix(" pm").split(":")
    return f"{int(hour) + 12}:{minute}"


def _object(**words: str) -> str:
    """A JSON object with numbers for words that are whole numbers."""
    return json.dumps({key: int(word) if word.isdecimal() else word for key, word in words.items()})


_FUNCTIONS: Mapping[str, Callable[..., str]] = {
    "iso": lambda date: "{year}-{month:02}-{day:02}".format(**_date(date)),
    "slashes": lambda date: "{day:02}/{month:02}/{year}".format(**_date(date)),
    "clock": _clock,
    "money": lambda euros, cents: f"{euros}.{int(cents):02}",
    "initials": lambda name: "".join(f"{part[0]}." for part in name.split()),
    "object": _object,
    "array": lambda *words: json.dumps(words),
    "sorted": lambda *words: ", ".join(sorted(words)),
    "upper": str.upper,
}


def _formatted(answer: str | Mapping[str, Any], values: Values) -> str:
    if isinstance(answer, str):
        return answer.format_map(values)
    ((name, slots),) = answer.items()
    if isinstance(slots, dict):
        return _FUNCTIONS[name](**{key: values[slot] for key, slot in slots.items()})
    return _FUNCTIONS[name](*(values[slot] for slot in slots))


def format_(row: Row) -> Make:
    """What to write stands in the text; how to write it is asked exactly."""

    def make(random: Random) -> Made:
        prompt, values = fill(random, row["prompt"])
        return Made(prompt, _formatted(row["answer"], values), _FORMATS[row["grader"]])

    return make


_ENDINGS = (
    "Answer with one of: {}.",
    "Choose one label: {}. Answer with the label only.",
    "Possible answers: {}. Write one of them and nothing else.",
)
_FREE_ENDINGS = ("Choose from: {}. Answer in one short sentence.", "It is one of these: {}. Say which.")


def classification(row: Row) -> Make:
    """A short text, a few labels, and the one that fits."""
    labels = list(row["labels"])
    endings = _FREE_ENDINGS if row["free"] else _ENDINGS
    ending = endings[row["number"] // 2 % len(endings)].format(", ".join(labels))

    def make(random: Random) -> Made:
        label = random.choice(labels)
        text, _ = fill(random, random.choice(row["labels"][label]))
        grader = (
            {"name": "mentions", "others": [other for other in labels if other != label], "allow": ["case"]}
            if row["free"]
            else {"name": "one_of", "labels": labels, "allow": ["quotes", "full stop"]}
        )
        return Made(f"{text}\n\n{row['question']} {ending}", label, grader)

    return make


def _in_order(values: Values) -> Values:
    """`values`, but years, times and months come in their order, as a story has them."""
    ordered = dict(values)
    for kind, key in (("year", int), ("time", str), ("month", lists()["month"].index)):
        slots = [slot for slot in values if kind_of(slot) == kind]
        ordered.update(zip(slots, sorted((values[slot] for slot in slots), key=key), strict=True))
    return ordered


def _compared(row: Row, values: Values) -> str:
    """The first of the two things that are compared, or the second, whichever has the lowest (highest) value."""
    slot = row.get("lowest") or row["highest"]
    one, two = (float(values[name].replace(":", ".")) for name in (slot, f"{slot}2"))
    is_first = one < two if "lowest" in row else one > two
    return values[row["answer"] if is_first else f"{row['answer']}2"]


def facts(row: Row) -> Make:
    """A question whose answer is a word or two of a given text, among others that are wrong.

    Comparisons want the answer alone: a sentence may well name what is compared, and both could be right.
    """
    compares = row["skill"] == "compare"
    free = row["free"] and not compares

    def make(random: Random) -> Made:
        _, values = fill(random, row["prompt"])
        values = values if compares else _in_order(values)
        answer = _compared(row, values) if compares else values[row["answer"]]
        kinds = {kind_of(slot) for slot, word in values.items() if word == answer}
        others = [word for slot, word in values.items() if kind_of(slot) in kinds and word != answer]
        ending = "Answer in one short sentence." if free else row["how"]
        return Made(
            f"{row['prompt'].format_map(values)} {ending}",
            answer,
            {"name": "mentions", "others": others} if free else _PHRASE,
        )

    return make


_SUMS = {
    "plus": {f"{a} + {b}": str(a + b) for a in range(2, 10) for b in range(2, 10)},
    "times": {f"{a} times {b}": str(a * b) for a in range(2, 11) for b in range(2, 11)},
}


def knowledge(row: Row) -> Make:
    """What most people know; the answer may stand in a sentence, so that even a small model can show it.

    These tasks measure what a model has besides the skills that it is trained in: one that forgets loses them.
    """
    answers = row.get("facts") or _SUMS[row["name"]]
    questions = list(answers)

    def make(random: Random) -> Made:
        question = random.choice(questions)
        answer = answers[question]
        # What the question names may be named in the answer too: "The day after Monday is Tuesday."
        others = [] if row.get("others_allowed") else sorted(set(answers.values()) - {answer, question})
        grader = {"name": "mentions", "allow": ["case"], "others": others}
        return Made(row["question"].format(question), answer, grader)

    return make


_RESULTS: Mapping[str, Callable[..., int]] = {
    "a + b": lambda a, b: a + b,
    "a + b + c": lambda a, b, c: a + b + c,
    "a + b * c": lambda a, b, c: a + b * c,
    "a - b": lambda a, b: a - b,
    "a - b + c": lambda a, b, c: a - b + c,
    "a * b": lambda a, b: a * b,
    "a * b - c": lambda a, b, c: a * b - c,
    "b": lambda a, b: b,
    "b - a": lambda a, b: b - a,
    "60 * a + b": lambda a, b: 60 * a + b,
    "100 - a - b": lambda a, b: 100 - a - b,
}


def arithmetic(row: Row) -> Make:
    """A short story with small numbers, and the number that it comes to."""
    ending = "Give the result at the end." if row["free"] else "Answer with the number only."
    grader = {**_NUMBER, "last": True} if row["free"] else _NUMBER

    def make(random: Random) -> Made:
        while True:
            numbers = {name: random.randint(*ends) for name, ends in row["numbers"].items()}
            derived = {"total": numbers["a"] * numbers["b"], "ten_a": 10 * numbers["a"], "ten_b": 10 * numbers["b"]}
            given = {name: str(value) for name, value in {**derived, **numbers}.items()}
            story, _ = fill(random, row["prompt"], **given)
            answer = str(_RESULTS[row["result"]](**numbers))
            if answer not in re.findall(r"\d+", story):  # else who repeats the question would be right
                return Made(f"{story} {ending}", answer, grader)

    return make
