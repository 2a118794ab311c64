"""Estimates of another policy from logged choices."""

import numpy as np
import pytest
from dreamflow.trust.offpolicy import Logged, doubly_robust, inverse_propensity, self_normalised

RATES = {"small": 0.4, "large": 0.8}
LOGGING = {"small": 0.7, "large": 0.3}
OTHER = {"small": 0.2, "large": 0.8}
TRUTH = sum(OTHER[model] * RATES[model] for model in RATES)


def logged(size: int, seed: int, expected: dict[str, float]) -> list[Logged]:
    """Choices by LOGGING, with outcomes by RATES."""
    random = np.random.default_rng(seed)
    models = random.choice(list(LOGGING), size, p=list(LOGGING.values()))
    return [Logged(str(m), LOGGING[m], float(random.random() < RATES[m]), OTHER, expected) for m in models]


@pytest.mark.parametrize("estimate", [inverse_propensity, self_normalised, doubly_robust])
def test_another_policy_is_estimated_without_bias(estimate):
    wrong = {"small": 0.9, "large": 0.1}  # the propensities are right, so expectations need not be
    result = estimate(logged(20_000, 1, wrong))
    assert result.mean == pytest.approx(TRUTH, abs=0.02)
    assert result.low < result.mean < result.high


def test_intervals_hold_the_truth_and_effective_n_is_less_than_the_choices():
    results = [inverse_propensity(logged(300, seed, RATES)) for seed in range(30)]
    assert 22 <= sum(result.low <= TRUTH <= result.high for result in results) <= 30
    assert all(100 < result.effective_n < 300 for result in results)


def test_good_expectations_make_the_interval_narrower():
    choices = logged(2000, 3, RATES)
    robust, plain = doubly_robust(choices), inverse_propensity(choices)
    assert robust.high - robust.low < plain.high - plain.low


def test_the_policy_that_logged_has_its_own_mean():
    choices = [choice._replace(policy=LOGGING) for choice in logged(500, 4, RATES)]
    mean = sum(choice.outcome for choice in choices) / 500
    assert inverse_propensity(choices).mean == pytest.approx(mean)
    assert inverse_propensity(choices).effective_n == pytest.approx(500)


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match="no choice"):
        inverse_propensity([])
    with pytest.raises(ValueError, match="propensity"):
        self_normalised([Logged("small", 0.0, 1.0, OTHER)])
    with pytest.raises(ValueError, match="none of these"):
        self_normalised([Logged("small", 0.5, 1.0, {"large": 1.0})])
