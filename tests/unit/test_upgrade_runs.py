"""Upgrades against a server that misbehaves: caps hold, failures leave their turn to others, and the server's count is
the truth."""

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from dreamflow.run_budgets import RUN
from project import REPOSITORY, Project
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
    assert 2 <= len(bill.rows) and bill.tokens <= 12_000
    made = project.generations("chunk").values()
    warnings = [warning for meta in made for warning in meta["parsed"]["warnings"]]
    assert warnings and all("tokens were billed, although the request allowed at most" in one for one in warnings)
    assert done.result["tokens_consumed"] == bill.tokens
    assert "the call may take 3,9" in project.read(next((project.root / "data/logs/chunk").iterdir()))
