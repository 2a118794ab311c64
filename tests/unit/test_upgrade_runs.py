"""Upgrades against a server that misbehaves: caps hold, failures leave their turn to others, and the server's count is
the truth."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from dreamflow.run_budgets import RUN
from faults import error
from project import REPOSITORY, Project, heed_interrupts
from protocols import PRICE
from server import Handler, Server, status
from upgrading import chunk, upgrade

ASKED = re.compile(r"Divide the units (\d+) to (\d+)")
ABOUT = {"labels": ["bread"], "language": "en", "entities": ["Anna"], "summary": "On bread."}
TURNS = 6
NAMES = "abcdefgh"


def talk(topic: str) -> str:
    return "".join(
        f"User: What of {topic} number {n}?\nAssistant: {topic} {n} is of rye, and the sourdough is fed every day.\n"
        for n in range(TURNS)
    )


def usable(body: Mapping[str, Any]) -> str:
    first, last = map(int, ASKED.search(body["messages"][0]["content"]).groups())
    return json.dumps({"chunks": [{"from": first, "to": last, **ABOUT}]})


@dataclass
class Bill:
    """What the server has billed: (prompt tokens, completion tokens) of each answer that it sent whole."""

    rows: list[tuple[int, int]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.rows))

    @property
    def usd(self) -> float:
        return sum(prompt * PRICE["prompt"] + answer * PRICE["completion"] for prompt, answer in self.rows) / 1e6


Behaviour = Callable[[int, Mapping[str, Any]], tuple[str, str, float]]  # (call, body) -> (text, reason, share of limit)


def billing(server: Server, behave: Behaviour) -> Bill:
    """Let every answer of a server have the text, the finish reason and the length, as a share of the limit, that
    `behave` says; a text that is a status fails."""
    bill, guard = Bill(), threading.Lock()

    def step(handler: Handler, body: dict[str, Any]) -> None:
        with guard:
            number = bill_calls[0] = bill_calls[0] + 1
        text, reason, share = behave(number, body)
        if text.isdigit():
            status(int(text), retry_after="0")(handler, body)
            return
        if text == "too long":
            code, headers, content = error("too long")
            handler.reply(code, content, **headers)
            return
        # As dear as it gets: a byte is a token.
        prompt = sum(len(message["content"].encode()) for message in body["messages"])
        answer = int(body["max_tokens"] * share) or len(text.split())
        message = {"role": "assistant", "content": text, "refusal": None}
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        with guard:
            bill.rows.append((prompt, answer))
        choice = {"index": 0, "message": message, "finish_reason": reason}
        handler.reply(200, {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage})

    bill_calls = [0]
    server.next_step = lambda recorded: step  # every call, whatever the script says
    return bill


def good(number: int, body: Mapping[str, Any]) -> tuple[str, str, float]:
    return usable(body), "stop", 0.0


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


TIERS = {"good": {"model": "writer", "sampling": {"max_tokens": 200}, "attempts": 2}}


@pytest.fixture
def project(tmp_path, monkeypatch, server):
    """Eight conversations, chunked by rules: each is a region of one call."""
    row = {"provider": "openai", "name": "m", "base_url": server.url, "context_length": 32768, "price": PRICE}
    made = Project(tmp_path, {"writer": row}, {})
    made.write("config/config.yaml", {"conversations": ["trial"], "call_attempts": 2})
    made.write("config/conversations/trial.yaml", {"tiers": TIERS})
    for name in NAMES:
        made.write(f"data/1_raw/conversations/{name}.md", talk(name))
    for path in (REPOSITORY / "data/1_raw/templates/chunk").iterdir():
        made.write(f"data/1_raw/templates/chunk/{path.name}", path.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RUN, "")  # which a run replaces
    chunk(made.read("config/config.yaml"))
    return made


def night(project, threads=8, **settings):
    """A run of an upgrade with these settings of config.yaml; those of the section `upgrade` with its prefix."""
    section = {name.removeprefix("upgrade_"): settings.pop(name) for name in [*settings] if name.startswith("upgrade_")}
    return upgrade(
        {**project.read("config/config.yaml"), "upgrade": {"target": "good", **section}, **settings}, threads
    )


def ledger(project):
    """(tokens, dollars) of all answers and of all lost calls in the store."""
    with closing(sqlite3.connect(project.root / "data/store/answers.sqlite")) as base:
        answers = base.execute(
            "SELECT total(prompt_tokens + completion_tokens), total(cost_usd) FROM ledger"
        ).fetchone()
        lost = base.execute("SELECT total(tokens), total(cost_usd) FROM lost").fetchone()
    return (int(answers[0]), answers[1]), (int(lost[0]), lost[1])


def levels(project):
    """The level of each conversation's chunks."""
    made = {}
    for name in NAMES:
        version = project.read(f"data/chunks/{name}/manifest.json")["latest_version"]
        chunks = project.read(f"data/chunks/{name}/archive_v{version}.json")["b_chunks"]
        made[name] = {one["quality_level"] for one in chunks}
    return made


def test_the_forecast_the_plan_and_the_run_agree(project, server):
    bill = billing(server, good)
    done = night(project)
    said = re.search(
        r"8 conversations, (\d+) calls, about ([\d,]+) tokens and \$(\S+), at most [\d,]+ tokens and \$(\S+),",
        done.text,
    )
    assert said and done.text in done.forecast
    calls, tokens, usd, most = said.groups()
    assert f"\n{calls} calls to make" in done.forecast
    row = re.search(r"^chunk +writer +8 +0 +(\d+) +(\S+) +\$(\S+) +\$(\S+)$", done.forecast, re.M)
    assert row.groups() == (calls, tokens, usd, most)
    assert len(bill.rows) == int(calls) == 8
    assert done.result["estimated_cost_usd"] == pytest.approx(bill.usd, abs=1e-9) and bill.usd <= float(most)
    assert done.result["tokens_consumed"] == bill.tokens == ledger(project)[0][0]
    assert set.union(*levels(project).values()) == {"good"}
    assert "nothing" in night(project).text and len(bill.rows) == 8


def misbehaving(number, body):
    """Truncated, unreadable, refused for now, broken, good: by the number of the call."""
    match number % 7:
        case 0 | 3:
            return "[", "length", 1.0
        case 1:
            return "No idea.", "stop", 1.0
        case 2:
            return "429", "", 0.0
        case 4:
            return "500", "", 0.0
        case 5:
            return "", "content_filter", 1.0
    return usable(body), "stop", 0.0


CAPS = [
    {"upgrade_max_tokens": 9000},
    {"budgets": {"run": {"usd": 0.009}}},
    {"budgets": {"day": {"tokens": 9000}, "tiers": {"good": {"usd": 0.02}}}},
    {"budgets": {"conversations": {"trial": {"tokens": 9000}}}, "upgrade_max_tokens": 20_000},
]


@pytest.mark.parametrize("caps", CAPS)
def test_a_cap_holds_whatever_the_server_answers(project, server, caps):
    bill = billing(server, misbehaving)
    done = night(project, threads=16, **caps)
    tokens, usd = ledger(project)[0]
    assert (bill.tokens, pytest.approx(bill.usd)) == (tokens, usd)
    assert 0 < bill.usd <= 0.02 and 3000 < bill.tokens <= 9000
    assert done.result["tokens_consumed"] == bill.tokens


def test_a_server_that_bills_more_than_was_asked_for_is_believed_from_then_on(project, server):
    bill = billing(server, lambda number, body: (usable(body), "stop", 6.0))
    done = night(project, threads=16, upgrade_max_tokens=12_000)
    assert len(bill.rows) >= 2 and bill.tokens <= 12_000
    made = project.generations("chunk").values()
    warnings = [warning for meta in made for warning in meta["parsed"]["warnings"]]
    assert warnings and all("tokens were billed, although the request allowed at most" in one for one in warnings)
    assert done.result["tokens_consumed"] == bill.tokens
    assert "the call may take 3,8" in project.read(next((project.root / "data/logs/chunk").iterdir()))


FIRST = {"conversations": ["*"], "tiers": TIERS, "priorities": {"a": 50, "b": 40, "c": 30}}


@pytest.mark.parametrize("failure", ["503", "400", "No idea.", "too long"])
def test_what_fails_leaves_its_turn_to_others_and_comes_again(project, server, failure):
    """Three chunks a night: those of most value fail at first."""
    project.write("config/conversations/trial.yaml", FIRST)
    broken = {"a", "b", "c"}

    def behave(number, body):
        fails = any(f"What of {name} number" in body["messages"][0]["content"] for name in broken)
        return (failure, "stop", 1.0) if fails else good(number, body)

    bill = billing(server, behave)
    first = night(project, upgrade_limit=3, call_attempts=1)
    assert first.names == ["a", "b", "c"] and set.union(*levels(project).values()) == {"basic"}
    spent = bill.usd
    assert first.result["estimated_cost_usd"] == pytest.approx(spent, abs=1e-9)
    assert first.result["failed"]["cost_usd"] == pytest.approx(spent, abs=1e-9)
    is_paid = failure not in ("503", "400", "too long")
    assert (spent > 0) == is_paid
    is_answered = is_paid or failure == "too long"
    assert ("could not be used; they are counted above" in first.tables[-1]) == is_answered
    page = project.read("data/chunks/a/chunks.html") if is_answered else ""
    assert (
        ("it changed nothing. The answers for 1 part could not be used (" in page)
        == ("they cost $" in page)
        == is_answered
    )
    second = night(project, upgrade_limit=3, call_attempts=1)
    assert len(second.names) == 3 and not {"a", "b", "c"} & {*second.names}
    assert {name for name, found in levels(project).items() if found == {"good"}} == {*second.names}
    others = {*"defgh"} - {*second.names}
    broken.clear()
    third = night(project, upgrade_limit=3)
    if is_answered:  # an answer that cannot be used is not bought again
        assert {*third.names} == others
        assert "3 chunks stay as they are, since no answer for them can be used" in third.text
        assert third.result["remaining"]["unusable"] == 3 and third.result["remaining"]["chunks"] == 0
        assert f"tokens cost ${spent:.4f}" in third.text
        assert "nothing" in night(project).text
        return
    assert {*third.names[:2]} == others and third.names[2:] == ["a"]
    assert "3 regions failed before (once: " in third.text
    assert night(project, upgrade_limit=3).names == ["b", "c"]
    assert set.union(*levels(project).values()) == {"good"}
    assert len(bill.rows) == 8  # each was paid once


def test_a_dead_server_fails_everything_and_is_asked_again(project, server):
    models = project.read("config/models.yaml")
    models["models"]["writer"]["base_url"] = "http://127.0.0.1:9/v1"
    project.write("config/models.yaml", models)
    dead = night(project, call_attempts=1)
    assert len(dead.names) == 8 and dead.result["tokens_consumed"] == 0
    assert dead.result["remaining"]["chunks"] == 8 and "remaining: 8 chunks of 8 conversations" in dead.tables[-1]
    models["models"]["writer"]["base_url"] = server.url
    project.write("config/models.yaml", models)
    bill = billing(server, good)
    assert len(night(project).names) == 8 and len(bill.rows) == 8
    assert set.union(*levels(project).values()) == {"good"}


def test_a_second_night_goes_on_where_the_first_stopped(project, server):
    """Answers are as long as they may be, so the first night ends at its budget."""
    bill = billing(server, lambda number, body: (usable(body), "stop", 1.0))
    results, made = [], []
    for _ in range(4):
        done = night(project, upgrade_max_tokens=16_000)
        results.append(done.result)
        made.append({name for name, found in levels(project).items() if found == {"good"}} - set().union(*made))
    assert 2 <= len(made[0]) < 8 and len(made[1]) >= 2
    assert sum(map(len, made)) == len(bill.rows) == 8  # every region once
    assert len({meta["gen_id"] for meta in project.generations("chunk").values()}) == 8
    assert round(sum(one["estimated_cost_usd"] for one in results), 9) == round(bill.usd, 9)
    assert sum(one["tokens_consumed"] for one in results) == bill.tokens
    assert sum(one["chunks_upgraded"] for one in results) == 8
    assert results[0]["remaining"]["chunks"] == 8 - len(made[0]) and results[-1]["remaining"]["chunks"] == 0


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_night_is_finished_by_the_next_without_a_call_repeated(project, server, sent):
    answered, go = threading.Semaphore(0), threading.Event()

    def behave(number, body):
        if number > 3:
            answered.release()
            go.wait(60)
        return good(number, body)

    bill = billing(server, behave)
    config = {**project.read("config/config.yaml"), "upgrade": {"target": "good"}}
    project.write("upgrade.json", json.dumps(config))
    script = [sys.executable, str(REPOSITORY / "tests/upgrading.py"), "upgrade.json", "4"]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=heed_interrupts)
    for _ in range(4):
        assert answered.acquire(timeout=60)
    process.send_signal(sent)
    if sent == signal.SIGINT:
        go.set()
    process.communicate(timeout=60)
    go.set()
    is_killed, answers = sent == signal.SIGKILL, len(project.answers())
    before = [] if is_killed else [project.read("data/chunks/result.json")]
    bill = billing(server, good)
    done = night(project)
    assert set.union(*levels(project).values()) == {"good"} and done.result["remaining"]["chunks"] == 0
    (tokens, usd), (lost, _) = ledger(project)
    assert sum(one["tokens_consumed"] for one in (*before, done.result)) == tokens
    assert sum(one["estimated_cost_usd"] for one in (*before, done.result)) == pytest.approx(usd, abs=1e-9)
    # Ctrl-C waits for the answers in flight; if the process is killed, they are lost and may be billed.
    assert answers == 3 if is_killed else answers >= 7
    assert len(bill.rows) == 8 - answers and len(project.answers()) == 8
    assert done.result["lost_calls"]["calls"] == (4 if is_killed else 0) and (lost > 0) == is_killed
    assert ("lost: 4 calls brought no answer" in done.tables[-1]) == is_killed
