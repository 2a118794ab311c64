"""Exact graders: is a text the answer that its task asked for? Pure functions; nothing is run here.

An answer must be the answer, not contain it: "Sure! The order number is A-17." is no order number. Whitespace around it
never counts. What else is forgiven, a task says by its grader's `allow`: "fence" (one code fence around the whole),
"quotes" (one pair around the whole), "full stop" (one at the end), "case" (of letters; exact, one_of and mentions).
Tasks that let a model talk around its answer say so too: by `mentions`, `last` or `wrapped`.

What is right stands once, in the task's `answer`; graders are ways to compare with it:

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

`units` may stand by a number. With `last` the last number of a text counts, whatever stands before it; with `wrapped`
code is looked for amid prose. Each test is {call, returns}: Python text, and the repr of what it gives.
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


class Worked(TypedDict):
    """A worked example: another task with its answer, which a teacher is shown before its own."""

    prompt: str
    answer: str


class Task(TypedDict):
    """A task, as a line of a .jsonl file has it: see config/schemas/task.schema.json. `answer` is a right answer,
    `stakes` (0-1) how much depends on it."""

    task_id: str
    kind: str
    context: str
    group: str
    prompt: str
    grader: Mapping[str, Json]
    answer: str
    stakes: NotRequired[float]
    worked: NotRequired[list[Worked]]


class Grade(Struct, frozen=True):
    """What a grader says of an answer: `score` is 1.0 and `passed` True for a right one, and both are None where it
    could not be graded; `why` says in one line what was looked for."""

    score: float | None
    passed: bool | None
    why: str


# The door to a sandbox: (source of a module, texts of calls) -> one mapping for each call, in their order, with
# {"returned": repr of the result} or {"error": what happened}. Where it ends early, the rest may be missing.
Run = Callable[[str, Sequence[str]], Sequence[Mapping[str, str]]]

LONGEST_ANSWER = 20_000  # characters; what is longer is no answer to a short question, and slow to match
_QUOTES = ('""', "''", "``", "“”", "‘’", "«»")
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)"
_SHOWN = 60  # characters of an item that is shown


def grade(task: Task, answer: str, run: Run | str = "no sandbox was given") -> Grade:
    """The grade of an answer to a task.

    Only code has scores between 0 and 1, the share of its tests. It is run by `run` and never without: where `run`
    is the reason why there is no sandbox, score and passed are None and `why` begins with "ungraded".
    """
    name = task["grader"]["name"]
    if name != "code" and name not in _COMPARISONS:
        raise ConfigError(f"task {task['task_id']}: no grader is called {name!r}; known: {', '.join(NAMES)}")
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
    """`text` without what the task forgives around it."""
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
    accepted = [_plain(one, task) for one in (task["answer"], *task["grader"].get("also", ()))]
    if "case" in task["grader"].get("allow", ()):
        same = text.casefold() in [one.casefold() for one in accepted]
    else:
        same = text in accepted
    return None if same else f"expected {_shown(task['answer'])}"


def _number(text: str, task: Task) -> str | None:
    grader = task["grader"]
    right = re.fullmatch(_NUMBER, task["answer"], re.ASCII)
    if right is None:
        return f"the task's own answer {_shown(task['answer'])} is no number"
    units = "|".join(map(re.escape, grader.get("units", ())))
    if grader.get("last"):
        plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)  # 1,042 is one number
        numbers = re.findall(rf"(?<![\w.]){_NUMBER}", plain, re.ASCII)
    else:
        found = re.fullmatch(rf"(?:(?:{units}) ?)?({_NUMBER})(?: ?(?:{units}))?", text, re.ASCII)
        numbers = [found[1]] if found else []
    if not numbers:
        return f"expected the number {_shown(task['answer'])}{'' if grader.get('last') else ' alone'}"
    away = abs(Decimal(numbers[-1]) - Decimal(right[0]))
    return None if away <= Decimal(str(grader.get("tolerance", 0))) else f"expected {_shown(task['answer'])}"


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


def _same(one: Json, other: Json) -> bool:
    """Equality as JSON has it: 1 is 1.0, but true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _regex(text: str, task: Task) -> str | None:
    pattern = task["grader"]["pattern"]
    return None if re.fullmatch(pattern, text) else f"expected a text that matches {_shown(pattern)}"


def _one_of(text: str, task: Task) -> str | None:
    labels = task["grader"]["labels"]
    fold = str.casefold if "case" in task["grader"].get("allow", ()) else str
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
    found, right = ([line.rstrip() for line in one.split("\n")] for one in (text, task["answer"].strip()))
    if len(found) != len(right):
        return f"expected {len(right)} lines, not {len(found)}"
    wrong = next((number for number, pair in enumerate(zip(found, right, strict=True), 1) if len(set(pair)) > 1), None)
    return None if wrong is None else f"expected {_shown(right[wrong - 1])} in line {wrong}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


_COMPARISONS: dict[str, Callable[[str, Task], str | None]] = {
    one.__name__[1:]: one for one in (_exact, _number, _mentions, _json, _regex, _one_of, _list, _set, _lines)
}
NAMES = (*_COMPARISONS, "code")


def code_problem(source: str, entry: str) -> str | None:
    """Why `source` is no Python module that defines the function `entry`, without running it; None if it is one."""
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
    # What the calls should return is not told to the program.
    results = run(text.strip("\n") + "\n", [test["call"] for test in tests])
    failures = [
        f"{test['call']} {_told(result)}, expected {_shown(test['returns'])}"
        for test, result in zip_longest(tests, results[: len(tests)], fillvalue={})
        if result.get("returned") != test["returns"]
    ]
    if not failures:
        return _graded(1.0, f"{len(tests)} of {len(tests)} tests")
    right = len(tests) - len(failures)
    return _graded(right / len(tests), f"{right} of {len(tests)} tests: {failures[0]}")


def _told(result: Mapping[str, str]) -> str:
    if "returned" in result:
        return f"gave {_shown(result['returned'])}"
    return f"failed ({_shown(result['error'])})" if "error" in result else "was not reached"
