"""Metabolic states: every transition at its threshold, and what happens with nothing or nonsense."""

import json
from math import nan

import pytest
from dreamflow.routing.states import STATES, measure, next_state
from hypothesis import given
from hypothesis import strategies as st

QUIET = measure(50)


def after(name, entered=45, *, rested=45, focused_s=0.0, **measured):
    """The state after cycle 50 in which only this was measured."""
    previous = {"name": name, "entered_cycle": entered, "rested_cycle": rested, "focused_s": focused_s}
    return next_state(previous, {**QUIET, **measured})


def test_states_have_the_budgets_and_multipliers_of_the_original():
    assert {name: tuple(state) for name, state in STATES.items()} == {
        "wake": (100, 1),
        "focus": (120, 1.5),
        "rest": (60, 0.6),
        "dream": (80, 0.8),
        "crisis": (150, 2),
    }


@pytest.mark.parametrize(
    ("begin", "end", "below", "at", "why"),
    [
        ("wake", "crisis", {"frustration": 0.7}, {"frustration": 0.71}, "frustration 0.71 > 0.7"),
        ("wake", "crisis", {"failures": 2}, {"failures": 3}, "3 consecutive failures >= 3"),
        ("wake", "focus", {"salience_max": 0.69}, {"salience_max": 0.7}, "highest salience 0.70 >= 0.7"),
        ("wake", "rest", {"load": 0.8}, {"load": 0.81}, "load 0.81 > 0.8"),
        ("wake", "dream", {}, {"night": True}, "it is night: nobody waits"),
        ("wake", "dream", {"load": 0.8}, {"load": 0.9, "night": True}, "load 0.90 > 0.8, and it is night"),
        ("focus", "wake", {"salience_mean": 0.35}, {"salience_mean": 0.34}, "mean salience 0.34 < 0.35"),
        ("focus", "wake", {"salience_mean": 0.35}, {}, "no new experiences"),
        ("focus", "crisis", {"salience_mean": 0.5}, {"frustration": 0.9}, "frustration 0.90 > 0.7"),
        ("rest", "crisis", {"salience_max": 0.9}, {"salience_max": 0.91}, "highest salience 0.91 > 0.9"),
        ("rest", "dream", {"frustration": 1.0}, {"night": True}, "it is night"),
        ("dream", "wake", {"night": True}, {"night": False}, "the night is over"),
        ("dream", "crisis", {"night": True}, {"night": True, "failures": 3}, "3 consecutive failures"),
    ],
)
def test_a_transition_is_taken_at_its_threshold_and_not_before(begin, end, below, at, why):
    assert after(begin, **below)["name"] == begin
    state = after(begin, **at)
    assert (state["name"], state["entered_cycle"]) == (end, 50)
    assert (state["budget_atp"], state["multiplier"]) == STATES[end]
    assert state["reasons"][0].startswith(f"{begin} -> {end}: ") and why in state["reasons"][0]
    assert state["measured"] == {**QUIET, **at}


@pytest.mark.parametrize(
    ("begin", "end", "cycles", "measured"),
    [
        ("rest", "wake", 10, {}),
        ("dream", "wake", 20, {"night": True}),
        ("crisis", "focus", 5, {"frustration": 0.49}),
    ],
)
def test_some_states_last_a_number_of_cycles(begin, end, cycles, measured):
    early = after(begin, entered=50 - cycles + 1, **measured)
    assert (early["name"], early["entered_cycle"]) == (begin, 50 - cycles + 1)
    assert after(begin, entered=50 - cycles, **measured)["name"] == end


def test_a_crisis_ends_only_when_things_go_well_again():
    assert after("crisis", entered=1, frustration=0.5)["name"] == "crisis"
    assert after("crisis", entered=1, frustration=None)["name"] == "crisis"
    assert after("crisis", entered=1, frustration=0.0)["name"] == "focus"


def test_after_a_hundred_cycles_without_rest_it_rests():
    previous = {"name": "wake", "entered_cycle": 1, "rested_cycle": 1, "focused_s": 0.0}
    assert next_state(previous, measure(100))["name"] == "wake"
    assert next_state(previous, measure(101))["name"] == "rest"
    assert next_state({**previous, "rested_cycle": 60}, measure(101))["name"] == "wake"
    assert next_state({**previous, "rested_cycle": None}, measure(101))["name"] == "rest"


def test_work_in_focus_adds_up_until_it_rests():
    alert = {"salience_mean": 0.6}
    state = after("wake", salience_max=0.8, busy_s=1000.0)
    assert (state["name"], state["focused_s"]) == ("focus", 0.0)
    for busy_s, name in ((200.0, "focus"), (99.0, "focus"), (1.0, "rest")):
        state = next_state(state, {**QUIET, **alert, "busy_s": busy_s})
        assert state["name"] == name
    assert "300 s of work in focus" in state["reasons"][0]


def test_a_crisis_comes_before_everything_else():
    everything = {"frustration": 0.9, "salience_max": 1.0, "load": 1.0, "night": True}
    assert after("wake", rested=-100, **everything)["name"] == "crisis"
    assert after("wake", rested=-100, **{**everything, "frustration": 0.0})["name"] == "focus"


def test_nights_go_through_the_states_and_all_of_it_is_json():
    state, names = None, []
    for cycle in range(1, 27):
        saliences = [0.8, 0.6] if cycle == 2 else [0.5] if cycle == 3 else []
        state = next_state(state, measure(cycle, night=True, saliences=saliences, busy_s=200.0))
        state = json.loads(json.dumps(state))
        names.append(state["name"])
    assert names == ["wake", "focus", "focus", "rest", *["dream"] * 20, "wake", "dream"]


@pytest.mark.parametrize(
    ("previous", "why"),
    [
        (None, "no earlier state"),
        ({}, "has no name"),
        ([], "has no name"),
        ({"name": "asleep", "entered_cycle": 1}, "'asleep' is unknown"),
        ({"name": "crisis"}, "entered_cycle is None"),
        ({"name": "crisis", "entered_cycle": "1"}, "entered_cycle is '1'"),
        ({"name": "crisis", "entered_cycle": -1}, "entered_cycle is -1"),
        ({"name": "crisis", "entered_cycle": 51}, "entered in cycle 51, after this one (50)"),
    ],
)
def test_without_a_usable_earlier_state_it_begins_as_wake_and_says_why(previous, why):
    state = next_state(previous, QUIET)
    assert (state["name"], state["entered_cycle"]) == ("wake", 50)
    assert why in state["reasons"][0]


def test_unknown_measures_trigger_nothing():
    nothing = {"cycle": 50, "frustration": nan, "failures": None, "salience_max": "high", "load": True}
    previous = {"name": "wake", "entered_cycle": 45}
    assert next_state(previous, nothing)["name"] == "wake"
    assert next_state(previous, {"cycle": 50})["reasons"] == ["still wake: no transition applies"]


def test_frustration_is_about_what_was_expected_to_succeed():
    weak = [(0.0, 0.2)] * 20
    assert measure(1, outcomes=[*weak, (0.0, 0.5), (1.0, 0.9)])["frustration"] is None  # only two were expected
    assert measure(1, outcomes=[*weak, (0.4, 0.5), (0.5, 0.9), (0.0, 0.8)])["frustration"] == pytest.approx(2 / 3)
    assert measure(1, outcomes=[(0.0, None)] * 9)["frustration"] is None


def test_failures_are_the_longest_run_and_salience_that_of_new_experiences():
    measured = measure(1, succeeded=[False, True, False, False, True, False], saliences=[0.2, 0.6])
    assert (measured["failures"], measured["salience_max"]) == (2, 0.6)
    assert measured["salience_mean"] == pytest.approx(0.4)
    assert measure(1)["salience_mean"] is None and measure(1)["failures"] == 0


ANY = st.one_of(st.none(), st.text(), st.booleans(), st.integers(-5, 200), st.floats())


@given(st.dictionaries(st.sampled_from(list(QUIET)), ANY), st.sampled_from(list(STATES)), ANY, ANY)
def test_whatever_was_written_there_is_a_state(measured, name, entered, rested):
    previous = {"name": name, "entered_cycle": entered, "rested_cycle": rested, "focused_s": rested}
    state = next_state(previous, measured)
    assert (state["budget_atp"], state["multiplier"]) == STATES[state["name"]]
    assert len(state["reasons"]) == 1
