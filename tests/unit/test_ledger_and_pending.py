"""The tables of the ledger, and the list of what waits for whom."""

import csv
import json

import pytest
from dreamflow.files import write_atomic
from dreamflow.generation.budgets import Budget, book_lost
from dreamflow.generation.layout import Layout
from dreamflow.generation.make import make_generation
from dreamflow.generation.store import book, database
from dreamflow.ledger_tables import FILES, write_ledger
from dreamflow.pending import pending_text
from dreamflow.run import Run
from project import Project

AXES = {"draft_template": ["plain"], "draft_llm": ["writer"], "essay_template": ["long"], "essay_llm": ["writer"]}
SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {**AXES, "evaluation_template": ["novelty"], "evaluation_llm": ["writer"]},
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}


def entry(**changes):
    """A row of the ledger."""
    fields = {
        **{"at": "2026-11-27T12:00:00+00:00", "key": "k", "gen_id": "d_1", "stage": "draft", "family": "cohorts"},
        **{"spec": "trial", "run": "1", "model_id": "writer", "sample": 0, "prompt_tokens": 100, "cached_tokens": 40},
        **{"completion_tokens": 10, "reasoning_tokens": 4, "estimated": 0, "cost_usd": 0.25, "latency_s": 1.0},
    }
    return {**fields, **changes}


def table(folder, name):
    with (folder / name).open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "data")


def booked(layout, *entries):
    for one in entries:
        scopes = [f"day:{one['at'][:10]}", "run:1"]
        database(layout.store).write(lambda connection, one=one, scopes=scopes: book(connection, [(one, scopes)]))


def test_the_ledger_by_day_model_stage_and_spec(layout):
    booked(
        layout,
        entry(),
        entry(stage="essay", model_id="judge", cost_usd=None, reasoning_tokens=None, cached_tokens=None),
        entry(at="2026-11-28T00:00:01+00:00", spec="other", estimated=1, batch="b_1", cache_write_tokens=7),
    )
    folder = layout.root / "reports/ledger"
    text = write_ledger(layout, [], folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    first, second = table(folder, "by_day.csv")
    assert (first["day"], first["calls"], first["prompt_tokens"], first["cost_usd"]) == (
        "2026-11-27",
        "2",
        "200",
        "0.25",
    )
    assert (first["unpriced_calls"], first["estimated_calls"], first["batch_calls"]) == ("1", "0", "0")
    assert (second["day"], second["estimated_calls"], second["batch_calls"]) == ("2026-11-28", "1", "1")
    assert second["cache_write_tokens"] == "7"
    judge, writer = table(folder, "by_model.csv")
    assert judge["model"] == "judge" and writer["cost_usd"] == "0.5"
    # What nobody reported is not zero.
    assert judge["cost_usd"] == judge["reasoning_tokens"] == judge["cached_tokens"] == ""
    assert [(row["stage"], row["calls"]) for row in table(folder, "by_stage.csv")] == [("draft", "2"), ("essay", "1")]
    specs = [(row["family"], row["spec"], row["calls"]) for row in table(folder, "by_spec.csv")]
    assert specs == [("cohorts", "other", "1"), ("cohorts", "trial", "2")]
    judge_line = next(line for line in text.splitlines() if line.startswith("judge"))
    assert judge_line.split() == ["judge", "1", "100", "?", "10", "?", "?", "0", "1"]
    assert next(line for line in text.splitlines() if line.startswith("total")).split()[1:3] == ["3", "300"]


def test_budgets_show_what_was_spent_and_what_is_left(layout):
    booked(layout, entry(), entry())
    reserve = "INSERT INTO reserved (scope, key, usd, tokens) VALUES ('cohorts:trial', 'batches', 0.25, 90)"
    database(layout.store).write(lambda connection: connection.execute(reserve))
    budgets = [
        Budget("run:1", "budgets.run", usd=2.0, tokens=200),
        Budget("cohorts:trial", "budgets.cohorts.trial", 1.0),
    ]
    text = write_ledger(layout, budgets, layout.root)
    rows = [tuple(row.values()) for row in table(layout.root, "budgets.csv")]
    assert rows == [
        ("run", "usd", "2.0", "0.5", "0", "1.5"),
        ("run", "tokens", "200", "220", "0", "0"),
        ("cohorts.trial", "usd", "1.0", "0", "0.25", "0.75"),
    ]
    assert "$0.50" in text and "220 tokens" in text


def test_calls_that_may_have_been_billed_are_listed_apart(layout):
    call = {"gen_id": "d_1", "model_id": "writer", "spec": "trial", "run": "1", "tokens": 900, "usd": 0.5, "scopes": []}
    database(layout.store).write(lambda connection: book_lost(connection, "k", call, "no answer in time"))
    text = write_ledger(layout, [], layout.root)
    (row,) = table(layout.root, "lost.csv")
    assert (row["gen_id"], row["tokens"], row["cost_usd"], row["reason"]) == ("d_1", "900", "0.5", "no answer in time")
    assert "1 call may have been billed although no answer came: at most 900 tokens and $0.5000" in text
    assert table(layout.root, "by_day.csv") == []


def test_the_ledger_of_an_earlier_version_counts(layout):
    line = {key: value for key, value in entry().items() if key not in ("spec", "family", "run", "key", "estimated")}
    write_atomic(layout.store / "ledger.jsonl", json.dumps({**line, "cohort_id": "old"}) + "\n")
    write_ledger(layout, [], layout.root)
    assert [(row["spec"], row["calls"]) for row in table(layout.root, "by_spec.csv")] == [("old", "1")]


def test_a_project_without_answers_has_empty_tables(layout):
    assert "The tables are in" in write_ledger(layout, [], layout.root)
    assert all(table(layout.root, name) == [] for name in FILES)
    assert not layout.store.exists()


# What waits.


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WRITER_KEY", raising=False)
    writer = {
        "provider": "openai",
        "name": "x",
        "base_url": "http://127.0.0.1:9/v1",
        "price": {"prompt": 1, "completion": 1},
    }
    return Project(tmp_path, {"writer": writer, "colleague": {"provider": "human"}}, SPEC)


def pending(**config):
    flow = Run({"cohorts": ["trial"], **config}, lambda path: None, dry=True)
    return flow, pending_text(flow.plan, flow.context, flow.freshness.is_stale)


def drafts(flow):
    return [row for row in flow.plan.generations.values() if row.stage == "draft"]


def test_nothing_waits(project):
    assert pending()[1].startswith("nothing waits")


def test_people_have_questions_to_answer(project):
    project.edit("config/cohorts/trial.yaml", axes={**SPEC["axes"], "draft_llm": ["colleague"]})
    flow, text = pending()
    assert text.startswith("nothing waits")
    first, second = drafts(flow)
    for row in (first, second):
        make_generation(row, flow.context, [])
    _, text = pending()
    assert "people: 2 questions to answer" in text and f"read data/inbox/{first.gen_id}.question.txt" in text
    project.write(f"data/inbox/{first.gen_id}.answer.txt", "Words.")
    assert "people: 1 question to answer" in pending()[1]


def test_batches_of_the_providers(project):
    batch = {"name": "writer-1", "model_id": "writer", "provider": "openai", "created": "2026-11-27T12:00:00+00:00"}
    items = {"d_1": {"key": "k", "gen_id": "d_1"}, "d_2": {"key": "l", "gen_id": "d_2"}}
    project.write("data/store/batches/writer-1.json", json.dumps({**batch, "items": items, "state": "submitted"}))
    _, text = pending()
    assert "providers: 2 questions in batches" in text
    assert "batches/writer-1.json: 2 of model writer, submitted, expires by 2026-11-28 12:00 UTC" in text


def test_why_the_last_tries_failed(project):
    flow, _ = pending()
    first, second = drafts(flow)
    over = "the budget budgets.day does not allow this call: $9 of $10 are spent and the call may cost $2"
    for row, reason in ((first, over), (second, "writer: 402: no credit is left")):
        write_atomic(flow.layout.log("draft", row.gen_id), f"draft {row.gen_id} (writer) was not made: {reason}\n")
    _, text = pending()
    assert "not made: 2 generations whose last try failed" in text
    assert "  1: the budget budgets.day allows no further call" in text
    assert "  1: writer: 402: no credit is left" in text


def test_a_budget_that_is_used_up(project):
    flow, _ = pending()
    booked(flow.layout, entry(cost_usd=5.0))
    _, text = pending(budgets={"cohorts": {"trial": {"usd": 5}}, "month": {"usd": 9}})
    assert text.startswith("nothing waits")
    database(flow.layout.store).write(lambda connection: book(connection, [(entry(cost_usd=5.0), ["cohorts:trial"])]))
    _, text = pending(budgets={"cohorts": {"trial": {"usd": 5}}, "month": {"usd": 9}})
    assert text == "budget cohorts.trial is used up: $5.00 of $5.00"


def test_missing_keys(project):
    models = project.read("config/models.yaml")["models"]
    models["writer"]["api_key_env"] = "WRITER_KEY"
    project.edit("config/models.yaml", models=models)
    assert "environment variable WRITER_KEY is not set" in pending()[1]


def test_an_answer_of_a_person_that_cannot_be_read_waits_for_its_correction(project):
    axes = {**SPEC["axes"], "draft_llm": ["colleague"], "draft_template": ["plain"]}
    project.edit("config/cohorts/trial.yaml", axes=axes)
    rows = [["plain", "in_last_line", "llm"], ["spare", "identity", "llm"]]
    project.rows("data/1_raw/draft_templates.csv", ["template_id", "parser", "generator"], rows)
    flow, _ = pending()
    first = drafts(flow)[0]
    project.write(f"data/inbox/{first.gen_id}.answer.txt", "No score here.")
    make_generation(first, flow.context, [])
    assert f"correct data/inbox/{first.gen_id}.answer.txt" in pending()[1]
