"""What goes wrong: bad answers become data, failed calls fail their job only, and nothing answered is asked again."""

import csv
import os
import re
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from project import Project
from server import PATIENCE_S, Server, changed, cut, refused, reply, status
from trial import SPEC, answer, models


@pytest.fixture
def own_server() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


@pytest.fixture
def fresh(request: pytest.FixtureRequest, own_server: Server, tmp_path: Path) -> Project:
    """A project that has not run, with a server of its own; its parameter "shards" lets a job make many generations."""
    project = Project(tmp_path / "fresh", models(own_server.url), SPEC)
    if getattr(request, "param", "jobs") == "shards":
        project.edit("config/config.yaml", shards={"above": 0, "size": 5})
    return project


IN_JOBS_AND_SHARDS = pytest.mark.parametrize("fresh", ["jobs", "shards"], indirect=True)


def texts(*wanted: str) -> Any:
    """A server's answers: one text after the other, the last one for good."""
    left = list(wanted)
    guard = threading.Lock()

    def give(body: dict[str, Any]) -> str:
        if "Rate" not in body["messages"][-1]["content"]:
            return answer(body)
        with guard:
            return left.pop(0) if len(left) > 1 else left[0]

    return give


def statuses(project: Project) -> dict[str, list[str]]:
    return {
        stage: sorted(metadata["status"] for metadata in project.generations(stage).values())
        for stage in ("draft", "essay", "evaluation")
    }


def test_an_unreadable_answer_is_drawn_anew_and_every_raw_text_is_kept(fresh: Project, own_server: Server) -> None:
    own_server.answer = texts("no score at all", "SCORE: 5")
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    evaluations = fresh.generations("evaluation").values()
    assert {m["status"] for m in evaluations} == {"ok"}
    retried = next(m for m in evaluations if len(m["attempts"]) == 2)
    assert [a["error"] for a in retried["attempts"]] == ["unparsable", None]
    assert [a["sample"] for a in retried["attempts"]] == [0, 1]
    first = fresh.answers()[retried["attempts"][0]["response_key"]]
    assert first["response"]["text"] == "no score at all"


def test_a_truncated_answer_is_drawn_with_twice_the_limit(fresh: Project, own_server: Server) -> None:
    own_server.script += [cut()]
    done = fresh.run("--cores", "1")
    assert done.returncode == 0, done.stdout
    limits = [request.body["max_tokens"] for request in own_server.requests[:2]]
    assert limits == [200, 400]
    retried = next(m for m in fresh.generations("draft").values() if len(m["attempts"]) == 2)
    assert retried["attempts"][0]["error"] == "truncated"
    assert retried["sampling"]["max_tokens"] == 400


@IN_JOBS_AND_SHARDS
def test_what_fails_for_good_is_told_skips_its_descendants_and_can_be_drawn_anew(
    fresh: Project, own_server: Server
) -> None:
    own_server.script += [refused()] * 3
    done = fresh.run("--cores", "1")
    assert done.returncode == 0, done.stdout
    assert statuses(fresh) == {
        "draft": ["failed", "ok"],
        "essay": ["ok", "ok", "skipped", "skipped"],
        "evaluation": ["ok", "ok", "skipped", "skipped"],
    }
    assert "1 failed, 4 skipped" in done.stdout
    failed = next(m for m in fresh.generations("draft").values() if m["status"] == "failed")
    assert failed["reason"].startswith("refusal")
    assert {a["response_key"] for a in failed["attempts"]} <= fresh.answers().keys()
    skipped = next(m for m in fresh.generations("essay").values() if m["status"] == "skipped")
    assert failed["gen_id"] in skipped["reason"]

    calls = own_server.calls
    assert "Nothing to be done" in fresh.run().stdout
    assert own_server.calls == calls
    assert "4 calls to make" in fresh.run("-n", "retry_failed").stdout
    again = fresh.run("retry_failed")
    assert again.returncode == 0, again.stdout
    assert statuses(fresh) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": ["ok"] * 4}
    assert own_server.calls == calls + 1 + 1 + 2
    drawn = fresh.generations("draft")[failed["gen_id"]]
    assert [a["sample"] for a in drawn["attempts"]] == [0, 1, 2, 3]
    assert "Nothing to be done" in fresh.run().stdout


def test_another_model_that_answers_and_odd_fields_are_told(fresh: Project, own_server: Server) -> None:
    own_server.script += [changed(model="llama-9"), changed(usage="none")]
    said = fresh.run("drafts").stdout
    assert re.search(r"model \w+: another model answered: 'llama-9', asked was '\w+' \(1 times\)", said)
    assert "1 answers had odd fields: see the warnings under parsed in their metadata.json" in said
    warnings = [warning for draft in fresh.generations("draft").values() for warning in draft["parsed"]["warnings"]]
    assert {warning.split(":")[0] for warning in warnings} == {"another model answered", "the usage is not an object"}


def test_an_answer_that_is_too_short_is_not_used(fresh: Project, own_server: Server) -> None:
    fresh.edit("config/cohorts/trial.yaml", stages={"draft": {"min_lines": 9, "attempts": 2}})
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    assert statuses(fresh)["draft"] == ["failed", "failed"]
    assert all("too_short" in m["reason"] for m in fresh.generations("draft").values())
    assert own_server.calls == 4


@IN_JOBS_AND_SHARDS
def test_a_call_that_cannot_be_made_fails_its_job_only(fresh: Project, own_server: Server) -> None:
    own_server.script += [reply(400, {"error": {"message": "no such thing"}})]
    done = fresh.run("--cores", "1")
    assert done.returncode == 1
    assert "no such thing" in done.stdout
    assert "(writer) was not made" in done.stdout
    assert "Run the same command again to continue" in done.stdout
    assert statuses(fresh) == {"draft": ["ok"], "essay": ["ok"] * 2, "evaluation": ["ok"] * 2}
    calls = own_server.calls
    assert fresh.run().returncode == 0
    assert own_server.calls - calls == 4
    assert statuses(fresh) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": ["ok"] * 4}


def test_a_busy_server_is_asked_again_after_the_time_it_names(fresh: Project, own_server: Server) -> None:
    own_server.script += [status(429, retry_after="0"), status(503, retry_after="0")]
    done = fresh.run("--cores", "1")
    assert done.returncode == 0, done.stdout
    assert own_server.calls == 10
    waits = [w["status"] for m in fresh.generations("draft").values() for w in m["call_waits"]]
    assert waits == [429, 503]


@IN_JOBS_AND_SHARDS
def test_a_dead_server_says_so_and_the_next_run_goes_on(fresh: Project) -> None:
    rows = fresh.read("config/models.yaml")["models"]
    rows["judge"]["base_url"] = "http://127.0.0.1:9/v1"
    fresh.edit("config/models.yaml", models=rows)
    fresh.edit("config/config.yaml", call_attempts=1)
    done = fresh.run()
    assert done.returncode == 1
    assert "judge at 127.0.0.1:9: no answer" in done.stdout
    assert statuses(fresh) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": []}


@IN_JOBS_AND_SHARDS
def test_a_killed_run_is_finished_by_the_next_without_a_call_repeated(fresh: Project, own_server: Server) -> None:
    go, arrived = threading.Event(), threading.Event()
    own_server.answer = _hold_from(6, own_server, go, arrived, together=2)
    process = fresh.start("--cores", "2")
    assert arrived.wait(PATIENCE_S)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    go.set()
    own_server.answer = answer
    answered = len(fresh.answers())
    calls = own_server.calls
    assert fresh.run("--unlock").returncode == 0
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    assert statuses(fresh) == {"draft": ["ok"] * 2, "essay": ["ok"] * 4, "evaluation": ["ok"] * 4}
    assert own_server.calls - calls == 8 - answered
    assert len(fresh.answers()) == 8


def _hold_from(call: int, server: Server, go: threading.Event, arrived: threading.Event, together: int = 1) -> Any:
    """Answers that are withheld, from the given call on, until `go`; `arrived` is set when so many are withheld."""

    def give(body: dict[str, Any]) -> str:
        if server.calls >= call:
            if server.calls >= call + together - 1:
                arrived.set()
            go.wait(PATIENCE_S)
        return answer(body)

    return give


@IN_JOBS_AND_SHARDS
def test_ctrl_c_ends_with_the_calls_in_flight_and_says_what_stands(fresh: Project, own_server: Server) -> None:
    go, arrived = threading.Event(), threading.Event()
    own_server.answer = _hold_from(2, own_server, go, arrived)
    process = fresh.start("--cores", "1")
    assert arrived.wait(PATIENCE_S)
    os.killpg(process.pid, signal.SIGINT)
    go.set()
    screen, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "Run the same command again to continue" in screen
    calls = own_server.calls
    assert calls < 8
    own_server.answer = answer
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    assert own_server.calls == 8


@IN_JOBS_AND_SHARDS
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_do_not_wait_for_a_busy_server(fresh: Project, own_server: Server, sent: int) -> None:
    refused_once = threading.Event()

    def busy(handler: Any, body: dict[str, Any]) -> None:
        status(429, retry_after="500")(handler, body)
        refused_once.set()

    own_server.script += [busy]
    process = fresh.start("--cores", "1")
    assert refused_once.wait(PATIENCE_S)
    os.killpg(process.pid, sent)
    screen, _ = process.communicate(timeout=PATIENCE_S)
    assert "the run was stopped before this call" in screen
    assert own_server.calls == 1


@IN_JOBS_AND_SHARDS
def test_a_person_answers_through_the_inbox(fresh: Project, own_server: Server) -> None:
    rows = fresh.read("config/models.yaml")["models"]
    fresh.edit("config/models.yaml", models={**rows, "person": {"provider": "human"}})
    spec = fresh.read("config/cohorts/trial.yaml")
    fresh.edit("config/cohorts/trial.yaml", axes={**spec["axes"], "evaluation_llm": ["person"]})
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    assert "4 pending" in done.stdout
    questions = sorted((fresh.root / "data/inbox").glob("*.question.txt"))
    assert len(questions) == 4
    assert "Rate novelty" in questions[0].read_text()
    for number, question in enumerate(questions):
        reply_file = question.with_name(question.name.replace("question", "answer"))
        reply_file.write_text("SCORE: 8\n" if number else "I cannot decide.\n")
    assert fresh.run().returncode == 0
    assert statuses(fresh)["evaluation"] == ["ok", "ok", "ok", "pending"]
    reply_file = questions[0].with_name(questions[0].name.replace("question", "answer"))
    reply_file.write_text("After all, SCORE: 3\n")
    assert fresh.run().returncode == 0
    assert statuses(fresh)["evaluation"] == ["ok"] * 4
    assert "Nothing to be done" in fresh.run().stdout


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            "config/config.yaml",
            {"cohort": ["trial"]},
            ["config/config.yaml:1: cohort: unknown key; did you mean 'cohorts'?"],
        ),
        (
            "config/config.yaml",
            {"cohorts": ["nowhere"]},
            ["config/config.yaml:", "cohorts[0]: unknown name 'nowhere'", "config/cohorts/nowhere.yaml"],
        ),
        ("config/models.yaml", "models:\n  writer: {provider: opnai}\n", ["models.yaml:2", "opnai"]),
        ("config/models.yaml", "models: [1\n", ["config/models.yaml:2", "not valid YAML"]),
        ("config/cohorts/trial.yaml", "axes: {}\n", ["trial.yaml", "axes"]),
        ("data/1_raw/templates/draft/plain.txt", "{% for %}", ["templates/draft/plain.txt:1", "Jinja2"]),
        ("data/1_raw/templates/draft/plain.txt", "{{ concept }}", ["draft/plain.txt", "unknown variable 'concept'"]),
        (
            "data/1_raw/evaluation_templates.csv",
            "template_id,parser\nnovelty,in_last_lin\n",
            ["evaluation_templates.csv", "novelty", "in_last_lin"],
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_spent(
    fresh: Project, own_server: Server, path: str, content: Any, expected: list[str]
) -> None:
    fresh.write(path, content)
    done = fresh.run()
    assert done.returncode == 1
    assert own_server.calls == 0
    assert "Traceback" not in done.stdout
    for part in expected:
        assert part in done.stdout


def test_an_unknown_model_template_or_combination_is_named(fresh: Project) -> None:
    spec = fresh.read("config/cohorts/trial.yaml")
    for axis, value in [("draft_llm", "nobody"), ("essay_template", "nothing"), ("combo_id", "combo_v1_0")]:
        fresh.edit("config/cohorts/trial.yaml", axes={**spec["axes"], axis: [value]})
        done = fresh.run("-n")
        assert done.returncode == 1
        assert value in done.stdout
        assert "config/cohorts/trial.yaml" in done.stdout


@IN_JOBS_AND_SHARDS
def test_a_dry_run_forecasts_and_a_missing_key_is_told(fresh: Project, own_server: Server) -> None:
    rows = fresh.read("config/models.yaml")["models"]
    rows["judge"] = {"provider": "anthropic", "name": "claude", "price": {"prompt": 3, "completion": 15}}
    fresh.edit("config/models.yaml", models=rows)
    dry = fresh.run("-n")
    assert dry.returncode == 0, dry.stdout
    assert "8 calls to make (at most 24 with every retry)" in dry.stdout
    assert "ANTHROPIC_API_KEY is not set" in dry.stdout
    assert dry.stdout.index("calls to make") < dry.stdout.index("Job stats")
    assert "ANTHROPIC_API_KEY is not set" not in fresh.run("-n", ANTHROPIC_API_KEY="k").stdout
    assert not (fresh.root / "data/gens").exists()
    assert own_server.calls == 0


def test_a_dry_run_names_a_damaged_record_and_forecasts_the_rest(project: Project) -> None:
    with closing(sqlite3.connect(project.root / "data/store/answers.sqlite")) as store, store:
        (key,) = store.execute("SELECT key FROM answers WHERE record LIKE '%Join these%'").fetchone()
        store.execute("UPDATE answers SET record = '{' WHERE key = ?", (key,))
    shutil.rmtree(project.root / "data/gens")
    dry = project.run("-n")
    assert dry.returncode == 0, dry.stdout
    assert f"answers.sqlite: answer {key}: this record of the response store is damaged" in dry.stdout
    assert "calls to make" in dry.stdout and "Job stats" in dry.stdout
    assert "File " not in dry.stdout


def test_a_damaged_database_is_one_line_and_nothing_is_asked(fresh: Project, own_server: Server) -> None:
    fresh.write("data/store/answers.sqlite", "this is no database " * 500)
    for arguments in ((), ("-n",), ("ledger",)):
        said = fresh.run(*arguments).stdout
        assert "answers.sqlite cannot be read: file is not a database. It is damaged: restore it, or rescue" in said
        assert 'File "' not in said and "Traceback" not in said
    assert own_server.calls == 0


def test_a_job_file_that_cannot_be_written_is_one_line(project: Project) -> None:
    shutil.rmtree(project.root / "data/jobs")
    project.write("data/jobs", "no folder")
    done = project.run()
    assert done.returncode == 1
    assert "Not a directory" in done.stdout
    assert "Traceback" not in done.stdout


def test_nothing_is_marked_for_new_samples_if_a_family_cannot_be_compiled(project: Project) -> None:
    project.edit("config/config.yaml", procedures=["nowhere"])
    path = next(project.root.glob("data/gens/draft/*/metadata.json"))
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "failed"'))
    done = project.run("retry_failed")
    assert done.returncode == 1
    assert "nowhere" in done.stdout
    assert path.exists()
    assert not path.with_name("redraw").exists()


def test_the_estimate_counts_what_is_answered(project: Project) -> None:
    assert project.run("estimate").returncode == 0
    assert "0 calls to make" in project.read("data/estimate.txt")
    assert "10 generations already answered" in project.read("data/estimate.txt")


def test_a_key_is_never_written(fresh: Project, own_server: Server) -> None:
    rows = fresh.read("config/models.yaml")["models"]
    for row in rows.values():
        row["api_key_env"] = "TRIAL_API_KEY"
    fresh.edit("config/models.yaml", models=rows)
    done = fresh.run(TRIAL_API_KEY="very-secret-value")
    assert done.returncode == 0, done.stdout
    assert own_server.requests[0].headers["authorization"] == "Bearer very-secret-value"
    files = [path for path in fresh.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"very-secret-value" in path.read_bytes()]
    assert "very-secret-value" not in done.stdout


def test_a_fallback_answers_where_a_cohorts_model_is_dead(fresh: Project, own_server: Server) -> None:
    listed = fresh.read("config/models.yaml")["models"]
    listed["dead"] = {**listed["writer"], "base_url": "http://127.0.0.1:9/v1"}
    fresh.write("config/models.yaml", {"models": listed})
    spec = fresh.read("config/cohorts/trial.yaml")
    spec["axes"] |= {"draft_llm": ["writer", "dead"], "evaluation_llm": ["dead"]}
    spec["rules"] = {"subsets": {"essay_template": ["kept"]}}
    spec["stages"] = {"draft": {"min_lines": 1, "fallback": ["second"]}, "evaluation": {"fallback": ["judge"]}}
    fresh.write("config/cohorts/trial.yaml", spec)
    fresh.edit("config/config.yaml", call_attempts=1)
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    drafts = fresh.generations("draft").values()
    answered = sorted((meta["wildcards"]["draft_llm"], meta["model_id"]) for meta in drafts)
    assert answered == [("dead", "second")] * 2 + [("writer", "writer")] * 2
    assert {meta["model_id"] for meta in fresh.generations("evaluation").values()} == {"judge"}
    with (fresh.root / "data/cohorts/trial/reports/parsing/aggregated_scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["draft_model"] for row in rows} == {"writer", "second"}
    assert {row["evaluation_llm_model"] for row in rows} == {"judge"}
    # The dead model is not asked again, and without the fallback what it gave is made anew.
    calls = own_server.calls
    assert "Nothing to be done" in fresh.run().stdout
    del spec["stages"]["evaluation"]
    fresh.write("config/cohorts/trial.yaml", spec)
    assert "4 calls to make" in fresh.run("-n").stdout
    assert own_server.calls == calls
