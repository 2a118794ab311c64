"""Chunks of overlapping windows become one partition; sizes are kept; confidence is measured."""

import random
from dataclasses import replace

import pytest
from chat import chunk, conversation, model, talks
from dreamflow.chunks.confidence import signals, with_confidence
from dreamflow.chunks.conversation import Unit, Window
from dreamflow.chunks.rules import chunk_by_rules
from dreamflow.chunks.stitch import PartitionError, boundaries_of, check_partition, level_of, read_answer, stitch
from dreamflow.chunks.units import split_units
from hypothesis import given, settings
from hypothesis import strategies as st

ANY_SIZE = (1, 10**9)


def talk_of(tokens):
    """A conversation of one unit a turn, and its units with the given numbers of tokens."""
    talk = conversation(*(("user" if i % 2 == 0 else "assistant", f"Sentence {i}") for i in range(len(tokens))))
    units = [Unit(t.number, t.start, t.end, t.number, "sentence", n) for t, n in zip(talk.turns, tokens, strict=True)]
    return talk, units


def cut(first, last, *begins, labels=None, **about):
    starts = [first, *begins]
    ends = [*(b - 1 for b in begins), last]
    names = labels or [f"topic {a}" for a in starts]
    return [chunk(a, b, name, **about) for a, b, name in zip(starts, ends, names, strict=True)]


def spans(chunks):
    return [(c.first, c.last) for c in chunks]


def stitched(n, *windows, sizes=ANY_SIZE, tokens=10):
    """Windows as (first, last, begins…) over n units."""
    talk, units = talk_of([tokens] * n)
    shown = [Window(first, last) for first, last, *_ in windows]
    answers = [cut(first, last, *begins) for first, last, *begins in windows]
    return spans(stitch(talk, units, shown, answers, sizes))


def test_one_window_is_left_as_it_is():
    assert stitched(9, (1, 9, 4, 7)) == [(1, 3), (4, 6), (7, 9)]


def test_a_boundary_that_both_windows_have_is_taken():
    # 8 is nearer to the middle of the overlap 5-10, but only one window has it.
    assert stitched(14, (1, 10, 3, 6, 8), (5, 14, 6, 12)) == [(1, 2), (3, 5), (6, 11), (12, 14)]


def test_of_two_the_one_nearest_to_the_middle():
    assert stitched(14, (1, 10, 6, 8), (5, 14, 6, 8, 13)) == [(1, 5), (6, 7), (8, 12), (13, 14)]


def test_a_boundary_that_one_window_has_is_taken_where_they_agree_on_none():
    assert stitched(14, (1, 10, 7), (5, 14, 12)) == [(1, 6), (7, 11), (12, 14)]
    assert stitched(14, (1, 10, 3), (5, 14, 8)) == [(1, 2), (3, 7), (8, 14)]


def test_a_chunk_goes_on_across_an_overlap_without_boundaries():
    assert stitched(14, (1, 10, 3), (5, 14, 12)) == [(1, 2), (3, 11), (12, 14)]


def test_windows_that_only_touch_are_parted_there():
    assert stitched(10, (1, 5, 3), (6, 10, 9)) == [(1, 2), (3, 5), (6, 8), (9, 10)]


def test_what_is_said_follows_the_larger_share_and_the_level_the_lower():
    talk, units = talk_of([10] * 14)
    windows = [Window(1, 8), Window(5, 14)]
    rules = {"method": "rules", "quality_level": "basic"}
    answers = [cut(1, 8, labels=["small"], made_by=rules), cut(5, 14, labels=["large"], made_by=model("premium"))]
    (joined,) = stitch(talk, units, windows, answers, ANY_SIZE)
    assert joined.labels == ("large",)
    assert joined.made_by == rules


def test_what_an_answer_leaves_unsaid_is_found_by_rules():
    talk, units = talk_of([10] * 4)
    bare = [replace(c, labels=(), summary="", language="") for c in cut(1, 4)]
    (found,) = stitch(talk, units, [Window(1, 4)], [bare], ANY_SIZE)
    assert found.summary
    assert found.made_by == model()


def test_a_small_chunk_joins_the_neighbour_of_its_subject():
    talk, units = talk_of([100] * 7)
    answer = [chunk(1, 3, "a"), chunk(4, 4, "b"), chunk(5, 7, "B", "c")]
    found = stitch(talk, units, [Window(1, 7)], [answer], (150, 800))
    assert spans(found) == [(1, 3), (4, 7)]


def test_large_chunks_are_divided_and_small_ones_joined():
    talk, units = talk_of([50] * 100)
    found = stitch(talk, units, [Window(1, 100)], [cut(1, 100, 2, 60)])
    sizes = [50 * (c.last - c.first + 1) for c in found]
    assert min(sizes) >= 100
    assert max(sizes) <= 800
    assert 60 in boundaries_of(found)
    assert all(c.labels for c in found)


def test_a_chunk_too_small_takes_from_a_neighbour_without_room():
    talk, units = talk_of([50] * 33)
    found = stitch(talk, units, [Window(1, 33)], [cut(1, 33, 17, 18)])
    assert all(100 <= 50 * (c.last - c.first + 1) <= 800 for c in found)


def test_one_unit_too_large_stands_alone():
    talk, units = talk_of([90, 5000, 90, 20])
    assert spans(stitch(talk, units, [Window(1, 4)], [cut(1, 4)])) == [(1, 1), (2, 2), (3, 4)]


def test_windows_and_answers_that_do_not_fit_are_an_error():
    talk, units = talk_of([10] * 10)
    for windows, answers in (
        ([Window(1, 10)], [cut(1, 9)]),
        ([Window(1, 10)], [[]]),
        ([Window(1, 4), Window(6, 10)], [cut(1, 4), cut(6, 10)]),
        ([Window(1, 10)], [[chunk(1, 5), chunk(5, 10)]]),
    ):
        with pytest.raises(PartitionError):
            stitch(talk, units, windows, answers, ANY_SIZE)


def test_a_region_of_a_conversation_is_stitched_alone():
    talk, units = talk_of([50] * 40)
    found = stitch(talk, units, [Window(11, 20), Window(18, 30)], [cut(11, 20, 14), cut(18, 30, 25)], (100, 800))
    assert found[0].first == 11
    assert found[-1].last == 30


def test_answers_are_read_as_the_parser_wrote_them():
    item = {"first": 1, "last": 3, "labels": ["a"], "language": "en", "entities": ["E"], "summary": "s"}
    assert read_answer({"chunks": [item], "validity": 1}, model()) == [
        chunk(1, 3, "a", entities=("E",), summary="s", language="en")
    ]


# --- the invariant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [[], [chunk(1, 3)], [chunk(2, 4)], [chunk(1, 2), chunk(4, 4)], [chunk(1, 3), chunk(3, 4)], [chunk(1, 5)],
     [chunk(3, 4), chunk(1, 2)], [chunk(1, 4), chunk(5, 4)]],
)  # fmt: skip
def test_what_is_no_partition_is_refused(chunks):
    talk, units = talk_of([1] * 4)
    with pytest.raises(PartitionError, match="talk"):
        check_partition(chunks, units, talk)


def test_units_that_do_not_partition_the_text_are_refused():
    talk, units = talk_of([1] * 4)
    for wrong in (units[:-1], [units[0], *units[2:]], [replace(units[0], start=1), *units[1:]]):
        with pytest.raises(PartitionError, match="talk"):
            check_partition([chunk(1, len(wrong))], wrong, talk)


def random_windows(rng, n):
    """Windows that cover units 1 to n, neighbours overlapping by anything from nothing to all but one unit."""
    windows, first, last = [], 1, 0
    while last < n:
        last = min(n, last + rng.randint(1, 8))
        windows.append(Window(first, last))
        first = rng.randint(first + 1 if first < last else last + 1, last + 1)
        first = min(first, last + 1)
    return windows


@settings(deadline=None)
@given(talks, st.integers(0, 2**32), st.sampled_from([(100, 800), (5, 20), (1, 10**9)]))
def test_random_windows_and_answers_become_a_partition(talk, seed, sizes):
    rng = random.Random(seed)
    units = split_units(talk)
    windows = random_windows(rng, len(units))
    answers = []
    for window in windows:
        begins = sorted({rng.randint(window.first, window.last) for _ in range(rng.randint(0, 3))} - {window.first})
        names = [rng.choice("abc") for _ in range(len(begins) + 1)]
        level = rng.choice(["basic", "good", "premium"])
        answers.append(cut(window.first, window.last, *begins, labels=names, made_by=model(level)))
    chunks = stitch(talk, units, windows, answers, sizes)
    check_partition(chunks, units, talk)
    text = "".join(talk.text[units[c.first - 1].start : units[c.last - 1].end] for c in chunks)
    assert text == talk.text
    for c in chunks:
        size = sum(unit.tokens for unit in units[c.first - 1 : c.last])
        assert size <= sizes[1] or c.first == c.last
        # A chunk is never better than the best window that has read a part of it, whichever part.
        for unit in range(c.first, c.last + 1):
            levels = [level_of(a[0]) for w, a in zip(windows, answers, strict=True) if w.first <= unit <= w.last]
            assert level_of(c) <= max(levels)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.data())
@settings(deadline=None)
def test_sizes_are_kept_wherever_they_can_be(tokens, data):
    talk, units = talk_of(tokens)
    begins = sorted(data.draw(st.sets(st.integers(1, len(units)))) - {1})
    chunks = stitch(talk, units, [Window(1, len(units))], [cut(1, len(units), *begins)])
    sizes = [sum(tokens[c.first - 1 : c.last]) for c in chunks]
    assert max(sizes) <= 800
    assert min(sizes) >= 100 or len(sizes) == 1


# --- confidence ------------------------------------------------------------------------------------------------------


def test_agreement_of_windows():
    first, second = Window(1, 10), Window(5, 14)
    both = signals(chunk(6, 8), [(first, {6, 9}), (second, {6, 9})], (), None, 14)
    one = signals(chunk(6, 8), [(first, {6, 9}), (second, {6})], (), None, 14)
    assert both["windows"] == 1
    assert one["windows"] == 0.5
    # A boundary that was found inside the chunk and not taken counts against it.
    assert signals(chunk(6, 9), [(first, {6, 8}), (second, {6})], (), None, 14)["windows"] == 0.5
    # Where only one window reads, or none has a boundary, nothing is measured.
    assert signals(chunk(1, 3), [(first, {4}), (second, {7})], (), None, 14)["windows"] is None
    assert signals(chunk(6, 9), [(first, set()), (second, set())], (), None, 14)["windows"] is None


def test_agreement_of_samples():
    window = Window(1, 10)
    readings = [(window, {4}), (window, {4}), (window, {5})]
    # Pairs: 4 and 4 agree, 4 and 5 twice do not: 1 of 1 + 2 + 2 boundaries.
    assert signals(chunk(1, 4), readings, (), None, 10)["windows"] == 0.2


def test_agreement_with_rules_is_within_a_unit_and_leaves_out_the_ends_of_the_conversation():
    assert signals(chunk(4, 6), [], {5, 20}, None, 10)["rules"] == 0.5
    assert signals(chunk(1, 6), [], {8}, None, 10)["rules"] == 1
    assert signals(chunk(1, 10), [], {5}, None, 10)["rules"] is None


def test_confidence_is_the_mean_of_what_was_measured():
    windows = [Window(1, 10)]
    chunks = [chunk(1, 5, made_by=model(gen_id="g1")), chunk(6, 10, made_by=model(gen_id="g2"))]
    measured = with_confidence(chunks, windows, [chunks], {9}, {"g1": 0.8})
    assert [c.confidence for c in measured] == [0.4, 0.0]
    alone = [chunk(1, 10)]
    assert with_confidence(alone, windows, [alone], {9}, {})[0].confidence is None


@given(st.sets(st.integers(2, 20)), st.sets(st.integers(2, 20)), st.floats(0, 1))
def test_no_level_is_less_sure_by_construction(found, rules, validity):
    windows = [Window(1, 20)]
    by_level = []
    for level in ("basic", "good", "premium"):
        chunks = cut(1, 20, *sorted(found), made_by=model(level))
        by_level.append([c.confidence for c in with_confidence(chunks, windows, [chunks], rules, {"g1": validity})])
    assert by_level[0] == by_level[1] == by_level[2]
    assert all(0 <= value <= 1 for value in by_level[0])


def test_rules_keep_their_own_confidence_and_are_no_second_reading():
    talk, units = talk_of([60] * 20)
    ruled = chunk_by_rules(talk, units, 1, 20)
    assert with_confidence(ruled, [Window(1, 20)], [ruled], set(), {}) == ruled
    by_model = cut(1, 20, 10)
    windows = [Window(1, 20), Window(1, 20)]
    measured = with_confidence(by_model, windows, [by_model, ruled], set(), {"g1": 1.0})
    assert [c.confidence for c in measured] == [0.5, 0.5]
