"""The parser of answers that rewrite one statement."""

import pytest
from dreamflow.errors import ConfigError
from dreamflow.generation.parsers import ParseError, parse

BASE = """\
def run(x):
    # first
    if x:
        y = x + 1
        z = y  # last
    return z
"""
OPTIONS = {"entry": "run", "base": BASE, "lines": [4, 4]}


def read(answer, **changes):
    return parse("statement", answer, {**OPTIONS, **changes}).text


@pytest.mark.parametrize(
    "answer",
    [
        "y = x + 2",
        "```python\ny = x + 2\n```",
        "Sure:\n\n~~~\n    y = x + 2\n~~~\nThat is it.",
        "<think>no</think>\ny = x + 2",
    ],
)
def test_the_statement_is_put_where_the_old_one_was(answer):
    assert read(answer) == BASE.replace("y = x + 1", "y = x + 2")


def test_several_lines_are_indented_as_the_statement_was():
    new = "        if x > 3:\n            y = 3\n        else:\n            y = x\n"
    assert read("```\nif x > 3:\n    y = 3\nelse:\n    y = x\n```", lines=[4, 5]) == (
        f"def run(x):\n    # first\n    if x:\n{new}    return z\n"
    )


def test_a_whole_module_is_taken_as_it_is():
    module = "def run(x):\n    return x\n"
    assert read(f"```python\n{module}```") == module


@pytest.mark.parametrize("answer", ["", "This line is not needed.", "```python\nfor\n```", "```\n\n```", "(" * 300])
def test_what_does_not_compile_in_its_place_is_refused(answer):
    with pytest.raises(ParseError, match="new code for lines 4-4"):
        read(answer)


def test_options_are_needed():
    with pytest.raises(ConfigError, match="'base'"):
        parse("statement", "y = 1", {"entry": "run"})
