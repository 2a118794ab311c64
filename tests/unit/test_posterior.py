"""Trust: posteriors, forgetting, the moving average and surprise."""

import pytest
from dreamflow.trust.drift import change_point
from dreamflow.trust.online import OnlineTrust
from dreamflow.trust.posterior import (
    EVERY,
    discount,
    forget,
    moving_average,
    posteriors,
    surprise,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LAYERS = {"small": "tactical", "middle": "tactical", "large": "strategic"}
EVIDENCE = {
    ("small", "stable"): (40.0, 5.0),
    ("small", "novel"): (3.0, 9.0),
    ("middle", "stable"): (8.0, 2.0),
    ("large", "novel"): (18.0, 2.5),
}
amounts = st.floats(0, 60, allow_nan=False)
counts_of = st.dictionaries(
    st.tuples(st.sampled_from(sorted(LAYERS)), st.sampled_from(["stable", "novel"])),
    st.tuples(amounts, amounts),
    min_size=1,
)


def test_moving_average_has_the_values_of_the_original_rule():
    values = [0.5]
    for _ in range(3):
        values.append(moving_average(values[-1], 1))
    assert values == pytest.approx([0.5, 0.55, 0.595, 0.6355])
    assert moving_average(0.5, 0) == pytest.approx(0.45)
    assert moving_average(0.7, None) == 0.7
    assert moving_average(1.0, 1) == 1.0


@pytest.mark.parametrize(
    ("seen", "expected", "advice", "share"),
    [(0.6, 0.8, "go on", 1), (0.5, 0.8125, "verify", 1), (0.25, 0.75, "verify", 1), (0.1, 0.8, "rebuild", 0.25)],
)
def test_surprise_decides_what_old_evidence_counts(seen, expected, advice, share):
    size, said = surprise(seen, expected)
    assert (size, said, discount(said)) == (pytest.approx(abs(seen - expected)), advice, share)


def test_half_of_the_evidence_is_left_after_a_half_life():
    assert forget(8, 4, cycles=10, half_life=10) == pytest.approx((4, 2))
    assert forget(8, 4, cycles=0, half_life=10) == (8, 4)


def test_little_evidence_is_shrunk_to_the_model_and_a_new_model_to_its_layer():
    known = posteriors({**EVIDENCE, ("middle", "novel"): (1.0, 0.0)}, {**LAYERS, "new": "strategic"})
    assert known["middle", "novel"].mean < 0.95
    assert known["small", "stable"].mean == pytest.approx(40 / 45, abs=0.03)
    assert known["small", "novel"].mean > 3 / 12
    new, layer = known["new", EVERY], known["*strategic", EVERY]
    assert new.mean == pytest.approx(layer.mean, abs=1e-6)
    assert new.high - new.low > known["large", EVERY].high - known["large", EVERY].low
    assert layer.mean > known["*tactical", EVERY].mean


def test_one_layer_informs_another():
    without = posteriors({}, LAYERS)
    known = posteriors({("large", "stable"): (50.0, 1.0)}, LAYERS)
    assert without["small", EVERY].mean == pytest.approx(0.5)
    assert known["small", EVERY].mean > 0.5


@settings(max_examples=25, deadline=None)
@given(counts_of, st.randoms())
def test_the_order_of_evidence_does_not_matter(counts, random):
    shuffled = list(counts.items())
    random.shuffle(shuffled)
    assert posteriors(dict(shuffled), LAYERS) == posteriors(counts, LAYERS)


@settings(max_examples=25, deadline=None)
@given(counts_of)
def test_intervals_contain_the_mean(counts):
    for known in posteriors(counts, LAYERS).values():
        assert 0 <= known.low <= known.mean <= known.high <= 1
        assert known.alpha > 0
        assert known.beta > 0


@settings(max_examples=25, deadline=None)
@given(counts_of, st.data())
def test_a_success_never_lowers_and_a_failure_never_raises_trust(counts, data):
    key = data.draw(st.sampled_from(sorted(counts)))
    successes, failures = counts[key]
    before = posteriors(counts, LAYERS)[key].mean
    assert posteriors({**counts, key: (successes + 1, failures)}, LAYERS)[key].mean >= before - 1e-9
    assert posteriors({**counts, key: (successes, failures + 1)}, LAYERS)[key].mean <= before + 1e-9


def test_forgetting_widens_every_interval():
    known = posteriors(EVIDENCE, LAYERS)
    aged = posteriors({key: forget(*value, cycles=20, half_life=10) for key, value in EVIDENCE.items()}, LAYERS)
    assert all(aged[key].high - aged[key].low > known[key].high - known[key].low for key in EVIDENCE)


def test_evidence_below_zero_is_refused():
    with pytest.raises(ValueError, match="not below 0"):
        posteriors({("small", "stable"): (-1.0, 2.0)}, LAYERS)


def test_intervals_hold_the_true_rate_nine_times_in_ten():
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(5)
    hits = []
    for _ in range(40):
        rates, counts = {}, {}
        for model in LAYERS:
            mean = random.beta(6, 4)
            for context in "abcde":
                rates[model, context] = random.beta(12 * mean, 12 * (1 - mean))
                size = int(random.integers(1, 60))
                right = int(random.binomial(size, rates[model, context]))
                counts[model, context] = right, size - right
        known = posteriors(counts, LAYERS)
        hits += [known[key].low <= rate <= known[key].high for key, rate in rates.items()]
    assert 0.87 <= np.mean(hits) <= 0.93


def test_a_change_is_found_where_it_happened_and_none_in_steady_outcomes():
    assert change_point([1] * 60 + [0] * 15) == 60
    assert change_point([1, 1, 0, 1] * 40) is None
    assert change_point([1, 0, 1]) is None


def test_online_trust_follows_a_model_that_changed():
    trust = OnlineTrust(LAYERS, ["stable", "novel"])
    assert not any(trust.observe("small", "stable", 1.0) for _ in range(200))
    found = [trust.observe("small", "stable", 0.0) for _ in range(20)]
    alpha, beta = trust.cells["small", "stable"]
    assert any(found)
    assert alpha / (alpha + beta) < 0.5
