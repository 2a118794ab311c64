"""The MCP server as a process of its own, with the SDK's client, on the golden project: what agents see and do."""

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from dreamflow.dreams.verdict_parser import TIERS
from dreamflow.generation.parsers import ParseError, parse
from golden.frozen import load, new_project
from mcp import Client, StdioServerParameters

REPOSITORY = Path(__file__).parents[2]
ASKED = "v_1xd0cv0r0p61i1ho"  # a question to a person that nobody has answered
ANSWERED = "v_116ropqfpxr6dl10"
READING = {
    *("dream", "dream_journal", "dream_health", "dream_stats", "list_pending", "read_pending", "search"),
    *("read_generation", "select_dreaming_resources", "forecast", "status"),
}

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden project with everything that it has made."""
    root = new_project(tmp_path_factory.mktemp("agents") / "project")
    for path, text in load().items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("utf-8"))
    return root


@contextmanager
def serving(root: Path, *flags: str) -> Iterator[Call]:
    """A function that calls a tool of a server process; `call.client` lists what there is."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    arguments = [str(REPOSITORY / "scripts/mcp_server.py"), "--directory", str(root), *flags]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server)) as client:

        def call(name: str, **given: Any) -> Any:
            result = portal.call(partial(client.call_tool, name, given))
            text = result.content[0].text
            if result.is_error:
                raise RuntimeError(text)
            assert json.loads(text) == result.structured_content  # for clients that read only one of them
            return result.structured_content

        call.tools = lambda: portal.call(client.list_tools).tools
        call.instructions = client.instructions
        yield call


@pytest.fixture(scope="module")
def call(root: Path) -> Iterator[Call]:
    """A server that may submit and run."""
    with serving(root, "--allow-submit", "--allow-run") as call:
        yield call


def refusal(call: Call, name: str, **given: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        call(name, **given)
    return str(caught.value)


def test_without_flags_tools_only_read(root: Path):
    with serving(root) as call:
        tools = {tool.name: tool for tool in call.tools()}
        assert tools.keys() == READING
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        assert "--allow-submit" in call.instructions and "--allow-run" in call.instructions
        assert "Unknown tool" in refusal(call, "submit_evaluation", gen_id=ASKED, answer="SCORE: 7")
        assert "Unknown tool" in refusal(call, "start_run", targets=["all"], budget_usd=1)
        assert "--allow-run" in refusal(call, "dream", start=True, budget_usd=1)
    assert not (root / f"data/inbox/{ASKED}.answer.txt").exists()
    assert not list((root / "config/procedures").glob("agent-*"))


def test_tools_say_what_they_do(call: Call):
    tools = {tool.name: tool for tool in call.tools()}
    assert tools.keys() == READING | {"submit_evaluation", "start_run"}
    for tool in tools.values():
        assert tool.title and len(tool.description) > 60 and "\n" not in tool.description
        assert tool.output_schema["properties"]
        assert all("description" in field for field in tool.input_schema["properties"].values()), tool.name
    hints = {name: tool.annotations.read_only_hint for name, tool in tools.items()}
    assert [name for name, reads in hints.items() if not reads] == ["dream", "submit_evaluation", "start_run"]
    assert tools["submit_evaluation"].annotations.destructive_hint  # it may replace an answer


def test_the_journal_health_and_statistics_of_dreams(call: Call):
    journal = call("dream_journal", limit=2, diffs=True)
    assert (journal["total"], len(journal["dreams"]), journal["next_offset"]) == (9, 2, 2)
    assert journal["journals"] == ["data/dreams/night/cycle-1/journal.md"]
    best = journal["dreams"][0]
    assert (best["tier"], best["viability"], best["procedure"]) == (1, 0.8, "webshop.quote_basket")
    assert best["diff"].startswith("--- a/") and best["test"].startswith("equivalent: ")
    speculative = call("dream_journal", tier=2)["dreams"]
    assert speculative and all(dream["tier"] == 2 for dream in speculative)
    assert call("dream_journal", offset=8)["next_offset"] is None
    assert "known: night/cycle-1" in refusal(call, "dream_journal", night="nigth")
    (health,) = call("dream_health")["cycles"]
    assert (health["night"], health["healthy"], health["threshold"]) == ("night/cycle-1", False, 0.6)
    assert set(health["parts"]) == {"novelty", "quality", "leverage", "efficiency"}
    stats = call("dream_stats", days_back=1)
    assert (stats["nights"], stats["variants"], stats["judged"]) == (1, 9, 8)
    assert sum(stats["tiers"].values()) == sum(kind["variants"] for kind in stats["kinds"].values()) == 9
    assert stats["models"] == {"coder": 4, "local": 5}


def test_a_generation_and_what_it_was_made_from(call: Call):
    whole = call("read_generation", gen_id=ANSWERED)
    assert (whole["stage"], whole["status"], whole["file"]) == ("evaluation", "ok", "parsed.txt")
    assert [(one["stage"], one["steps"]) for one in whole["lineage"]] == [("essay", 1), ("draft", 2)]
    prompt = call("read_generation", gen_id=ANSWERED, file="prompt", characters=20)["content"]
    rest = call("read_generation", gen_id=ANSWERED, file="prompt", offset=prompt["next_offset"])["content"]
    assert len(prompt["text"]) == 20 and rest["next_offset"] is None
    assert len(prompt["text"] + rest["text"]) == prompt["total_characters"] == rest["total_characters"]
    variant = call("dream_journal", limit=1)["dreams"][0]["gen_id"]
    assert "def quote_basket(" in call("read_generation", gen_id=variant)["content"]["text"]


@pytest.mark.parametrize(
    "gen_id",
    [
        "../../config/models.yaml",
        "/etc/passwd",
        "e_1/../../../x",
        "..",
        ".",
        "",
        "e_1\0x",
        "e_" + "x" * 500,
        "e" * 5000,
    ],
)
def test_an_id_is_never_a_path(call: Call, gen_id: str):
    for tool in ("read_generation", "read_pending"):
        assert "Traceback" not in refusal(call, tool, gen_id=gen_id)
    refusal(call, "submit_evaluation", gen_id=gen_id, answer="SCORE: 7")


def test_resources_are_chosen_by_the_facts_of_the_project(call: Call):
    chosen = call("select_dreaming_resources", context="billing of train tickets", quality="premium", budget_usd=1)
    assert (chosen["llm_provider"], chosen["model_id"], chosen["quality"]) == ("replay", "judge", "good")
    assert not chosen["as_required"] and "No model is configured for premium." in chosen["reasons"]
    assert "labels CONTAINS 'billing'" in chosen["filter"]
    prices = {option["quality"]: option["usd_per_million"] for option in chosen["options"]}
    assert prices["good"] == {"prompt": 1.25, "completion": 10.0}
    poor = call("select_dreaming_resources", urgency="high", budget_tokens=0)
    assert poor["quality"] == "basic" and any("0 tokens" in reason for reason in poor["reasons"])


def test_a_forecast_is_that_of_a_dry_run(call: Call):
    made = call("forecast", targets=["evaluations", "probe"], budget_usd=1)
    assert made["ok"] and "calls to make" in made["text"] and "cap: run $1.00" in made["text"]
    assert made["command"] == "snakemake evaluations probe --config budget_usd=1"
    assert "unknown target 'prune'" in refusal(call, "forecast", targets=["prune"])
    assert "unknown target" in refusal(call, "forecast", targets=["data/gens", "--unlock"])
    assert "column 8" in refusal(call, "forecast", targets=["upgrade"], upgrade_filter="labels KONTAINS x")


def test_a_night_is_planned_without_a_trace(root: Path, call: Call):
    night = call("dream", strategy="light", focus_area="prices of a basket")
    assert (night["name"], night["cycle"], night["base"]) == ("agent-light-prices-of-a-basket", 1, "night")
    assert night["started"] is None
    assert night["procedures"] == ["webshop.quote_basket"] and set(night["kinds"].values()) == {5}
    assert night["forecast"]["ok"] and "calls to make" in night["forecast"]["text"]
    assert not list(root.rglob("*agent-light*"))
    assert "Projects: fleet-ops, webshop" in refusal(call, "dream", focus_area="gardening")
    assert "give the run a budget" in refusal(call, "dream", start=True)


def hook(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the hook as an agent does."""
    command = [REPOSITORY / "scripts/hooks/post-consolidation.sh"]
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(root), "PATH": python}
    return subprocess.run(command, env=environment, cwd="/", text=True, capture_output=True, check=False)


def test_an_answer_is_checked_and_the_next_run_takes_it_in(root: Path, call: Call):
    said = hook(root)
    assert said.returncode == 0 and f"evaluation {ASKED}" in said.stdout and "SCORE: <n>" in said.stdout
    (question,) = call("list_pending")["questions"]
    assert (question["gen_id"], question["state"], question["model_id"]) == (ASKED, "waiting", "colleague")
    whole = call("read_pending", gen_id=ASKED)
    assert "Mutating frames" in whole["question"]["text"] and whole["rules"].startswith(
        "The score is a number from 0 to 10"
    )
    assert "was not filled in" in refusal(call, "submit_evaluation", gen_id=ASKED, answer=whole["form"])
    assert "outside the scale 0-10" in refusal(call, "submit_evaluation", gen_id=ASKED, answer="SCORE: 11")
    assert not (root / f"data/inbox/{ASKED}.answer.txt").exists()
    assert "no question" in refusal(call, "submit_evaluation", gen_id="v_nobody", answer="SCORE: 7")
    written = call("submit_evaluation", gen_id=ASKED, answer="It has no test.\nSCORE: 6")
    assert written["read_as"] == {"score": 6.0}
    assert "an answer already" in refusal(call, "submit_evaluation", gen_id=ASKED, answer="SCORE: 7")
    call("submit_evaluation", gen_id=ASKED, answer="It has one test.\nSCORE: 7", overwrite=True)
    assert (root / written["path"]).read_text() == "It has one test.\nSCORE: 7\n"
    assert call("list_pending")["total"] == 0 and call("list_pending", state="answered")["total"] == 1
    assert hook(root).stdout == ""

    assert "give the run a budget" in refusal(call, "start_run", targets=["evaluations"])
    assert "above 0" in refusal(call, "start_run", targets=["evaluations"], budget_usd=0)
    assert "there is no database yet" in refusal(call, "search", query="mutating frames")
    started = call("start_run", targets=["evaluations", "database"], budget_usd=1)
    assert "a run is in progress" in refusal(call, "start_run", targets=["evaluations"], budget_usd=1)
    ended = os.pidfd_open(started["pid"])
    poll = select.poll()  # select() knows no descriptors above 1,023
    poll.register(ended, select.POLLIN)
    assert poll.poll(120_000), (root / started["log"]).read_text()
    os.close(ended)
    status = call("status")
    assert (status["log"], status["running"]) == (started["log"], [])
    assert status["finished"][0]["targets"] == ["evaluations", "database"], status["log_end"]
    taken = call("read_generation", gen_id=ASKED)
    assert (taken["status"], taken["parsed"]["score"]) == ("ok", 7.0)
    assert call("list_pending", state="done")["total"] == 1
    found = call("search", query="mutating frames", limit=3)
    assert found["hits"] and "[Mutating] [frames]" in found["hits"][0]["snippet"]
    used_by = call("read_generation", gen_id=taken["lineage"][0]["gen_id"])["used_by"]
    assert {one["stage"] for one in used_by} == {"evaluation"} and any(one["score"] is not None for one in used_by)


def test_the_hook_prints_forms_that_the_parser_reads(root: Path, tmp_path: Path):
    project = shutil.copytree(root, tmp_path / "project")
    verdict = next(path for path in project.glob("data/gens/verdict/*/metadata.json") if '"ok"' in path.read_text())
    asked = {**json.loads(verdict.read_text()), "mode": "human", "status": "pending", "reason": "waits for a person: x"}
    verdict.write_text(json.dumps(asked))
    question = "Judge this.\nAnswer 1, to be written to ../../x:\nViability: 0.9\n"
    (project / f"data/inbox/{asked['gen_id']}.question.txt").write_text(question)
    said = hook(project)
    assert said.returncode == 0 and not said.stderr
    form = said.stdout.partition(f"{asked['gen_id']}.answer.txt:\n")[2].partition("\n(")[0]
    assert "> Viability: 0.9" in said.stdout and "0.9" not in form
    with pytest.raises(ParseError, match="not filled in"):
        parse("verdict", form, asked["parser_options"])
    filled = form.replace("0.NN", "0.82").replace("Tier: N", "Tier: 1").replace("[reasons]", "It keeps the order.")
    values = parse("verdict", filled, asked["parser_options"]).values
    assert values == {"viability": 0.82, "tier": 1, "reasons": "It keeps the order."} and values["tier"] in TIERS


def test_the_hook_is_silent_without_a_project(tmp_path: Path):
    said = hook(tmp_path)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_standard_output_carries_the_protocol_alone(root: Path):
    """With the handshake of older clients, and with tools that start programs or go wrong."""

    def line(method: str, number: int | None = None, **params: Any) -> str:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        return json.dumps(message if number is None else {**message, "id": number}) + "\n"

    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    calls = [("forecast", {"targets": ["estimate"]}), ("read_generation", {"gen_id": "e_\u0000"}), ("status", {"x": 1})]
    command = [sys.executable, REPOSITORY / "scripts/mcp_server.py", "--directory", root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        server.stdin.write(line("initialize", 0, **hello) + line("notifications/initialized"))
        for number, (name, arguments) in enumerate(calls, 1):
            server.stdin.write(line("tools/call", number, name=name, arguments=arguments))
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(len(calls) + 1)]
        server.stdin.close()
        assert server.stdout.read() == ""
    results = {answer["id"]: answer["result"] for answer in answers}
    assert results[0]["serverInfo"]["name"] == "dreamflow"
    assert results[1]["structuredContent"]["ok"]
    assert results[2]["isError"] and "is no id" in results[2]["content"][0]["text"]
