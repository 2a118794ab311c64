"""Replay sets: split by group, chosen by salience, balanced over kinds, and leaking nothing."""

from collections import Counter
from random import Random

import pytest
from dreamflow.distill.replay import check_no_leak, replay_set, split_groups
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.files import canonical
from dreamflow.tasks.generators import TEMPLATES, generate
from hypothesis import given
from hypothesis import strategies as st

TASKS = [task for kind in TEMPLATES for task in generate(kind, 140)]
SETTINGS = {
    "kinds": ["extraction", "classification"],
    "size": 60,
    "general_share": 0.2,
    "min_salience": 0.0,
    "validation": 0.1,
    "held_out": 0.3,
    "held_out_size": 30,
    "general_size": 20,
    "near_duplicate": 0.9,
}


def experienced(tasks, seed=0, **fields):
    """One experience of each task, of a salience drawn at random."""
    random = Random(seed)
    signals = {"surprise": 0.3, "novelty": 0.7, "arousal": None, "reward": 1.0, "conflict": None}
    same = {"model_id": "small", "verified_by": "grader", "cycle": 1, "passed": True, **signals}
    return [
        {**same, "experience_id": f"{seed}-{n}", "task_id": task["task_id"], "salience": random.random(), **fields}
        for n, task in enumerate(tasks)
    ]


EXPERIENCES = experienced(TASKS)
REPLAY = replay_set(EXPERIENCES, TASKS, SETTINGS, 1)


def groups_of(tasks):
    return {task["group"] for task in tasks}


def in_split(split):
    return groups_of(row for row in REPLAY.rows if row["split"] == split)


# --- the split --------------------------------------------------------------------------------------------------------


def test_no_group_is_on_two_sides():
    sides = [in_split("train"), in_split("validation"), groups_of(REPLAY.held_out), groups_of(REPLAY.general)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))


@given(st.integers(0, 999), st.floats(0.05, 0.3), st.floats(0.05, 0.4))
def test_each_kind_has_each_side_in_its_share(seed, validation, held_out):
    sides = split_groups(groups_of(TASKS), validation, held_out, seed)
    assert set(sides) == groups_of(TASKS)
    for kind in TEMPLATES:
        counts = Counter(side for group, side in sides.items() if group.startswith(f"{kind}."))
        groups = counts.total()
        assert counts["held_out"] == max(1, round(held_out * groups))
        assert counts["validation"] == max(1, round(validation * groups))
        assert counts["train"] > 0


def test_skills_are_spread_over_the_sides():
    sides = split_groups(groups_of(TASKS), 0.1, 0.3, 3)
    learned = {group.rsplit(".", 1)[0] for group, side in sides.items() if side == "train"}
    held_out = [group.rsplit(".", 1)[0] for group, side in sides.items() if side == "held_out"]
    extraction = [skill for skill in held_out if skill.startswith("extraction.")]
    assert all(skill in learned for skill in extraction)  # no skill is measured that was nowhere to learn
    assert max(Counter(extraction).values()) <= 2


def test_the_split_is_drawn_by_the_seed_and_more_tasks_move_no_group():
    groups = groups_of(TASKS)
    assert split_groups(groups, 0.1, 0.3, 1) == split_groups(sorted(groups), 0.1, 0.3, 1)
    assert split_groups(groups, 0.1, 0.3, 1) != split_groups(groups, 0.1, 0.3, 2)
    facts_only = {group for group in groups if group.startswith("facts.")}
    assert split_groups(facts_only, 0.1, 0.3, 1).items() <= split_groups(groups, 0.1, 0.3, 1).items()
    more = [task for kind in TEMPLATES for task in generate(kind, 200)]
    larger = replay_set(experienced(more), more, SETTINGS, 1)
    assert groups_of(larger.held_out) | groups_of(larger.general) >= groups_of(REPLAY.held_out)
    assert not groups_of(larger.rows) & (groups_of(REPLAY.held_out) | groups_of(REPLAY.general))


def test_a_larger_set_to_measure_on_only_adds():
    larger = replay_set(EXPERIENCES, TASKS, {**SETTINGS, "held_out_size": 50}, 1)
    assert larger.held_out[:30] == REPLAY.held_out


@pytest.mark.parametrize("count", [1, 2])
def test_a_kind_of_too_few_groups_cannot_be_split(count):
    few = sorted(groups_of(task for task in TASKS if task["kind"] == "facts"))[:count]
    tasks = [task for task in TASKS if task["kind"] != "facts" or task["group"] in few]
    with pytest.raises(ConfigError, match=rf"kind facts: its {count} group\(s\)"):
        replay_set(experienced(tasks), tasks, SETTINGS, 1)


# --- the choice -------------------------------------------------------------------------------------------------------


def test_kinds_are_balanced_and_a_share_is_general_replay():
    counts = Counter((row["role"], row["split"]) for row in REPLAY.rows)
    assert counts == {
        ("target", "train"): 43,
        ("general", "train"): 11,
        ("target", "validation"): 5,
        ("general", "validation"): 1,
    }
    kinds = Counter(row["kind"] for row in REPLAY.rows if row["role"] == "target" and row["split"] == "train")
    assert sorted(kinds.values()) == [21, 22] and set(kinds) == set(SETTINGS["kinds"])
    general = Counter(row["kind"] for row in REPLAY.rows if row["role"] == "general")
    assert not set(general) & set(SETTINGS["kinds"])
    assert set(Counter(task["kind"] for task in REPLAY.held_out).values()) == {15}
    assert set(Counter(task["kind"] for task in REPLAY.general).values()) == {4}


def test_the_most_salient_are_chosen_with_their_experience():
    by_id = {one["experience_id"]: one for one in EXPERIENCES}
    for row in REPLAY.rows:
        assert by_id[row["experience_id"]]["task_id"] == row["task_id"] == row["task"]["task_id"]
        assert by_id[row["experience_id"]]["salience"] == row["salience"]
    lowest = {}
    for row in REPLAY.rows:
        lowest[row["split"], row["kind"]] = row["salience"]
    assert [row["salience"] for row in REPLAY.rows] == sorted((r["salience"] for r in REPLAY.rows), reverse=True)
    chosen = {row["task_id"] for row in REPLAY.rows}
    salience = {one["task_id"]: one["salience"] for one in EXPERIENCES}
    rest = [t for t in TASKS if t["group"] in in_split("train") and t["task_id"] not in chosen]
    above = [task for task in rest if salience[task["task_id"]] > lowest.get(("train", task["kind"]), 1)]
    alike = {one["step"]: one["tasks"] for one in REPLAY.summary["left_out"]}
    assert len(above) <= alike["like a more salient task"] + alike["like a task that is measured"]


def test_of_several_experiences_of_a_task_the_most_salient_counts():
    dull = experienced(TASKS, 1, salience=0.01)
    unknown = experienced(TASKS, 2, salience=None)
    both = replay_set([*unknown, *dull, *EXPERIENCES], TASKS, SETTINGS, 1)
    assert [row["experience_id"] for row in both.rows] == [row["experience_id"] for row in REPLAY.rows]


def test_the_order_of_experiences_and_tasks_does_not_matter():
    random = Random(5)
    shuffled = [random.sample(EXPERIENCES, len(EXPERIENCES)), random.sample(TASKS, len(TASKS))]
    again = replay_set(*shuffled, SETTINGS, 1)
    assert canonical([again.rows, again.held_out, again.general, again.summary]) == canonical(
        [REPLAY.rows, REPLAY.held_out, REPLAY.general, REPLAY.summary]
    )
    assert again.card == REPLAY.card


def test_near_duplicates_of_a_more_salient_task_are_left_out():
    template = next(row["task"] for row in REPLAY.rows if row["split"] == "train" and row["kind"] == "extraction")
    copies = [{**template, "task_id": f"copy-{n}", "prompt": template["prompt"] + "!" * n} for n in range(1, 4)]
    seen = experienced(copies, 9, salience=1.0)
    tasks = [*TASKS, *copies]
    replay = replay_set([*EXPERIENCES, *seen], tasks, SETTINGS, 1)
    chosen = {row["task_id"] for row in replay.rows}
    assert len(chosen & {task["task_id"] for task in copies}) == 1
    assert template["task_id"] not in chosen


def test_a_task_that_is_nearly_a_measured_one_is_not_learned():
    measured = REPLAY.held_out[0]
    group = next(row["group"] for row in REPLAY.rows if row["split"] == "train" and row["kind"] == measured["kind"])
    copy = {**measured, "task_id": "copy", "group": group, "prompt": f"{measured['prompt']} "}
    replay = replay_set([*EXPERIENCES, *experienced([copy], 9, salience=1.0)], [*TASKS, copy], SETTINGS, 1)
    assert "copy" not in {row["task_id"] for row in replay.rows}
    steps = {one["step"]: one["tasks"] for one in replay.summary["left_out"]}
    before = {one["step"]: one["tasks"] for one in REPLAY.summary["left_out"]}
    assert steps["like a task that is measured"] == before["like a task that is measured"] + 1


def test_every_task_is_accounted_for():
    assert sum(one["tasks"] for one in REPLAY.summary["left_out"]) + len(REPLAY.rows) == len(TASKS)


def test_an_empty_replay_set_says_what_fell_out_where():
    some = [one for one, task in zip(EXPERIENCES, TASKS, strict=True) if task["kind"] != "extraction"]
    with pytest.raises(DreamflowError, match=r"no train tasks of the kind extraction.*without an experience"):
        replay_set(some, TASKS, SETTINGS, 1)
    with pytest.raises(DreamflowError, match=r"classification, extraction.* of a salience below 2\."):
        replay_set(EXPERIENCES, TASKS, {**SETTINGS, "min_salience": 2}, 1)
    with pytest.raises(DreamflowError, match="without an experience"):
        replay_set([], TASKS, SETTINGS, 1)


# --- leaks ------------------------------------------------------------------------------------------------------------


def test_what_leaks_is_named():
    row, held_out = REPLAY.rows[0], REPLAY.held_out[0]
    check_no_leak(REPLAY.rows, REPLAY.held_out, REPLAY.general)
    same_group = {**held_out, "task_id": "leak", "group": row["group"]}
    with pytest.raises(DreamflowError, match=rf"leak \(held_out\) has the same group, {row['group']}"):
        check_no_leak([row], [same_group], [])
    same_prompt = {**held_out, "task_id": "leak", "prompt": row["task"]["prompt"].upper()}
    with pytest.raises(DreamflowError, match=rf"leak \(general\) has the same prompt as {row['task_id']}"):
        check_no_leak([row], [], [same_prompt])
    nearly = {**held_out, "task_id": "leak", "prompt": row["task"]["prompt"] + "!"}
    with pytest.raises(DreamflowError, match=rf"leak \(held_out\) has nearly the same prompt as {row['task_id']}"):
        check_no_leak([row], [nearly], [])
    other = next(one for one in REPLAY.rows if one["split"] != row["split"])
    with pytest.raises(DreamflowError, match="has the same group"):
        check_no_leak([row, {**other, "task": {**other["task"], "group": row["group"]}}], [], [])


def test_a_long_list_of_leaks_is_cut():
    leaking = [{**row, "split": "train", "task": task} for row in REPLAY.rows[:1] for task in REPLAY.held_out]
    with pytest.raises(DreamflowError, match="and 20 more"):
        check_no_leak(leaking, REPLAY.held_out, [], 1.0)


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_tells_what_is_in_it_where_it_comes_from_and_what_it_lacks():
    lines = REPLAY.card.splitlines()
    extraction = [row for row in REPLAY.rows if row["kind"] == "extraction" and row["split"] == "train"]
    assert any(line.startswith(f"| target | extraction | train | {len(extraction)} | ") for line in lines)
    assert "| held_out | extraction | 15 |" in lines
    assert "answers by small (60), of cycle 1 (60), verified by grader (60); 60 were right." in REPLAY.card
    assert "- Nothing was known of arousal, conflict, so salience is without." in lines
    assert "tasks were asked for" not in REPLAY.card
    for group in groups_of(REPLAY.held_out):
        assert group in REPLAY.card


def test_the_card_admits_what_there_was_too_little_of():
    only = [one for one, task in zip(EXPERIENCES, TASKS, strict=True) if task["kind"] in SETTINGS["kinds"]]
    replay = replay_set(only, TASKS, {**SETTINGS, "size": 500, "held_out_size": 5000}, 1)
    assert f"5000 tasks were asked for the set held_out; its groups have {len(replay.held_out)}." in replay.card
    assert f"500 tasks were asked for; {len(replay.rows)} could be chosen." in replay.card
    assert "Nothing guards against forgetting." in replay.card
