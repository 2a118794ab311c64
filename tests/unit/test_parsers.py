"""Every way in which a model has been seen to write an answer, and what a parser makes of it."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from dreamflow.errors import ConfigError
from dreamflow.generation.parsers import PARSERS, Parsed, ParseError, check_parser, parse, parser_version
from dreamflow.generation.parsers.base import register
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "scripts" / "parse_text.py"
SCORES = ("in_last_line", "complex")


def score(answer, scale=(0, 9), name="in_last_line"):
    return parse(name, answer, {"scale": scale}).values["score"]


# --- scores ---------------------------------------------------------------------------------------------

READABLE = {
    # those that the original could not read
    "fraction of ten": ("SCORE: 7/10", 6.3),
    "full stop": ("SCORE: 7.", 7),
    "backticks": ("`SCORE: 7`", 7),
    "equals sign": ("SCORE = 7", 7),
    "last of equals": ("SCORE: 5\nSCORE: 8", 8),
    "not the subtotal": ("Subtotal score: 3\nSCORE 7", 7),
    "total over sub-scores": ("Novelty SCORE: 4\nRigor SCORE: 6\nTotal SCORE: 5", 5),
    # those that it could
    "plain": ("SCORE: 7", 7),
    "decimal": ("Score: 7.5", 7.5),
    "lower case, no colon": ("score 7", 7),
    "three digits": ("Final Score: 456", 5),
    "three digits, commas": ("Final Score: 7, 8, 6", 7),
    "three digits, tight commas": ("Total Score: 7,8,6", 7),
    "three digits, spaces": ("Score: 4 5 6", 5),
    # decorations
    "bold line": ("**SCORE: 7**", 7),
    "bold label": ("**Score:** 7", 7),
    "bold number in a fraction": ("Score: **8.5**/9", 8.5),
    "bold fraction of ten": ("Score: **8.5**/10", 7.65),
    "heading": ("### Final Score: 7", 7),
    "heading above": ("## Final Score\n\n**7.5** / 9", 7.5),
    "heading above a bullet": ("## Score\n- 7/9", 7),
    "heading above a lone number": ("### SCORE\n7", 7),
    "underscores": ("__Score__: _7_", 7),
    "snake case": ("final_score: 7", 7),
    "brackets": ("SCORE: [7]", 7),
    "parentheses": ("Score (7/9)", 7),
    "fence": ("```\nSCORE: 7\n```", 7),
    "table": ("| Novelty score | 4 |\n|---|---|\n| **Total score** | **7** |", 7),
    "inline json": ('{"score": 7, "reason": "sound"}', 7),
    "full-width colon": ("Score：7", 7),
    "arrow": ("Score → 7", 7),
    "dash": ("Score – 7", 7),
    "windows line ends": ("Fine.\r\nSCORE: 7\r\n\r\n", 7),
    # numbers
    "comma decimal": ("Score: 7,5", 7.5),
    "out of": ("Score: 8 out of 9", 8),
    "out of ten": ("Score: 8 out of 10", 7.2),
    "parenthesised out of": ("Score: 8 (out of 10)", 7.2),
    "points out of": ("Score: 8 points out of 9", 8),
    "decimal denominator": ("Score: 8,5/9.0", 8.5),
    "percent": ("Score: 50%", 4.5),
    "no label, fraction": ("Well argued.\n8 out of 10", 7.2),
    "no label, nothing else": ("**7**", 7),
    "zero": ("SCORE: 0", 0),
    "maximum": ("SCORE: 9", 9),
    "scale before the colon": ("Score (0-10): 8", 7.2),
    "scale after the number": ("Score: 8 (on a scale of 0-10)", 7.2),
    "own scale is no rescaling": ("Score (0-9): 8", 8),
    "best in parentheses": ("Score (out of 10): 8", 7.2),
    # words around
    "reason after a dash": ("Score: 7 — strong, if derivative", 7),
    "reason in parentheses": ("Score: 7 (strong)", 7),
    "reason after a full stop": ("Score: 7. The essay is strong.", 7),
    "reason with numbers": ("Score: 7 because it joins 3 ideas", 7),
    "in a sentence": ("All in all I would give this essay a score of 7.5.", 7.5),
    "in a sentence, fraction": ("It earns an overall score of 6/9. Well done.", 6),
    "is": ("My score is 7", 7),
    "score for this essay": ("Score for this essay: 7", 7),
    "confidence behind": ("Score: 7; Confidence: 5", 7),
    # which one
    "final over plain": ("Final score: 6\nScore: 7", 6),
    "remark in the label": ("Score (overall): 6\nScore (novelty): 7", 6),
    "plain over sub-score behind it": ("SCORE: 7\nNovelty score: 3", 7),
    "plain over a score for something": ("SCORE: 7\nScore for novelty: 3", 7),
    "sub-total with hyphen": ("Score: 7\nSub-total score: 3", 7),
    "one sub-score alone": ("Creativity score: 7", 7),
    "label over running text": ("SCORE: 6\nBetter sources would deserve a score of 9.", 6),
    "running total over labelled sub-score": ("Novelty score: 4\nI give an overall score of 6.", 6),
    "maximum score is no score": ("Score: 6\nMaximum score: 9", 6),
    "wish": ("SCORE: 6\nA higher score of 9 needs evidence.", 6),
    "final in an unrelated place": ("The final paragraph weakens the rigor score: 4\nScore: 7", 7),
    "echo of the instruction": ("SCORE: [0-9]\nSCORE: 7", 7),
    # thinking
    "thinking": ("<think>\nFinal score: 3\n</think>\nSCORE: 7", 7),
    "thinking, other tag": ("<Thinking>Final score: 3</Thinking>\n\nSCORE: 7", 7),
    "thinking opened in the prompt": ("Final score: 3\n</think>\nSCORE: 7", 7),
    "thinking only mentioned": ("It explains the `<think>` tag.\nSCORE: 7", 7),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("answer", "expected"), READABLE.values(), ids=READABLE)
def test_score_is_read(name, answer, expected):
    parsed = parse(name, answer)
    assert parsed.values == {"score": expected}
    assert parsed.text == f"{float(expected)!r}\n"


UNREADABLE = {
    "empty": ("", "no line such as"),
    "blank": (" \n\t\n", "no line such as"),
    "no score": ("A fine essay.", "A fine essay."),
    "a number without label": ("A fine essay.\n7", "no line such as"),
    "words for a number": ("Score: seven", "no line such as"),
    "above the scale": ("SCORE: 10", "outside the scale 0-9"),
    "below the scale": ("SCORE: -1", "outside the scale 0-9"),
    "above its own best": ("SCORE: 12/10", "outside the scale 0-9"),
    "a hundred is no triple": ("SCORE: 100", "outside the scale 0-9"),
    "items": ("Score: 1 2 3 items", "more than one way"),
    "points lower": ("Score: 2 points deducted", "more than one way"),
    "range": ("Score: 7-8", "more than one way"),
    "range with a long dash": ("Score: 6–7", "more than one way"),
    "interval behind": ("Score: 7 (6-8)", "more than one way"),
    "interval before": ("Score (6-8): 7", "more than one way"),
    "two numbers": ("Score: 7, 8", "more than one way"),
    "either": ("Score: 7 or 8", "more than one way"),
    "between": ("Score: between 6 and 7", "more than one way"),
    "about": ("Score: ~7", "more than one way"),
    "plus": ("Score: 7+", "more than one way"),
    "date": ("Score: 7/10/2024", "more than one way"),
    "version": ("Score: 7.5.1", "more than one way"),
    "thousands": ("Score: 1,000", "more than one way"),
    "exponent": ("Score: 1e5", "more than one way"),
    "division by zero": ("Score: 3/0", "more than one way"),
    "unclear one comes last": ("SCORE: 7\nSCORE: 8 or 9", "'SCORE: 8 or 9'"),
    "unclear total over a clear score": ("Total score: 1 2 3 items\nScore: 7", "more than one way"),
    "sub-scores only": ("Novelty score: 4\nRigor score: 6", "several sub-scores and no total"),
    "heading above a list": ("## Score\n7. Style is good", "no line such as"),
    "thinking only": ("<think>\nScore: 7\n</think>", "no line such as"),
    "thinking cut off": ("<think>\nScore: 7\nbut then", "never ends"),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("answer", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_score_is_refused(name, answer, message):
    with pytest.raises(ParseError) as caught:
        parse(name, answer)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


BLANKS = (
    "<n>", "n", "N", "0.NN", "X", "X/9", "[0-9]", "0-9", "0.__", "__", "_/9", "0.##", "#", "?", "0.?", "0...", "0…",
    "...", "<number>", "<0-9>", "<number from 0 to 9>", "0..9", "0 ... 9", "1/2/3", "0 (bad) to 9 (good)",
    "0 <= n <= 9", "{score}", "[score]", "(n)", "n out of 9", "0 to 9", "0.xx", "0,NN",
)  # fmt: skip
SCORE_FORMS = (
    "SCORE: {n}",
    "**SCORE: {n}**",
    "Fine.\nFinal score = {n}",
    "| Total score | {n} |",
    "Rigor score: 4\nSCORE: {n}",
)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("form", SCORE_FORMS)
@pytest.mark.parametrize("blank", BLANKS)
def test_a_form_without_a_score_is_refused(name, form, blank):
    with pytest.raises(ParseError):
        parse(name, form.format(n=blank))


FILLED_IN = {
    "after the form": ("SCORE: <n>\nSCORE: 7", 7),
    "before the form": ("SCORE: 7\nSCORE: <n>", 7),
    "in prose before the form": ("It earns an overall score of 6/9.\nSCORE: <n>", 6),
    "without a label after the form": ("SCORE: <n>\n8 out of 9", 8),
    "bold with a full stop": ("**Score: 0.**", 0),
    "bold by underscores": ("__Score: 7.__", 7),
    "bold label by underscores": ("__Score:__ 7", 7),
    "closed heading": ("## Score: 0.##", 0),
    "dots": ("SCORE: 7...", 7),
    "a remark and a range of words": ("Score: 3 (weak) to be fair", 3),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("answer", "expected"), FILLED_IN.values(), ids=FILLED_IN)
def test_a_form_that_was_filled_in_is_read(name, answer, expected):
    assert score(answer, name=name) == expected


@pytest.mark.parametrize("name", SCORES)
def test_no_line_of_the_evaluation_templates_is_an_answer(name):
    for path in (Path(__file__).parents[2] / "data/1_raw/templates/evaluation").glob("*.txt"):
        for echo in (path.read_text(), *path.read_text().splitlines()):
            with pytest.raises(ParseError):
                parse(name, echo)


SCALES = {
    "0-10": ("Score: 10", (0, 10), 10),
    "fraction on its own scale": ("Score: 7/10", (0, 10), 7),
    "0-100": ("Score: 85", (0, 100), 85),
    "0-1": ("Score: 0.8", (0, 1), 0.8),
    "point first": ("Score: .8", (0, 1), 0.8),
    "fraction of ten on 0-1": ("Score: 8/10", (0, 1), 0.8),
    "percent of 0-100": ("Score: 85%", (0, 100), 85),
    "1-5": ("Score: 3/5", (1, 5), 3),
    "worst of ten on 1-5": ("Score: 1/10", (1, 5), 1),
    "best of ten on 1-5": ("Score: 10/10", (1, 5), 5),
    "three digits are a number": ("Score: 456", (0, 1000), 456),
    "1-9 reads three digits too": ("Score: 456", (1, 9), 5),
}


@pytest.mark.parametrize(("answer", "scale", "expected"), SCALES.values(), ids=SCALES)
def test_scale_is_respected(answer, scale, expected):
    assert score(answer, scale) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "scale"),
    [("SCORE: 0", (1, 5)), ("SCORE: 6", (1, 5)), ("SCORE: 456", (0, 10)), ("SCORE: 7 8 6", (0, 10))],
)
def test_scale_refuses(answer, scale):
    with pytest.raises(ParseError):
        score(answer, scale)


def test_doubts_are_warnings():
    assert parse("in_last_line", "Score: 7").warnings == ()
    assert parse("in_last_line", "Score: 7/9").warnings == ()
    assert parse("in_last_line", "Score: 7/10").warnings == ("7/10 rescaled to 6.3 on 0-9",)
    assert parse("in_last_line", "Score: 7, 8, 6").warnings == ("mean of three digits, '7, 8, 6'",)
    assert parse("in_last_line", "Score: 7\nScore: 8").warnings == ("2 scores that differ: the last one was taken",)


def test_windows():
    for name, lines in (("in_last_line", 3), ("complex", 30)):
        assert score("SCORE: 7" + "\n\nA remark." * (lines - 1), name=name) == 7
        with pytest.raises(ParseError, match=f"last {lines} lines"):
            score("SCORE: 7" + "\n\nA remark." * lines, name=name)


def test_error_quotes_the_end_and_little():
    with pytest.raises(ParseError) as caught:
        parse("complex", "beginning " * 300 + "the very end")
    assert "the very end'" in str(caught.value)
    assert len(str(caught.value)) < 300


HEADING_ANSWER = """# Evaluation

## 1. Novelty
The essay joins a *generator* with a *verifier* (3 of the 5 concepts), and names 2 precedents.

## 2. Rigor
Two claims are unsupported; "40% faster" has no source. I would have liked 1 or 2 worked examples.

## Final Score

**7.5/9**

The essay would be an 8 with one worked example. It is, all the same, among the better ones:

- the loop is closed (step 4 feeds step 1)
- costs are named
"""

TABLE_ANSWER = """<think>
The rubric has three parts. Novelty score: 8, rigor score: 5, fit score: 7. Overall score: 3? No, higher.
</think>

| Criterion | Score | Comment |
|-----------|-------|---------|
| Novelty score | 8 | Fresh link between 2 fields |
| Rigor score | 5 | Thin |
| Fit score | 7 | Good |
| **Overall score** | **6.5** | A sound piece |

Strengths: clear. Weaknesses: thin evidence.
"""

PROSE_ANSWER = """The draft restates the premise in its first 4 paragraphs, and only then moves.

Its best passage treats the default mode network as a scheduler; its weakest, the 2019 study, is not cited.
A perfect score of 9 would need a mechanism that could be tested.

Taking novelty, coherence and feasibility together, I would assign the essay a score of 6 out of 9, since the
central move is good but is left undeveloped.
"""

TEMPLATE_ANSWER = """**Gap coverage:** 3 of 4 elements are there.
**Novelty Score:** 4/9
**Depth Score:** 6/9

REASONING: The background loop is reinvented, without the write-back. It misses the economic moat.

**SCORE: 5.5**
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(HEADING_ANSWER, 7.5), (TABLE_ANSWER, 6.5), (PROSE_ANSWER, 6), (TEMPLATE_ANSWER, 5.5)],
    ids=["heading", "table", "prose", "template"],
)
def test_long_evaluations(answer, expected):
    assert score(answer, name="complex") == expected


def test_last_line_of_a_long_evaluation():
    assert score(TEMPLATE_ANSWER) == 5.5
    with pytest.raises(ParseError):
        score(HEADING_ANSWER)


# --- text -----------------------------------------------------------------------------------------------

IDEAS = {
    "as documented": ('<essay-idea stage="1">\nA\n</essay-idea>', "A"),
    "highest stage": (
        '<essay-idea stage="2">\nB\n</essay-idea>\n<essay-idea stage="1">\nA\n</essay-idea>',
        "B",
    ),
    "numbers, not text": (
        '<essay-idea stage="10">\nJ\n</essay-idea>\n<essay-idea stage="9">\nI\n</essay-idea>',
        "J",
    ),
    "tie goes to the last": ('<essay-idea stage="1">A</essay-idea><essay-idea stage="1">B</essay-idea>', "B"),
    "no stages": ("<essay-idea>\nA\n</essay-idea>\n<essay-idea>\nB\n</essay-idea>", "B"),
    "stages over none": ('<essay-idea stage="1">A</essay-idea><essay-idea>B</essay-idea>', "A"),
    "single quotes": ("<essay-idea stage='3'>C</essay-idea><essay-idea stage='2'>B</essay-idea>", "C"),
    "curly and no quotes": ("<essay-idea stage=“3”>C</essay-idea><essay-idea stage=2>B</essay-idea>", "C"),
    "indented": ('  <essay-idea stage="1">\n  A\n  B\n  </essay-idea>', "  A\n  B"),
    "one line": ('<essay-idea stage="1">A</essay-idea>', "A"),
    "letter case": ("<Essay-Idea Stage='1'>A</ESSAY-IDEA>", "A"),
    "spaces in the tag": ('<essay-idea  name="x"  stage = "1" >A</essay-idea>', "A"),
    "verbatim": ('<essay-idea stage="1">\n\n  A *b*  \n\n</essay-idea>', "\n  A *b*  \n"),
    "windows line ends": ('<essay-idea stage="1">\r\nA\r\nB\r\n</essay-idea>', "A\r\nB"),
    "fenced": ('```xml\n<essay-idea stage="1">\nA\n</essay-idea>\n```', "A"),
    "thinking": (
        '<think>\n<essay-idea stage="9">\nno\n</think>\n<essay-idea stage="1">\nA\n</essay-idea>',
        "A",
    ),
    "tag of thinking mentioned": ("<essay-idea>\nThe <think> token.\n</essay-idea>", "The <think> token."),
    "other attribute": ('<essay-idea data-stage="9">A</essay-idea><essay-idea stage="1">B</essay-idea>', "B"),
}


@pytest.mark.parametrize(("answer", "expected"), IDEAS.values(), ids=IDEAS)
def test_essay_idea_last(answer, expected):
    assert parse("essay_idea_last", answer) == Parsed(expected)


def test_essay_idea_left_open_before_the_last():
    parsed = parse("essay_idea_last", '<essay-idea stage="1">\nA\n<essay-idea stage="2">\nB\n</essay-idea>')
    assert parsed.text == "B"
    assert parsed.warnings == ("'<essay-idea stage=\"1\">' is never closed: passed over",)


ESSAYS = {
    "as documented": ("x <essay>\n A \n</essay> y", "A", "A", 0),
    "letter case": ("<ESSAY>A</Essay>", "A", "A", 0),
    "first of two": ("<essay>A</essay><essay>B</essay>", "A", "A", 0),
    "attributes": ('<essay title="t">A</essay>', "A", "A", 0),
    "never closed": ("<essay>\nA\nB", "A\nB", "A\nB", 1),
    "never closed, fenced": ("```\n<essay>\nA\n```", "A", "A", 1),
    "fence inside": ("<essay>\n```markdown\nA\n```\n</essay>", "A", "A", 0),
    "code in the essay stays": (
        "<essay>\n```py\nx\n```\nA\n</essay>",
        "```py\nx\n```\nA",
        "```py\nx\n```\nA",
        0,
    ),
    "not an idea": ("<essay-idea>A</essay-idea>", None, "<essay-idea>A</essay-idea>", 0),
    "no tags": (" A\nB \n", None, "A\nB", 0),
    "no tags, fenced": ("```text\nA\n\n```python\nx\n```\n```", None, "A\n\n```python\nx\n```", 0),
    "no tags, two fences": ("```\nA\n```\nB\n```\nC\n```", None, "```\nA\n```\nB\n```\nC\n```", 0),
    "no tags, thinking": ("<thinking>\n<essay>no</essay></thinking>\nA", None, "A", 0),
    "never opened": ("A\n</essay>", None, "A", 1),
    "closed before it opens": ("</essay><essay>A</essay>", "A", "A", 0),
    "thinking first": ("<think>\n<essay>no</essay>\n</think>\n<essay>A</essay>", "A", "A", 0),
}


@pytest.mark.parametrize(("answer", "strict", "lenient", "warnings"), ESSAYS.values(), ids=ESSAYS)
def test_essay_block(answer, strict, lenient, warnings):
    parsed = parse("essay_block_lenient", answer)
    assert (parsed.text, len(parsed.warnings)) == (lenient, warnings)
    if strict is None:
        with pytest.raises(ParseError, match="no <essay> tag"):
            parse("essay_block", answer)
    else:
        assert parse("essay_block", answer) == parsed


def test_identity_is_verbatim():
    assert parse("identity", " <think>x</think>\n A \n") == Parsed(" <think>x</think>\n A \n")


REFUSED_TEXT = {
    "identity, empty": ("identity", "", "empty"),
    "identity, blank": ("identity", " \n", "empty"),
    "idea, none": ("essay_idea_last", "A fine idea.", "'A fine idea.'"),
    "idea, last one open": (
        "essay_idea_last",
        "<essay-idea stage='1'>A</essay-idea><essay-idea stage='2'>B",
        "cut off",
    ),
    "idea, self-closing": ("essay_idea_last", "<essay-idea/>", "no <essay-idea"),
    "idea, empty": ("essay_idea_last", "<essay-idea>\n</essay-idea>", "empty"),
    "essay, empty": ("essay_block", "<essay> </essay>", "empty"),
    "lenient, empty": ("essay_block_lenient", "<thinking>x</thinking>", "empty"),
    "lenient, thinking cut off": ("essay_block_lenient", "<thinking>x", "cut off"),
    "half a character": ("identity", "A \ud83d", "surrogate"),
}


@pytest.mark.parametrize(("name", "answer", "message"), REFUSED_TEXT.values(), ids=REFUSED_TEXT)
def test_text_is_refused(name, answer, message):
    with pytest.raises(ParseError) as caught:
        parse(name, answer)
    assert message in str(caught.value)


# --- json -----------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "required": ["score"],
    "properties": {
        "score": {"type": "number"},
        "claims": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
}

OBJECTS = {
    "bare": ('{"a": 1}', {"a": 1}),
    "fence": ('```json\n{"a": 1}\n```', {"a": 1}),
    "prose": ('Here it is: {"a": 1}. Enjoy {it}!', {"a": 1}),
    "braces in prose": ('For \\frac{1}{2} and {x}: {"a": 1}', {"a": 1}),
    "fence after an example": ('As {"a": N}:\n```json\n{"a": 1}\n```', {"a": 1}),
    "braces in strings": ('{"a": "}{ \\" ]"}', {"a": '}{ " ]'}),
    "fence in a string": ('{"a": "```json {"}', {"a": "```json {"}),
    "first of two": ('{"a": 1}\n{"a": 2}', {"a": 1}),
    "nested": ('{"a": {"b": [{"c": null}]}}', {"a": {"b": [{"c": None}]}}),
    "line break in a string": ('{"a": "x\ny"}', {"a": "x\ny"}),
    "empty object": ("{}", {}),
    "score": ('{"score": 7}', {"score": 7.0}),
    "score that is no number": ('{"score": "high"}', {"score": "high"}),
    "score that is a truth value": ('{"score": true}', {"score": True}),
    "thinking": ('<think>\n{"a": 2}\n</think>\n{"a": 1}', {"a": 1}),
}


@pytest.mark.parametrize(("answer", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_json_is_read(answer, expected):
    parsed = parse("json", answer)
    assert parsed.values == expected
    assert parsed.text == json.dumps(expected, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def test_json_text_is_canonical():
    assert parse("json", '{"b": "é", "a": 1}').text == '{\n  "a": 1,\n  "b": "é"\n}\n'


BAD_OBJECTS = {
    "none": ("no object", "no JSON object"),
    "list": ("[1, 2]", "no JSON object"),
    "cut off": ('{"a": [1, 2', "never closed"),
    "cut off in a string": ('{"a": "x}', "never closed"),
    "trailing comma": ('{"a": 1,}', "a JSON object was expected"),
    "repeated key": ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' is there more than once"),
    "nan": ('{"a": NaN}', "NaN is not a JSON number"),
    "infinity": ('{"a": -Infinity}', "-Infinity is not a JSON number"),
    "infinite in disguise": ('{"a": 1e999}', "too large"),
    "too many digits": ('{"a": ' + "9" * 5000 + "}", "a JSON object was expected"),
    "too deep": ('{"a":' * 200 + "1" + "}" * 200, "levels deep"),
    "mixed brackets": ('{"a": ]}', "a JSON object was expected"),
    "half a character": ('{"a": "\\ud83d"}', "surrogate"),
    "a blank score": ('{"score": "0.NN"}', "the form was not filled in"),
    "a score to write": ('{"score": "<0-9>"}', "the form was not filled in"),
    "score off the scale": ('{"score": 10}', "outside the scale 0-9"),
    "enormous score": ('{"score": ' + "9" * 4000 + "}", "outside the scale 0-9"),
}


@pytest.mark.parametrize(("answer", "message"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_json_is_refused(answer, message):
    with pytest.raises(ParseError) as caught:
        parse("json", answer)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_json_schema():
    assert parse("json", '{"score": 7, "claims": [{"n": 1}]}', {"schema": SCHEMA}).values["score"] == 7.0
    with pytest.raises(ParseError, match=r"\$\.claims\[1\]\.n: 'x' is not of type 'integer'"):
        parse("json", '{"score": 7, "claims": [{"n": 1}, {"n": "x"}]}', {"schema": SCHEMA})
    with pytest.raises(ParseError, match=r"\$: 'score' is a required property"):
        parse("json", "{}", {"schema": SCHEMA})


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "https://example.org/elsewhere.json"}])
def test_json_schema_that_is_wrong_is_no_fault_of_the_answer(schema):
    with pytest.raises(ConfigError):
        parse("json", '{"a": 1}', {"schema": schema})


# --- the registry and the command -----------------------------------------------------------------------


def test_registry():
    assert check_parser("json") is PARSERS["json"]
    assert parser_version("in_last_line") == "in_last_line/1"
    assert all(parser.description.endswith(".") for parser in PARSERS.values())
    with pytest.raises(
        ConfigError,
        match=r"unknown parser 'jsn'; did you mean 'json'\? known: choice, chunks, cluster, code, complex, ",
    ):
        check_parser("jsn")
    with pytest.raises(ValueError, match="two parsers"):
        register("json", version=2)(parse)


def command(*arguments, stdin=""):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], input=stdin, capture_output=True, text=True, encoding="utf-8"
    )


def test_command(tmp_path):
    answer = tmp_path / "raw.txt"
    answer.write_text("Score: 7/10")
    done = command("in_last_line", answer)
    assert (done.returncode, done.stdout) == (0, "6.3\n")
    assert done.stderr == "in_last_line: warning: 7/10 rescaled to 6.3 on 0-9\n"
    assert command("in_last_line", "-", "--scale", "1-10", stdin="Score: 7/10").stdout == "7.0\n"


def test_command_fails(tmp_path):
    done = command("in_last_line", "-", stdin="no\nnumber")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    assert "required property" in command("json", "-", "--schema", schema, stdin="{}").stderr
    assert command("nothing", "-").returncode == 2
    assert command().returncode == 2


def test_command_lists():
    assert [line.split()[0] for line in command("--list").stdout.splitlines()] == sorted(PARSERS)


# --- invariants -----------------------------------------------------------------------------------------

TOKENS = (
    "<think>", "</think>", "<thinking>", "<essay>", "</essay>", "<essay-idea", " stage='2'", ">", "\n",
    "</essay-idea>", "Score", "final ", ":", "=", "7", "8.5", "/10", ",", " out of ", "(0-9)", "%", "**", "`",
    "#", "|", "-",
    "{", "}", '"a"', '"score"', "[", "]", "\\", '"', "```", "```json", " ", "\x00", "\ud800", "é", "٣", "²",
)  # fmt: skip
ANSWERS = st.one_of(
    st.text(alphabet=st.characters(codec=None, exclude_categories=())),
    st.lists(st.sampled_from(TOKENS), max_size=40).map("".join),
)


NEEDED = {  # options without which a parser cannot work
    "code": {"entry": "run"},
    "statement": {"entry": "run", "base": "def run():\n    return 1\n", "lines": [2, 2]},
    "choice": {"options": ["first", "second"]},
}


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(deadline=None)
@given(answer=ANSWERS, schema=st.sampled_from([None, SCHEMA]))
def test_any_text_gives_a_value_or_a_parse_error(name, answer, schema):
    try:
        parsed = parse(name, answer, {"schema": schema, **NEEDED.get(name, {})})
    except ParseError as error:
        assert "\n" not in str(error)
        str(error).encode()
        return
    assert parsed.text.strip()
    parsed.text.encode()
    if name in SCORES:
        assert parsed.text == f"{parsed.values['score']!r}\n"
        assert 0 <= parsed.values["score"] <= 9


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize("unit", [*TOKENS, "Score: 7 ", "Score (", "9 ", "{ ", '{"a":', "<essay ", "```\n", "score\n"])
def test_200_kilobytes_of_anything_are_read(name, unit):
    # No clock: a pattern that backtracks would need minutes here, and be noticed.
    long = unit * (200_000 // len(unit))
    for answer in ("Score: " + long, long + "\nScore: 7"):
        try:
            parse(name, answer, NEEDED.get(name))
        except ParseError as error:
            assert len(str(error)) < 2000


DECORATIONS = (
    "SCORE: {}", "**SCORE: {}**", "**Score:** {}", "Score: **{}**/9", "`SCORE: {}`", "### Final Score: {}",
    "_Total score_ = {}", "Score: {}.", "Score: {}/9", "Score: {} out of 9", "Overall score - {}",
    "Score: [{}]",
    "| Score | {} |", "## Score\n\n{}", '{{"score": {}}}', "I give it a final score of {}.", "Score {}",
    "Novelty score: 3\nSCORE: {}\n\nThat is all.",
)  # fmt: skip
NUMBERS = st.integers(0, 9) | st.decimals(0, 9, places=1) | st.decimals(0, 9, places=2)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("decoration", DECORATIONS)
@settings(deadline=None)
@given(number=NUMBERS, comma=st.booleans())
def test_any_score_in_any_decoration_is_read_back(name, decoration, number, comma):
    digits = str(number).replace(".", ",") if comma else str(number)
    parsed = parse(name, decoration.format(digits))
    assert math.isclose(parsed.values["score"], float(number))
    assert parsed.warnings == ()


BODIES = st.text(min_size=1).filter(
    lambda text: text.strip() and not set("<`~") & set(text) and not text.endswith("\r")
)


@settings(deadline=None)
@given(body=BODIES, around=st.sampled_from(["{}", "Here:\n{}\nDone.", "```\n{}\n```"]))
def test_essay_round_trip(body, around):
    assert parse("essay_block", around.format(f"<essay>\n{body}\n</essay>")).text == body.strip()
    idea = around.format(f'<essay-idea stage="1">\n{body}\n</essay-idea>')
    assert parse("essay_idea_last", idea).text == body


@settings(deadline=None)
@given(
    value=st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
    ).filter(lambda value: "score" not in value),
    around=st.sampled_from(["{}", "Here:\n```json\n{}\n```\nDone {{}}.", "It's {}"]),
    indent=st.sampled_from([None, 2]),
)
def test_json_round_trip(value, around, indent):
    parsed = parse("json", around.replace("{}", json.dumps(value, indent=indent), 1))
    assert parsed.values == value
    assert json.loads(parsed.text) == value
