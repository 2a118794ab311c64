"""What a run knows of its own progress: answers in the store, budgets, and what cannot be made any more."""

import json
import shutil
from collections import Counter

import pytest
from dreamflow.run import Run
from project import Project
from trial import SPEC

DRAFT, ESSAY, EVALUATION = ("draft", "writer"), ("essay", "writer"), ("evaluation", "judge")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = {
        "Rate": "SCORE: 6\n",
        "What a is": "Of a.",
        "What c is": "Of c.",
        "Of a": "More on a.",
        "Of c": "More on c.",
    }
    lines = [{"contains": part, "text": text * 20} for part, text in texts.items()]
    answers = Project(tmp_path, {}, SPEC).write("answers.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    recorded = {"provider": "replay", "name": str(answers), "price": {"prompt": 3.0, "completion": 15.0}}
    return Project(tmp_path, {"writer": recorded, "judge": recorded}, SPEC)


def run(**config):
    """A run whose jobs need everything that is not there."""
    flow = Run({"cohorts": ["trial"], **config}, lambda path: None)
    flow.seen = dict.fromkeys(flow.plan.generations)
    flow.due = dict.fromkeys(filter(flow.is_stale, flow.seen))
    flow.display.to_call = flow.progress.to_call(map(flow.row, flow.due))
    flow.progress.look_up(flow.due)
    flow.display.stored = flow.display.find_stored()
    return flow


def test_of_an_interrupted_run_only_the_calls_that_remain_are_counted(project):
    flow = run()
    assert flow.display.calls_left() == {DRAFT: 2, ESSAY: 2, EVALUATION: 4}
    for gen_id in [gen_id for gen_id in flow.plan.generations if gen_id[0] in "de"]:
        flow.make(gen_id, "log")
    assert flow.display.calls_left() == {EVALUATION: 4}
    shutil.rmtree(project.root / "data/gens")
    again = run()
    assert again.display.stored == {DRAFT: 2, ESSAY: 2}
    assert again.display.calls_left() == {EVALUATION: 4}
    again.make(next(gen_id for gen_id in again.due if gen_id[0] == "d"), "log")
    assert again.display.counts["draft"]["from_store"] == 1
    assert again.display.calls_left() == {EVALUATION: 4}


def test_what_needs_a_draft_that_could_not_be_made_is_not_waited_for(project):
    flow = run()
    draft = next(row for row in map(flow.row, flow.due) if row.stage == "draft")
    flow.progress.count_not_made(draft, flow.due)
    assert flow.display.calls_left() == {DRAFT: 1, ESSAY: 1, EVALUATION: 2}
    assert flow.display.out_of_reach == 4


def test_only_budgets_that_can_end_the_run_are_shown(project):
    project.edit("config/models.yaml", models=project.read("config/models.yaml")["models"])
    budgets = {"run": {"usd": 1}, "tiers": {"good": {"usd": 2}}, "cohorts": {"trial": {"tokens": 500}}}
    assert [(use.key, use.unit) for use in run(budgets=budgets).display.budgets()] == [
        ("budgets.run", "usd"),
        ("budgets.cohorts.trial", "tokens"),
    ]


def test_equal_failures_are_one_with_a_count(project):
    flow = run()
    for name in ("d_0123456789", "d_9876543210"):
        flow.report(f"data/logs/draft/{name}.log", OSError(f"no answer to {name} after 12 s"))
    (problem,) = flow.problems.all()
    assert (problem.count, len(problem.places)) == (2, 2)
    assert Counter(line.split(":")[0] for line in flow.progress.ending(0))["2 times"] == 1
