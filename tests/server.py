"""A model server on 127.0.0.1 for tests: it answers like OpenAI and Anthropic, and misbehaves on demand.

    with Server() as server:
        server.script += [status(429, retry_after="7"), torn(), ok]  # one step a call, in order of arrival
        ...  # base_url: server.url, in this process or in a subprocess

Where the script has ended, and for `ok`, it answers with `server.answer(body)`: by default a text that
depends on the whole request and on nothing else, so a question asked twice has one answer.

Batches are as in `batch_api`, at `server.batches`. `server.batch_script` has a step for each attempt to create one, as
`script` has for calls: `ok`, `status(...)`, `closed()` (not created), `reply_lost` (created, and nobody was told).
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from batch_api import Batches
from protocols import answer_to, echo

PATIENCE_S = 600  # after which nobody waits any more, so that a failing test ends

Step = Callable[["Handler", dict[str, Any]], None]


@dataclass(frozen=True)
class Recorded:
    """A request that arrived; `port` is the client's, the same for the same connection."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    port: int


class Server:
    """A context manager; `url` ends in /v1, and both APIs are under it."""

    def __init__(self, answer: Callable[[dict[str, Any]], str] = echo, script: Iterable[Step] = ()):
        self.answer = answer
        self.script = list(script)
        self.requests: list[Recorded] = []
        self.batch_script: list[Step] = []
        self.batches = Batches(lambda body: self.answer(body))
        self.lock = threading.Lock()
        self._http = _Listener(("127.0.0.1", 0), Handler)
        self._http.model_server = self
        self._http.open_connections = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def calls(self) -> int:
        return len(self.requests)

    def __enter__(self) -> "Server":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        # Kept-alive connections would go on answering after the test that owns them.
        for connection in list(self._http.open_connections):
            _hang_up(connection)

    def next_step(self, recorded: Recorded) -> Step:
        with self.lock:
            self.requests.append(recorded)
            return self.script.pop(0) if self.script else ok


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # many jobs connect at once

    def handle_error(self, request, client_address):
        """Silence: clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.open_connections.add(self.connection)

    def finish(self):
        self.server.open_connections.discard(self.connection)
        super().finish()

    def do_GET(self):
        batches = self.server.model_server.batches
        if batches.handles(self.path):
            self.reply(*batches.request(self.command, self.path, "", b""))
        else:
            self.reply(404, {"error": {"message": f"no such path: {self.path}"}})

    do_DELETE = do_GET

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.model_server.batches.handles(self.path):
            self.batch_post(content)
            return
        body = json.loads(content)
        headers = {name.lower(): value for name, value in self.headers.items()}
        recorded = Recorded(self.path, headers, body, self.client_address[1])
        step = self.server.model_server.next_step(recorded)
        if self.path.endswith(("/chat/completions", "/v1/messages")):
            step(self, body)
        else:
            self.reply(404, {"error": {"message": f"no such path: {self.path}"}})

    def batch_post(self, content: bytes) -> None:
        owner = self.server.model_server
        self.content = content
        step = ok
        if self.path.endswith("/batches"):
            with owner.lock:
                step = owner.batch_script.pop(0) if owner.batch_script else ok
        if step is ok:
            self.reply(*self.create_batch())
        else:
            step(self, {})

    def create_batch(self) -> tuple[int, Any]:
        """What a batch request that arrived leads to."""
        content_type = self.headers.get("Content-Type", "")
        return self.server.model_server.batches.request("POST", self.path, content_type, self.content)

    def log_message(self, *_arguments):
        """Silence."""

    def reply(self, code: int, body: Any, **headers: str) -> None:
        """Send `body` (JSON unless it is bytes) with headers named like Retry_After.

        A Content_Length among them takes the place of the true one.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        _hang_up(self.connection)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to `body`, in the form of the API that was asked."""
        return answer_to(self.path, body, self.server.model_server.answer(body))


# Steps of a script: functions (handler, body) that answer one request.


def ok(handler: Handler, body: dict[str, Any]) -> None:
    """The answer, complete."""
    handler.reply(200, handler.completion(body))


def reply(code: int, body: Any, **headers: str) -> Step:
    """Exactly this."""
    return lambda handler, _body: handler.reply(code, body, **headers)


def status(code: int, message: str = "told to fail", retry_after: str | None = None) -> Step:
    """An error with a message in the form that both APIs share."""
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    return reply(code, {"type": "error", "error": {"message": message, "type": "test_error"}}, **headers)


def error_200(code: Any, message: str = "told to fail") -> Step:
    """An error with HTTP 200, as from OpenRouter."""
    return reply(200, {"error": {"code": code, "message": message}})


def redirect(url: str) -> Step:
    """A redirect."""
    return reply(307, b"", Location=url)


def closed() -> Step:
    """No answer at all: the connection ends."""
    return lambda handler, _body: handler.hang_up()


def torn() -> Step:
    """Half of the answer, then the connection ends."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        content = json.dumps(handler.completion(body)).encode()
        handler.reply(200, content[: len(content) // 2], Content_Length=str(len(content)))
        handler.hang_up()

    return step


def changed(**fields: Any) -> Step:
    """The answer with some of its fields replaced; those of a choice and its message are found by name."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        answer = handler.completion(body)
        choice = answer.get("choices", [{}])[0]
        for name, value in fields.items():
            places = (answer, choice, choice.get("message", {}))
            next((place for place in places if name in place), answer)[name] = value
        handler.reply(200, answer)

    return step


def cut() -> Step:
    """The answer with the sign that it reached the limit of tokens."""
    return lambda handler, body: changed(**_ending(handler, "length", "max_tokens"))(handler, body)


def refused(text: str = "I cannot help with that.") -> Step:
    """A refusal."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        ending = _ending(handler, "stop", "refusal")
        content = {"content": [{"type": "text", "text": text}]} if "stop_reason" in ending else {"refusal": text}
        changed(**ending, **content)(handler, body)

    return step


def no_choices() -> Step:
    """An answer without an answer."""
    return changed(choices=[], content=None)


def echoed_key(code: int = 401) -> Step:
    """An error that quotes the headers with the key, as careless servers do."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        key = handler.headers.get("Authorization") or handler.headers.get("x-api-key")
        status(code, f"not a key: {key}")(handler, body)

    return step


def held(go: threading.Event, arrived: threading.Event | None = None) -> Step:
    """The answer, once the test sets `go`; `arrived` is set when the request is here."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        if arrived:
            arrived.set()
        go.wait(PATIENCE_S)
        ok(handler, body)

    return step


def dripping(go: threading.Event) -> Step:
    """Blanks without end until the test sets `go`, as from servers that keep a connection awake."""

    def step(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not go.wait(0.01):
            handler.wfile.write(b"1\r\n \r\n")
        content = json.dumps(handler.completion(body)).encode()
        handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))

    return step


def reply_lost(handler: Handler, _body: dict[str, Any]) -> None:
    """Create the batch; the connection ends before an answer."""
    handler.create_batch()
    handler.hang_up()


def _ending(handler: Handler, openai: str, anthropic: str) -> dict[str, str]:
    is_anthropic = handler.path.endswith("/messages")
    return {"stop_reason": anthropic} if is_anthropic else {"finish_reason": openai}


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side may be faster
        connection.shutdown(socket.SHUT_RDWR)
