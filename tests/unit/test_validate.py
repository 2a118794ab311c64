"""Before and after: differences with intervals that are right, and a gate that lets through only what is known."""

import json
from itertools import product

import numpy as np
import pytest
from dreamflow.distill.register import agreement
from dreamflow.distill.validate import compare_answers, gate, over_groups, over_tasks
from dreamflow.errors import DreamflowError
from hypothesis import given
from hypothesis import strategies as st

LIMITS = {"margin": 0.1, "most_lost": 0.02, "smallest": 50}


def rows(name, steps, kind="extraction", per_group=5):
    """Answers to tasks that were solved before and after as `steps` say: "01" was gained."""
    return [
        {
            **{"set": name, "student": student, "task_id": f"{kind}-{number}", "kind": kind},
            **{"group": f"{kind}.a.g{number // per_group}", "passed": None if step == "?" else step == "1"},
            **{"prompt_tokens": 50, "completion_tokens": 4 if student == "after" else 8, "seconds": 0.5},
        }
        for number, pair in enumerate(steps)
        for student, step in zip(("before", "after"), pair, strict=True)
    ]


def told(held_out, general):
    return compare_answers([*rows("held_out", held_out), *rows("general", general, "facts")], seed=1)


GAINED = ["01"] * 40 + ["11"] * 20 + ["00"] * 40
STEADY = ["11"] * 30 + ["00"] * 70


def test_changes_by_set_and_kind():
    found = compare_answers(
        [
            *rows("held_out", ["01", "01", "10", "11", "00", "?1"]),
            *rows("held_out", ["00"], "format"),
            *rows("general", ["11", "10"], "facts"),
        ],
        seed=1,
    )
    assert list(found) == ["held_out", "general"]
    assert list(found["held_out"]) == ["all", "extraction", "format"]
    one = found["held_out"]["extraction"]
    assert (one["n"], one["ungraded"], one["groups"], one["gained"], one["lost"]) == (5, 1, 1, 2, 1)
    assert (one["before"], one["after"], one["difference"]) == (0.4, 0.6, pytest.approx(0.2))
    assert one["low"] <= 0.2 <= one["high"]
    assert one["group_low"] is one["group_high"] is None  # of one group
    assert (one["prompt_tokens"], one["completion_tokens_before"], one["completion_tokens_after"]) == (50, 8, 4)
    assert (found["held_out"]["all"]["n"], found["held_out"]["all"]["groups"]) == (6, 2)
    assert found["general"]["facts"]["difference"] == -0.5
    json.dumps(found, allow_nan=False)


def test_no_tasks_and_no_grades_are_none_and_never_nan():
    found = compare_answers(rows("held_out", ["??"]), seed=1)
    for change in (found["held_out"]["all"], found["general"]["all"]):
        assert change["n"] == 0
        assert change["before"] is change["after"] is change["difference"] is change["low"] is change["high"] is None
    json.dumps(found, allow_nan=False)
    assert gate(found, LIMITS)["reasons"] == [
        "only 0 held-out tasks were graded; the minimum is 50",
        "no general task was graded, so forgetting is unknown",
    ]


def test_what_was_answered_once_is_an_error():
    with pytest.raises(DreamflowError, match="held_out: extraction-0 was answered before or after the training"):
        compare_answers(rows("held_out", ["01"])[:1], seed=1)


@pytest.mark.parametrize("steps", [[1, 0, 0, -1], [1, 1, 0], [0, 0], [1]])
def test_interval_over_tasks_is_that_of_all_possible_draws(steps):
    means = [np.mean(draw) for draw in product(steps, repeat=len(steps))]
    exact = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    assert over_tasks(np.array(steps), 3) == pytest.approx(tuple(exact))


def test_interval_over_groups_is_that_of_all_possible_draws_of_groups():
    steps, groups = [1, 1, 1, 0, -1, 0], ["a", "a", "a", "b", "b", "c"]
    by_group = [[1, 1, 1], [0, -1], [0]]
    means = [np.mean([step for group in draw for step in group]) for draw in product(by_group, repeat=3)]
    exact = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    assert over_groups(np.array(steps), groups, 3) == pytest.approx(tuple(exact))


def test_interval_over_tasks_holds_the_truth_about_95_times_of_100():
    draws = np.random.default_rng(5).choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=(400, 160))
    intervals = [over_tasks(steps, 1) for steps in draws]
    assert 0.92 <= np.mean([low <= 0.2 <= high for low, high in intervals]) <= 0.98


def test_groups_that_go_together_make_the_interval_wider():
    steps = np.repeat([1, 0, 1, 0, 0, 1, 0, 0], 20)
    low, high = over_tasks(steps, 1)
    group_low, group_high = over_groups(steps, np.repeat(list("abcdefgh"), 20), 1)
    assert group_low < low < 0.375 < high < group_high


@given(steps=st.lists(st.sampled_from((-1, 0, 1)), min_size=1, max_size=60), seed=st.integers(0, 9))
def test_intervals_are_turned_round_with_the_difference_and_repeat(steps, seed):
    steps = np.array(steps)
    low, high = over_tasks(steps, seed)
    assert -1 <= low <= high <= 1
    assert over_tasks(steps, seed) == (low, high)
    assert over_tasks(-steps, seed) == pytest.approx((-high, -low), abs=1.01 / len(steps))


# --- the gate -------------------------------------------------------------------------------------------


def test_a_student_that_learned_and_forgot_nothing_is_deployed():
    assert gate(told(GAINED, STEADY), LIMITS) == {"deployed": True, "reasons": [], "worse": [], "limits": LIMITS}


def test_exactly_the_limits_are_enough():
    exact = told(["01"] * 10 + ["00"] * 90, ["10"] * 2 + ["11"] * 98)
    assert gate(exact, LIMITS)["deployed"]


@pytest.mark.parametrize(
    ("held_out", "general", "reason"),
    [
        (["01"] * 9 + ["00"] * 91, STEADY, "held-out tasks: +9.0 points; the minimum is +10.0 points"),
        (GAINED[:30], STEADY, "only 30 held-out tasks were graded; the minimum is 50"),
        (
            GAINED,
            ["10"] * 3 + ["11"] * 97,
            "general tasks: -3.0 points; the maximum loss is -2.0 points",
        ),
        (GAINED, ["??"], "no general task was graded, so forgetting is unknown"),
    ],
    ids=["margin", "few", "forgot", "not known"],
)
def test_each_limit_alone_holds_a_student_back(held_out, general, reason):
    assert gate(told(held_out, general), LIMITS)["reasons"] == [reason]


def test_a_gain_that_may_be_chance_is_none():
    found = gate(told(["01"] * 28 + ["10"] * 20 + ["00"] * 12, STEADY), LIMITS)
    assert not found["deployed"]
    (reason,) = found["reasons"]
    assert reason.startswith("held-out tasks: the interval of the difference, -")
    assert reason.endswith("is not above 0")


def test_kinds_that_got_worse_are_named_and_a_learned_one_counts():
    found = compare_answers(
        [
            *rows("held_out", GAINED),
            *rows("held_out", ["10"] * 8 + ["11"] * 12, "format"),
            *rows("general", ["11"] * 90 + ["01"], "facts"),
            *rows("general", ["10"] + ["11"] * 9, "code"),
        ],
        seed=1,
    )
    told = gate(found, LIMITS)
    assert [(one["set"], one["kind"], one["difference"]) for one in told["worse"]] == [
        ("held_out", "format", -0.4),
        ("general", "code", -0.1),
    ]
    assert told["reasons"] == ["the learned kind format got worse: -40.0 points"]


# --- the exported student -------------------------------------------------------------------------------


def here(grades):
    return [
        {
            **{"task_id": f"extraction-{number}", "kind": "extraction", "passed": passed},
            **{"prompt_tokens": 50, "completion_tokens": 6, "latency_s": 0.2, "cost_usd": 0.0},
        }
        for number, passed in enumerate(grades)
    ]


def after(steps):
    return [row for row in rows("held_out", steps) if row["student"] == "after"]


def test_an_export_agrees_within_the_interval():
    found = agreement(after(["01"] * 60 + ["00"] * 40), here([True] * 55 + [False] * 45))
    assert (found["agrees"], found["n"], found["there"], found["here"], found["same"]) == (True, 100, 0.6, 0.55, 95)
    assert found["low"] < 0.55 < found["high"]
    kind, everything = found["kinds"]
    assert (kind["kind"], kind["n"], kind["tokens"], kind["seconds"]) == ("extraction", 100, 56, 0.2)
    assert everything["kind"] == "all"


def test_an_export_that_solves_another_share_does_not():
    there = after(["01"] * 60 + ["00"] * 40)
    assert not agreement(there, here([True] * 40 + [False] * 60))["agrees"]
    assert not agreement(there, here([True] * 90 + [False] * 10))["agrees"]
    assert agreement(there, here([None] * 100))["n"] == 0
    assert not agreement([], [])["agrees"]
