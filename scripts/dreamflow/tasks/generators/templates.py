"""The templates of each kind, from the tables beside this module."""

import json
import re
from collections.abc import Callable, Mapping
from random import Random

from ...generation.model import Json
from .base import Content, Grader, Make, Row, fill, kind_of, lists

Values = Mapping[str, str]

_EXACT: Grader = {"name": "exact"}
_PHRASE: Grader = {"name": "exact", "allow": ["quotes", "full stop"]}
_NUMBER: Grader = {"name": "number"}


# --- extraction: a field of an everyday business text, without other words


def extraction(row: Row) -> Make:
    def make(random: Random) -> Content:
        prompt, values = fill(random, row["prompt"])
        return Content(prompt, values[row["answer"]], _EXACT)

    return make


# --- format: rewrite a part of the text in an exact format

_FORMATS: Mapping[str, Grader] = {
    "exact": _EXACT,
    "json": {"name": "json", "allow": ["fence"]},
    "lines": {"name": "lines"},
    "commas": {"name": "list", "separator": ","},
    "semicolons": {"name": "list", "separator": ";"},
}


def _date(text: str) -> dict[str, int]:
    """Return the parts of "3 May 2024"."""
    day, month, year = text.split()
    return {"day": int(day), "month": lists()["month"].index(month) + 1, "year": int(year)}


def _clock(afternoon: str) -> str:
    """Return 13:05 for "1:05 pm"; afternoons only."""
    hour, minute = afternoon.removesuffix(" pm").split(":")
    return f"{int(hour) + 12}:{minute}"


def _object(**words: str) -> str:
    """Return a JSON object; whole numbers become numbers."""
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


def _formatted(answer: str | Mapping[str, Json], values: Values) -> str:
    if isinstance(answer, str):
        return answer.format_map(values)
    ((name, slots),) = answer.items()
    if isinstance(slots, dict):
        return _FUNCTIONS[name](**{key: values[slot] for key, slot in slots.items()})
    return _FUNCTIONS[name](*(values[slot] for slot in slots))


def format_(row: Row) -> Make:
    def make(random: Random) -> Content:
        prompt, values = fill(random, row["prompt"])
        return Content(prompt, _formatted(row["answer"], values), _FORMATS[row["grader"]])

    return make


# --- classification: choose the label of a short text

_ENDINGS = (
    "Answer with one of: {}.",
    "Choose one label: {}. Answer with the label only.",
    "Possible answers: {}. Write one of them and nothing else.",
)
_FREE_ENDINGS = ("Choose from: {}. Answer in one short sentence.", "It is one of these: {}. Say which.")


def classification(row: Row) -> Make:
    labels = list(row["labels"])
    endings = _FREE_ENDINGS if row["free"] else _ENDINGS
    ending = endings[row["number"] // 2 % len(endings)].format(", ".join(labels))

    def make(random: Random) -> Content:
        label = random.choice(labels)
        text, _ = fill(random, random.choice(row["labels"][label]))
        grader = (
            {"name": "mentions", "others": [other for other in labels if other != label], "allow": ["case"]}
            if row["free"]
            else {"name": "one_of", "labels": labels, "allow": ["quotes", "full stop"]}
        )
        return Content(f"{text}\n\n{row['question']} {ending}", label, grader)

    return make


# --- facts: a question about a text; the answer is one or two words of it


def _in_order(values: Values) -> Values:
    """Return the values with years, times and months in chronological order, as in a story."""
    ordered = dict(values)
    for kind, key in (("year", int), ("time", str), ("month", lists()["month"].index)):
        slots = [slot for slot in values if kind_of(slot) == kind]
        ordered.update(zip(slots, sorted((values[slot] for slot in slots), key=key), strict=True))
    return ordered


def _compared(row: Row, values: Values) -> str:
    """Return the thing with the lowest (highest) value of the two that the row compares."""
    slot = row.get("lowest") or row["highest"]
    first, second = (float(values[name].replace(":", ".")) for name in (slot, f"{slot}2"))
    is_first = first < second if "lowest" in row else first > second
    return values[row["answer"] if is_first else f"{row['answer']}2"]


def facts(row: Row) -> Make:
    """Return a template of facts. Comparisons are never free: a sentence may name both things that are compared."""
    compares = row["skill"] == "compare"
    free = row["free"] and not compares

    def make(random: Random) -> Content:
        _, values = fill(random, row["prompt"])
        values = values if compares else _in_order(values)
        answer = _compared(row, values) if compares else values[row["answer"]]
        kinds = {kind_of(slot) for slot, word in values.items() if word == answer}
        others = [word for slot, word in values.items() if kind_of(slot) in kinds and word != answer]
        ending = "Answer in one short sentence." if free else row["how"]
        return Content(
            f"{row['prompt'].format_map(values)} {ending}",
            answer,
            {"name": "mentions", "others": others} if free else _PHRASE,
        )

    return make


# --- knowledge: common knowledge; the answer may stand in a sentence. These tasks show whether training made a model
# forget what it knew.

_SUMS = {
    "plus": {f"{a} + {b}": str(a + b) for a in range(2, 10) for b in range(2, 10)},
    "times": {f"{a} times {b}": str(a * b) for a in range(2, 11) for b in range(2, 11)},
}


def knowledge(row: Row) -> Make:
    answers = row.get("facts") or _SUMS[row["name"]]
    questions = list(answers)

    def make(random: Random) -> Content:
        question = random.choice(questions)
        answer = answers[question]
        # The answer may repeat the question: "The day after Monday is Tuesday."
        others = [] if row.get("others_allowed") else sorted(set(answers.values()) - {answer, question})
        grader = {"name": "mentions", "allow": ["case"], "others": others}
        return Content(row["question"].format(question), answer, grader)

    return make


# --- arithmetic: a short story with small numbers; the answer is the result

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
    ending = "Give the result at the end." if row["free"] else "Answer with the number only."
    grader = {**_NUMBER, "last": True} if row["free"] else _NUMBER

    def make(random: Random) -> Content:
        while True:
            numbers = {name: random.randint(*ends) for name, ends in row["numbers"].items()}
            derived = {"total": numbers["a"] * numbers["b"], "ten_a": 10 * numbers["a"], "ten_b": 10 * numbers["b"]}
            words = {name: str(value) for name, value in {**derived, **numbers}.items()}
            story, _ = fill(random, row["prompt"], **words)
            answer = str(_RESULTS[row["result"]](**numbers))
            if answer not in re.findall(r"\d+", story):  # otherwise repeating the question would be correct
                return Content(f"{story} {ending}", answer, grader)

    return make
