"""Salience: each signal by its formula, all of them between 0 and 1, and nothing where nothing is known."""

from math import log

import pytest
from dreamflow.config import check
from dreamflow.distill.likeness import grams, near_duplicates, nearest_earlier
from dreamflow.distill.salience import SIGNALS, arousal, conflict, expectation, ranks, salience, surprise
from dreamflow.distill.spec import Salience
from dreamflow.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = Salience().as_dict()
UNIT = st.floats(0, 1)
MAYBE = st.none() | UNIT


def test_expectation_is_one_half_before_anything_is_known_and_then_follows_the_outcomes():
    assert expectation(0, 0) == 0.5
    assert expectation(1, 1) == 2 / 3
    assert expectation(0, 8) == 0.1
    assert expectation(3.5, 5) == 4.5 / 7


def test_surprise_is_the_gap_to_the_expectation_where_there_are_no_probabilities():
    assert surprise(0.0, 0.75) == 0.75
    assert surprise(1.0, 0.75) == 0.25


def test_surprise_is_what_the_tokens_lack_in_probability_where_there_are_some():
    assert surprise(1.0, 1.0, mean_logprob=log(0.25)) == pytest.approx(0.75)
    assert surprise(0.0, 1.0, mean_logprob=0.0) == 0.0


def test_arousal_is_the_mean_of_stakes_and_cost_as_far_as_they_are_known():
    assert arousal(0.2, 0.8) == 0.5
    assert arousal(None, 0.8) == 0.8
    assert arousal(0.2, None) == 0.2
    assert arousal(None, None) is None


def test_ranks_are_shares_of_what_costs_less():
    assert ranks([30, None, 10, 20]) == [1.0, None, 0.0, 0.5]
    assert ranks([7, 7, 7]) == [0.5, 0.5, 0.5]
    assert ranks([1, 2, 2, 9]) == [0.0, 0.5, 0.5, 1.0]
    assert ranks([(0.1, 500), (0.2, 5), (0.1, 900)]) == [0.0, 1.0, 0.5]
    assert ranks([None, 4]) == [None, None]


def test_conflict_is_full_between_halves_and_none_with_oneself():
    assert conflict([1.0]) is None
    assert conflict([1.0, 1.0, 1.0]) == 0.0
    assert conflict([0.0, 1.0]) == 1.0
    assert conflict([0.0, 0.0, 0.0, 1.0]) == pytest.approx(2 * 0.1875**0.5)


def test_salience_is_the_mean_over_what_is_there():
    signals = {"surprise": 0.4, "novelty": None, "arousal": None, "reward": 1.0, "conflict": None}
    assert salience(signals, WEIGHTS) == pytest.approx((0.25 * 0.4 + 0.2 * 1.0) / 0.45)
    assert salience(signals, {**WEIGHTS, "surprise": 0, "reward": 0}) is None


def test_default_weights_are_the_originals_and_missing_ones_are_filled_in():
    assert list(WEIGHTS.values()) == [0.25, 0.20, 0.20, 0.20, 0.15]
    assert check({"reward": 0}, Salience, "config.yaml").as_dict() == {**WEIGHTS, "reward": 0}


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ({"joy": 1}, "joy: unknown key"),
        ({"reward": -0.1}, "reward: -0.1"),
        ({"reward": float("nan")}, "Out of range float"),
        ({"reward": "much"}, 'reward: "much"'),
        (dict.fromkeys(SIGNALS, 0), "all weights are 0"),
    ],
)
def test_weights_that_make_no_mean_are_refused(weights, named):
    with pytest.raises(ConfigError, match=named):
        check(weights, Salience, "config.yaml")


@given(UNIT, UNIT, st.none() | st.floats(-1e6, 1e-9), MAYBE, st.lists(UNIT, max_size=6), st.lists(UNIT, max_size=6))
def test_every_signal_lies_between_0_and_1(outcome, expected, logprob, stakes, outcomes, costs):
    found = [surprise(outcome, expected, logprob), expectation(sum(outcomes), len(outcomes)), *ranks(costs)]
    found += [arousal(stakes, rank) for rank in ranks(costs)] + [conflict(outcomes)]
    assert all(0 <= value <= 1 for value in found if value is not None)


@given(st.tuples(*[MAYBE] * 5), st.tuples(*[st.floats(0, 1e6)] * 5))
def test_salience_lies_within_the_signals_that_count(values, weights):
    signals, weights = dict(zip(SIGNALS, values, strict=True)), dict(zip(SIGNALS, weights, strict=True))
    counted = [signals[name] for name in SIGNALS if signals[name] is not None and weights[name] > 0]
    found = salience(signals, weights)
    if not counted:
        assert found is None
    else:
        assert min(counted) - 1e-9 <= found <= max(counted) + 1e-9
        assert 0 <= found <= 1


# --- likeness, of which novelty is made -------------------------------------------------------------------------------

TEXTS = st.lists(st.text(alphabet="ab cé\n", max_size=30), max_size=8)


def jaccard(one, other):
    one, other = grams(one), grams(other)
    return len(one & other) / len(one | other) if one | other else 1.0


@given(TEXTS)
def test_likeness_is_the_jaccard_index_of_5_grams(texts):
    expected = [max((jaccard(text, other) for other in texts[:n]), default=0.0) for n, text in enumerate(texts)]
    assert nearest_earlier(texts) == pytest.approx(expected)


@given(TEXTS, st.floats(0.01, 1))
def test_near_duplicates_are_all_others_that_are_alike(texts, least):
    expected = [
        [m for m, other in enumerate(texts) if m != n and jaccard(text, other) >= least] for n, text in enumerate(texts)
    ]
    assert near_duplicates(texts, least) == expected


def test_case_and_whitespace_make_no_text_new():
    assert nearest_earlier(["Where is\n the key?", "where is the  KEY?", "Who has it?"]) == [0.0, 1.0, 0.0]


def test_long_texts_are_compared_by_a_sketch_that_keeps_near_to_the_truth():
    words = [f"{number * 7919 % 9973} " for number in range(1000)]
    one, other = "".join(words), "".join(words[:800]) + "".join(word[::-1] for word in words[800:])
    whole = [{text[n : n + 5] for n in range(len(text) - 4)} for text in (one.strip(), other.strip())]
    exact = len(whole[0] & whole[1]) / len(whole[0] | whole[1])
    assert len(grams(one)) == 500
    assert nearest_earlier([one, other])[1] == pytest.approx(exact, abs=0.1)
