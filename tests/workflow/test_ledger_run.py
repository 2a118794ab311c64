"""`snakemake ledger` and `snakemake pending` after a real run."""

import csv
import json

import pytest
from project import Project

SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {
        "draft_template": ["plain"],
        "draft_llm": ["writer", "colleague"],
        "essay_template": ["kept"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["writer"],
    },
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}


@pytest.fixture
def project(tmp_path):
    writer = {"provider": "replay", "name": "answers.jsonl", "price": {"prompt": 1000, "completion": 1000}}
    project = Project(tmp_path, {"writer": writer, "colleague": {"provider": "human"}}, SPEC)
    answers = {"Rate": "SCORE: 6\n", "What a is": "Words.", "What c is": "Other words."}
    lines = (json.dumps({"contains": part, "text": text}) for part, text in answers.items())
    project.write("answers.jsonl", "\n".join(lines) + "\n")
    return project


def test_a_run_is_in_the_ledger_and_its_questions_to_people_are_pending(project):
    done = project.run("--cores", "1", "--config", "budget_usd=500")
    assert done.returncode == 0, done.stdout
    project.edit("config/config.yaml", budgets={"month": {"usd": 100}})
    shown = project.run("--cores", "1", "ledger")
    assert shown.returncode == 0, shown.stdout
    with (project.root / "data/reports/ledger/by_stage.csv").open() as stream:
        stages = {row["stage"]: row for row in csv.DictReader(stream)}
    made = [meta for meta in project.generations().values() if meta["status"] == "ok" and meta["mode"] == "llm"]
    costs = {stage: sum(meta["cost_usd"] for meta in made if meta["stage"] == stage) for stage in stages}
    assert costs.keys() == {"draft", "evaluation"} and min(costs.values()) > 0
    assert {stage: float(row["cost_usd"]) for stage, row in stages.items()} == pytest.approx(costs)
    assert {stage: row["calls"] for stage, row in stages.items()} == {"draft": "2", "evaluation": "2"}
    month = next(line for line in shown.stdout.splitlines() if line.startswith("month "))
    assert month.split()[1:3] == ["$100.00", f"${sum(costs.values()):.2f}"]
    waiting = project.run("--cores", "1", "pending")
    assert waiting.returncode == 0, waiting.stdout
    assert "people: 2 questions to answer" in waiting.stdout
