"""What a student is taught: answers that a grader accepts, its own ones elsewhere, each with its weight."""

import pytest
from dreamflow.distill.teaching import AcceptedAnswers, Answer, accept_answers, chat_rows
from dreamflow.errors import DreamflowError
from dreamflow.generation.model import Message
from dreamflow.tasks.answers import worked_turns
from dreamflow.tasks.generators import generate
from dreamflow.tasks.graders import grade
from dreamflow.tasks.tasks import with_worked

TASK, OTHER, THIRD = generate("extraction", 3)
CODE = generate("code", 1)[0]


def answers(task, *texts):
    """Graded answers to a task; None is no usable answer."""
    grades = [None if text is None else grade(task, text).passed for text in texts]
    return [Answer(f"a{number}", text, passed) for number, (text, passed) in enumerate(zip(texts, grades, strict=True))]


def replayed(task, split="train", role="target", salience=0.5):
    same = {key: task[key] for key in ("task_id", "kind", "group")}
    return {**same, "split": split, "role": role, "salience": salience, "experience_id": "x", "task": task}


def taught(*tasks):
    return {task["task_id"]: accept_answers(answers(task, task["answer"]), 3) for task in tasks}


def test_only_answers_that_the_grader_accepts_are_kept():
    right = TASK["answer"]
    found = accept_answers(answers(TASK, "no idea", f" {right}\n", right, f"It is {right}.", None), keep=4)
    assert found.kept == [Answer("a1", right, passed=True)]
    assert (found.asked, found.rejected, found.repeated, found.ungraded) == (5, 3, 1, 0)


def test_of_several_right_answers_the_shortest_are_kept():
    task = {**TASK, "grader": {"name": "mentions", "others": []}, "answer": "blue"}
    found = accept_answers(answers(task, "It is blue, I think.", "blue", "It is blue."), keep=2)
    assert [one.text for one in found.kept] == ["blue", "It is blue."]
    assert found.rejected == found.repeated == 0


def test_what_nothing_can_grade_is_not_taught():
    found = accept_answers(answers(CODE, CODE["answer"]), keep=1)
    assert (found.kept, found.ungraded, found.rejected) == ([], 1, 0)


def test_a_teacher_sees_worked_examples_as_turns_before_the_task():
    worked = with_worked([TASK], [OTHER, THIRD], 2)[0]
    first, second = worked["worked"]
    assert worked_turns(worked) == [
        *(Message("user", first["prompt"]), Message("assistant", first["answer"])),
        *(Message("user", second["prompt"]), Message("assistant", second["answer"])),
    ]
    assert worked_turns(TASK) == []


def test_examples_are_chat_messages_with_the_plain_prompt_and_share_the_salience():
    two = AcceptedAnswers([Answer("a1", "7"), Answer("a2", "07")], asked=3, rejected=1)
    replay = [replayed(TASK, salience=0.8), replayed(OTHER, "validation")]
    train, validation, card = chat_rows(replay, {TASK["task_id"]: two, **taught(OTHER)}, {})
    assert [row["weight"] for row in train] == [0.4, 0.4]
    assert train[0] == {
        "messages": [{"role": "user", "content": TASK["prompt"]}, {"role": "assistant", "content": "7"}],
        "weight": 0.4,
        "task_id": TASK["task_id"],
        "kind": "extraction",
        "group": TASK["group"],
        "role": "target",
        "gen_id": "a1",
    }
    assert [row["messages"][1]["content"] for row in validation] == [OTHER["answer"]]
    assert card["kinds"] == [
        {"role": "target", "kind": "extraction", "tasks": 2, "tasks_taught": 2, "examples": 3}
        | {"asked": 4, "rejected": 1, "ungraded": 0, "repeated": 0}
    ]


def test_general_replay_is_the_students_own_answer_right_or_wrong():
    replay = [replayed(TASK), replayed(OTHER, "validation"), replayed(CODE, role="general", salience=0.3)]
    replay.append(replayed(THIRD, role="general"))  # it gave no whole answer to this one
    own = {CODE["task_id"]: Answer("mine", "I cannot program.")}
    train, _, card = chat_rows(replay, taught(TASK, OTHER, THIRD), own)
    general = [row for row in train if row["role"] == "general"]
    assert [(row["messages"][1]["content"], row["weight"], row["gen_id"]) for row in general] == [
        ("I cannot program.", 0.3, "mine")
    ]
    counts = {(row["role"], row["kind"]): (row["tasks"], row["tasks_taught"]) for row in card["kinds"]}
    assert counts["general", "code"] == (1, 1)
    assert counts["general", "extraction"] == (1, 0)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_where_nothing_was_accepted_the_error_says_what_was_rejected(split):
    other = "validation" if split == "train" else "train"
    replay = [replayed(TASK, split), replayed(OTHER, other), replayed(THIRD, split, "general")]
    refused = {TASK["task_id"]: accept_answers(answers(TASK, "no", "idea"), 1)}
    own = {THIRD["task_id"]: Answer("mine", "So what?")}
    with pytest.raises(DreamflowError) as error:
        chat_rows(replay, {**taught(OTHER), **refused}, own)
    assert f"for the split {split}" in str(error.value)
    assert "extraction: 3 answers to 2 tasks, 2 rejected" in str(error.value)
