"""A model server in a process of its own: fast, misbehaving by a script, and counting what it would bill.

    with Service({"latency_s": 0.2, "faults": [["503", 0.1]]}) as service:
        ...  # base_url: service.url
        service.counts()["answers"]

or `python tests/service.py [--port PORT] [--script FILE.json]`. What a script may say is in `Script`. Whether a call
meets a fault depends on the question and on how often it was asked, not on the order of arrival.
"""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import requests
from batch_api import Batches
from faults import BROKEN, ERRORS, SAID_NO, error, odd
from protocols import answer_to, bill, scored, text_of

Reply = tuple[int, dict[str, str], bytes]


class Rate(msgspec.Struct, frozen=True):
    """So many requests in a window of so many seconds; `retry_after`: seconds, date, zero or none."""

    requests: int
    window_s: float = 1.0
    retry_after: str = "seconds"
    headers: bool = True


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the server behaves.

    - `faults`: pairs of a name of `faults` and the share of calls that meet it; `models` has those of single models.
    - `faults_per_question`: after so many, a question is answered.
    - `rate`, `daily`: what is refused with 429.
    - `batch_outcomes`: of the first items of batches; `batch_replies_lost`: so many are created, and nobody is told.
    - `hold_after`: calls after so many whole answers get none until the script changes.
    """

    latency_s: float = 0.0
    faults: list[tuple[str, float]] = []
    models: dict[str, list[tuple[str, float]]] = {}
    faults_per_question: int = 2
    seed: int = 0
    rate: Rate | None = None
    daily: int | None = None
    hold_after: int | None = None
    batch_outcomes: list[str] = []
    batch_replies_lost: int = 0


class Counts:
    """What arrived and what was sent: in total, by key, by kind (the first word of the last message), by question."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.keys: dict[str, Counter[str]] = {}
        self.kinds: Counter[str] = Counter()
        self.questions: dict[str, Counter[str]] = {}
        self.prompts: Counter[str] = Counter()  # calls by the SHA-256 of the last message
        self.faults: Counter[str] = Counter()
        self.in_flight = self.peak = 0
        self.first_at = self.last_at = 0.0

    def arrived(self, question: str, key: str, prompt: str) -> None:
        """Count a call."""
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at
        self.kinds[prompt.split(maxsplit=1)[0]] += 1
        self.prompts[hashlib.sha256(prompt.encode()).hexdigest()] += 1
        for counter in self._of(question, key):
            counter["calls"] += 1

    def answered(self, question: str, key: str, billed: tuple[int, int, float], fault: str) -> None:
        """Count an answer that was sent whole."""
        for counter in self._of(question, key):
            counter["answers"] += 1
            for name, value in zip(("prompt_tokens", "completion_tokens", "cost_usd"), billed, strict=True):
                counter[name] += value
                if fault:
                    counter[f"{fault} {name}"] += value

    def unsure(self, question: str, key: str) -> None:
        """Count a call that would be billed although its answer does not arrive whole."""
        for counter in self._of(question, key):
            counter["unsure"] += 1

    def _of(self, question: str, key: str) -> tuple[Counter[str], ...]:
        by_key = self.keys.setdefault(key, Counter())
        return self.total, by_key, self.questions.setdefault(question, Counter())

    def as_json(self, *, questions: bool) -> dict[str, Any]:
        """Everything as plain values."""
        names = ("calls", "answers", "unsure", "refused", "prompt_tokens", "completion_tokens", "cost_usd")
        return {
            **{name: self.total[name] for name in names},
            "total": self.total,
            "keys": self.keys,
            "kinds": self.kinds,
            "faults": self.faults,
            "peak": self.peak,
            "seconds": self.last_at - self.first_at,
            "asked": len(self.questions),
            "most_answers_to_a_question": max((c["answers"] for c in self.questions.values()), default=0),
            "questions": self.questions if questions else {},
            "prompts": self.prompts if questions else {},
        }


class Server:
    """The state of the server process."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.counts = Counts()
        self.window = (0, 0)
        self.batches = Batches(scored, self.batch_answered)
        self.batches.outcomes = list(script.batch_outcomes)
        self.batch_replies_lost = script.batch_replies_lost
        self.held: list[Connection] = []
        self.waiting: list[tuple[str, int, Connection]] = []

    def refusal(self, path: str) -> tuple[Reply | None, dict[str, str]]:
        """A 429 if the limits of the script are reached, and the headers that tell what is left."""
        rate, now = self.script.rate, time.time()
        if self.script.daily is not None and self.counts.total["answers"] >= self.script.daily:
            wait = {"Retry-After": str(86400 - int(now) % 86400)}
            return (429, wait, b'{"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}'), {}
        if rate is None:
            return None, {}
        number = int(now / rate.window_s)
        used = self.window[1] if self.window[0] == number else 0
        left_s = (number + 1) * rate.window_s - now
        left = rate.requests - used
        headers = _limit_headers(path, rate, max(0, left - 1), left_s, now) if rate.headers else {}
        if left <= 0:
            return (429, headers | _retry_after(rate, left_s, now), error("429")[2]), {}
        self.window = (number, used + 1)
        return None, headers

    def fault(self, model: str, question: str, nth: int) -> str:
        """The fault that the nth call of a question meets, or ""."""
        if nth > self.script.faults_per_question:
            return ""
        drawn = hashlib.sha256(f"{self.script.seed} {question} {nth}".encode()).digest()
        value = int.from_bytes(drawn[:6], "big") / 2**48
        for name, share in self.script.models.get(model, self.script.faults):
            if value < share:
                return name
            value -= share
        return ""

    def call(self, connection: "Connection", path: str, headers: dict[str, str], content: bytes) -> None:
        """Answer a call of a model."""
        body = msgspec.json.decode(content)
        key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key", "")
        question = hashlib.sha256(content).hexdigest()
        counts = self.counts
        counts.arrived(question, key, text_of(body["messages"][-1]["content"]))
        self.wake()
        refused, limits = self.refusal(path)
        if refused is not None:
            counts.total["refused"] += 1
            connection.send(*refused)
            return
        fault = self.fault(body["model"], question, counts.questions[question]["calls"])
        if fault:
            counts.faults[fault] += 1
        hold = self.script.hold_after
        if hold is not None and counts.total["answers"] + counts.in_flight >= hold:
            self.held.append(connection)
            return
        if fault in ERRORS:
            if fault in SAID_NO:
                counts.answered(question, key, (0, 0, 0.0), fault)
            connection.send(*error(fault))
            return
        counts.in_flight += 1
        counts.peak = max(counts.peak, counts.in_flight)

        def finish() -> None:
            counts.in_flight -= 1
            answer = answer_to(path, body, scored(body))
            if fault in BROKEN:
                self.break_off(connection, fault, question, key, msgspec.json.encode(answer))
            elif connection.transport.is_closing():  # the client has gone
                counts.unsure(question, key)
            else:
                sent = odd(fault, answer) if fault else msgspec.json.encode(answer)
                counts.answered(question, key, bill(answer), fault)
                connection.send(200, limits, sent)
            self.wake()

        if self.script.latency_s:
            asyncio.get_running_loop().call_later(self.script.latency_s, finish)
        else:
            finish()

    def batch(self, connection: "Connection", method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        """Answer a request of a batch API."""
        status, body = self.batches.request(method, path, headers.get("content-type", ""), content)
        if method == "POST" and path.endswith("/batches") and self.batch_replies_lost:
            self.batch_replies_lost -= 1
            connection.transport.close()
        else:
            connection.send(status, {}, body if isinstance(body, bytes) else msgspec.json.encode(body))

    def batch_answered(self, custom_id: str, answer: dict[str, Any]) -> None:
        """Count an answer in a batch, at half the price."""
        prompt, completion, cost = bill(answer)
        self.counts.answered(f"batch {custom_id}", "batches", (prompt, completion, cost / 2), "")

    def break_off(self, connection: "Connection", fault: str, question: str, key: str, content: bytes) -> None:
        """Send no answer, or half of one."""
        if fault in ("half", "stall"):
            self.counts.unsure(question, key)
        if fault == "stall":
            self.held.append(connection)
            return
        if fault == "half":
            connection.send(200, {"Content-Length": str(len(content))}, content[: len(content) // 2])
        if fault == "reset":
            option = b"\x01\0\0\0\0\0\0\0"  # linger for no time: the connection is reset
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            connection.transport.abort()
        else:
            connection.transport.close()

    def admin(self, connection: "Connection", method: str, path: str, content: bytes) -> None:
        """Counts, waits and a new script."""
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.path.endswith("/wait"):
            self.waiting.append((query["for"], int(query["count"]), connection))
            self.wake()
            return
        if method == "POST":
            self.script = msgspec.json.decode(content, type=Script)
            self.batches.outcomes = list(self.script.batch_outcomes)
            self.batch_replies_lost = self.script.batch_replies_lost
            for held in self.held:
                held.transport.abort()
            self.held.clear()
        connection.send(200, {}, msgspec.json.encode(self.counts.as_json(questions="questions" in query)))

    def wake(self) -> None:
        """Answer those who wait for calls."""
        for entry in self.waiting[:]:
            what, count, connection = entry
            if what == "quiet":
                reached = not self.counts.in_flight
            else:
                reached = (self.counts.total[what] or self.counts.kinds[what]) >= count
            if reached:
                self.waiting.remove(entry)
                connection.send(200, {}, b"{}")


class Connection(asyncio.Protocol):
    """A connection of HTTP/1.1 that stays open."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, path, _ = lines[0].split(" ", 2)
            self.handle(method, path, headers, rest[:length])

    def handle(self, method: str, path: str, headers: dict[str, str], content: bytes) -> None:
        """Answer a request."""
        if path.startswith("/admin/"):
            self.server.admin(self, method, path, content)
        elif self.server.batches.handles(path):
            self.server.batch(self, method, path, headers, content)
        elif path.endswith(("/chat/completions", "/messages")):
            self.server.call(self, path, headers, content)
        else:
            self.send(404, {}, b'{"error": {"message": "no such path"}}')

    def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """Send a reply."""
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + content)


def _retry_after(rate: Rate, left_s: float, now: float) -> dict[str, str]:
    if rate.retry_after == "none":
        return {}
    seconds = str(int(left_s) + 1)
    value = {"seconds": seconds, "zero": "0", "date": formatdate(now + left_s + 1, usegmt=True)}
    return {"Retry-After": value[rate.retry_after]}


def _limit_headers(path: str, rate: Rate, left: int, left_s: float, now: float) -> dict[str, str]:
    if path.endswith("/messages"):
        reset = datetime.fromtimestamp(now + left_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        name = "anthropic-ratelimit-requests-"
        return {f"{name}limit": str(rate.requests), f"{name}remaining": str(left), f"{name}reset": reset}
    name = "x-ratelimit-"
    return {
        f"{name}limit-requests": str(rate.requests),
        f"{name}remaining-requests": str(left),
        f"{name}reset-requests": f"{int(left_s * 1000)}ms",
    }


async def serve(port: int, script: Script) -> None:
    """Serve until the standard input ends, which it does if the parent is gone."""
    loop, server = asyncio.get_running_loop(), Server(script)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=2048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    await ended.wait()
    os._exit(0)


class Service:
    """A server in a process of its own; `url` ends in /v1."""

    def __init__(self, script: dict[str, Any] | None = None) -> None:
        self.script = script or {}

    def __enter__(self) -> "Service":
        command = [sys.executable, str(Path(__file__)), "--script", "-"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(self.script) + "\n")
        self.process.stdin.flush()
        self.root = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.url = f"{self.root}/v1"
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def counts(self, *, questions: bool = False) -> dict[str, Any]:
        """What it has counted."""
        return requests.get(f"{self.root}/admin/counts{'?questions=1' if questions else ''}").json()

    def change(self, script: dict[str, Any]) -> None:
        """Behave otherwise from now on; calls that are held end without an answer."""
        requests.post(f"{self.root}/admin/script", json=script).raise_for_status()

    def wait(self, what: str, count: int = 0) -> None:
        """Return when so many "calls", "answers" or calls of a kind have come; for "quiet": when none is in flight."""
        requests.get(f"{self.root}/admin/wait?for={what}&count={count}", timeout=180).raise_for_status()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", default="", help="a JSON file; -: a line of the standard input")
    options = parser.parse_args()
    text = "{}"
    if options.script:
        text = sys.stdin.readline() if options.script == "-" else Path(options.script).read_text()
    asyncio.run(serve(options.port, msgspec.json.decode(text, type=Script)))


if __name__ == "__main__":
    main()
