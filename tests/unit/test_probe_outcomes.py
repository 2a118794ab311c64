"""Answers on disk become outcomes: graded where they can be, wrong where they failed, ungraded where there is none."""

import json

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.generation.model import Attempt, Call, ModelIdentity, Question, Record, Response, Usage, as_json
from dreamflow.tasks.outcomes import outcomes, read_grades, write_grades
from stored import save_response

TASKS = {
    task_id: {"task_id": task_id, "kind": kind, "context": "notes", "group": f"{kind}.a.b", **rest}
    for task_id, kind, rest in (
        ("facts-1", "facts", {"grader": {"name": "exact"}, "answer": "Ann"}),
        (
            "code-1",
            "code",
            {
                "grader": {"name": "code", "entry": "f", "tests": [{"call": "f()", "returns": "1"}] * 2},
                "answer": "def f():\n    return 1",
            },
        ),
    )
}


def answer(root, gen_id, task_id, text, status="ok", **rest):
    folder = root / gen_id
    folder.mkdir()
    metadata = {
        **{"gen_id": gen_id, "stage": "answer", "status": status, "reason": "", "wildcards": {"task_id": task_id}},
        **{"model_id": "small", "replicate": 1, "usage": {"prompt_tokens": 20, "completion_tokens": 3}},
        **{"latency_s": 0.5, "cost_usd": 0.0, **rest},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    if status == "ok":
        (folder / "parsed.txt").write_text(text)
    return folder


def test_rows_in_the_order_of_the_folders(tmp_path):
    folders = [answer(tmp_path, "a_2", "facts-1", "Bob\n", replicate=2), answer(tmp_path, "a_1", "facts-1", " Ann\n")]
    wrong, right = outcomes(folders, TASKS, "no sandbox")
    assert as_json(right) == {
        **{"task_id": "facts-1", "kind": "facts", "context": "notes", "group": "facts.a.b", "model_id": "small"},
        **{"gen_id": "a_1", "sample": 1, "score": 1.0, "passed": True, "why": "as expected"},
        **{"prompt_tokens": 20, "completion_tokens": 3, "latency_s": 0.5, "cost_usd": 0.0},
    }
    assert (wrong.gen_id, wrong.sample, wrong.score, wrong.passed) == ("a_2", 2, 0.0, False)
    assert "expected 'Ann'" in wrong.why


def test_answers_that_are_none(tmp_path):
    nothing = {"usage": {}, "latency_s": None, "cost_usd": None}
    folders = [
        answer(tmp_path, "a_1", "facts-1", "", "failed", reason="refused by the provider", **nothing),
        answer(tmp_path, "a_2", "facts-1", "", "skipped", reason="budget", **nothing),
        answer(tmp_path, "a_3", "facts-1", "", "pending", reason="waits for a person", **nothing),
        answer(tmp_path, "a_4", "code-1", TASKS["code-1"]["answer"]),
    ]
    failed, skipped, pending, code = outcomes(folders, TASKS, "no sandbox")
    assert (failed.score, failed.passed) == (0.0, False)
    assert failed.why == "no answer: refused by the provider"
    assert failed.prompt_tokens is failed.latency_s is failed.cost_usd is None
    assert [row.passed for row in (skipped, pending, code)] == [None, None, None]
    assert skipped.why == "ungraded: skipped: budget"
    assert pending.why == "ungraded: pending: waits for a person"
    assert code.why == "ungraded: no sandbox"


def test_every_sample_that_was_drawn_counts(tmp_path):
    attempts = []
    for sample, cost in enumerate((0.25, 0.5)):
        question = Question(ModelIdentity(model_id="m", provider="openai", name="m", revision=""), [], {}, None, sample)
        made = Call(gen_id="a_1", stage="answer", cohort_id="", at="", latency_s=1.5, cost_usd=cost)
        response = Response("Ann", usage=Usage(prompt_tokens=20, completion_tokens=3))
        record = Record(schema_version=1, request=question, response=response, call=made)
        save_response(tmp_path / "store", f"k{sample}", record)
        attempts.append(Attempt(sample=sample, response_key=f"k{sample}", error=None))
    (tmp_path / "gens/answer").mkdir(parents=True)
    folder = answer(tmp_path / "gens/answer", "a_1", "facts-1", "Ann", attempts=as_json(attempts), cost_usd=0.5)
    (row,) = outcomes([folder], TASKS, "")
    assert (row.prompt_tokens, row.completion_tokens, row.latency_s, row.cost_usd) == (40, 6, 3.0, 0.75)


def test_code_is_run_by_the_given_door(tmp_path):
    folders = [answer(tmp_path, "a_1", "code-1", TASKS["code-1"]["answer"])]
    (row,) = outcomes(folders, TASKS, lambda source, calls: [{"returned": "1"} for _ in calls])
    assert (row.score, row.passed) == (1.0, True)


def test_what_is_no_answer_is_named(tmp_path):
    with pytest.raises(DreamflowError, match=r"a_1: not a complete answer \(.*no such file"):
        outcomes([tmp_path / "a_1"], TASKS, "")
    torn = answer(tmp_path, "a_2", "facts-1", "Ann")
    (torn / "metadata.json").write_text('{"status"')
    with pytest.raises(DreamflowError, match=r"a_2: not a complete answer \(.*damaged"):
        outcomes([torn], TASKS, "")
    with pytest.raises(DreamflowError, match="a_3: it answers the task 'facts-9', which is not among the tasks"):
        outcomes([answer(tmp_path, "a_3", "facts-9", "Ann")], TASKS, "")


def test_a_file_of_grades_keeps_all_of_them(tmp_path):
    stakes = {**TASKS, "facts-1": {**TASKS["facts-1"], "stakes": 0.5}}
    folders = [
        answer(tmp_path, "a_2", "facts-1", "Bob\u2028\n"),
        answer(tmp_path, "a_1", "facts-1", "", "failed", reason="refused", usage={}, latency_s=None, cost_usd=None),
    ]
    graded = outcomes(folders, stakes, "")
    write_grades(tmp_path / "grades.jsonl", graded)
    assert read_grades(tmp_path / "grades.jsonl") == graded
    assert graded[0].stakes == 0.5


@pytest.mark.parametrize("line", ['{"task_id": ', "[]", '{"task_id": "facts-1"}'])
def test_a_damaged_file_of_grades_is_named(tmp_path, line):
    write_grades(tmp_path / "grades.jsonl", outcomes([answer(tmp_path, "a_1", "facts-1", "Ann")], TASKS, ""))
    with (tmp_path / "grades.jsonl").open("a") as stream:
        stream.write(line)
    with pytest.raises(DreamflowError, match=r"grades\.jsonl:2: not a grade: .*; delete the file and run again"):
        read_grades(tmp_path / "grades.jsonl")
