"""Exact graders: compare an answer with the correct answer of its task. Pure functions; no code is run here.

The whole text must be the answer: "Sure! The order number is A-17." is not an order number. Surrounding whitespace is
ignored. A grader's `allow` lists further differences to ignore: "fence" (a code fence around the text), "quotes"
(a pair around the text), "full stop" (at the end), "case" (only for exact, one_of and mentions). Text around the answer
is accepted with `mentions`, `last` and `wrapped` only.

The graders compare with the task's `answer`:

| name       | passes                                                            | options                       |
|------------|-------------------------------------------------------------------|-------------------------------|
| `exact`    | the same text                                                     | `also`: further texts         |
| `number`   | the same number, in digits                                        | `tolerance`, `units`, `last`  |
| `json`     | JSON with the same keys and values, in any order of keys          |                               |
| `regex`    | a text that matches `pattern` from its beginning to its end       | `pattern`                     |
| `one_of`   | the right one of `labels`                                         | `labels`                      |
| `list`     | the same items in the same order                                  | `separator` (a comma)         |
| `set`      | the same items in any order, each as often                        | `separator` (a comma)         |
| `lines`    | the same lines; whitespace at their ends does not count           |                               |
| `mentions` | a text that names the answer and none of `others`, as whole words | `others`                      |
| `code`     | Python that defines `entry` and returns what `tests` say          | `entry`, `tests`, `wrapped`   |

`units` are texts that may stand before or after the number. With `last`, the last number of the text is compared. With
`wrapped`, code is extracted from surrounding prose. A test is {call, returns}: a Python expression and the repr of its
value.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import NotRequired, TypedDict

from msgspec import Struct

from ..errors import ConfigError
from ..generation.model import Json
from ..generation.parsers import ParseError, parse
from ..generation.parsers.base import quoted
from ..generation.parsers.fences import drop_fence
from ..generation.parsers.json_text import no_constant, unique_keys
from ..generation.parsers.placeholders import LETTERED


class Task(TypedDict):
    """A task: a line of a .jsonl file (see config/schemas/task.schema.json). `answer` is a correct answer, `stakes`
    (0-1) how much depends on it."""

    task_id: str
    kind: str
    context: str
    group: str
    prompt: str
    grader: Mapping[str, Json]
    answer: str
    stakes: NotRequired[float]
    worked: NotRequired[list[dict[str, str]]]  # examples for a teacher: prompt and answer of other tasks


class Grade(Struct, frozen=True):
    """The grade of an answer: `score` is 1.0 and `passed` True for a correct answer; both are None if it could not be
    graded. `why` is the reason, in one line."""

    score: float | None
    passed: bool | None
    why: str


# Runs code in a sandbox: (source of a module, calls) -> a mapping per call, in order: {"returned": repr of the result}
# or {"error": reason}. After an early end, the remaining calls are missing.
Run = Callable[[str, Sequence[str]], Sequence[Mapping[str, str]]]

LONGEST_ANSWER = 20_000  # characters; a longer text is not an answer to a short question, and slow to match
_QUOTES = ('""', "''", "``", "“”", "‘’", "«»")
_NUMBER = r"[+-]?(?:\d++(?:\.\d+)?+|\.\d++)"
_MAX_SHOWN = 60  # characters of a value in a message


def grade(task: Task, answer: str, run: Run | str = "no sandbox was given") -> Grade:
    """Return the grade of an answer to a task.

    Only code has scores between 0 and 1: the share of its tests that pass. `run` runs it. If `run` is the reason why
    there is no sandbox, score and passed are None and `why` begins with "ungraded".
    """
    name = task["grader"]["name"]
    if name != "code" and name not in _COMPARISONS:
        raise ConfigError(f"task {task['task_id']}: unknown grader {name!r}; known: {', '.join(NAMES)}")
    if len(answer) > LONGEST_ANSWER:
        return _graded(0.0, f"an answer of {len(answer):,} characters; at most {LONGEST_ANSWER:,} are read")
    text = _plain(answer, task)
    if name == "code":
        return _grade_code(text, task["grader"], run)
    wrong = "the answer is empty" if not text else _COMPARISONS[name](text, task)
    return _graded(0.0, f"{wrong}, in {quoted(answer)}") if wrong else _graded(1.0, "as expected")


def _graded(score: float, why: str) -> Grade:
    return Grade(score, score == 1.0, " ".join(why.split()))


def _plain(text: str, task: Task) -> str:
    """Return `text` without the surroundings that the task allows."""
    allow = task["grader"].get("allow", ())
    text = text.replace("\r\n", "\n").strip()
    if "fence" in allow:
        text = drop_fence(text).strip("\n" if task["grader"]["name"] == "code" else None)
    if "full stop" in allow and text.endswith("."):
        return _unquoted(text[:-1], allow)
    inside = _unquoted(text, allow)
    return inside.removesuffix(".") if "full stop" in allow and inside != text else inside


def _unquoted(text: str, allow: Sequence[str]) -> str:
    return text[1:-1] if "quotes" in allow and len(text) > 2 and text[0] + text[-1] in _QUOTES else text


def _exact(text: str, task: Task) -> str | None:
    fold = _fold(task)
    accepted = [fold(_plain(answer, task)) for answer in (task["answer"], *task["grader"].get("also", ()))]
    return None if fold(text) in accepted else f"expected {_shown(task['answer'])}"


def _fold(task: Task) -> Callable[[str], str]:
    return str.casefold if "case" in task["grader"].get("allow", ()) else str


def _number(text: str, task: Task) -> str | None:
    grader = task["grader"]
    right = re.fullmatch(_NUMBER, task["answer"], re.ASCII)
    if right is None:
        return f"the task's own answer {_shown(task['answer'])} is no number"
    units = "|".join(map(re.escape, grader.get("units", ())))
    if grader.get("last"):
        plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)  # 1,042 is one number
        numbers = re.findall(rf"(?<![\w.]){_NUMBER}(?!(?i:{LETTERED}))", plain, re.ASCII)
    else:
        match = re.fullmatch(rf"(?:(?:{units}) ?)?({_NUMBER})(?: ?(?:{units}))?", text, re.ASCII)
        numbers = [match[1]] if match else []
    if not numbers:
        return f"expected the number {_shown(task['answer'])}{'' if grader.get('last') else ' alone'}"
    difference = abs(Decimal(numbers[-1]) - Decimal(right[0]))
    return None if difference <= Decimal(str(grader.get("tolerance", 0))) else f"expected {_shown(task['answer'])}"


def _mentions(text: str, task: Task) -> str | None:
    flags = re.I if "case" in task["grader"].get("allow", ()) else 0

    def is_in(words: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, flags) is not None

    if not is_in(task["answer"]):
        return f"expected {_shown(task['answer'])} in it"
    other = next(filter(is_in, task["grader"]["others"]), None)
    return None if other is None else f"expected {_shown(task['answer'])} and not {_shown(other)} in it"


def _json(text: str, task: Task) -> str | None:
    try:
        value = _strict_json(text)
    except (ValueError, RecursionError) as error:
        return f"expected JSON alone: {error}"
    return None if _same(value, _strict_json(task["answer"])) else f"expected {_shown(task['answer'])}"


def _strict_json(text: str) -> Json:
    return json.loads(text, object_pairs_hook=unique_keys, parse_float=Decimal, parse_constant=no_constant)


def _same(left: Json, right: Json) -> bool:
    """Return whether two JSON values are equal: 1 equals 1.0, but not true."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _regex(text: str, task: Task) -> str | None:
    pattern = task["grader"]["pattern"]
    return None if re.fullmatch(pattern, text) else f"expected a text that matches {_shown(pattern)}"


def _one_of(text: str, task: Task) -> str | None:
    labels = task["grader"]["labels"]
    fold = _fold(task)
    if fold(text) == fold(task["answer"]):
        return None
    if fold(text) in map(fold, labels):
        return f"expected {_shown(task['answer'])}, another label"
    return f"expected one of {', '.join(labels)}, alone"


def _list(text: str, task: Task) -> str | None:
    return None if _items(text, task) == _items(task["answer"], task) else f"expected {_shown(task['answer'])}"


def _set(text: str, task: Task) -> str | None:
    same = sorted(_items(text, task)) == sorted(_items(task["answer"], task))
    return None if same else f"expected {_shown(task['answer'])} in any order"


def _items(text: str, task: Task) -> list[str]:
    return [item.strip() for item in text.split(task["grader"].get("separator", ","))]


def _lines(text: str, task: Task) -> str | None:
    lines, right = ([line.rstrip() for line in part.split("\n")] for part in (text, task["answer"].strip()))
    if len(lines) != len(right):
        return f"expected {len(right)} lines, not {len(lines)}"
    wrong = next((number for number, pair in enumerate(zip(lines, right, strict=True), 1) if len(set(pair)) > 1), None)
    return None if wrong is None else f"expected {_shown(right[wrong - 1])} in line {wrong}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


_COMPARISONS: dict[str, Callable[[str, Task], str | None]] = {
    **{"exact": _exact, "number": _number, "mentions": _mentions, "json": _json, "regex": _regex},
    **{"one_of": _one_of, "list": _list, "set": _set, "lines": _lines},
}
NAMES = (*_COMPARISONS, "code")


def code_problem(source: str, entry: str) -> str | None:
    """Return why `source` is not a Python module that defines the function `entry`, or None. Does not run it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        return f"expected Python alone: {error.msg if isinstance(error, SyntaxError) else error}{line}"
    if not any(isinstance(node, ast.FunctionDef) and node.name == entry for node in tree.body):
        return f"expected a function {entry!r}"
    return None


def _grade_code(text: str, grader: Mapping[str, Json], run: Run | str) -> Grade:
    if grader.get("wrapped"):
        try:
            text = parse("code", text, {"entry": grader["entry"]}).text
        except ParseError as error:
            return _graded(0.0, f"expected code: {error}")
    problem = code_problem(text, grader["entry"])
    if problem:
        return _graded(0.0, f"{problem}, in {quoted(text)}")
    if isinstance(run, str):
        return Grade(None, None, f"ungraded: {run}")
    tests = grader["tests"]
    # The program does not get the expected values.
    results = run(text.strip("\n") + "\n", [test["call"] for test in tests])
    failures = [
        f"{test['call']} {_result(result)}, expected {_shown(test['returns'])}"
        for test, result in zip_longest(tests, results[: len(tests)], fillvalue={})
        if result.get("returned") != test["returns"]
    ]
    if not failures:
        return _graded(1.0, f"{len(tests)} of {len(tests)} tests")
    right = len(tests) - len(failures)
    return _graded(right / len(tests), f"{right} of {len(tests)} tests: {failures[0]}")


def _result(result: Mapping[str, str]) -> str:
    if "returned" in result:
        return f"gave {_shown(result['returned'])}"
    return f"failed ({_shown(result['error'])})" if "error" in result else "was not reached"
