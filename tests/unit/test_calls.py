"""Calls: budgets that hold, questions that are asked once, answers that are stored or not asked for."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dreamflow.generation import database as database_module
from dreamflow.generation.budget_use import budget_use
from dreamflow.generation.budgets import Budget, Deadline, Labels
from dreamflow.generation.calls import Calls
from dreamflow.generation.database import DatabaseError
from dreamflow.generation.model import Generation, Message, ModelIdentity, Question
from dreamflow.generation.models import Model
from dreamflow.generation.parsers import parser_version
from dreamflow.generation.providers import CallError
from dreamflow.generation.store import database, load_response, request_key
from dreamflow.generation.tokens import MOST_TEMPLATE_TOKENS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import PATIENCE_S, Server, changed, held, ok, reply, status, torn

IDENTITY = ModelIdentity(model_id="m", provider="openai", name="gpt", revision="")
PRICE = {"prompt": 10.0, "completion": 100.0}
PROMPT = "Why do we dream?"
PROMPT_BOUND = len(PROMPT) + MOST_TEMPLATE_TOKENS
MOST = PROMPT_BOUND + 100  # tokens of one call


@pytest.fixture
def server():
    with Server(answer=lambda body: "word " * 20) as running:
        yield running


def row(number, max_attempts=1):
    return Generation(
        family="cohort",
        stage="draft",
        gen_id=f"d_{number}",
        mode="llm",
        template_id="t",
        template_sha256="T",
        parser=parser_version("identity"),
        max_attempts=max_attempts,
        min_lines=1,
        model=IDENTITY,
        sampling={"max_tokens": 100},
    )


def question(number):
    return Question(IDENTITY, [Message("user", PROMPT)], {"max_tokens": 100}, None, 1000 * number)


def calls(store, url, *budgets, attempts=1):
    model = Model.model_validate(
        {"model_id": "m", "provider": "openai", "name": "gpt", "base_url": url, "price": PRICE, "timeout_s": 600}
    )
    scopes = ["run:r", "cohorts:trial"]
    return Calls(
        store,
        {"m": model},
        attempts=attempts,
        run="r",
        budgets=budgets,
        labels=lambda generation: Labels("cohorts", "trial", "", scopes),
    )


def ask(caller, number, max_attempts=1):
    """The error of a call, or "" if it was answered."""
    one = question(number)
    try:
        caller.ask_for(row(number, max_attempts))(one, request_key(one))
    except (CallError, DatabaseError) as error:
        return f"{getattr(error, 'kind', 'store')}: {error}"
    return ""


def totals(store):
    """(calls, tokens, US dollars) of the ledger."""
    sums = "count(*), total(prompt_tokens + completion_tokens), total(cost_usd)"
    return database(store).read(f"SELECT {sums} FROM ledger")[0]


def is_idle(store):
    """Whether nothing is claimed or reserved."""
    return not any(database(store).read(f"SELECT 1 FROM {table}") for table in ("in_flight", "reserved"))


# Budgets.


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cap=st.integers(0, 12 * MOST), attempts=st.integers(1, 3), scope=st.sampled_from(["run:r", "day:", "month:"]))
def test_a_budget_is_never_exceeded_and_is_used_as_far_as_calls_fit(tmp_path_factory, server, cap, attempts, scope):
    store = tmp_path_factory.mktemp("store")
    caller = calls(store, server.url, Budget(scope, "budgets.some", tokens=cap))
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda number: ask(caller, number, attempts), range(12)))
    made, tokens, _ = totals(store)
    assert made == errors.count("")
    assert tokens <= cap
    assert made == 12 or tokens + MOST > cap  # no call was refused that did fit
    assert all(
        error.startswith("budget: the budget budgets.some does not allow this call") for error in errors if error
    )
    assert is_idle(store)


def until(caller, seconds, call_s=0.0):
    """Let no call end later than so many seconds from now."""
    end = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    caller.labels = lambda generation: Labels("chunks", "trial", time=Deadline(end, call_s, "upgrade.deadline"))
    return caller


def test_no_call_begins_that_may_not_end_in_time(tmp_path, server):
    refused = "budget: upgrade.deadline does not allow the calls that are left: none may end after "
    assert ask(until(calls(tmp_path, server.url), -1), 1).startswith(refused)
    assert "and a call takes about 60 s" in ask(until(calls(tmp_path, server.url), 50, call_s=60), 1)
    assert server.calls == 0
    server.script += [status(429, retry_after="300")]
    assert ask(until(calls(tmp_path, server.url, attempts=5), 200), 1).startswith(refused)  # without the wait
    assert ask(until(calls(tmp_path, server.url), 200), 2).startswith(refused)  # nor for the server's pause
    assert server.calls == 1 and is_idle(tmp_path)


def test_a_call_is_given_up_at_its_deadline_and_counted_as_lost(tmp_path, server):
    go = threading.Event()
    server.script += [held(go)]
    caller = until(calls(tmp_path, server.url, Budget("run:r", "budgets.run", usd=1.0), attempts=5), 0.5)
    assert ask(caller, 1).startswith("budget: upgrade.deadline does not allow the calls that are left")
    go.set()
    assert server.calls == 1 and is_idle(tmp_path)
    assert database(tmp_path).read("SELECT count(*), total(tokens) FROM lost")[0] == (1, MOST)


def test_a_budget_in_dollars_of_all_threads_and_the_next_run_goes_on(tmp_path, server):
    worst = ((PROMPT_BOUND) * 12.5 + 100 * 100) / 1e6  # 1.25: the price of a write to the provider's cache
    first = calls(tmp_path, server.url, Budget("cohorts:trial", "budgets.cohorts.trial", usd=2 * worst))
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda number: ask(first, number), range(40)))
    made, _, cost = totals(tmp_path)
    assert 2 * worst - worst < cost <= 2 * worst
    assert (server.calls, errors.count("")) == (made, made)
    assert "$" in next(filter(None, errors))
    second = calls(tmp_path, server.url, Budget("cohorts:trial", "budgets.cohorts.trial", usd=1.0))
    assert [ask(second, number) for number in range(40)] == [""] * 40
    assert server.calls == 40


def test_a_budget_in_atp_is_exact(tmp_path, server):
    """ATP is known before a call: 2 of the model, for each 100 words of the prompt once more."""
    atp = 2 * (1 + len(PROMPT.split()) / 100)
    caller = calls(tmp_path, server.url, Budget("run:r", "night", atp=5 * atp))
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda number: ask(caller, number), range(12)))
    assert (server.calls, errors.count("")) == (5, 5)
    assert f"{5 * atp:,.1f} of {5 * atp:g} ATP are spent and the call takes {atp:,.1f}" in next(filter(None, errors))
    (spent,) = database(tmp_path).read("SELECT atp FROM spent WHERE scope = 'run:r'")[0]
    assert spent == pytest.approx(5 * atp)
    assert database(tmp_path).read("SELECT total(atp) FROM ledger")[0][0] == pytest.approx(5 * atp)
    assert is_idle(tmp_path)


OF_AN_EARLIER_VERSION = """
CREATE TABLE spent (scope TEXT PRIMARY KEY, usd REAL NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE reserved (
    scope TEXT, key TEXT, usd REAL NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE lost (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, key TEXT, gen_id TEXT, model_id TEXT, spec TEXT, run TEXT,
    tokens INTEGER, cost_usd REAL, reason TEXT
);
INSERT INTO spent VALUES ('run:r', 1.0, 700);
"""


def test_a_database_that_knows_no_atp_goes_on(tmp_path, server):
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as old:
        old.executescript(OF_AN_EARLIER_VERSION)
    budgets = (Budget("run:r", "budgets.run", tokens=700 + MOST), Budget("run:r", "night", atp=100))
    before = [(use.unit, use.spent) for use in budget_use(tmp_path, budgets)]  # as a dry run reads it
    assert before == [("tokens", 700), ("atp", 0)]
    caller = calls(tmp_path, server.url, *budgets)
    assert [bool(ask(caller, number)) for number in (1, 2)] == [False, True]
    tokens, atp = database(tmp_path).read("SELECT tokens, atp FROM spent WHERE scope = 'run:r'")[0]
    assert 700 < tokens <= 700 + MOST and atp > 0


def test_budgets_of_other_specs_do_not_matter(tmp_path, server):
    assert ask(calls(tmp_path, server.url, Budget("cohorts:other", "budgets.cohorts.other", tokens=0)), 1) == ""
    assert ask(calls(tmp_path, server.url, Budget("cohorts:trial", "budgets.cohorts.trial", tokens=0)), 2) != ""


@pytest.mark.parametrize(("extra", "most"), [({"max_tokens": 900}, 900), ({"max_completion_tokens": None}, 2000)])
def test_a_limit_of_extra_body_is_reserved_too(tmp_path, server, extra, most):
    for tokens, refused in ((PROMPT_BOUND + most - 1, True), (PROMPT_BOUND + most, False)):
        caller = calls(tmp_path, server.url, Budget("run:r", "budgets.run", tokens=tokens))
        caller.models = {"m": caller.models["m"].model_copy(update={"extra_body": extra, "max_output_tokens": 2000})}
        assert bool(ask(caller, 1)) == refused


def test_half_an_answer_may_have_been_billed_so_it_counts(tmp_path, server):
    server.script += [torn()]
    caller = calls(tmp_path, server.url, Budget("run:r", "budgets.run", tokens=2 * MOST - 1), attempts=2)
    assert "budget" in ask(caller, 1)  # the budget holds the lost call and no second one
    ((tokens, cost, reason),) = database(tmp_path).read("SELECT tokens, cost_usd, reason FROM lost")
    assert (tokens, cost > 0, "no answer" in reason) == (MOST, True, True)
    assert (server.calls, totals(tmp_path)[0]) == (1, 0)
    assert is_idle(tmp_path)
    assert ask(calls(tmp_path, server.url, Budget("run:r", "budgets.run", tokens=4 * MOST), attempts=2), 1) == ""


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cap=st.integers(2 * MOST, 12 * MOST), broken=st.lists(st.booleans(), min_size=12, max_size=12))
def test_calls_that_may_have_been_billed_exceed_no_budget_either(tmp_path_factory, cap, broken):
    store = tmp_path_factory.mktemp("store")
    with Server(answer=lambda body: "word " * 100, script=[torn() if is_broken else ok for is_broken in broken]) as own:
        caller = calls(store, own.url, Budget("run:r", "budgets.run", tokens=cap), attempts=2)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: ask(caller, number), range(12)))
    ((spent,),) = database(store).read("SELECT tokens FROM spent WHERE scope = 'run:r'")
    assert spent <= cap
    assert is_idle(store)


# Usage.


def test_unknown_usage_is_estimated_and_marked(tmp_path, server):
    server.script += [changed(usage=None)]
    assert ask(calls(tmp_path, server.url), 1) == ""
    ((prompt, completion, estimated, cost),) = database(tmp_path).read(
        "SELECT prompt_tokens, completion_tokens, estimated, cost_usd FROM ledger"
    )
    assert (prompt > 0, completion > 0, estimated) == (True, True, 1)
    assert cost == pytest.approx((prompt * 10 + completion * 100) / 1e6)
    assert load_response(tmp_path, question(1), request_key(question(1))).response.usage.estimated is True


def test_the_tokens_of_a_body_that_cannot_be_read_are_those_of_the_body(tmp_path, server):
    server.script += [reply(200, b"Words that are no JSON. " * 100)]
    assert ask(calls(tmp_path, server.url), 1) == ""
    ((completion, estimated),) = database(tmp_path).read("SELECT completion_tokens, estimated FROM ledger")
    assert (completion >= 500, estimated) == (True, 1)


# Other processes.

CHILD = """
import sys
sys.path[:0] = [{scripts!r}, {tests!r}]
from contextlib import closing
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from unit.test_calls import ask, calls
caller = calls(Path({store!r}), {url!r})
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(20) as pool:
    print(sorted(set(pool.map(lambda number: ask(caller, number), range({count})))))
"""


def child(store, url, count):
    tests = Path(__file__).parents[1]
    code = CHILD.format(scripts=str(tests.parent / "scripts"), tests=str(tests), store=str(store), url=url, count=count)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_ask_every_question_once(tmp_path, server):
    processes = [child(tmp_path, server.url, 60) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["['']\n"] * 2
    assert (server.calls, totals(tmp_path)[0]) == (60, 60)
    assert is_idle(tmp_path)


def test_the_call_of_a_killed_process_counts_and_is_made_again(tmp_path, server):
    go, arrived = threading.Event(), threading.Event()
    server.script += [held(go, arrived)]
    process = child(tmp_path, server.url, 1)
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()
    assert arrived.wait(PATIENCE_S)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    go.set()
    assert ask(calls(tmp_path, server.url), 0) == ""
    assert database(tmp_path).read("SELECT tokens, reason FROM lost") == [(MOST, "the process was killed")]
    assert (totals(tmp_path)[0], is_idle(tmp_path)) == (1, True)
    assert list((tmp_path / "processes").iterdir()) != []  # of this process, which is alive


# Recorded answers, which nobody claims.


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "answers.jsonl").write_text('{"text": "A text."}\n')
    model = Model(model_id="m", provider="replay", name=str(tmp_path / "answers.jsonl"))

    def caller(*budgets):
        made = calls(tmp_path / "store", "http://127.0.0.1", *budgets)
        made.models = {"m": model}
        return made

    return caller


KILLED = """
import sys
sys.path[:0] = {paths}
from itertools import count
from pathlib import Path
import dreamflow.families
from unit.test_calls import Model, ask, calls
caller = calls(Path({store!r}), "http://127.0.0.1")
caller.models = {{"m": Model(model_id="m", provider="replay", name={name!r})}}
for number in count():
    if ask(caller, number):
        break
    print(number, flush=True)
"""


def test_the_first_of_two_recorded_answers_stays(recorded):
    one, key = question(1), request_key(question(1))
    first, second = (recorded().ask_for(row(number))(one, key) for number in (1, 2))
    assert first == second == load_response(recorded().store, one, key)
    assert first.call.gen_id == "d_1"
    assert (totals(recorded().store)[0], is_idle(recorded().store)) == (1, True)


def test_a_killed_process_loses_no_recorded_answer(recorded):
    store, tests = recorded().store, Path(__file__).parents[1]
    paths = [str(tests.parent / "scripts"), str(tests)]
    code = KILLED.format(paths=paths, store=str(store), name=recorded().models["m"].name)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    made = [int(process.stdout.readline()) for _ in range(30)]
    process.kill()
    made += [int(line) for line in process.communicate()[0].split("\n")[:-1]]
    assert all(load_response(store, question(number), request_key(question(number))) for number in made)
    assert totals(store)[0] == database(store).read("SELECT count(*) FROM answers")[0][0] >= len(made)


@pytest.mark.parametrize(("is_network", "levels"), [(False, [2, 1, 2]), (True, [2, 2, 2])])  # 2: FULL, 1: NORMAL
def test_only_what_has_to_be_durable_waits_for_the_disk(tmp_path, monkeypatch, is_network, levels):
    monkeypatch.setattr(database_module, "is_network", lambda path: is_network)

    def level(connection, rows):
        return [connection.execute("PRAGMA synchronous").fetchone()[0] for _ in rows]

    write = database(tmp_path).write_together
    assert [write(level, None, is_durable=is_durable) for is_durable in (True, False, True)] == levels


def test_a_budget_in_tokens_holds_for_recorded_answers_too(recorded):
    refusing = recorded(Budget("run:r", "budgets.run", tokens=0))
    assert "budgets.run does not allow" in ask(refusing, 1)
    assert ask(recorded(Budget("cohorts:other", "budgets.cohorts.other", tokens=0)), 1) == ""
    assert database(refusing.store).read("SELECT tokens > 0 FROM spent WHERE scope = 'run:r'") == [(1,)]


# A store that cannot be written.


def test_no_call_is_made_if_the_store_cannot_be_written(tmp_path, server):
    (tmp_path / "answers.sqlite").mkdir()
    caller = calls(tmp_path, server.url)
    with ThreadPoolExecutor(8) as pool:
        errors = set(pool.map(lambda number: ask(caller, number), range(20)))
    assert server.calls == 0
    assert all(error.startswith("store: ") and "then run again" in error for error in errors)


def test_no_call_is_made_after_the_first_answer_that_could_not_be_stored(tmp_path, server):
    caller = calls(tmp_path, server.url)
    assert ask(caller, 0) == ""
    pages = database(tmp_path).read("PRAGMA page_count")[0][0]
    database(tmp_path).write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 2}"))
    errors = [ask(caller, number) for number in range(1, 100)]
    stored = totals(tmp_path)[0]
    assert 1 <= stored < 20
    assert server.calls <= stored + 1
    assert Counter(error[:6] for error in errors)["store:"] == 100 - stored
    assert "Free some space" in errors[-1]


def test_a_store_that_is_deleted_during_a_run_ends_it_and_keeps_the_answer_in_flight(tmp_path, server):
    store, go, arrived = tmp_path / "store", threading.Event(), threading.Event()
    caller = calls(store, server.url)
    assert ask(caller, 0) == ""
    server.script += [held(go, arrived)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, caller, 1)
        assert arrived.wait(PATIENCE_S)
        shutil.rmtree(store)
        go.set()
        assert asked.result() == ""
    assert load_response(store, question(1), request_key(question(1))).response.text == "word " * 20
    assert "was deleted or replaced during the run" in ask(caller, 2)
    assert server.calls == 2


def test_a_store_that_another_process_locks_is_waited_for_once(tmp_path, server, monkeypatch):
    assert ask(calls(tmp_path, server.url), 0) == ""
    database(tmp_path).close()
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(database_module, "SHORT_TIMEOUT_S", 0)
    waits, connect = [], sqlite3.connect
    monkeypatch.setattr(
        database_module.sqlite3, "connect", lambda *a, **more: waits.append(more.get("timeout")) or connect(*a, **more)
    )
    with closing(connect(tmp_path / "answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        caller = calls(tmp_path, server.url)
        with ThreadPoolExecutor(8) as pool:
            errors = list(pool.map(lambda number: ask(caller, number), range(1, 20)))
        with pytest.raises(DatabaseError):
            caller.database.write(lambda connection: None)
    assert all("Another process holds it" in error for error in errors)
    assert server.calls == 1
    assert waits[-1] == 0
