"""Graders accept the answer and nothing but the answer; code is never run without a sandbox."""

import json

import pytest
from dreamflow.errors import ConfigError
from dreamflow.tasks.graders import LONGEST_ANSWER, NAMES, Grade, grade
from hypothesis import given
from hypothesis import strategies as st


def task(name, answer, **options):
    return {"task_id": "t-1", "kind": "facts", "grader": {"name": name, **options}, "answer": answer}


def run_here(source, calls):
    """What the sandbox answers. Only code of this file is run here."""
    names = {}
    exec(source, names)
    results = []
    for call in calls:
        try:
            results.append({"returned": repr(eval(call, names))})
        except Exception as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    return results


LAX = ["fence", "quotes", "full stop", "case"]
DOUBLE = task(
    "code",
    "def twice(n):\n    return 2 * n",
    entry="twice",
    tests=[{"call": "twice(4)", "returns": "8"}, {"call": "twice('a')", "returns": "'aa'"}],
)

ACCEPTED = {
    "exact": (task("exact", "A-17"), ["A-17", "  A-17\n", "\r\nA-17\r\n"]),
    "exact, several": (task("exact", "at home", also=["home"]), ["at home", "home"]),
    "exact, lax": (
        task("exact", "Lyon", allow=LAX),
        ["Lyon", "lyon.", '"Lyon"', '"LYON."', "“Lyon”.", "'Lyon'", "`Lyon`", "```\nLyon\n```", "```text\nLyon.\n```"],
    ),
    "exact, its own full stop": (task("exact", "J.D.", allow=["full stop"]), ["J.D.", "J.D"]),
    "number": (task("number", "42"), ["42", "42.0", "+42", "042", " 42 "]),
    "number, decimal": (task("number", "2.5"), ["2.5", "2.50", "02.5"]),
    "number, below zero": (task("number", "-7"), ["-7", "-7.0"]),
    "number, units": (task("number", "12", units=["€", "euros"]), ["12", "12 €", "€12", "€ 12", "12 euros", "12€"]),
    "number, tolerance": (task("number", "15.7", tolerance=0.1), ["15.6", "15.7", "15.8", "15.708"]),
    "number, last": (
        task("number", "42", last=True),
        ["42", "6 * 7 = 42", "It is 42.", "86 - 44 = 42 km", "First 7, then 42.0!", "**42**", "I have 42 of E17"],
    ),
    "number, last, large": (task("number", "1042", last=True), ["It is 1,042.", "1042"]),
    "mentions": (
        task("mentions", "Lyon", others=["Oslo", "Riga"]),
        ["Lyon", "It is Lyon.", "It is in Lyon, in France.", "**Lyon**", "Lyon near Oslovia"],
    ),
    "mentions, case": (task("mentions", "no", others=["yes"], allow=["case"]), ["No, never.", "NO"]),
    "json": (
        task("json", '{"a": 1, "b": [true, "x"]}'),
        ['{"b":[true,"x"],"a":1.0}', '{\n "a": 1, "b": [true, "x"]\n}'],
    ),
    "json, fence": (task("json", "[1]", allow=["fence"]), ["[1]", "```json\n[1]\n```"]),
    "regex": (task("regex", "9:45", pattern=r"0?9:45"), ["9:45", "09:45"]),
    "one_of": (task("one_of", "spam", labels=["spam", "normal"]), ["spam", " spam "]),
    "one_of, lax": (task("one_of", "spam", labels=["spam", "normal"], allow=LAX), ["Spam.", '"SPAM"']),
    "list": (task("list", "fig, pear"), ["fig, pear", "fig,pear", "fig ,  pear"]),
    "list, semicolons": (task("list", "fig; pear", separator=";"), ["fig; pear", "fig;pear"]),
    "set": (task("set", "fig, pear, fig"), ["fig, pear, fig", "pear,fig,fig"]),
    "lines": (task("lines", "- a\n- b"), ["- a\n- b", "\n- a  \n- b\n", "- a\r\n- b"]),
    "code": (DOUBLE, ["def twice(n):\n    return n + n", "# two\n\ntwo = 2\ndef twice(n):\n    return two * n\n"]),
    "code, wrapped": (
        {**DOUBLE, "grader": {**DOUBLE["grader"], "wrapped": True}},
        ["Sure!\n\n```python\ndef twice(n):\n    return n + n\n```\n\nIt adds.", "def twice(n): return n * 2"],
    ),
    "code, fence": (
        {**DOUBLE, "grader": {**DOUBLE["grader"], "allow": ["fence"]}},
        ["```python\ndef twice(n):\n    return n + n\n```", "def twice(n): return n * 2"],
    ),
}
REFUSED = {
    "exact": (
        task("exact", "A-17"),
        ["A-17.", '"A-17"', "a-17", "A-17 A-17", "A-18", "A -17", "A-1", "The order number is A-17.", "```\nA-17\n```"],
    ),
    "exact, lax": (
        task("exact", "Lyon", allow=LAX),
        ["Lyon..", "Lyon!", '"Lyon', '""Lyon""', "In Lyon.", "Lyon. Bye.", "Lyon\nLyon", "```\nLyon\n```\nDone."],
    ),
    "number": (
        task("number", "42"),
        ["42.", "43", "4 2", "forty-two", "42 km", "= 42", "6 * 7 = 42", "42, 42", "4e1", "NaN", "٤٢", "1,042", "42.1"],
    ),
    "number, units": (task("number", "12", units=["€"]), ["12 $", "12 euros", "€ € 12", "€12 is right"]),
    "number, tolerance": (task("number", "15.7", tolerance=0.1), ["15.59", "15.81", "15"]),
    "number, last": (
        task("number", "42", last=True),
        [
            "43",
            "42 or 43",
            "42 comes from 6 and 7",
            "forty-two",
            "E42",
            "1,042",
            "42.5",
            "0.42",
            "-42",
            "It is x42",
            "42.NN",
        ],
    ),
    "mentions": (
        task("mentions", "Lyon", others=["Oslo", "Riga"]),
        ["Oslo", "Lyon, not Oslo", "lyon", "Lyonnaise", "It is a city.", "Riga or Lyon"],
    ),
    "json": (
        task("json", '{"a": 1, "b": "2"}'),
        [
            *['{"a": "1", "b": "2"}', '{"a": true, "b": "2"}', '{"a": 1}', '{"a": 1, "b": "2", "c": 0}', "a: 1, b: 2"],
            *['Here: {"a": 1, "b": "2"}', '{"a": 2, "a": 1, "b": "2"}', '{"a": 1, "b": NaN}', "{'a': 1, 'b': '2'}"],
            *['```json\n{"a": 1, "b": "2"}\n```', '[{"a": 1, "b": "2"}]', "[" * 5000, "9" * 5000],
        ],
    ),
    "json, lists": (task("json", "[1, 2]"), ["[2, 1]", "[1]", "[1, 2, 2]", "1, 2", '{"1": 2}']),
    "regex": (task("regex", "9:45", pattern=r"0?9:45"), ["9:45 am", "at 9:45", "19:45", "9:4"]),
    "one_of": (task("one_of", "spam", labels=["spam", "normal"]), ["normal", "Spam", "spam.", "spam, normal", "mail"]),
    "list": (
        task("list", "fig, pear"),
        ["pear, fig", "fig", "fig, pear,", "fig and pear", "fig; pear", "fig, pear, fig"],
    ),
    "set": (task("set", "fig, pear, fig"), ["fig, pear", "fig, pear, pear", "fig; pear; fig"]),
    "lines": (task("lines", "- a\n- b"), ["- a - b", "- b\n- a", "- a\n\n- b", "- a\n- b\n- c", "Here:\n- a\n- b"]),
    "code": (
        DOUBLE,
        [
            *[
                "def twice(n):\n    return 2 + n",
                "def double(n):\n    return 2 * n",
                "twice = lambda n: 2 * n",
                "2 * n",
            ],
            *["Sure!\n\ndef twice(n):\n    return 2 * n", "```\ndef twice(n):\n    return 2 * n\n```", "def twice(n):"],
            *["def twice(n):\n    raise ValueError(n)", "def twice(n):\n    return float(2 * n)"],
        ],
    ),
}


def cases(table):
    return [
        pytest.param(one, text, id=f"{name}: {text[:20]!r}") for name, (one, texts) in table.items() for text in texts
    ]


@pytest.mark.parametrize(("one", "text"), cases(ACCEPTED))
def test_accepted(one, text):
    graded = grade(one, text, run_here)
    assert (graded.score, graded.passed) == (1.0, True), graded.why


@pytest.mark.parametrize(("one", "text"), cases(REFUSED))
def test_refused(one, text):
    graded = grade(one, text, run_here)
    assert graded.score < 1
    assert graded.passed is False
    assert "expected" in graded.why


@pytest.mark.parametrize("name", sorted(ACCEPTED))
@pytest.mark.parametrize("text", ["", " \n", '""', "x" * (LONGEST_ANSWER + 1)])
def test_nothing_and_too_much_are_refused_by_all(name, text):
    assert grade(ACCEPTED[name][0], text, run_here).passed is False


def test_why_says_what_was_expected():
    assert grade(task("exact", "A-17"), "It is\nA-17.").why == r"expected 'A-17', in 'It is\nA-17.'"
    labelled = task("one_of", "spam", labels=["spam", "normal"])
    assert grade(labelled, "normal").why == "expected 'spam', another label, in 'normal'"
    assert grade(labelled, "It is spam").why == "expected one of spam, normal, alone, in 'It is spam'"
    assert grade(task("lines", "a\nb"), "a\nc").why == r"expected 'b' in line 2, in 'a\nc'"
    assert grade(task("exact", "A-17"), "A-17").why == "as expected"


def test_unknown_grader_and_an_answer_that_is_no_number():
    with pytest.raises(ConfigError, match=r"task t-1: unknown grader 'vague'; known: exact, number, .*, code"):
        grade(task("vague", "x"), "x")
    assert grade(task("number", "many"), "7").why == "the task's own answer 'many' is no number, in '7'"


# --- code -----------------------------------------------------------------------------------------------


def test_code_is_not_run_without_a_sandbox():
    graded = grade(DOUBLE, "def twice(n):\n    raise SystemExit")
    assert graded == Grade(None, None, "ungraded: no sandbox was given")
    assert grade(DOUBLE, DOUBLE["answer"], "bwrap: not found").why == "ungraded: bwrap: not found"
    assert grade(DOUBLE, "Sure!").passed is False  # that this is no Python can be seen without running it


def test_code_scores_its_share_of_tests_and_says_what_failed():
    graded = grade(DOUBLE, "def twice(n):\n    return n << 1", run_here)
    assert (graded.score, graded.passed) == (0.5, False)
    assert graded.why.startswith("1 of 2 tests: twice('a') failed (\"TypeError: unsupported operand")
    graded = grade(DOUBLE, "def twice(n):\n    return n", run_here)
    assert (graded.score, graded.why) == (0.0, "0 of 2 tests: twice(4) gave '4', expected '8'")


def test_what_calls_should_return_is_not_told_to_the_program():
    seen = []

    def run(source, calls):
        seen.append((source, calls))
        return [{"returned": "8"}]  # ended early

    graded = grade(DOUBLE, DOUBLE["answer"], run)
    assert seen == [(DOUBLE["answer"] + "\n", ["twice(4)", "twice('a')"])]
    assert (graded.score, graded.why) == (0.5, "1 of 2 tests: twice('a') was not reached, expected \"'aa'\"")


# --- invariants -----------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "A-17",
        "42",
        "-",
        ".",
        ",",
        ";",
        '"',
        "'",
        "```",
        "\n",
        "\r",
        "{",
        "}",
        "[",
        "]",
        ":",
        "spam",
        "def twice(n):",
        " ",
    ]
)
ANSWERS = st.text() | st.lists(PIECES, max_size=12).map("".join)


@pytest.mark.parametrize("name", sorted(ACCEPTED))
@given(answer=ANSWERS)
def test_any_text_gets_a_grade(name, answer):
    graded = grade(ACCEPTED[name][0], answer)
    assert isinstance(graded, Grade)
    assert "\n" not in graded.why
    if graded.score is None:
        assert ACCEPTED[name][0]["grader"]["name"] == "code"
    else:
        assert graded.passed == (graded.score == 1.0)


WORD = st.text(st.characters(codec="utf-8", exclude_characters=";"), min_size=1).filter(
    lambda word: word == word.strip()
)


@given(text=WORD, around=st.sampled_from(["{} is it", "It is {}", "{0} {0}", "**{}**", "<{}>", "({})"]))
def test_exact_takes_every_text_as_it_is_and_no_other(text, around):
    one = task("exact", text.replace("\r\n", "\n"))
    assert grade(one, f" {text}\n").passed
    assert not grade(one, around.format(text)).passed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(value=VALUES, indent=st.sampled_from([None, 1]))
def test_json_takes_every_way_to_write_a_value(value, indent):
    one = task("json", json.dumps(value))
    assert grade(one, json.dumps(value, indent=indent, ensure_ascii=False, sort_keys=True)).passed
    assert not grade(one, json.dumps([value])).passed


@given(number=st.integers(-(10**9), 10**9), places=st.integers(0, 3), off=st.integers(1, 10**6))
def test_numbers_are_equal_by_value(number, places, off):
    one = task("number", str(number))
    assert grade(one, f"{number}.{'0' * places}" if places else str(number)).passed
    assert not grade(one, str(number + off)).passed


def test_every_grader_is_tested_both_ways():
    for table in (ACCEPTED, REFUSED):
        assert {one["grader"]["name"] for one, _ in table.values()} == set(NAMES)
