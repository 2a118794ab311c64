"""What `prune` keeps, what `retry_failed` draws again, and which missing keys are shown, where only files make
generations known."""

import json

import pytest
from dreamflow.family import Family
from dreamflow.files import write_atomic
from dreamflow.generation.make import REDRAW
from dreamflow.plan import Plan, compile_plan
from dreamflow.run import Run
from dreamflow.upkeep import forget_failed, list_orphans, missing_keys, preview
from project import Project

RUN = "lesson/cycle-1"
CONFIG = {"distillations": ["lesson"]}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """A distillation whose student was exported; its teacher needs a key."""
    monkeypatch.chdir(tmp_path)
    student = {"provider": "llama_cpp", "name": "small.gguf", "context_length": 1024}
    teacher = {"provider": "replay", "name": "teacher.jsonl", "api_key_env": "TEACHER_KEY"}
    project = Project(tmp_path, {"small": student, "large": teacher}, {})
    project.write("small.gguf", "weights")
    project.write(
        "config/distillations/lesson.yaml",
        {
            "student": {"model": "small"},
            "teacher": {"model": "large"},
            "tasks": {"base": False, "generate": {"facts": 40}},
            "replay": {"kinds": ["facts"], "size": 20, "held_out_size": 10},
        },
    )
    project.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
    return project


def export(plan: Plan) -> list[str]:
    """Write what the jobs until the exported student leave; returns the ids of its answers."""
    distill = plan.families["distill"]
    folder = plan.world.layout.root / "distill" / RUN
    tasks = [task for task in distill.runs[RUN].tasks.values() if distill.runs[RUN].splits[task["group"]] == "held_out"]
    write_atomic(folder / "held_out.jsonl", "".join(json.dumps(task) + "\n" for task in tasks[:5]))
    write_atomic(folder / "export/adapter.gguf", "adapter")
    distill.write_exported(RUN, f"{folder}/exported_answers.jsonl")
    return list(distill.answers(RUN, "exported"))


def make(plan: Plan, gen_id: str, status: str) -> str:
    """Write a generation; returns its metadata.json."""
    path = plan.world.layout.metadata("answer", gen_id)
    write_atomic(path, json.dumps({"gen_id": gen_id, "stage": "answer", "status": status}))
    return path


def test_prune_keeps_the_answers_of_an_exported_student(project):
    plan = compile_plan(CONFIG)
    answers = [make(plan, gen_id, "ok") for gen_id in export(plan)]
    stranger = project.root / make(plan, "a_stranger", "ok")
    list_orphans(compile_plan(CONFIG), remove=True)
    assert all((project.root / path).exists() for path in answers) and not stranger.exists()


def test_prune_keeps_graded_answers_of_a_distillation_that_is_not_configured_now(project):
    plan = compile_plan(CONFIG)
    answers = [make(plan, gen_id, "ok") for gen_id in export(plan)]
    grades = "".join(json.dumps({"gen_id": path.split("/")[-2]}) + "\n" for path in answers[1:])
    write_atomic(f"data/distill/{RUN}/grades/exported.jsonl", grades)
    list_orphans(compile_plan({}), remove=True)
    assert [(project.root / path).exists() for path in answers] == [False, True, True, True, True]


def test_failed_answers_are_drawn_again_whether_planned_or_deferred(project):
    plan = compile_plan(CONFIG)
    deferred, planned = export(plan)[0], next(iter(plan.families["distill"].practice[RUN]))
    failed = [make(plan, gen_id, "failed") for gen_id in (deferred, planned)]
    forget_failed(compile_plan(CONFIG), "data/forgotten.txt")
    folders = [(project.root / path).parent for path in failed]
    assert all((folder / REDRAW).exists() and not (folder / "metadata.json").exists() for folder in folders)
    assert {*failed} <= {*Run(CONFIG, lambda path: None).retry_targets()}


def test_the_missing_key_of_a_teacher_is_known_before_its_questions_are(project, monkeypatch):
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    plan = compile_plan(CONFIG)
    assert preview(plan) == ({}, [])
    plan.targets("distill")
    assert plan.families["distill"].want("teacher") and plan.families["distill"].want("exported")
    (line,) = missing_keys(plan, preview(plan)[0].values())
    assert line.startswith("environment variable TEACHER_KEY is not set: the ")


@pytest.mark.parametrize("forgotten", ["referenced", "preview"])
def test_a_family_with_deferred_generations_cannot_forget_what_comes_with_them(forgotten):
    doors = dict.fromkeys({"deferred", "referenced", "preview"} - {forgotten}, lambda self: ())
    with pytest.raises(TypeError, match=rf"Tomorrow has deferred generations, so it must define {forgotten}\(\)"):
        type("Tomorrow", (Family,), doors)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_metadata_is_no_failed_generation(project, content):
    plan = compile_plan(CONFIG)
    path = make(plan, next(iter(plan.generations)), "failed")
    write_atomic(path, content)
    forget_failed(plan, "forgotten.txt")
    assert project.read("forgotten.txt") == ""
