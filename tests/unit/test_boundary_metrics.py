"""Boundary metrics: worked out by hand, and the same as nltk's where that has them."""

import pytest
from boundary_metrics import boundary_density, boundary_f1, pk, purity, window_diff
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics import segmentation

# Turns 1 2 3 | 4 5 6 known, 1 2 | 3 4 5 6 found. Pairs two turns apart: 1-3, 2-4, 3-5, 4-6. Known to be parted: 2-4 and
# 3-5; found: 1-3 and 2-4. So 1-3 and 3-5 are wrong.


def test_pk_by_hand():
    assert pk({4}, {3}, 6, k=2) == 2 / 4
    assert pk({4}, {4}, 6, k=2) == 0
    assert pk({4}, set(), 6, k=2) == 2 / 4
    assert pk({4}, {3}, 6) == pk({4}, {3}, 6, k=2)  # half of the mean length 3, rounded to even
    assert pk(set(), {2}, 1 + 1, k=1) == 1


def test_window_diff_by_hand():
    assert window_diff({4}, {3}, 6, k=2) == 2 / 4
    # Both boundaries of 3-5 lie in one window: Pk sees no fault there, WindowDiff does.
    assert pk({4}, {4, 5}, 6, k=2) == 1 / 4
    assert window_diff({4}, {4, 5}, 6, k=2) == 2 / 4


def test_f1_by_hand():
    assert boundary_f1({4, 8}, {5, 8, 11}, 12) == (2 / 3, 1.0, 0.8)
    assert boundary_f1({4, 8}, {5, 8, 11}, 12, tolerance=0) == (1 / 3, 1 / 2, pytest.approx(0.4))
    # One boundary found cannot stand for two that are known, nor two for one.
    assert boundary_f1({4, 6}, {5}, 12) == (1.0, 1 / 2, pytest.approx(2 / 3))
    assert boundary_f1({5}, {4, 6}, 12) == (1 / 2, 1.0, pytest.approx(2 / 3))
    # A greedy nearest match would spend 5 on 5 and leave 4 and 6 alone with 3.
    assert boundary_f1({4, 6}, {3, 5}, 12) == (1.0, 1.0, 1.0)
    assert boundary_f1(set(), set(), 12) == (1.0, 1.0, 1.0)
    assert boundary_f1({4}, set(), 12) == boundary_f1(set(), {4}, 12) == (0.0, 0.0, 0.0)


def test_density_and_purity_by_hand():
    assert boundary_density({4, 8}, 11) == 0.2
    assert boundary_density(set(), 1) == 0
    assert purity({4}, {3}, 6) == 5 / 6  # 1 2 | 3 4 5 6 holds one turn of the other subject
    assert purity({4}, set(), 6) == 1 / 2
    assert purity(set(), {2, 5}, 6) == 1  # torn, but not mixed
    assert purity({2, 5}, set(), 6) == 3 / 6


@pytest.mark.parametrize("boundaries", [{1}, {0, 3}, {7}])
def test_boundaries_where_none_can_be_are_refused(boundaries):
    for metric in (pk, window_diff, boundary_f1, purity):
        with pytest.raises(ValueError, match="conversation of 6 turns"):
            metric({3}, boundaries, 6)
    with pytest.raises(ValueError, match="window"):
        pk({3}, {3}, 6, k=0)


SEGMENTATIONS = st.integers(2, 40).flatmap(
    lambda turns: st.tuples(
        st.just(turns), st.sets(st.integers(2, turns)), st.sets(st.integers(2, turns)), st.integers(1, turns - 1)
    )
)


@given(SEGMENTATIONS)
def test_same_as_nltk(drawn):
    turns, known, found, k = drawn
    gaps = ["".join("01"[turn in boundaries] for turn in range(2, turns + 1)) for boundaries in (known, found)]
    assert pk(known, found, turns, k) == pytest.approx(segmentation.pk(*gaps, k=k))
    assert window_diff(known, found, turns, k) == pytest.approx(segmentation.windowdiff(*gaps, k=k))


@given(SEGMENTATIONS)
def test_bounds(drawn):
    turns, known, found, k = drawn
    assert 0 <= pk(known, found, turns, k) <= window_diff(known, found, turns, k) <= 1
    assert pk(known, known, turns) == window_diff(known, known, turns) == 0
    assert boundary_f1(known, known, turns, 0) == (1, 1, 1)
    precision, recall, f1 = boundary_f1(known, found, turns)
    assert boundary_f1(found, known, turns) == (recall, precision, f1)
    assert f1 >= boundary_f1(known, found, turns, tolerance=0)[2]
