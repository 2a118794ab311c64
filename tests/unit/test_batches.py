"""Batches: what is submitted, collected and booked, and what happens when a process dies in between."""

import contextlib
import itertools
import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from dreamflow.config import check
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.generation import batches as module
from dreamflow.generation.batch_files import batch_path, open_batches
from dreamflow.generation.batches import Batches
from dreamflow.generation.budgets import Budget, Labels
from dreamflow.generation.calls import Calls
from dreamflow.generation.database import DatabaseError
from dreamflow.generation.model import Generation, Message, Question
from dreamflow.generation.models import Model, identity
from dreamflow.generation.providers import CallError, Pending, Request, anthropic_batch, openai_batch, provider
from dreamflow.generation.settings import ModelsFile
from dreamflow.generation.stopping import STOPPING
from dreamflow.generation.store import load_response, request_key
from server import Server, closed, reply, reply_lost, status

KINDS = ["openai", "anthropic"]
SAMPLING = {"temperature": 0.5, "max_tokens": 50}
# A process that asks questions and submits them; `die` makes it end without a word at some point.
PROCESS = """
import os, sys
from pathlib import Path
sys.path[:0] = {path!r}
import test_batches
test_batches.one_process(Path({store!r}), {url!r}, {kind!r}, {number}, {die!r})
"""


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-tests")


class Side:
    """One process: its calls, its batches, and what it has said."""

    def __init__(self, store: Path, url: str, kind: str, service: str = "batch", budgets: tuple[Budget, ...] = ()):
        price = {"prompt": 1.0, "completion": 2.0}
        given = {"model_id": "m", "provider": kind, "name": "large", "base_url": url, "price": price}
        self.store, self.model = store, Model.model_validate({**given, "service": service})
        self.said: list[str] = []
        models = {"m": self.model}
        is_batch = lambda stage, model: model.service == "batch"  # noqa: E731
        self.batches = Batches(store, models, is_batch, self.said.append, attempts=2, run="r")
        labels = Labels("cohorts", "trial", "", ["cohorts:trial"])
        self.calls = Calls(store, models, attempts=1, budgets=budgets, labels=lambda _: labels, batches=self.batches)

    def question(self, number: int, sample: int = 0) -> Question:
        return Question(identity(self.model), [Message("user", f"Question {number}?")], SAMPLING, None, sample)

    def ask(self, number: int, sample: int = 0) -> str:
        """The text of an answer, or "pending"."""
        question = self.question(number, sample)
        generation = Generation(
            family="cohort",
            stage="draft",
            gen_id=f"d_{number}",
            mode="llm",
            template_id="t",
            template_sha256=None,
            parser="identity/1",
            max_attempts=3,
            min_lines=1,
        )
        key = request_key(question)
        if record := load_response(self.store, question, key):
            return record.response.text
        try:
            return self.calls.ask_for(generation)(question, key).response.text
        except Pending:
            return "pending"

    def submit(self, *numbers: int) -> "Side":
        assert [self.ask(number) for number in numbers] == ["pending"] * len(numbers)
        self.batches.submit()
        return self

    def collect(self) -> str:
        self.said.clear()
        self.batches.collect()
        return "\n".join(self.said)


def one_process(store: Path, url: str, kind: str, number: int, die: str) -> None:
    """What `PROCESS` does."""
    import os

    written = module.write_batch

    def write(path, batch):
        if die == "after" and batch.state == "submitted":
            os._exit(9)
        written(path, batch)
        if die == "before" and batch.state == "prepared":
            os._exit(9)

    module.write_batch = write
    side = Side(store, url, kind)
    for one in range(number):
        side.ask(one)
    side.batches.submit()


def start(store: Path, server: Server, kind: str, number: int, die: str = "") -> subprocess.Popen:
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]
    code = PROCESS.format(path=path, store=str(store), url=server.url, kind=kind, number=number, die=die)
    return subprocess.Popen([sys.executable, "-c", code])


def rows(store: Path, sql: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(store / "answers.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def asked(server: Server) -> list[list[str]]:
    """The custom_ids of each batch at the server."""
    return [[item["custom_id"] for item in batch.items] for batch in server.batches.batches.values()]


def long_ago(store: Path) -> None:
    """As if the provider had been asked long ago to create the batch."""
    [batch] = open_batches(store)
    path = batch_path(store, batch.name)
    changed = json.loads(path.read_text())
    changed["asked_at"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    path.write_text(json.dumps(changed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_sends_what_an_online_call_sends_and_books_half_the_price(server, tmp_path, kind):
    Side(tmp_path / "a", server.url, kind).submit(1, 2)
    assert rows(tmp_path / "a", "SELECT count(*) FROM ledger") == [(0,)]
    online = Side(tmp_path / "b", server.url, kind, "online")
    texts = [online.ask(1), online.ask(2)]
    [batch] = server.batches.batches.values()
    assert [item["body"] for item in batch.items] == [request.body for request in server.requests]

    later = Side(tmp_path / "a", server.url, kind)
    assert "2 answered" in later.collect()
    assert [later.ask(1), later.ask(2)] == texts
    sql = "SELECT gen_id, spec, prompt_tokens, completion_tokens, cost_usd FROM ledger ORDER BY gen_id"
    halves = [(*each[:4], pytest.approx(each[4] / 2)) for each in rows(tmp_path / "b", sql)]
    assert rows(tmp_path / "a", sql) == halves
    assert rows(tmp_path / "a", "SELECT DISTINCT batch, run, latency_s FROM ledger") == [(batch.id, "r", None)]
    sql = "SELECT key FROM answers WHERE body IS NOT NULL ORDER BY key"
    assert rows(tmp_path / "a", sql) == rows(tmp_path / "b", sql) != []
    body = rows(tmp_path / "a", "SELECT body FROM answers")[0][0]
    request = Request(later.model, later.question(1).messages, SAMPLING)
    assert provider(kind).read(request, body).text in texts
    assert rows(tmp_path / "a", "SELECT * FROM in_flight") == []
    assert "sk-of-the-tests" not in "".join(path.read_text() for path in tmp_path.glob("a/batches/*/*.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_waits_while_its_batch_is_in_progress_and_is_never_asked_twice(server, tmp_path, kind):
    server.batches.polls = 1
    Side(tmp_path, server.url, kind).submit(1)
    for service in ("batch", "online"):
        later = Side(tmp_path, server.url, kind, service)
        if service == "batch":
            assert "0 of 1 questions are answered" in later.collect()
        later.submit(1)
    assert server.calls == 0
    assert asked(server) == [["d_1"]]
    assert (
        Side(tmp_path, server.url, kind).batches.summary()[0].startswith("1 generations are with the provider (m: 1)")
    )


def test_every_sample_of_a_generation_has_a_name_of_its_own(server, tmp_path):
    side = Side(tmp_path, server.url, "openai")
    assert [side.ask(1, sample) for sample in (0, 1, 2)] == ["pending"] * 3
    side.batches.submit()
    assert asked(server) == [["d_1", "d_1-s2", "d_1-s3"]]


@pytest.mark.parametrize(("limit", "value"), [("MAX_REQUESTS", 2), ("MAX_BYTES", 500)])
@pytest.mark.parametrize(("kind", "api"), [("openai", openai_batch), ("anthropic", anthropic_batch)])
def test_batches_are_no_larger_than_the_provider_allows(server, tmp_path, monkeypatch, kind, api, limit, value):
    monkeypatch.setattr(api, limit, value)
    Side(tmp_path, server.url, kind).submit(1, 2, 3, 4, 5)
    sizes = [len(ids) for ids in asked(server)]
    assert sum(sizes) == 5
    assert len(sizes) > 1
    if limit == "MAX_REQUESTS":
        assert sizes == [2, 2, 1]
    later = Side(tmp_path, server.url, kind)
    later.collect()
    assert "pending" not in [later.ask(number) for number in range(1, 6)]


@pytest.mark.parametrize("kind", KINDS)
def test_expired_questions_are_asked_again_and_refused_ones_are_told_once(server, tmp_path, kind):
    Side(tmp_path, server.url, kind).submit(1, 2, 3, 4)
    server.batches.outcomes = ["ok", "expired", "errored", "canceled"]
    later = Side(tmp_path, server.url, kind)
    said = later.collect()
    assert "1 answered, 2 not answered and asked again, 1 refused" in said
    assert "told to fail" in said
    with pytest.raises(CallError, match="told to fail") as refused:
        later.ask(3)
    assert not refused.value.retryable
    later.submit(2, 4)
    assert asked(server)[1:] == [["d_2", "d_4"]]
    third = Side(tmp_path, server.url, kind)
    third.collect()
    third.submit(3)  # a later run asks it again
    assert asked(server)[2:] == [["d_3"]]
    assert server.batches.billed == ["d_1", "d_2", "d_4"]


def test_a_batch_that_fails_as_a_whole_has_one_reason(server, tmp_path):
    Side(tmp_path, server.url, "openai").submit(1, 2)
    [batch] = server.batches.batches.values()
    batch.state, batch.errors = "failed", [{"code": "x", "message": "Enqueued token limit reached", "line": None}]
    later = Side(tmp_path, server.url, "openai")
    assert "Enqueued token limit reached" in later.collect()
    with pytest.raises(CallError, match="Enqueued token limit reached"):
        later.ask(1)
    Side(tmp_path, server.url, "openai").submit(1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_killed_after_the_submission_has_lost_nothing(server, tmp_path, kind):
    assert start(tmp_path, server, kind, 3, die="after").wait() == 9
    assert asked(server) == [["d_0", "d_1", "d_2"]]
    later = Side(tmp_path, server.url, kind)
    if kind == "anthropic":  # whose batch it is can be seen only in its results
        long_ago(tmp_path)
        assert "it is not known yet" in later.collect()
        later.submit(0, 1, 2)
        server.batches.finish()
    assert "3 answered" in later.collect()
    assert "pending" not in [later.ask(number) for number in range(3)]
    assert asked(server) == [["d_0", "d_1", "d_2"]]
    assert rows(tmp_path, "SELECT count(*) FROM ledger") == [(3,)]
    assert rows(tmp_path, "SELECT count(*) FROM lost") == [(0,)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_killed_before_the_submission_has_cost_nothing(server, tmp_path, kind):
    assert start(tmp_path, server, kind, 2, die="before").wait() == 9
    assert asked(server) == []
    later = Side(tmp_path, server.url, kind)
    assert "was never created" in later.collect()
    later.submit(0, 1)
    assert asked(server) == [["d_0", "d_1"]]
    assert rows(tmp_path, "SELECT count(*) FROM lost") == [(0,)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_did_not_arrive_is_sent_again_when_that_is_certain(server, tmp_path, kind):
    server.batch_script = [closed()]
    first = Side(tmp_path, server.url, kind).submit(1)
    assert "It is not known whether the batch" in first.said[0]
    later = Side(tmp_path, server.url, kind)
    assert "it is not known yet whether it was created" in later.collect()
    later.submit(1)
    assert asked(server) == []
    long_ago(tmp_path)
    assert "was never created" in later.collect()
    later.submit(1)
    assert asked(server) == [["d_1"]]


def test_a_batch_of_somebody_else_is_not_taken_for_ours(server, tmp_path):
    Side(tmp_path / "other", server.url, "anthropic").submit(7, 8)
    server.batches.finish()
    server.batch_script = [reply_lost]
    Side(tmp_path / "own", server.url, "anthropic").submit(1, 2)
    server.batches.finish()
    later = Side(tmp_path / "own", server.url, "anthropic")
    assert "2 answered" in later.collect()
    assert "Question 1?" in later.ask(1)
    assert len(asked(server)) == 2


def test_a_collection_that_broke_off_is_finished_without_booking_anything_twice(server, tmp_path, monkeypatch):
    Side(tmp_path, server.url, "openai").submit(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "move_collected", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Side(tmp_path, server.url, "openai").collect()
    assert "2 answered" in Side(tmp_path, server.url, "openai").collect()
    assert rows(tmp_path, "SELECT count(*) FROM ledger") == [(2,)]
    assert open_batches(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_submit_each_question_once(server, tmp_path, kind):
    both = [start(tmp_path, server, kind, 20) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(itertools.chain(*asked(server))) == sorted(f"d_{number}" for number in range(20))


def test_a_submission_that_is_refused_leaves_nothing_behind(server, tmp_path):
    server.batch_script = [status(401, "no such key")]
    side = Side(tmp_path, server.url, "openai").submit(1)
    assert "1 questions for batches of model m were not submitted" in side.said[0]
    assert "no such key" in side.said[0]
    assert open_batches(tmp_path) == []
    assert rows(tmp_path, "SELECT * FROM in_flight") == []
    Side(tmp_path, server.url, "openai").submit(1)
    assert asked(server) == [["d_1"]]


def test_nothing_is_submitted_after_ctrl_c(server, tmp_path):
    STOPPING.set()
    try:
        side = Side(tmp_path, server.url, "openai").submit(1)
    finally:
        STOPPING.clear()
    assert side.said == ["1 questions for batches were not submitted: run again to submit them"]
    assert asked(server) == []


@pytest.mark.parametrize("error", [DatabaseError("the disk is full"), OSError(28, "the disk is full")])
def test_answers_that_cannot_be_stored_stay_with_the_provider(server, tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    Side(tmp_path, server.url, "openai").submit(1)
    with monkeypatch.context() as patch:
        patch.setattr(module, "put_answers", full)
        later = Side(tmp_path, server.url, "openai")
        assert "the disk is full" in later.collect()
        later.submit(1)  # it still waits
    assert "1 answered" in Side(tmp_path, server.url, "openai").collect()
    assert asked(server) == [["d_1"]]


@pytest.mark.parametrize("state", ["prepared", "creating", "submitted"])
def test_a_file_that_cannot_be_written_costs_nothing_twice(server, tmp_path, monkeypatch, state):
    written = module.write_batch

    def full(store, batch):
        if batch.state == state:
            raise OSError(28, "the disk is full")
        written(store, batch)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_batch", full)
        side = Side(tmp_path, server.url, "openai").submit(1)
        assert "the disk is full" in side.said[0]
    later = Side(tmp_path, server.url, "openai")
    later.collect()
    if state == "submitted":
        assert later.ask(1) != "pending"
    else:
        Side(tmp_path, server.url, "openai").submit(1)
    assert asked(server) == [["d_1"]]


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.batch_script = [status(429, retry_after="0")]
    side = Side(tmp_path, server.url, "openai").submit(1)
    assert (side.said, asked(server)) == ([], [["d_1"]])


def test_a_budget_holds_for_batches_until_they_are_collected(server, tmp_path):
    budgets = (Budget("cohorts:trial", "budgets.cohorts.trial", usd=0.00025),)  # a question may cost $0.0001
    side = Side(tmp_path, server.url, "openai", budgets=budgets)
    assert [side.ask(1), side.ask(2)] == ["pending"] * 2
    with pytest.raises(CallError, match=r"budgets\.cohorts\.trial") as refused:
        side.ask(3)
    assert refused.value.kind == "budget"
    side.batches.submit()
    again = Side(tmp_path, server.url, "openai", "online", budgets)
    with pytest.raises(CallError) as refused:  # nobody waits a day for the reservation
        again.ask(3)
    assert refused.value.kind == "budget"
    again.collect()
    assert rows(tmp_path, "SELECT usd, tokens FROM reserved") == [(pytest.approx(0, abs=1e-12), 0)]
    [(spent,)] = rows(tmp_path, "SELECT usd FROM spent WHERE scope = 'cohorts:trial'")
    assert [(spent,)] == [(pytest.approx(total),) for (total,) in rows(tmp_path, "SELECT sum(cost_usd) FROM ledger")]
    assert Side(tmp_path, server.url, "openai", budgets=budgets).ask(3) == "pending"


def test_a_damaged_line_of_results_is_kept_as_an_unreadable_answer(server, tmp_path):
    Side(tmp_path, server.url, "openai").submit(1, 2)
    server.batches.finish()
    [batch] = server.batches.batches
    name = f"{batch}-output"
    first, *rest = server.batches.files[name].splitlines(keepends=True)
    server.batches.files[name] = first[: len(first) // 2] + b"\n" + b"".join(rest)
    later = Side(tmp_path, server.url, "openai")
    assert "2 answered" in later.collect()
    reasons = [
        load_response(tmp_path, later.question(n), request_key(later.question(n))).response.finish_reason
        for n in (1, 2)
    ]
    assert sorted(reasons) == ["stop", "unreadable"]


def test_a_batch_that_the_provider_does_not_know_stays_until_the_user_decides(server, tmp_path):
    Side(tmp_path, server.url, "openai").submit(1)
    server.batches.batches.clear()
    later = Side(tmp_path, server.url, "openai")
    [batch] = open_batches(tmp_path)
    assert f"delete {batch_path(tmp_path, batch.name)} and run again" in later.collect()
    later.submit(1)
    batch_path(tmp_path, batch.name).unlink()
    Side(tmp_path, server.url, "openai").submit(1)
    assert asked(server) == [["d_1"]]
    assert rows(tmp_path, "SELECT gen_id, reason FROM lost") == [("d_1", "the file of its batch was deleted")]


def test_a_damaged_file_of_a_batch_is_told(server, tmp_path):
    Side(tmp_path, server.url, "openai").submit(1)
    [batch] = open_batches(tmp_path)
    batch_path(tmp_path, batch.name).write_text("{")
    with pytest.raises(DreamflowError, match="Restore the file"):
        Side(tmp_path, server.url, "openai")


def test_only_providers_with_a_batch_api_take_batches():
    rows = {"models": {"m": {"provider": "openrouter", "name": "x", "service": "batch"}}}
    with pytest.raises(ConfigError, match="openai, anthropic; the provider is openrouter"):
        check(rows, ModelsFile, "models.yaml")


def test_batches_are_no_part_of_the_key():
    texts = []
    for service in ("online", "batch"):
        given = {"model_id": "m", "provider": "openai", "name": "large", "service": service}
        texts.append(msgspec.json.encode(identity(Model.model_validate(given))))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_that_is_declined_is_answered_with_that(server, tmp_path, kind):
    Side(tmp_path, server.url, kind).submit(1)
    server.batches.outcomes = ["errored"]
    server.batches.finish()
    error = {"type": "invalid_request_error", "message": "prompt is too long: 99 tokens > 50 maximum"}
    [batch] = server.batches.batches
    if kind == "openai":
        response = {"status_code": 400, "request_id": "r", "body": {"error": error}}
        line = {"custom_id": "d_1", "response": response, "error": None}
        server.batches.files[f"{batch}-errors"] = json.dumps(line).encode()
    else:
        line = {"custom_id": "d_1", "result": {"type": "errored", "error": {"type": "error", "error": error}}}
        answer = server.batches.request
        server.batches.request = lambda method, path, *rest: (
            (200, json.dumps(line).encode()) if path.endswith("/results") else answer(method, path, *rest)
        )
    later = Side(tmp_path, server.url, kind)
    assert "1 answered" in later.collect()
    [(record,)] = rows(tmp_path, "SELECT record FROM answers")
    assert json.loads(record)["response"]["finish_reason"] == "context"


def test_an_odd_answer_to_a_submission_leaves_open_whether_it_was_taken(server, tmp_path):
    server.batch_script = [reply(200, {"object": "batch"})]
    side = Side(tmp_path, server.url, "openai").submit(1)
    assert "It is not known whether the batch" in side.said[0]
    assert len(open_batches(tmp_path)) == 1
