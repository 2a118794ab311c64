"""What a person sees of a run: on a terminal, in a file, from another terminal, and as spans at a collector."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dreamflow.run_status import read_status
from dreamflow.status_text import status_text
from project import REPOSITORY, Project, heed_interrupts
from server import PATIENCE_S, Server, reply
from trial import SPEC, answer, models

NOISE = ("Building DAG", "Conda environments", "host:", "Provided cores", "Select jobs", "Complete log", "Elapsed time")
PROMPT = "What a is."  # a part of a concept's text


@pytest.fixture
def own_server() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


@pytest.fixture
def fresh(own_server: Server, tmp_path: Path) -> Project:
    return Project(tmp_path / "fresh", models(own_server.url), SPEC)


def status(project: Project, *options: str) -> str:
    """What `scripts/status.py` prints."""
    command = [sys.executable, str(REPOSITORY / "scripts/status.py"), *options]
    return subprocess.run(command, cwd=project.root, text=True, capture_output=True, check=True).stdout


def start_on_terminal(project: Project, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """A run whose screen is a terminal of 100 columns, and what reads that screen."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments),
        env=project.environment(TERM="xterm", COLUMNS="100"),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    os.close(terminal)
    return process, screen


def read_all(screen: int) -> str:
    """What is on a terminal that no process has open any more."""
    text = b""
    try:
        while part := os.read(screen, 65536):
            text += part
    except OSError:  # as Linux says the end
        pass
    os.close(screen)
    return text.decode().replace("\r\n", "\n")


def test_a_run_is_read_from_another_terminal_and_a_killed_one_is_told(fresh: Project, own_server: Server) -> None:
    go, arrived = threading.Event(), threading.Event()

    def hold(body: dict[str, Any]) -> str:
        if '"content": "Join these.' not in json.dumps(body):  # no draft
            arrived.set()
            go.wait(PATIENCE_S)
        return answer(body)

    own_server.answer = hold
    process, screen = start_on_terminal(fresh, "--cores", "4")
    assert arrived.wait(PATIENCE_S)
    state: dict[str, Any] = {"in_flight": [], "stages": {}}
    flights: list[tuple[str, str, bool]] = []
    while ("essay", "writer", False) not in flights or state["stages"]["draft"]["made"] < 2:
        go.wait(0.05)
        state = next(iter(read_status(fresh.root / "data")["running"]), state)
        flights = [(flight["stage"], flight["model"], flight["waits"]) for flight in state["in_flight"]]
    assert set(flights) <= {("essay", "writer", False), ("evaluation", "judge", False)}
    assert (state["pid"], state["targets"], state["left_s"]) == (process.pid, [], None)
    said = status(fresh)
    assert "snakemake all runs since" in said and f"process {process.pid}" in said
    assert "2 of 2" in said and "in flight" in said
    assert json.loads(status(fresh, "--json"))["running"][0]["pid"] == process.pid
    dry = fresh.run("-n").stdout
    assert "python scripts/status.py" in dry and "cannot be locked" not in dry and dry.count("Job stats") == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    go.set()
    text = read_all(screen)
    assert re.search(r"\r\x1b\[K\d/10 made · \d in flight, \d+ s", text)
    assert not [noise for noise in NOISE if noise in text]
    found = read_status(fresh.root / "data")
    said = status_text(found)
    assert "snakemake all died: its process was killed" in said and "snakemake --unlock" in said
    assert found["running"] == []
    fresh.run("--unlock")
    assert fresh.run().returncode == 0
    found = read_status(fresh.root / "data")
    said = status_text(found)
    assert "No run is at work." in said and said.count("snakemake all: ") == 2
    last, killed = found["finished"]
    assert (last["why"], killed["stages"]["draft"]["made"]) == ("everything was made", 2)


def test_equal_failures_are_one_line_and_a_dead_collector_is_another(fresh: Project, own_server: Server) -> None:
    fresh.edit("config/config.yaml", telemetry=True)
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    own_server.script += [reply(400, {"error": {"message": f"no room for request {n}"}}) for n in range(2)]
    done = fresh.run("--cores", "4", **nowhere)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert [line for line in lines if line.startswith(NOISE)] == []
    assert sum(" was not made: " in line for line in lines) == 2  # when it happened, and with its count
    assert sum(line.startswith("telemetry: ") for line in lines) == 1  # and the run went on
    place = next(number for number, line in enumerate(lines) if line.startswith("2 times: draft d_"))
    assert lines[place + 1].count("data/logs/draft/d_") == 2
    assert lines[-1] == "All answers are in the store. Run the same command again to continue."
    (run,) = read_status(fresh.root / "data")["finished"]
    assert [(each["count"], len(each["where"])) for each in run["failures"]] == [(2, 2)]
    assert "was not made" in run["why"] and run["stages"]["draft"]["not_made"] == 2


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OpenTelemetry collector: its address, and the requests that it got."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    requests: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(ExportTraceServiceRequest.FromString(content))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", requests
        http.shutdown()


def spans_of(requests: list[Any]) -> list[Any]:
    return [
        span for request in requests for of in request.resource_spans for some in of.scope_spans for span in some.spans
    ]


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for each in span.attributes:
        value = getattr(each.value, each.value.WhichOneof("value"))
        found[each.key] = [item.string_value for item in value.values] if hasattr(value, "values") else value
    return found


def test_every_call_is_a_span_without_its_texts(fresh: Project, own_server: Server) -> None:
    fresh.edit("config/config.yaml", telemetry=True)
    own_server.script += [reply(400, {"error": {"message": "no such thing"}})]
    with collector() as (address, requests):
        done = fresh.run("--cores", "1", OTEL_EXPORTER_OTLP_ENDPOINT=address, OPENAI_API_KEY="sk-secret")
    assert done.returncode == 1 and "telemetry" not in done.stdout, done.stdout
    spans = spans_of(requests)
    by_id = {span.span_id: span for span in spans}
    calls = [span for span in spans if span.name.startswith("chat ")]
    assert len(calls) == own_server.calls == 5
    assert {by_id[span.parent_span_id].name for span in calls} == {"draft", "essay", "evaluation"}
    (root,) = [span for span in spans if not span.parent_span_id]
    assert attributes(root)["gen_ai.operation.name"] == "invoke_workflow"
    assert {by_id[span.parent_span_id].parent_span_id for span in calls} == {root.span_id}
    ends = Counter(attributes(span).get("error.type", "") for span in calls)
    assert ends == {"": 4, "400": 1}
    one = attributes(next(span for span in calls if attributes(span)["dreamflow.stage"] == "essay"))
    record = next(record for record in fresh.answers().values() if record["asked"]["gen_id"] == one["dreamflow.gen_id"])
    assert one["gen_ai.provider.name"] == "openai" and one["gen_ai.request.model"] == "writer"
    assert one["gen_ai.usage.input_tokens"] == record["response"]["usage"]["prompt_tokens"]
    assert one["gen_ai.usage.output_tokens"] == record["response"]["usage"]["completion_tokens"]
    assert one["gen_ai.response.finish_reasons"] == ["stop"]
    assert (one["gen_ai.request.max_tokens"], one["server.address"]) == (200, "127.0.0.1")
    written = "".join(map(str, requests))
    assert PROMPT not in written and "sk-secret" not in written and "no such thing" not in written
