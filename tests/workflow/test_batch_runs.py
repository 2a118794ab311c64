"""Runs of a cohort whose models answer in batches: what is submitted, what is collected, and what it costs."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project
from server import Server, reply_lost
from trial import SPEC, answer, models


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of this test alone."""
    with Server(answer) as running:
        yield running


def project(server: Server, root: Path, kind: str = "openai", **config: object) -> Project:
    """A cohort of 2 drafts, 4 essays (2 of them copies) and 4 evaluations; every model answers in batches."""
    rows = models(server.url)
    for row in rows.values():
        row |= {"provider": kind, "service": "batch"}
    made = Project(root, rows, SPEC)
    made.edit("config/config.yaml", **config)
    return made


def statuses(made: Project) -> dict[str, list[str]]:
    """The sorted statuses of the generations of each stage."""
    return {stage: sorted(g["status"] for g in made.generations(stage).values()) for stage in SPEC_STAGES}


SPEC_STAGES = ("draft", "essay", "evaluation")
KEY = {"OPENAI_API_KEY": "sk-of-the-tests", "ANTHROPIC_API_KEY": "sk-of-the-tests"}


def run(made: Project, *arguments: str, code: int = 0) -> str:
    done = made.run(*arguments, **KEY)
    assert done.returncode == code, done.stdout
    return done.stdout


def ledger(made: Project) -> list[tuple[float, str | None]]:
    """(cost, batch) of the rows of the ledger."""
    with contextlib.closing(sqlite3.connect(made.root / "data/store/answers.sqlite")) as connection:
        return connection.execute("SELECT cost_usd, batch FROM ledger").fetchall()


def costs(made: Project) -> dict[str, float]:
    return {gen_id: g["cost_usd"] for gen_id, g in made.generations().items() if g["cost_usd"]}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_cohort_is_made_in_batches_over_several_runs(own, tmp_path, kind):
    made = project(own, tmp_path, kind)
    said = run(made)
    assert re.search(r"2 generations are with the provider \(writer: 2\): run again after a while", said)
    assert statuses(made) == {"draft": ["pending"] * 2, "essay": ["skipped"] * 4, "evaluation": ["skipped"] * 4}
    assert own.batches.billed == []

    said = run(made)  # the server ends a batch when it is looked at
    assert "2 answered" in said, said
    assert statuses(made)["draft"] == ["ok"] * 2
    assert statuses(made)["essay"] == ["ok"] * 2 + ["pending"] * 2
    assert statuses(made)["evaluation"] == ["pending"] * 2 + ["skipped"] * 2

    said = run(made)
    assert statuses(made)["evaluation"] == ["ok"] * 2 + ["pending"] * 2
    said = run(made)
    assert statuses(made) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": ["ok"] * 4}
    assert "with the provider" not in said
    assert own.calls == 0  # nothing went online
    asked = {gen_id for gen_id, each in made.generations().items() if each["mode"] == "llm"}
    assert sorted(own.batches.billed) == sorted(asked)  # each once, with its gen_id as the custom_id

    # Online instead, in a new folder: the same questions, and twice the price.
    before = made.generations()
    for name in ("writer", "second", "judge"):
        rows = made.read("config/models.yaml")
        rows["models"][name]["service"] = "online"
        made.write("config/models.yaml", rows)
    assert "Nothing to be done" in run(made)
    assert own.calls == 0
    other = Project(tmp_path / "other", made.read("config/models.yaml")["models"], SPEC)
    run(other)
    online = other.generations()
    assert {g: each["response_key"] for g, each in online.items()} == {g: e["response_key"] for g, e in before.items()}
    assert {g: c / 2 for g, c in costs(other).items()} == pytest.approx(costs(made))


def test_a_batch_in_progress_is_neither_submitted_again_nor_made_again(own, tmp_path):
    own.batches.polls = 3
    made = project(own, tmp_path)
    run(made)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/gens/*/*/*")}
    said = run(made, "-n")
    assert "2 generations are with the provider (writer: 2)" in said
    assert "providers: 2 questions in batches" in run(made, "pending")
    for _ in range(2):
        said = run(made)
        assert "0 of 2 questions are answered" in said
        assert "Nothing to be done" in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/gens/*/*/*")} == before
    assert len(own.batches.batches) == 1
    assert "2 answered" in run(made)


def test_expired_and_failed_questions_are_submitted_again_alone(own, tmp_path):
    made = project(own, tmp_path)
    run(made)
    own.batches.outcomes = ["ok", "expired"]
    said = run(made)
    assert "1 answered, 1 not answered and asked again" in said
    first, *_ = own.batches.batches.values()
    again = [batch for batch in own.batches.batches.values() if batch.id != first.id]
    drafts = set(made.generations("draft"))
    assert [item["custom_id"] for batch in again for item in batch.items if item["custom_id"] in drafts] == [
        first.items[1]["custom_id"]
    ]


def test_a_refused_question_is_told_and_the_rest_goes_on(own, tmp_path):
    made = project(own, tmp_path)
    run(made)
    own.batches.outcomes = ["errored", "ok"]
    said = run(made, "--keep-going", code=1)
    assert "1 answered, 1 refused" in said
    assert "was not made: openai: writer" in said
    assert "told to fail" in said
    assert [g["status"] for g in made.generations("draft").values()] == ["ok"]
    for _ in range(4):
        run(made)
    assert statuses(made) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": ["ok"] * 4}


def test_a_batch_whose_creation_was_not_confirmed_is_found_and_not_paid_twice(own, tmp_path):
    own.batch_script = [reply_lost]
    made = project(own, tmp_path)
    said = run(made)
    assert "It is not known whether the batch" in said
    assert "2 answered" in run(made)
    for _ in range(2):
        run(made)
    assert statuses(made)["evaluation"] == ["ok"] * 4
    assert len(own.batches.billed) == len(set(own.batches.billed)) == 8


def test_only_the_named_stages_answer_in_batches(own, tmp_path):
    rows = models(own.url)
    made = Project(tmp_path, rows, SPEC)
    made.edit("config/config.yaml", batch=["essay"])
    run(made)
    assert own.calls == 2 + 2  # the drafts, and the evaluations of the copied essays
    assert statuses(made)["essay"] == ["ok"] * 2 + ["pending"] * 2
    run(made)
    assert statuses(made)["evaluation"] == ["ok"] * 4
    assert own.calls == 6
    batches = [batch for _, batch in ledger(made)]
    assert len(batches) == 8
    assert batches.count(None) == 6
    made.edit("config/config.yaml", batch=["essays"])
    assert "unknown stage 'essays'; did you mean 'essay'?" in run(made, code=1)


def test_retry_failed_draws_all_its_samples_in_batches(own, tmp_path):
    made = project(own, tmp_path)
    made.edit("config/cohorts/trial.yaml", stages={"draft": {"min_lines": 2}})
    own.answer = lambda body: "short"
    for _ in range(4):
        run(made)
    assert statuses(made)["draft"] == ["failed"] * 2
    assert [len(g["attempts"]) for g in made.generations("draft").values()] == [3, 3]
    for _ in range(4):
        run(made, "retry_failed")
    assert [len(g["attempts"]) for g in made.generations("draft").values()] == [6, 6]
    assert len(own.batches.billed) == len(set(own.batches.billed)) == 12  # each sample has a name of its own
