"""Experiences: what is found of each family, what is left out, and what each signal is made of."""

import json
from math import log

import pytest
from dreamflow.distill.experiences import (
    collect_experiences,
    experience_file,
    experience_lines,
    experiences,
    load_experiences,
)
from dreamflow.distill.salience import SIGNALS
from dreamflow.distill.spec import Salience
from dreamflow.errors import DreamflowError
from dreamflow.family import World
from dreamflow.files import write_atomic
from dreamflow.generation.catalog import Catalog
from dreamflow.generation.layout import Layout
from dreamflow.outcomes.generations import GradedAnswer
from dreamflow.settings import Settings
from dreamflow.tasks.outcomes import write_grades
from msgspec.structs import replace
from recorded import TASKS, Recorded

WEIGHTS = Salience().as_dict()


class Data(Recorded):
    """A data folder and its experiences."""

    def found(self, cycle=1, weights=WEIGHTS):
        return experiences(self.root, cycle, self.graded, weights)

    def rows(self, **options):
        return {row["gen_id"]: row for row in self.found(**options).rows}

    def write(self, cycle):
        write_atomic(experience_file(self.root, cycle), experience_lines(self.found(cycle).rows))


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)


# --- families ---------------------------------------------------------------------------------------------------------


def test_a_graded_answer_is_an_experience_with_pointers_to_all_that_made_it(data):
    data.answer("a1", score=0.0)
    row = data.rows()["a1"]
    told = {key: row[key] for key in ("stage", "metadata", "verified_by", "outcome", "passed", "why", "model_id")}
    assert told == {
        "stage": "answer",
        "metadata": "gens/answer/a1/metadata.json",
        "verified_by": "grader",
        "outcome": 0.0,
        "passed": False,
        "why": "so it is",
        "model_id": "small",
    }
    task = TASKS[0]
    assert [row[key] for key in ("kind", "context", "group", "task_id")] == [
        task[key] for key in ("kind", "context", "group", "task_id")
    ]
    assert (row["tokens"], row["cost_usd"], row["latency_s"]) == (100, 0.0, 1.5)
    assert (data.root / row["metadata"]).is_file()


def test_an_essay_is_as_good_as_its_judges_say_each_on_its_scale(data):
    data.add("draft", "d1", "Combine these.")
    data.add("essay", "e1", "Write about it.", parents=["d1"], model_id="writer", template_id="long")
    data.evaluation("v1", "e1", 9.0)
    data.evaluation("v2", "e1", 2.0, "other", parser_options={"scale": [1, 5]})
    rows = data.rows()
    assert list(rows) == ["e1"]  # the draft was not judged
    row = rows["e1"]
    assert (row["outcome"], row["passed"], row["verified_by"]) == (0.625, None, "judge")
    assert (row["model_id"], row["kind"], row["context"]) == ("writer", "essay", "long")
    assert row["evidence"] == [f"gens/evaluation/{name}/metadata.json" for name in ("v1", "v2")]
    assert row["conflict"] == 0.75  # 1 and .25 are .375 from their mean
    assert row["why"] == "2 evaluation(s) by judge, other"


def test_what_judges_say_of_a_copy_is_said_of_the_draft(data):
    data.add("draft", "d1", "Combine these.", model_id="writer")
    copy = {"mode": "copy", "model_id": None, "prompt_sha256": None, "usage": {}, "created_at": None}
    data.add("essay", "e1", parents=["d1"], **copy)
    data.evaluation("v1", "e1", 4.5)
    data.evaluation("v2", "d1", 0.0)
    row = data.rows()["d1"]
    assert (row["outcome"], row["kind"], row["model_id"]) == (0.25, "draft", "writer")


def test_a_variant_is_as_good_as_it_behaves(data):
    data.variant("p_same", "equivalent")
    data.variant("p_other", "differs", agreeing=6)
    data.variant("p_dead", "runtime", agreeing=7)
    data.variant("p_later", "timeout", night="demo/cycle-2")
    data.variant("p_later", "equivalent", night="demo/cycle-10")
    data.variant("p_none", "untested")
    data.variant("p_unfit", None)
    found = data.found()
    told = {row["gen_id"]: (row["outcome"], row["passed"]) for row in found.rows}
    assert told == {
        "p_same": (1.0, True),
        "p_other": (0.75, None),
        "p_dead": (0.0, False),
        "p_later": (1.0, True),  # the last night's test counts
    }
    assert found.left_out == {"variant: not tested": 2}
    assert {row["context"] for row in found.rows} == {"relax"}
    later = next(row for row in found.rows if row["gen_id"] == "p_later")
    assert later["evidence"] == ["dreams/demo/cycle-10/tests/p_later.json"]


def test_an_operator_without_a_model_costs_nothing_and_meets_nothing(data):
    local = {"model_id": None, "usage": {}, "cost_usd": None, "latency_s": None, "created_at": None}
    for name in ("p_1", "p_2"):
        data.variant(name, "equivalent", mode="local", **local)
    for row in data.rows().values():
        assert [row[key] for key in ("tokens", "cost_usd", "novelty", "arousal", "conflict")] == [None] * 5
        assert 0 < row["salience"] < 1


def test_a_chunking_is_as_good_as_it_needed_no_repair(data):
    level = {"wildcards": {"quality_level": "good"}}
    data.add("chunk", "c_1", "Units.", parsed={"validity": 0.75, "warnings": ["out of order"]}, **level)
    data.add("chunk", "c_2", "More units.", status="failed", reason="unparsable: no JSON", **level)
    data.add("chunk", "c_3", "Others.", status="pending", **level)
    found = data.found()
    assert [(row["outcome"], row["passed"], row["why"]) for row in found.rows] == [
        (0.75, True, "read with 1 repair(s)"),
        (0.0, False, "rules stood in: unparsable: no JSON"),
    ]
    assert found.left_out == {"chunk: pending": 1}


def test_what_is_torn_foreign_or_not_verified_is_left_out_and_counted(data):
    (data.answer("a_torn") / "metadata.json").write_text('{"gen_id": "a_t')
    (data.answer("a_gone") / "metadata.json").unlink()
    (data.answer("a_copied") / "metadata.json").write_text(
        (data.answer("a_right") / "metadata.json").read_text()  # another generation's folder, renamed
    )
    data.answer("a_code", passed=None, score=None)
    data.answer("a_skipped", status="skipped")
    data.add("answer", "a_unknown", "never graded")
    (data.add("evaluation", "v_foreign") / "metadata.json").write_text('{"gen_id": "v_foreign", "stage": "evaluation"}')
    data.evaluation("v_lost", "e_gone", 3.0)
    data.evaluation("v_failed", "e_gone", None, status="failed", parsed={})
    write_atomic(data.root / "dreams/demo/cycle-1/tests/torn.json", '{"p_1": ')
    found = data.found()
    assert [row["gen_id"] for row in found.rows] == ["a_right"]
    assert found.left_out == {
        "answer: no readable metadata.json": 2,
        "answer: made by another program": 1,
        "answer: not graded": 1,
        "answer: skipped": 1,
        "evaluation: made by another program": 1,
        "evaluation: the judged text is missing": 1,
        "evaluation: without a score": 1,
        "variant: unreadable tests": 1,
    }


def test_nothing_there_is_no_experience(data):
    assert data.found().rows == []


# --- signals ----------------------------------------------------------------------------------------------------------


def test_expectation_and_surprise_follow_the_outcomes_in_the_order_of_time(data):
    for number, score in enumerate([1.0, 1.0, 0.0]):
        data.answer(f"a{9 - number}", score=score)  # ids say nothing of time
    data.answer("b1", score=0.0, model_id="other")
    data.answer("c1", TASKS[3], score=0.0)
    rows = data.found().rows
    assert [row["gen_id"] for row in rows] == ["a9", "a8", "a7", "b1", "c1"]
    assert [row["expected"] for row in rows] == [0.5, pytest.approx(2 / 3, abs=1e-6), 0.75, 0.5, 0.5]
    assert rows[2]["surprise"] == 0.75 and rows[2]["reward"] == 0.0


def test_surprise_comes_from_token_probabilities_where_a_provider_reports_them(data):
    usage = {"prompt_tokens": 90, "completion_tokens": 4, "logprob": 4 * log(0.2)}
    data.answer("a1", usage=usage)
    data.answer("a2", usage={**usage, "completion_tokens": 0})
    assert data.rows()["a1"]["surprise"] == pytest.approx(0.8)
    assert data.rows()["a2"]["surprise"] == pytest.approx(1 / 3, abs=1e-6)


def test_novelty_is_what_the_same_model_has_not_met(data):
    data.answer("a1", TASKS[0])
    data.answer("a2", TASKS[0])
    data.answer("a3", TASKS[0], model_id="other")
    data.answer("a4", TASKS[3])
    rows = data.rows()
    assert [rows[name]["novelty"] for name in ("a1", "a2", "a3")] == [1.0, 0.0, 1.0]
    assert 0.5 < rows["a4"]["novelty"] < 1


def test_a_teachers_worked_examples_make_its_task_no_newer(data):
    data.answer("a1", TASKS[0])
    write_atomic(data.answer("a2", TASKS[0]) / "prompt.txt", "Task: look at this.\n\nAnswer: yes.")
    assert data.rows()["a2"]["novelty"] == 0.0


def test_arousal_is_stakes_and_the_rank_of_the_cost(data):
    data.answer("a1", {**TASKS[0], "stakes": 1.0}, usage={"prompt_tokens": 5, "completion_tokens": 5})
    data.answer("a2", usage={"prompt_tokens": 500, "completion_tokens": 5})
    data.answer("a3", usage={"prompt_tokens": 50, "completion_tokens": 5}, cost_usd=0.01)
    assert [row["arousal"] for row in data.rows().values()] == [0.5, 0.5, 1.0]
    data.answer("a4", usage={"prompt_tokens": 600, "completion_tokens": 5}, cost_usd=None)  # no price: tokens decide
    ranks = [pytest.approx(value, abs=1e-6) for value in (0.5, 2 / 3, 1 / 3, 1.0)]
    assert [row["arousal"] for row in data.rows().values()] == ranks


def attempt(name):
    return {"sample": 0, "response_key": name, "response": f"store/{name}.json", "error": None}


def test_a_cost_counts_all_answers_that_were_drawn(data):
    attempts = []
    for name in ("one", "two"):
        record = {
            **{"schema_version": 1, "response": {"text": "A", "usage": {"prompt_tokens": 90, "completion_tokens": 10}}},
            "request": {
                "model": {"model_id": "small", "provider": "openai", "name": "m", "revision": ""},
                **{"messages": [], "sampling": {}, "response_format": None, "sample": 0},
            },
            "asked": {
                **{"gen_id": "a1", "stage": "answer", "cohort_id": "", "at": "2026-01-01T00:00:00+00:00"},
                **{"latency_s": 2.0, "attempts": [], "price": None, "cost_usd": 0.25},
            },
        }
        write_atomic(data.root / "store/responses" / name[:2] / f"{name}.json", json.dumps(record))
        attempts.append(attempt(name))
    data.answer("a1", attempts=attempts, cost_usd=0.25)
    data.answer("a2", attempts=[*attempts, attempt("lost")], cost_usd=0.25)
    rows = data.rows()
    assert (rows["a1"]["tokens"], rows["a1"]["cost_usd"], rows["a1"]["latency_s"]) == (200, 0.5, 4.0)
    assert (rows["a2"]["tokens"], rows["a2"]["cost_usd"]) == (100, 0.25)


def test_conflict_is_between_samples_of_one_question_by_one_model(data):
    for number, score in enumerate([1.0, 0.0]):
        data.answer(f"a{number}", TASKS[0], score)
    data.answer("a2", TASKS[1])
    data.answer("a3", TASKS[0], model_id="other")
    assert [row["conflict"] for row in data.rows().values()] == [1.0, 1.0, None, None]


def test_salience_is_weighted_as_configured(data):
    data.answer("a1")
    assert data.rows(weights=dict.fromkeys(SIGNALS, 0) | {"surprise": 1})["a1"]["salience"] == 0.5
    # surprise .5, novelty 1, reward 1; a single answer has neither a rank nor another to disagree with
    assert data.rows()["a1"]["salience"] == pytest.approx((0.25 * 0.5 + 0.2 + 0.2) / 0.65, abs=1e-6)


# --- cycles -----------------------------------------------------------------------------------------------------------


def test_a_cycle_has_what_no_earlier_one_has_and_remembers_what_came_before(data):
    data.answer("a1", score=0.0)
    data.answer("a2", score=0.0)
    data.write(1)
    first = experience_file(data.root, 1).read_text()
    data.answer("a3", TASKS[0], score=1.0)
    found = data.found(2)
    assert [row["gen_id"] for row in found.rows] == ["a3"]
    assert found.left_out == {"in an earlier cycle": 2}
    assert (found.rows[0]["cycle"], found.rows[0]["expected"], found.rows[0]["novelty"]) == (2, 0.25, 0.0)
    data.write(2)
    assert [row["gen_id"] for row in load_experiences(data.root, 2)] == ["a1", "a2", "a3"]
    assert experience_file(data.root, 1).read_text() == first


def test_an_answer_drawn_anew_is_another_experience(data):
    data.answer("a1")
    data.write(1)
    data.answer("a1", response_key="another")
    assert [row["gen_id"] for row in data.found(2).rows] == ["a1"]


def test_prompts_of_an_earlier_cycle_are_met_even_without_their_grades(data):
    data.answer("a1")
    data.write(1)
    data.graded.clear()
    data.answer("a2")
    assert data.found(2).rows[0]["novelty"] == 0.0


def test_answers_that_are_no_longer_planned_are_experiences_too(data):
    data.answer("a1", TASKS[0])
    data.answer("a2", TASKS[0])
    grades, path = data.root / "probes/night/grades.jsonl", experience_file(data.root, 1)
    write_grades(grades, [graded.outcome for graded in data.graded.values()])
    world = World(Settings(), Layout(data.root), {}, Catalog(data.root, {}))
    assert collect_experiences(world, 1, [], str(path)) == f"2 experiences: {path}"
    assert [row["novelty"] for row in load_experiences(data.root, 1)] == [1.0, 0.0]  # the prompts are in their files


def test_the_same_files_give_the_same_bytes_in_any_order_of_grades(data):
    for number, task in enumerate(TASKS):
        data.answer(f"a{number}", task, number % 2)
    text = experience_lines(data.found().rows)
    data.graded = dict(reversed(data.graded.items()))
    assert experience_lines(data.found().rows) == text
    assert str(data.root) not in text


def test_lines_survive_what_breaks_lines_elsewhere(data):
    data.answer("a1")
    outcome = replace(data.graded["a1"].outcome, why="a\u2028line\x85of\x0bits own")
    data.graded["a1"] = GradedAnswer(outcome, TASKS[0]["prompt"])
    data.write(1)
    assert load_experiences(data.root, 1) == data.found().rows


@pytest.mark.parametrize("line", ['{"experience_id": ', "[]", '{"experience_id": "x"}'])
def test_a_torn_file_of_an_earlier_cycle_is_named(data, line):
    data.answer("a1")
    data.write(1)
    with experience_file(data.root, 1).open("a") as stream:
        stream.write(line)
    with pytest.raises(DreamflowError, match=r"cycle-1\.jsonl:2: not an experience; delete the file"):
        data.found(2)
