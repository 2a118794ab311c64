"""The filter language: what it means, and errors that point at the column."""

import pytest
from dreamflow.chunks.filters import FilterError, parse_filter
from dreamflow.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

CHUNK = {
    "quality_level": "basic",
    "needs_upgrade": True,
    "labels": ["Billing", "user's guide"],
    "entities": ["ACME"],
    "speaker": "user",
    "speakers": ["user", "assistant"],
    "language": "en",
    "parent_id": "talk-1",
    "llm_used": None,
    "token_range": [100, 350],
    "confidence": 0.6,
    "cost_usd": 0.0,
    "time_range": ["2026-02-13T23:30:00-02:00", "2026-02-14T03:00:00Z"],
}

TRUE = [
    "quality_level=basic AND needs_upgrade=true",
    "labels CONTAINS 'billing' AND quality_level != 'premium'",
    "labels CONTAINS 'billing' OR labels CONTAINS 'architecture'",
    "needs_upgrade=true",
    "quality_level < good",
    "quality_level <= 'basic'",
    "quality_level >= BASIC",
    'labels contains "user\'s guide"',
    "labels = billing",
    "labels != weather",
    "entities CONTAINS acme",
    "speaker CONTAINS assistant and speaker = user",
    "language=EN",
    "language IN (zh, 'en')",
    "language != zh",
    "conversation_id CONTAINS 'alk-'",
    "tokens = 250",
    "tokens>=250 AND tokens<250.5",
    "tokens > 2e2",
    "confidence < .7",
    "cost_usd = 0",
    "llm_used = null",
    "llm_used != 'gpt'",
    "time = 2026-02-14",
    "time > '2026-02-14T01:29:00Z'",
    "time < 2026-02-15",
    "time >= 2026-02-14",
    "NOT language=zh",
    "NOT NOT language=en",
    "NOT (language=zh OR tokens < 10)",
    "language=zh OR language=en AND tokens=250",
    "(language=zh OR language=en) AND tokens=250",
    "language=en OR language=zh AND tokens=1",
    "not language=zh and tokens=250",
    "\n quality_level\t=\nbasic ",
]
FALSE = [
    "quality_level > basic",
    "needs_upgrade != true",
    "labels CONTAINS 'bill'",
    "labels != billing",
    "language = null",
    "llm_used = 'gpt'",
    "llm_used CONTAINS 'gpt'",
    "time > 2026-02-14",
    "time = 2026-02-13",
    "NOT language=en",
    "NOT language=en OR language=zh",
    "(language=zh OR language=en) AND tokens=1",
    "NOT (language=en OR language=zh)",
    "speaker = system",
    "tokens IN (1, 2)",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(text):
    assert parse_filter(text)(CHUNK) is True


@pytest.mark.parametrize("text", FALSE)
def test_false(text):
    assert parse_filter(text)(CHUNK) is False


def test_what_a_chunk_does_not_know_satisfies_no_comparison():
    unknown = {**CHUNK, "confidence": None, "time_range": None, "language": None, "labels": []}
    for text in ("confidence < 1", "confidence >= 0", "time > 2000-01-01", "language = en", "labels CONTAINS x"):
        assert parse_filter(text)(unknown) is False
    for text in ("confidence = null", "time = null", "labels = null", "language != en", "time != 2026-01-01"):
        assert parse_filter(text)(unknown) is True
    assert parse_filter("time = null")({**CHUNK, "time_range": ["yesterday", "today"]}) is True


WRONG = {
    "": (1, "a field was expected"),
    "quality_levl=basic": (1, "did you mean 'quality_level'"),
    "colour = red": (1, "known: confidence, conversation_id, cost_usd"),
    "quality_level=basc": (15, "unknown quality level 'basc'; did you mean 'basic'? known: basic, good, premium"),
    "needs_upgrade = yes": (17, "needs_upgrade must be true or false"),
    "needs_upgrade > true": (15, "does not allow >"),
    "tokens = many": (10, "tokens must be a number"),
    "tokens > nan": (10, "tokens must be a number"),
    "tokens CONTAINS 5": (8, "does not allow CONTAINS"),
    "labels < 'a'": (8, "does not allow <"),
    "language > en": (10, "does not allow >"),
    "time > tomorrow": (8, "time must be a date"),
    "time > 2026-02-30": (8, "time must be a date"),
    "tokens > null": (10, "null allows only = and !="),
    "language=en AND": (16, "a field was expected"),
    "language=en AND AND tokens=1": (17, "a field was expected"),
    "language=en tokens=1": (13, "AND, OR or the end"),
    "language en": (10, "CONTAINS or IN was expected"),
    "language=": (10, "a value for language"),
    "(language=en": (13, "')' was expected"),
    "language=en)": (12, "AND, OR or the end"),
    "language IN en": (13, "'(' was expected"),
    "language IN (en zh)": (17, "',' or ')'"),
    "language IN ()": (14, "a value for language"),
    "labels CONTAINS 'billing": (17, "never closed"),
    "language ! en": (10, "unexpected '!'"),
    "AND": (1, "a field was expected"),
    "NOT": (4, "a field was expected"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.items(), ids=WRONG)
def test_errors_point_at_the_column(text, expected):
    column, problem = expected
    with pytest.raises(FilterError) as error:
        parse_filter(text)
    assert problem in str(error.value)
    first, *_, line, caret = str(error.value).split("\n")
    assert f"column {column}:" in first
    assert line[2:] == text
    assert caret == " " * (1 + column) + "^"
    assert isinstance(error.value, ConfigError)


def test_the_caret_stands_under_wide_characters():
    with pytest.raises(FilterError) as error:
        parse_filter("labels CONTAINS '账单' ANDD x")
    assert "column 22" in str(error.value)
    assert str(error.value).split("\n")[-1] == " " * (2 + 21 + 2) + "^"


def test_nesting_is_limited():
    deep = "(" * 90 + "language=en" + ")" * 90
    assert parse_filter(deep)(CHUNK)
    for text in ("(" * 10_000, "NOT " * 10_000 + "language=en"):
        with pytest.raises(FilterError, match="levels"):
            parse_filter(text)


def test_many_parts_are_no_nesting():
    assert parse_filter(" AND ".join(["language=en"] * 5000))(CHUNK)


@given(st.text(max_size=60) | st.lists(st.sampled_from([*TRUE, "(", ")", "AND", "OR", "NOT", "'", "IN"])).map(" ".join))
def test_any_text_is_a_filter_or_an_error_with_a_column(text):
    try:
        predicate = parse_filter(text)
    except FilterError as error:
        assert "column" in str(error)
    else:
        assert predicate(CHUNK) in (True, False)


atoms = st.sampled_from(
    [("language=en", True), ("language=zh", False), ("tokens > 100", True), ("labels CONTAINS x", False)]
)
trees = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]} AND {p[1][0]})", p[0][1] and p[1][1])),
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]} OR {p[1][0]})", p[0][1] or p[1][1])),
        inner.map(lambda p: (f"NOT {p[0]}", not p[1])),
    ),
    max_leaves=12,
)


@given(trees)
def test_logic(tree):
    text, expected = tree
    assert parse_filter(text)(CHUNK) is expected
