"""`model: auto` in real runs: choices are written once, before the first call, and never by a dry run."""

import json
from pathlib import Path

import pytest
from project import REPOSITORY, Project

AUTO = {"auto": {"of": ["plain", "fine"]}}
SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {"draft_template": ["plain"], "draft_llm": ["auto"], "draft_replicate": [1, 2, 3, 4, 5, 6]},
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {**AUTO, "min_lines": 1}},
}
PROBE = {"tasks": {"base": False, "generate": {"facts": 4}}, "models": ["auto", "plain"], "asked": AUTO}
CELL = {"context": "*", "evidence": "exact", "n": 90, "low": 0, "high": 1}
TABLE = {
    "schema_version": 1,
    "cycle": 1,
    "state": {"name": "wake", "budget_atp": 100, "multiplier": 1.0},
    "settings": {"minimum_evidence": 5, "atp_value": 0.01, "evidence": ["exact"]},
    "models": {},
    "cells": [
        {**CELL, "model_id": "plain", "alpha": 1000, "beta": 9000, "mean": 0.1},
        {**CELL, "model_id": "fine", "alpha": 9000, "beta": 1000, "mean": 0.9},
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    models = {name: {"provider": "replay", "name": f"{name}.jsonl", "atp": 1} for name in ("plain", "fine")}
    made = Project(tmp_path, models, SPEC)
    made.write("config/config.yaml", {"cohorts": ["trial"], "probes": ["p"]})
    made.write("config/probes/p.yaml", PROBE)
    for name in models:
        made.write(f"{name}.jsonl", json.dumps({"text": f"An idea of {name}."}) + "\n")
    template = "data/1_raw/templates/answer/plain-v1.txt"
    made.write(template, (REPOSITORY / template).read_text())
    return made


def run(project: Project, *arguments: str) -> str:
    done = project.run("--cores", "2", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def results(project: Project, stage: str) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in project.root.glob(f"data/gens/{stage}/*/metadata.json")]
    return {result["gen_id"]: result for result in found}


def test_choices_are_written_once_and_stay(project: Project) -> None:
    choices = project.root / "data/trust/choices.jsonl"
    run(project, "-n")
    assert not choices.exists()
    run(project)
    first = choices.read_bytes()
    lines = [json.loads(line) for line in first.splitlines()]
    drafts = results(project, "draft")
    assert len(lines) == len({line["generation"] for line in lines}) == len(drafts) == 12  # no probe was requested
    assert {result["model_id"] for result in drafts.values()} == {"plain", "fine"}
    by_slot = {line["generation"]: line for line in lines}
    for result in drafts.values():
        line = by_slot[result["choice"]["slot"]]
        assert line["model_id"] == result["model_id"] == result["wildcards"]["draft_llm"]
        assert (result["choice"]["propensity"], result["choice"]["cycle"]) == (line["propensity"], 0)
        assert "no table yet" in result["choice"]["why"]
    # A rerun makes nothing; an edit and a new table keep the models.
    assert "Nothing to be done" in run(project)
    project.write("data/trust/cycle-1/routing.json", json.dumps(TABLE))
    project.write(
        "data/1_raw/templates/draft/plain.txt", "Join.\n{% for concept in concepts %}{{ concept.name }}\n{% endfor %}"
    )
    run(project)
    again = results(project, "draft")
    assert choices.read_bytes() == first
    assert {name: result["choice"] for name, result in again.items()} == {
        name: result["choice"] for name, result in drafts.items()
    }
    assert all(again[name]["prompt_sha256"] != drafts[name]["prompt_sha256"] for name in drafts)
    # The probe is chosen when a run needs it, and shares the answers of the model that is named too.
    with choices.open("ab") as stream:
        stream.write(b'{"generation": "d_torn')
    said = run(project, "probe")
    assert "the last line was cut off; it was removed" in said
    answers = results(project, "answer")
    assert {result["model_id"] for result in answers.values()} == {"plain", "fine"} and len(answers) == 8
    assert sum("choice" in result for result in answers.values()) == 4
    assert choices.read_bytes().startswith(first) and choices.read_bytes().count(b"\n") == 16
    # A new round chooses again, by the new table.
    project.edit("config/config.yaml", trust={"round": 2})
    run(project)
    newest = [json.loads(line) for line in choices.read_bytes().splitlines()[16:]]
    assert {(line["model_id"], line["round"], line["cycle"]) for line in newest} == {("fine", 2, 1)}
    assert len(newest) == 12


def test_shards_have_the_same_metadata(project: Project) -> None:
    run(project)
    alone = results(project, "draft")
    for path in project.root.glob("data/gens/draft/*/metadata.json"):
        path.unlink()
    project.edit("config/config.yaml", shards={"above": 0, "size": 5})
    run(project)
    assert results(project, "draft") == alone
