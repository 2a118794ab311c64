"""Accuracy by kind: Wilson's interval against values worked out elsewhere, means over what is known."""

import pytest
from dreamflow.reports.accuracy import accuracy_by_kind
from dreamflow.reports.statistics import wilson
from hypothesis import given
from hypothesis import strategies as st


# Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (his worked cases).
@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(passed, n, low, high):
    assert wilson(passed, n) == pytest.approx((low, high), abs=5e-5)


@given(n=st.integers(1, 10_000), share=st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_between_0_and_1(n, share):
    passed = round(share * n)
    low, high = wilson(passed, n)
    assert 0 <= low <= passed / n <= high <= 1
    assert wilson(n - passed, n) == pytest.approx((1 - high, 1 - low))


def row(kind, passed, tokens=None, seconds=None, cost_usd=None):
    return {"kind": kind, "passed": passed, "tokens": tokens, "seconds": seconds, "cost_usd": cost_usd}


def test_by_kind_and_all():
    rows = [
        row("facts", True, 10, 0.5, 0.02),
        row("code", None, 30),
        row("facts", False, 20),
        row("facts", True, None, 1.5),
    ]
    code, facts, everything = accuracy_by_kind(rows)
    assert (facts["kind"], facts["n"], facts["passed"], facts["ungraded"]) == ("facts", 3, 2, 0)
    assert (facts["accuracy"], facts["tokens"], facts["seconds"]) == (pytest.approx(2 / 3), 15, 1.0)
    assert facts["cost_usd"] == 0.02
    assert (facts["low"], facts["high"]) == wilson(2, 3)
    nothing = {"accuracy": None, "low": None, "high": None, "seconds": None, "cost_usd": None}
    assert code == {"kind": "code", "n": 0, "passed": 0, "ungraded": 1, "tokens": 30, **nothing}
    assert (everything["kind"], everything["n"], everything["ungraded"], everything["tokens"]) == ("all", 3, 1, 20)


def test_no_answers_no_rows():
    assert accuracy_by_kind([]) == []
