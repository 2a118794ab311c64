"""The probes of a night: which models are asked what, and how the plan learns of it."""

import json

import pytest
from dreamflow.files import write_atomic
from dreamflow.plan import compile_plan
from project import Project

SERVED = {"provider": "openai", "name": "m", "base_url": "http://127.0.0.1:1", "context_length": 8192}
TASKS = [
    {
        **{"task_id": f"capital-{n}", "kind": "facts", "context": "notes", "group": "facts.base.base-capitals"},
        **{"prompt": f"What is the capital of country {n}?", "grader": {"name": "exact"}, "answer": f"City {n}"},
    }
    for n in range(3)
]
SETTINGS = {"minimum_evidence": 5, "atp_value": 0.01, "evidence": ["exact"]}
TASKS_FILE = "data/probes/night-1/tasks.jsonl"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two models that can answer, one without its key, a person; a probe of one of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DREAMFLOW_NO_KEY", raising=False)
    models = {
        **{"small": SERVED, "big": SERVED, "colleague": {"provider": "human"}},
        "remote": {**SERVED, "api_key_env": "DREAMFLOW_NO_KEY"},
    }
    project = Project(tmp_path, models, {})
    asked = {"samples": 3, "by_kind": {"code": {"max_tokens": 99}}}
    tasks = {"base": False, "generate": {"facts": 2}}
    project.write("config/probes/all.yaml", {"models": ["small", "colleague"], "tasks": tasks, "asked": asked})
    project.write("data/1_raw/templates/answer/plain-v1.txt", "{{ prompt }}")
    project.write("data/1_raw/probe/base.jsonl", "".join(json.dumps(task) + "\n" for task in TASKS))
    return project


def planned(most=24, **config):
    return compile_plan({"probes": ["all"], "night": {"probes": most}, **config})


def chosen(project, plan, number=1):
    """The lines of the night's probe."""
    probe = plan.families["probe"]
    path = f"data/probes/night-{number}/tasks.jsonl"
    probe.write_night_tasks(path)
    return [json.loads(line) for line in (project.root / path).read_text().splitlines()]


def cell(model_id, context, alpha, beta, evidence="exact"):
    row = {"model_id": model_id, "context": context, "evidence": evidence, "alpha": alpha, "beta": beta}
    return {**row, "n": alpha + beta, "mean": alpha / (alpha + beta), "low": 0.0, "high": 1.0}


def table(project, cells, verify=()):
    content = {
        **{"schema_version": 1, "cycle": 1, "state": {"name": "wake", "budget_atp": 100, "multiplier": 1.0}},
        **{"settings": SETTINGS, "models": {}, "cells": cells, "verify": list(verify)},
    }
    project.write("data/trust/cycle-1/routing.json", json.dumps(content))


def test_models_that_can_answer_are_asked_evenly_without_evidence(project):
    plan = planned(most=28, trust={"contexts": {"by": ["kind"]}})
    lines = chosen(project, plan)
    counts = {}
    for line in lines:
        key = (line["model_id"], line["context"])
        counts[key] = counts.get(key, 0) + 1
        assert line["context"] == line["task"]["kind"]
    assert {model for model, _ in counts} == {"small", "big"}
    assert set(counts.values()) == {2} and len(counts) == 14


def test_a_night_asks_each_model_as_its_probe_does_and_once(project):
    lines = chosen(project, planned())
    small = next(line for line in lines if line["model_id"] == "small")
    assert small["asked"]["by_kind"] == {"code": {"max_tokens": 99}} and small["asked"]["samples"] == 1
    models = [line["model_id"] for line in lines]
    assert models == sorted(models, reverse=True)  # those of a model together


def test_the_answers_follow_from_the_file_and_do_not_change_what_is_asked(project):
    plan = planned()
    assert not plan.deferred()
    lines = chosen(project, plan)
    rows = plan.deferred()
    assert sorted((row.model.model_id, row.wildcards["task_id"]) for row in rows.values()) == sorted(
        (line["model_id"], line["task"]["task_id"]) for line in lines
    )
    assert {plan.world.origin[gen_id] for gen_id in rows} == {"night-1"}
    assert len(plan.families["probe"].answer_files("night-1")) == 2 * len(rows)
    table(project, [cell("small", "facts/novel", 100, 1)])
    assert planned().deferred() == rows


def test_a_task_is_asked_once_of_a_model(project):
    generated = {row.wildcards["task_id"] for row in planned().world.generations.values()}
    project.write("data/probes/old/grades.jsonl", '{"model_id": "small", "task_id": "capital-0", "gen_id": "a_1"}\n')
    project.write("data/distill/a/cycle-1/grades/x.jsonl", '{"model_id": "small", "task_id": "capital-1"}\n')
    project.write(
        "data/probes/night-1/grades.jsonl", '{"model_id": "small", "task_id": "capital-2", "gen_id": "a_2"}\n'
    )
    lines = chosen(project, planned(most=200))
    asked = {
        model: {line["task"]["task_id"] for line in lines if line["model_id"] == model} for model in ("small", "big")
    }
    assert asked["small"].isdisjoint({"capital-0", "capital-1", *generated})
    assert {"capital-0", "capital-1", "capital-2"} <= asked["big"]
    assert "capital-2" in asked["small"]  # graded in this very night
    assert {"a_1", "a_2"} & planned().families["probe"].referenced() == {"a_2"}


def test_evidence_decides_and_surprises_come_first(project):
    config = {"trust": {"contexts": {"by": ["kind"]}}}
    known = [cell(model, kind, 50, 50) for model in ("small", "big") for kind in KINDS if kind != "facts"]
    table(project, [*known, cell("small", "facts", 2, 1), cell("big", "facts", 50, 50)])
    lines = chosen(project, planned(most=3, **config))
    assert [(line["model_id"], line["context"]) for line in lines] == [("small", "facts")] * 3
    assert lines[0]["why"].startswith("Beta(2.0, 1.0)") and lines[0]["information"] > lines[1]["information"] > 0
    table(
        project, [*known, cell("small", "facts", 2, 1)], [{"model_id": "big", "context": "code", "evidence": "exact"}]
    )
    lines = chosen(project, planned(most=5, **config))
    assert [(line["model_id"], line["context"]) for line in lines if line["why"].startswith("to verify")] == [
        ("big", "code")
    ] * 4
    table(project, [cell("small", "facts", 500, 500, "judged")])  # another class tells nothing of exact grades
    assert {line["why"][:14] for line in chosen(project, planned(most=14, **config))} == {"Beta(1.0, 1.0)"}


def test_contexts_in_which_models_are_chosen_come_first(project):
    choice = {"generation": "a_1", "model_id": "small", "propensity": 1.0, "context": "format", "evidence": "exact"}
    line = json.dumps({**choice, "cycle": 1, "state": "wake", "why": "because"}) + "\n"
    project.write("data/trust/choices.jsonl", 20 * line)
    lines = chosen(project, planned(most=4, trust={"contexts": {"by": ["kind"]}}))
    assert [line["context"] for line in lines] == ["format"] * 4


KINDS = ("extraction", "arithmetic", "format", "classification", "code", "facts", "knowledge")


def test_a_dry_run_shows_what_the_night_would_ask(project):
    plan = planned(most=6)
    probe = plan.families["probe"]
    assert probe.preview() == ({}, "")
    assert probe.want_night("night-1") and not probe.want_night("all")
    rows, text = probe.preview()
    assert len(rows) == 6 and text.startswith("night 1: 6 probes: small ")
    chosen(project, plan)
    assert probe.preview() == ({}, "")


def test_it_is_the_probe_of_the_open_night_or_the_last_one(project, monkeypatch):
    name = lambda: planned().families["probe"].targets("night_probes")[0].split("/")[2]  # noqa: E731
    assert name() == "night-1"
    monkeypatch.setenv("DREAMFLOW_NIGHT", "next")
    assert name() == "night-1"
    monkeypatch.delenv("DREAMFLOW_NIGHT")
    for number in (1, 2):
        project.write(f"data/nights/{number}/night.json", "{}")
    project.write("data/nights/1/journal.md", "")
    first = chosen(project, planned(), 2)
    assert name() == "night-2"
    project.write("data/nights/2/journal.md", "")
    assert name() == "night-2"
    monkeypatch.setenv("DREAMFLOW_NIGHT", "next")
    assert name() == "night-3"
    assert {line["task"]["task_id"] for line in chosen(project, planned(), 3)} != {
        line["task"]["task_id"] for line in first
    }


def test_without_models_or_tasks_there_are_no_probes(project):
    project.write("config/models.yaml", {"models": {"colleague": {"provider": "human"}}})
    plan = compile_plan({})
    assert chosen(project, plan) == [] and plan.deferred() == {}
    assert "no model can answer probes here" in plan.families["probe"].write_night_tasks(TASKS_FILE)
    plan.families["probe"].write_grades("night-1", "data/probes/night-1/grades.jsonl")
    plan.families["probe"].report("night-1", "data/probes/night-1/grades.jsonl")
    assert (project.root / "data/probes/night-1/report.md").exists()
    assert chosen(project, planned(most=0)) == []


def test_a_model_that_is_gone_is_asked_nothing(project):
    chosen(project, planned())
    project.write("config/models.yaml", {"models": {"big": SERVED, "colleague": {"provider": "human"}}})
    project.write("config/probes/all.yaml", {"models": ["big"], "tasks": {"base": False, "generate": {"facts": 2}}})
    assert {row.model.model_id for row in planned().deferred().values()} == {"big"}


def test_a_probe_cannot_have_the_name_of_a_nights(project):
    project.write("config/probes/night-3.yaml", {"models": ["big"]})
    (problem,) = compile_plan({"probes": ["night-3"]}).problems
    assert "'night-3' is the name of a night's probe" in problem and "probes[0]" in problem


def test_a_damaged_file_is_an_error_that_names_it(project):
    write_atomic(TASKS_FILE, '{"model_id": "big"}\n')
    with pytest.raises(Exception, match=r"night-1/tasks\.jsonl: damaged"):
        planned().deferred()
