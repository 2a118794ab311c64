"""Windows cover the units in order, fit, overlap and get ahead."""

from itertools import pairwise

import pytest
from dreamflow.chunks.conversation import Unit, Window
from dreamflow.chunks.windows import OVERLAP, split_windows
from dreamflow.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st


def units(*tokens, first=1):
    return [Unit(number, number * 10, number * 10 + 10, 1, "sentence", n) for number, n in enumerate(tokens, first)]


def spans(windows):
    return [(window.first, window.last) for window in windows]


def test_what_fits_is_one_window():
    assert split_windows(units(10, 20, 30), 60) == (Window(1, 3),)
    assert split_windows(units(), 60) == ()


def test_two_windows_are_balanced_and_share_a_unit():
    # Greedily filled they would be 1-10 and 10-12.
    assert spans(split_windows(units(*[10] * 12), 100)) == [(1, 7), (7, 12)]


def test_overlap_is_about_its_share_of_a_window():
    sizes = units(*[5] * 1000)
    windows = split_windows(sizes, 500)
    shared = [5 * (one.last - other.first + 1) for one, other in pairwise(windows)]
    held = [5 * (window.last - window.first + 1) for window in windows]
    assert len(windows) == 12  # 5,000 tokens, of which each window but the last gives 12% away
    assert all(0.10 <= part / whole <= 0.15 for part, whole in zip(shared, held, strict=False))
    assert max(held) <= 500
    assert min(held) > 0.8 * max(held)


def test_a_unit_too_large_stands_alone():
    assert spans(split_windows(units(10, 10, 500, 10, 10), 100)) == [(1, 2), (3, 3), (4, 5)]
    assert spans(split_windows(units(500, 500), 100)) == [(1, 1), (2, 2)]


def test_neighbours_that_do_not_fit_together_do_not_overlap():
    assert spans(split_windows(units(90, 90, 90), 100)) == [(1, 1), (2, 2), (3, 3)]


def test_a_part_of_the_units_keeps_their_numbers():
    assert split_windows(units(*[10] * 12, first=5), 100) == (Window(5, 11), Window(11, 16))


def test_no_overlap_on_request():
    assert spans(split_windows(units(*[10] * 12), 100, overlap=0)) == [(1, 6), (7, 12)]


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0.1), (-5, 0.1), (100, 0.5), (100, -0.1)])
def test_senseless_limits_are_refused(tokens, overlap):
    with pytest.raises(ConfigError, match="at least 1 token"):
        split_windows(units(1), tokens, overlap)


SIZES = st.lists(st.integers(1, 60) | st.integers(1, 400), max_size=120)


@given(SIZES, st.integers(1, 500), st.integers(1, 1000), st.sampled_from([0, 0.05, OVERLAP, 0.3]))
def test_windows_cover_fit_and_get_ahead(sizes, limit, first, overlap):
    sequence = units(*sizes, first=first)
    windows = split_windows(sequence, limit, overlap)
    tokens = {unit.number: unit.tokens for unit in sequence}
    assert [window.first for window in windows[:1]] == [unit.number for unit in sequence[:1]]
    assert [window.last for window in windows[-1:]] == [unit.number for unit in sequence[-1:]]
    for window in windows:
        held = sum(tokens[number] for number in range(window.first, window.last + 1))
        assert held <= limit or window.first == window.last
    for one, other in pairwise(windows):
        assert one.first < other.first <= one.last + 1
        assert one.last < other.last
        if overlap and other.first > one.last and one.first < one.last:
            assert tokens[one.last] + tokens[one.last + 1] > limit or tokens[one.last + 1] > limit


@given(SIZES, st.integers(1, 500))
def test_windows_without_overlap_are_as_few_as_can_be(sizes, limit):
    count, held = 0, None
    for size in sizes:  # greedy is optimal when nothing is shared
        if held is None or held + size > limit:
            count, held = count + 1, 0
        held += size
    assert len(split_windows(units(*sizes), limit, overlap=0)) == count
