"""What a plan knows of a distillation: at the start, from the files that its jobs write, and in a dry run; and whether
an exported student goes to work."""

import json

import pytest
from dreamflow.distill.compile import replay_counts
from dreamflow.errors import DreamflowError
from dreamflow.files import write_atomic
from dreamflow.plan import compile_plan
from dreamflow.tasks.outcomes import Outcome, write_grades
from project import Project

RUN = "lesson/cycle-1"
COUNTS = {"extraction": 60, "facts": 40}
STUDENT = {"provider": "llama_cpp", "name": "small.gguf", "context_length": 1024}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A student whose model file is a few bytes: planning reads no more of it."""
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, {"small": STUDENT}, {})
    project.write("small.gguf", "weights")
    project.write(
        "config/distillations/lesson.yaml",
        {
            "student": {"model": "small"},
            "teacher": {"model": "small", "samples": 2},
            "tasks": {"base": False, "generate": COUNTS},
            "replay": {"kinds": ["extraction"], "size": 20, "held_out_size": 10},
        },
    )
    project.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
    return project


def planned():
    return compile_plan({"distillations": ["lesson"]})


def held_out(plan):
    """Five tasks that the student is only measured on."""
    run = plan.families["distill"].runs[RUN]
    return [task for task in run.tasks.values() if run.splits[task["group"]] == "held_out"][:5]


def export(project, plan, adapter="adapter"):
    """Write what the jobs until the exported student leave, as far as the plan reads it."""
    folder = project.root / "data/distill" / RUN
    write_atomic(folder / "held_out.jsonl", "".join(json.dumps(task) + "\n" for task in held_out(plan)))
    write_atomic(folder / "export/adapter.gguf", adapter)
    plan.families["distill"].write_exported(RUN, f"{folder}/exported_answers.jsonl")


def exported(plan):
    return {gen_id: row for gen_id, row in plan.generations.items() if row.model.model_id == "small-lesson-c1"}


def test_the_exported_students_answers_are_planned_when_it_is_there(project):
    plan = planned()
    assert not exported(plan)
    export(project, plan)
    rows = exported(plan)
    assert [row.wildcards["task_id"] for row in rows.values()] == [task["task_id"] for task in held_out(plan)]
    assert all(row.model.lora for row in rows.values())
    assert plan.models["small-lesson-c1"].lora == f"data/distill/{RUN}/export/adapter.gguf"
    assert exported(planned()) == rows  # a process of its own finds the same


def test_another_adapter_makes_other_answers_of_the_same_ids(project):
    plan = planned()
    export(project, plan)
    before = exported(plan)
    export(project, plan, "another adapter")
    after = exported(plan)
    assert before.keys() == after.keys()
    assert all(before[gen_id].model.lora != after[gen_id].model.lora for gen_id in before)


def test_an_export_that_was_deleted_plans_nothing(project):
    export(project, planned())
    (project.root / "data/distill" / RUN / "export/adapter.gguf").unlink()
    assert not exported(planned())


def test_a_teachers_answers_follow_from_the_replay_set(project):
    plan = planned()
    task = next(iter(plan.families["distill"].runs[RUN].tasks.values()))
    rows = [{"role": "target", "task": task}, {"role": "general", "task": held_out(plan)[0]}]
    path = project.root / "data/distill" / RUN / "replay.jsonl"
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
    teacher = [row for row in plan.deferred().values() if row.turns]
    assert [row.wildcards["task_id"] for row in teacher] == [task["task_id"]] * 2
    assert {plan.world.origin[row.gen_id] for row in teacher} == {RUN}


def test_answers_that_a_report_needs_are_kept(project):
    grades = project.root / "data/distill/gone/cycle-3/grades/exported.jsonl"
    write_atomic(grades, json.dumps({"gen_id": "a_graded"}) + "\n")
    write_atomic(project.root / "data/experiences/cycle-2.jsonl", json.dumps({"gen_id": "d_met"}) + "\n")
    assert {"a_graded", "d_met"} <= planned().referenced()


def test_only_a_wanted_distillation_is_previewed_and_only_what_is_not_known(project):
    plan = planned()
    assert plan.families["distill"].preview() == ({}, "")
    assert plan.families["distill"].want("teacher")
    assert len(plan.families["distill"].preview()[0]) == 2 * 16
    assert plan.families["distill"].want("exported")
    rows, _ = plan.families["distill"].preview()
    students = [row for row in rows.values() if row.model.model_id == "small-lesson-c1"]
    assert (len(students), len(rows) - len(students)) == (10, 2 * 16)
    export(project, plan)
    write_atomic(project.root / "data/distill" / RUN / "replay.jsonl", "")
    assert plan.families["distill"].preview() == ({}, "")


def test_a_replay_set_has_as_many_tasks_as_the_forecast_counts():
    assert replay_counts(24, 0.1, 0.2) == {
        "train": {"target": 18, "general": 4},
        "validation": {"target": 2, "general": 0},
    }


def test_a_model_that_has_the_name_of_the_student_is_an_error(project):
    project.write("config/models.yaml", {"models": {"small": STUDENT, "small-lesson-c1": STUDENT}})
    (problem,) = planned().problems
    assert "belongs to another model" in problem
    assert "data/models/small-lesson-c1.yaml" in problem


# --- registration ---------------------------------------------------------------------------------------------------


def measure(project, plan, exported, reasons=()):
    """Write what validation and grades say of a student that solved four of five tasks where it was trained."""
    folder = project.root / "data/distill" / RUN
    rows = [
        {"set": "held_out", "student": "after", "task_id": task["task_id"], "kind": task["kind"], "passed": number < 4}
        for number, task in enumerate(held_out(plan))
    ]
    write_atomic(folder / "answers.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_atomic(folder / "gate.json", json.dumps({"deployed": not reasons, "reasons": list(reasons)}))
    graded = [
        Outcome(
            **{key: task[key] for key in ("task_id", "kind", "context", "group")},
            **{"model_id": "small-lesson-c1", "gen_id": f"a_{number}", "sample": 1, "why": "graded"},
            **{"score": float(number < exported), "passed": number < exported},
            **dict.fromkeys(("prompt_tokens", "completion_tokens", "latency_s", "cost_usd")),
        )
        for number, task in enumerate(held_out(plan))
    ]
    write_grades(folder / "grades/exported.jsonl", graded)


def register(project, plan):
    plan.families["distill"].register(RUN)
    return project.read(f"data/distill/{RUN}/exported.json")


def test_a_student_that_solves_as_much_at_work_is_registered(project):
    plan = planned()
    export(project, plan)
    measure(project, plan, exported=4)
    decided = register(project, plan)
    assert (decided["deployed"], decided["reasons"]) == (True, [])
    assert decided["registered"] == "data/models/small-lesson-c1.yaml"
    assert (decided["accuracy"]["agrees"], decided["accuracy"]["same"]) == (True, 5)
    later = planned()
    assert not later.problems
    assert later.world.models["small-lesson-c1"] == plan.models["small-lesson-c1"]


@pytest.mark.parametrize(
    ("exported", "reasons", "why"),
    [(0, [], "a different share of the held-out tasks"), (4, ["it forgot too much"], "it forgot too much")],
)
def test_a_student_is_taken_back(project, exported, reasons, why):
    plan = planned()
    export(project, plan)
    measure(project, plan, exported=4)
    register(project, plan)
    measure(project, plan, exported, reasons)
    decided = register(project, plan)
    assert not decided["deployed"] and why in decided["reasons"][0]
    assert "small-lesson-c1" not in planned().world.models


def test_a_student_that_was_not_exported_for_llama_cpp_is_not_registered(project):
    plan = planned()
    measure(project, plan, exported=4)
    decided = register(project, plan)
    assert decided["accuracy"] is None and not decided["deployed"]


def test_nothing_is_graded_while_an_answer_is_with_the_provider(project):
    distill = planned().families["distill"]
    for number, gen_id in enumerate(distill.answers(RUN, "practice")):
        status = "ok" if number else "pending"
        metadata = {"gen_id": gen_id, "stage": "answer", "status": status}
        write_atomic(f"data/gens/answer/{gen_id}/metadata.json", json.dumps(metadata))
    with pytest.raises(DreamflowError, match="1 of 46 practice answers are with the provider"):
        distill.write_grades(RUN, "practice", "grades.jsonl")
