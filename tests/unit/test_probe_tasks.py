"""The probe set: tasks that ship, tasks that are generated, and what is said where a file of tasks is wrong."""

import json
import os
import subprocess
import sys
from decimal import Decimal, InvalidOperation
from itertools import product
from pathlib import Path

import pytest
from dreamflow.errors import ConfigError
from dreamflow.files import sha256
from dreamflow.tasks.generators import TEMPLATES, generate, groups
from dreamflow.tasks.graders import grade
from dreamflow.tasks.spec import KINDS
from dreamflow.tasks.tasks import check_tasks, load_tasks, skill_of, with_worked
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
BASE = load_tasks(ROOT / "data" / "1_raw" / "probe")
SEEDS = st.integers(0, 10**6)
FEW = ("code", "knowledge")  # kinds that are not told in endless ways
EACH_KIND = pytest.mark.parametrize("kind", KINDS)

CHATTY = (
    "Sure! The answer is {answer}.",
    "The answer is {answer}.",
    "Answer: {answer}",
    "**{answer}**",
    "Here it is:\n{answer}",
    "{answer}\n\nLet me know if you need anything else!",
    "{answer} (as the text says)",
    "{prompt}\n{answer}",
)


def run_here(source, calls):
    """What the sandbox answers. Only reference answers of this project, and variants of them, are run here."""
    names = {}
    exec(source, names)
    results = []
    for call in calls:
        try:
            results.append({"returned": repr(eval(call, names))})
        except Exception as error:
            results.append({"error": str(error)})
    return results


def answers_too(task, other):
    """Whether the answer of another task is right here, by chance."""
    if task["grader"]["name"] == "mentions":
        return task["answer"].casefold() in other["answer"].casefold()
    try:
        return Decimal(task["answer"]) == Decimal(other["answer"])
    except InvalidOperation:
        return task["answer"] == other["answer"]


def lets_talk(task):
    grader = task["grader"]
    return grader["name"] == "mentions" or grader.get("last", False) or grader.get("wrapped", False)


def assert_exact(tasks):
    """Every answer passes its own grader; those of other tasks of its kind do not, nor do chatty ones.

    Of tasks that let a model talk, the chatty ones pass, but no repetition of the question.
    """
    for task in tasks:
        graded = grade(task, task["answer"], run_here)
        assert graded.passed, (task["task_id"], graded)
        for form in CHATTY if not lets_talk(task) else ():
            text = form.format(**task)
            assert grade(task, text, run_here).passed is False, (task["task_id"], text)
        if lets_talk(task):
            fenced = f"```\n{task['answer']}\n```" if task["kind"] == "code" else task["answer"]
            assert grade(task, f"Sure! The answer is:\n\n{fenced}\n\nThat is all!", run_here).passed
            assert not grade(task, task["prompt"], run_here).passed, task["prompt"]
    for task, other in product(tasks, tasks):
        if task["kind"] == other["kind"] and not answers_too(task, other):
            assert not grade(task, other["answer"], run_here).passed, (task["prompt"], other["answer"])


# --- the tasks that ship --------------------------------------------------------------------------------


def test_there_are_enough_of_every_kind_in_many_contexts():
    assert len(BASE) >= 120
    assert {task["kind"] for task in BASE} == set(KINDS)
    for kind in KINDS:
        tasks = [task for task in BASE if task["kind"] == kind]
        assert len(tasks) >= 20
        assert len({task["group"] for task in tasks}) == len(tasks)  # each of its own, so any of them can be held out
        assert len({task["context"] for task in tasks}) >= 10
        assert len({skill_of(task) for task in tasks}) >= 7
    for kind in ("arithmetic", "classification", "facts", "code"):
        assert {lets_talk(task) for task in BASE if task["kind"] == kind} == {False, True}
    assert not any(lets_talk(task) for task in BASE if task["kind"] in ("extraction", "format"))
    assert all(lets_talk(task) for task in BASE if task["kind"] == "knowledge")


def test_base_tasks_are_exact():
    assert_exact(BASE)


def test_every_grader_is_in_use():
    assert {task["grader"]["name"] for task in BASE} == {
        *("exact", "number", "json", "regex", "one_of", "list", "set", "lines", "mentions", "code")
    }


def task_lines(tasks):
    return "".join(json.dumps(task, ensure_ascii=False) + "\n" for task in tasks)


def test_files_say_no_more_than_what_is_read_of_them():
    for kind in KINDS:
        path = ROOT / "data" / "1_raw" / "probe" / f"{kind}.jsonl"
        assert path.read_text(encoding="utf-8") == task_lines(load_tasks(path))


# --- generated tasks ------------------------------------------------------------------------------------


@EACH_KIND
@settings(deadline=None, max_examples=5)
@given(seed=SEEDS)
def test_generated_tasks_are_exact(kind, seed):
    tasks = generate(kind, 2 * len(groups(kind)), seed)
    assert check_tasks(tasks) == tasks
    assert_exact(tasks)


@EACH_KIND
def test_many_tasks_no_prompt_twice_and_none_of_the_base(kind):
    number = 300 if kind in FEW else 1000
    tasks = check_tasks([*BASE, *generate(kind, number)])  # refuses any id or prompt that is there twice
    made = tasks[len(BASE) :]
    assert len(groups(kind)) == len(set(groups(kind))) >= 20
    assert {task["group"] for task in made} == set(groups(kind))
    assert not {task["group"] for task in made} & {task["group"] for task in BASE}
    per_group = [sum(task["group"] == group for task in made) for group in groups(kind)]
    assert min(per_group) * len(per_group) >= 500 or kind in FEW
    assert all(task["group"].split(".")[2].startswith("base-") for task in BASE)
    assert not any("base-" in group for group in groups(kind))


@EACH_KIND
@settings(deadline=None, max_examples=10)
@given(seed=SEEDS, few=st.integers(0, 40), more=st.integers(0, 80), data=st.data())
def test_more_tasks_only_add_and_groups_keep_theirs(kind, seed, few, more, data):
    tasks = generate(kind, few + more, seed)
    assert generate(kind, few, seed) == tasks[:few]
    only = data.draw(st.sets(st.sampled_from(groups(kind)), min_size=1))
    theirs = [task for task in tasks if task["group"] in only]
    assert generate(kind, len(theirs), seed, only) == theirs
    assert all(task["task_id"].endswith(sha256(task["prompt"])[:12]) for task in tasks)


def test_other_seeds_give_other_tasks():
    one, other = ({task["prompt"] for task in generate("extraction", 200, seed)} for seed in (1, 2))
    assert len(one & other) < 5


def test_generated_tasks_are_the_same_in_every_process():
    program = (
        "from dreamflow.tasks.generators import *; import hashlib, json;"
        "tasks = [generate(kind, 120, 3) for kind in TEMPLATES];"
        "print(hashlib.sha256(json.dumps(tasks).encode()).hexdigest())"
    )
    mine = sha256(json.dumps([generate(kind, 120, 3) for kind in TEMPLATES]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mine


@pytest.mark.parametrize("kind", ["extraction", "format", "facts", "classification", "arithmetic", "knowledge"])
def test_prompts_and_answers_are_short(kind):
    for task in generate(kind, 500, 4):
        assert len(task["prompt"]) <= 260
        assert len(task["answer"]) <= 60


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_hidden_calls_tell_more_than_k_from_k_or_more(seed):
    tasks = [task for task in generate("code", 72, seed) if " > " in task["answer"] or " < " in task["answer"]]
    wrong = [
        (task, task["answer"].replace(" > ", " >= ").replace(" < ", " <= "))
        for task in tasks
        if "choose" not in task["group"]  # where both give the same
    ]
    assert len(wrong) >= 3
    # k lies in half of the lists, so that all eight miss it in one of 256 tasks.
    assert sum(grade(task, text, run_here).passed for task, text in wrong) <= 1


def test_hidden_calls_are_those_of_the_prompt_whatever_the_seed():
    tests = {}
    for seed in range(5):
        for task in generate("code", 240, seed):
            assert tests.setdefault(task["prompt"], task["grader"]["tests"]) == task["grader"]["tests"]
            assert len({test["returns"] for test in task["grader"]["tests"]}) > 1


def test_what_cannot_be_generated_is_told():
    with pytest.raises(ConfigError, match="no tasks of kind 'poems' can be generated; known: extraction, "):
        generate("poems", 1)
    with pytest.raises(ConfigError, match=r"kind facts: no generator has the group 'facts\.who\.nobody'"):
        generate("facts", 1, only=["facts.who.nobody"])
    only = ["code.count.words"]
    with pytest.raises(ConfigError, match=r"kind code: 9 tasks were requested, but 1 group\(s\) have only 3"):
        generate("code", 9, only=only)
    assert len(generate("code", 3, only=only)) == 3


# --- worked examples ------------------------------------------------------------------------------------


def test_worked_examples_are_of_the_group_then_of_the_skill_then_of_the_kind():
    tasks = generate("format", 200, 1)
    group = tasks[0]["group"]
    same = [task for task in tasks if task["group"] == group]
    pool = [*same[:3], *(task for task in [*tasks, *BASE] if task["group"] != group)]
    by_prompt = {task["prompt"]: task for task in [*tasks, *BASE]}
    taught = with_worked(tasks[:60], pool, 5, seed=7)
    for task, plain in zip(taught, tasks, strict=False):
        assert {**task, "worked": None} == {**plain, "worked": None}
        shown = [by_prompt[one["prompt"]] for one in task["worked"]]
        assert len(shown) == 5
        assert task["prompt"] not in [one["prompt"] for one in shown]
        assert all(one["answer"] == example["answer"] for one, example in zip(shown, task["worked"], strict=True))
        likeness = [(one["group"] == task["group"]) + (skill_of(one) == skill_of(task)) for one in shown]
        assert all(one["kind"] == "format" for one in shown)
        assert likeness == sorted(likeness, reverse=True)
    first, later = (with_worked([task], pool, 5, seed=7)[0] for task in (same[0], same[3]))
    assert [by_prompt[one["prompt"]]["group"] for one in later["worked"]][:3] == [group] * 3
    assert [by_prompt[one["prompt"]]["group"] for one in first["worked"]][:2] == [group] * 2
    assert check_tasks(taught) == taught
    assert with_worked(tasks[:60], pool, 5, seed=7) == taught
    assert with_worked(tasks[:60], pool, 5, seed=8) != taught
    assert with_worked(tasks[:1], [task for task in BASE if task["kind"] == "facts"], 2)[0]["worked"] == []


def test_tasks_of_a_group_see_the_same_examples_in_the_same_order():
    tasks = generate("extraction", 300, 1)
    pool = tasks[:150]
    examples: dict[str, set[str]] = {}
    for task in with_worked(tasks[150:], pool, 3):
        examples.setdefault(task["group"], set()).add(str(task["worked"]))
    assert {len(found) for found in examples.values()} == {1}


# --- files that are wrong -------------------------------------------------------------------------------

GOOD = {
    "task_id": "facts-1",
    "kind": "facts",
    "context": "notes",
    "group": "facts.who.base-note",
    "prompt": "Ann rang. Who rang?",
    "grader": {"name": "exact"},
    "answer": "Ann",
}
WRONG = {
    "kind": ({"kind": "poems"}, 'kind: "poems" is not one of'),
    "group": ({"group": "who"}, 'group: "who" does not match'),
    "group of another kind": (
        {"group": "code.who.base-x"},
        "group: 'code.who.base-x' must begin with the kind, 'facts'",
    ),
    "unknown key": ({"points": 3}, "points: unknown key; known keys: answer, context"),
    "empty answer": ({"answer": ""}, "answer: the text is empty"),
    "unknown grader": ({"grader": {"name": "vague"}}, 'grader.name: "vague" is not one of'),
    "option of another grader": (
        {"grader": {"name": "exact", "labels": ["a", "b"]}},
        "grader.labels: unknown key; did you mean 'also'\\? known keys: allow, also, name",
    ),
    "no pattern": ({"grader": {"name": "regex"}}, "grader: 'pattern' is missing"),
    "bad pattern": ({"grader": {"name": "regex", "pattern": "("}}, "grader: missing \\)"),
    "refused by its grader": ({"grader": {"name": "regex", "pattern": "Bob"}}, "answer: its own grader rejects it"),
    "no number": ({"grader": {"name": "number"}}, "answer: its own grader rejects it: the task's own answer 'Ann'"),
    "no JSON": ({"grader": {"name": "json"}}, "answer: its own grader rejects it: expected JSON alone"),
    "no label": ({"grader": {"name": "one_of", "labels": ["Bob", "Eve"]}}, "answer: 'Ann' is not one of the labels"),
    "one test": (
        {"grader": {"name": "code", "entry": "f", "tests": [{"call": "f()", "returns": "1"}]}},
        "grader.tests: .* has too few entries: the minimum is 2",
    ),
    "no code": (
        {"grader": {"name": "code", "entry": "f", "tests": [{"call": "f()", "returns": "1"}] * 2}},
        "answer: expected a function 'f'",
    ),
}


def test_a_good_file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n")
    assert load_tasks(path) == load_tasks(tmp_path) == [GOOD]


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_named(tmp_path, change, message):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, 'task_id': 'b', 'prompt': 'Who?', **change})}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_tasks(path)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_what_is_there_twice_is_told_with_both_places(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n" * 2)
    with pytest.raises(ConfigError) as caught:
        load_tasks(path)
    assert str(caught.value).split("\n") == [
        f"{path}:2: {key}: the same as in {path}:1; every task needs its own" for key in ("task_id", "prompt")
    ]


@pytest.mark.parametrize("line", ["{", "[1", "nonsense", "[" * 100_000])
def test_a_line_that_is_no_json(tmp_path, line):
    path = tmp_path / "tasks.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigError, match=r"tasks\.jsonl:1: not a line of JSON"):
        load_tasks(path)


@pytest.mark.parametrize("line", ["7", "[]", "null"])
def test_a_line_that_is_no_task(tmp_path, line):
    path = tmp_path / "tasks.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigError, match=r"tasks\.jsonl:1: .*is not a mapping"):
        load_tasks(path)


def test_questions_and_answers_in_a_csv_file(tmp_path):
    """Ids follow from the questions, so that rows may move; each row is a group of its own."""
    path = tmp_path / "My tickets.csv"
    rows = ['"Which team, if a lamp\nis broken?",Delivery,', "How many?,12,arithmetic"]
    path.write_text("\ufeffquestion,answer,kind,note\n" + "\n\n".join(rows) + "\n")
    first, second = load_tasks(tmp_path)
    assert (first["prompt"], first["answer"], first["kind"]) == (
        "Which team, if a lamp\nis broken?",
        "Delivery",
        "knowledge",
    )
    assert (second["kind"], second["context"]) == ("arithmetic", "my tickets")
    assert first["group"] != second["group"] and first["group"].startswith("knowledge.my-tickets.base-")
    assert grade(first, '"delivery".').passed and not grade(first, "It is delivery").passed
    path.write_text("note,answer,question,kind\n,12,How many?,arithmetic\n")
    assert load_tasks(path) == [second]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt,answer\na,b\n", "a.csv:1: no column 'question'; the first line must name the columns question and"),
        ("", "a.csv:1: no column 'question'"),
        ("question,answer\na,\n", "a.csv:2: the cell 'answer' is blank; fill it in, or delete the row"),
        ("question,answer\na,b\nc,d,e\n", "a.csv:3: more cells than columns; put text that has a comma into quotes"),
        ("question,answer\na,b\n\na,c\n", "a.csv:4: the question of line 2 again; delete one"),
        ("question,answer,kind\na,b,mine\n", 'a.csv:2: kind: "mine" is not one of extraction'),
    ],
)
def test_a_csv_file_that_is_wrong(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_tasks(tmp_path)
    assert str(error.value).replace(f"{tmp_path}/", "").startswith(said)


def test_no_files(tmp_path):
    with pytest.raises(ConfigError, match=r"no \.jsonl or \.csv files"):
        load_tasks(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        load_tasks(tmp_path / "none.jsonl")
