"""Which probes are chosen: the formula, the order, and that no other choice would tell more."""

from itertools import product

import pytest
from dreamflow.probe.choosing import VERIFIED_BY, Cell, choose_probes, information
from hypothesis import given
from hypothesis import strategies as st

PARAMETERS = st.floats(0.5, 50)


def tasks(number, *cells):
    return {(c.model_id, c.context): [{"task_id": f"{c.context}-{i}"} for i in range(number)] for c in cells}


def counts(chosen):
    found = {}
    for one in chosen:
        found[one.model_id, one.context] = found.get((one.model_id, one.context), 0) + 1
    return found


def variance(a, b):
    return a * b / ((a + b) ** 2 * (a + b + 1))


@given(PARAMETERS, PARAMETERS)
def test_information_is_the_variance_that_an_answer_is_expected_to_take_away(a, b):
    mean = a / (a + b)
    after_one = mean * variance(a + 1, b) + (1 - mean) * variance(a, b + 1)
    assert information(Cell("m", "c", a, b), 1) == pytest.approx(variance(a, b) - after_one, rel=1e-6, abs=1e-12)
    second = (a + 1) / (a + b + 1), a / (a + b + 1)
    after_two = mean * (second[0] * variance(a + 2, b) + (1 - second[0]) * variance(a + 1, b + 1))
    after_two += (1 - mean) * (second[1] * variance(a + 1, b + 1) + (1 - second[1]) * variance(a, b + 2))
    assert information(Cell("m", "c", a, b), 2) == pytest.approx(after_one - after_two, rel=1e-6, abs=1e-12)


@given(st.lists(st.tuples(PARAMETERS, PARAMETERS, st.floats(0.1, 1)), min_size=2, max_size=3), st.integers(1, 6))
def test_no_other_choice_of_as_many_tasks_tells_more(parameters, most):
    cells = [Cell("m", f"c{i}", a, b, weight) for i, (a, b, weight) in enumerate(parameters)]

    def total(numbers):
        return sum(information(cell, k) for cell, n in zip(cells, numbers, strict=True) for k in range(1, n + 1))

    chosen = choose_probes(cells, tasks(most, *cells), most)
    best = max(total(n) for n in product(range(most + 1), repeat=len(cells)) if sum(n) == most)
    assert sum(one.information for one in chosen) == pytest.approx(best)
    assert [one.information for one in chosen] == sorted((one.information for one in chosen), reverse=True)


def test_without_evidence_tasks_are_spread_evenly():
    cells = [Cell(model, context) for model in ("a", "b") for context in ("moving", "novel", "stable")]
    chosen = choose_probes(cells, tasks(9, *cells), 13)
    assert sorted(counts(chosen).values()) == [2, 2, 2, 2, 2, 3]
    assert len({one.task["task_id"] for one in chosen if one.model_id == "a"}) == counts(chosen)["a", "moving"] + 4
    assert choose_probes(list(reversed(cells)), tasks(9, *cells), 13) == chosen


def test_little_evidence_in_a_frequent_context_comes_first():
    known, unknown, rare = Cell("a", "moving", 40, 40), Cell("b", "moving", 1, 1), Cell("a", "novel", 1, 1, 0.01)
    chosen = choose_probes([known, unknown, rare], tasks(5, known, unknown, rare), 4)
    assert [(one.model_id, one.context) for one in chosen] == [("b", "moving")] * 4
    assert "Beta(1.0, 1.0)" in chosen[0].why


def test_surprising_cells_come_first_and_do_not_take_everything():
    sure, unknown = Cell("a", "moving", 90, 10, verify=True), Cell("b", "moving")
    chosen = choose_probes([unknown, sure], tasks(20, sure, unknown), 10)
    assert [one.model_id for one in chosen] == ["a"] * VERIFIED_BY + ["b"] * (10 - VERIFIED_BY)
    assert chosen[0].why.startswith("to verify") and not chosen[-1].why.startswith("to verify")
    assert counts(choose_probes([unknown, sure], tasks(20, sure, unknown), 3)) == {("a", "moving"): 3}


def test_it_ends_with_the_tasks_or_the_limit():
    cell = Cell("a", "moving", verify=True)
    assert len(choose_probes([cell], tasks(3, cell), 10)) == 3
    assert choose_probes([cell], tasks(3, cell), 0) == choose_probes([cell], {}, 5) == choose_probes([], {}, 5) == []
    assert [one.task["task_id"] for one in choose_probes([cell], tasks(9, cell), 9)] == [
        f"moving-{i}" for i in range(9)
    ]
