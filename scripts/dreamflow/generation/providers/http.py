"""Shared by the providers that use HTTP: pooled connections, the key, and the classes of errors.

The key is sent in one header, to the host of `base_url`, and nowhere else: redirects are not followed, ~/.netrc is not
read, and the key is removed from server messages before they are quoted.
"""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema
from urllib3.connection import HTTPConnection

from ..model import Json
from . import CallError, Request, Response

CONNECT_TIMEOUT_S = 10
POOL_SIZE = 1024  # connections kept open per host; further connections are closed after use
NEVER_SENT = (InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema)  # base_url or the body is wrong
_sessions: dict[tuple[str, str], requests.Session] = {}
_sessions_lock = threading.Lock()


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of a model and the key for it ("": no key)."""

    provider: str
    model_id: str
    base_url: str
    timeout_s: float
    key: str = field(repr=False)


def endpoint(request: Request, base_url: str, key_env: str | None) -> Endpoint:
    """The endpoint of the request's model; `base_url` and `key_env` are the defaults of its provider.

    Without a default `key_env` a key is optional: it is sent if the model names a variable that is set.
    """
    model = request.model
    name = model.api_key_env or key_env
    key = os.environ.get(name, "").strip() if name else ""
    to = Endpoint(model.provider, model.model_id, (model.base_url or base_url).rstrip("/"), model.timeout_s, key)
    if key_env and not key:
        raise failure(to, f"no key: set the environment variable {name}", kind="account")
    if not (key.isascii() and key.isprintable()):  # the HTTP library would quote the key in its error
        raise failure(to, f"the environment variable {name} has characters that no key contains", kind="account")
    return to


def payload(request: Request, **fields: Json) -> dict[str, Json]:
    """A request body: the model, the `fields` that are not None, and the model's `extra_body`."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"model": request.model.name, **given, **request.model.extra_body}


def ask(
    to: Endpoint, path: str, headers: Mapping[str, str], body: Json, read: Callable[[Endpoint, dict], Response]
) -> Response:
    """POST `body` as JSON and `read` the answer. Raises `CallError` for every failure."""
    try:
        status, response_headers, content = _exchange(to, path, headers, body)
    except (requests.RequestException, ValueError) as error:  # ValueError: a redirect to something that is not a URL
        what = f"no answer: {type(error).__name__}: {error}"
        raise failure(to, what, kind="account" if isinstance(error, NEVER_SENT) else "connection") from None
    if 300 <= status < 400:
        target = host(response_headers.get("Location", "")) or "another path"
        what = f"error {status}: redirects to {target}; if that is intended, change base_url"
        raise failure(to, what, kind="account", status=status)
    try:
        answer = json.loads(content)
    except ValueError:
        answer = content.decode("utf-8", "replace")
    error = answer.get("error") if isinstance(answer, dict) else None
    if error or status >= 400:
        raise server_error(to, error or answer, status, response_headers)
    try:
        return read(to, answer)
    except (LookupError, TypeError, AttributeError, ValueError):
        what = "the answer is not a JSON object with the documented fields"
        raise failure(to, what, kind="server", status=status) from None


def server_error(to: Endpoint, error: Json, status: int, headers: Mapping[str, str]) -> CallError:
    """The error that a server reports: `error` is the "error" field of the body, or else the whole body.

    OpenRouter sends errors with HTTP 200 after a model has begun. Then the error's code decides the class; without a
    code the error is retryable.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    code, metadata = fields.get("code"), fields.get("metadata")
    if status < 400 and str(code).isdecimal():
        status = int(code)
    # insufficient_quota is OpenAI's 429 for an account without credit: waiting does not help.
    kind = "account" if code == "insufficient_quota" else kind_of(status, headers)
    message = fields.get("message") or fields.get("detail") or error
    if isinstance(metadata, dict) and metadata.get("raw"):  # the error of the provider behind OpenRouter
        message = f"{message}: {metadata['raw']}"
    wait = _retry_after(headers)
    return failure(to, f"error {status}: {message}", kind=kind, status=status, retry_after=wait, headers=headers)


def kind_of(status: int, headers: Mapping[str, str]) -> str:
    """The kind of the `CallError` for a status; a status below 400 comes with an error that has no code."""
    if status in (429, 529) or (status == 503 and "Retry-After" in headers):
        return "busy"
    if status < 400 or status >= 500 or status in (408, 409, 425):
        return "server"
    return "account" if status in (401, 402, 403, 404) else "request"


def failure(to: Endpoint, what: str, **fields: Json) -> CallError:
    """The error with the message `what`, which may quote the server; `fields` are those of `CallError`."""
    for form in {to.key, quote(to.key, safe="")} - {""}:
        what = what.replace(form, "[key]")
    what = " ".join(re.sub(r"//[^/@\s]*@", "//", what).split())  # a URL may contain a password
    what = what if len(what) <= 300 else what[:299] + "…"
    return CallError(f"{to.provider}: {to.model_id} at {host(to.base_url)}: {what}", **fields)


def refuse_grammar(request: Request, to: Endpoint) -> None:
    """Raise a `CallError` if the request has a grammar; for providers that cannot enforce one."""
    if request.response_format and request.response_format["type"] == "grammar":
        raise failure(to, "a grammar is not supported by this provider", kind="request")


def host(url: str) -> str:
    """The host and port of a URL, without a password; "" if the URL has no host."""
    match = re.match(r"(?:[a-z]+:)?//(?:[^/?#]*@)?([^/?#]*)", url.lower())
    return match[1] if match else ""


def _exchange(to: Endpoint, path: str, headers: Mapping[str, str], body: Json) -> tuple[int, Mapping[str, str], bytes]:
    deadline = time.monotonic() + to.timeout_s
    with _session(to).post(
        to.base_url + path,
        json=body,
        headers=headers,
        timeout=(CONNECT_TIMEOUT_S, to.timeout_s),
        allow_redirects=False,
        stream=True,
        auth=lambda prepared: prepared,  # else requests replaces the key by a password from ~/.netrc
    ) as response:
        content = b""
        for part in response.iter_content(None):
            content += part
            # Some servers send blanks while the model thinks, so the timeout between two reads never ends.
            if time.monotonic() > deadline:
                raise requests.Timeout(f"the answer was not complete after {to.timeout_s} s")
        return response.status_code, response.headers, content


def _session(to: Endpoint) -> requests.Session:
    with _sessions_lock:
        session = _sessions.get((to.provider, to.base_url))
        if session is None:
            session = _sessions[to.provider, to.base_url] = requests.Session()
            # Routers drop connections that are silent for minutes, as during a long answer: send probes.
            options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
            if hasattr(socket, "TCP_KEEPIDLE"):
                options.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))
            adapter = HTTPAdapter()
            adapter.init_poolmanager(1, POOL_SIZE, socket_options=options)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            # A model server on this machine is not behind the proxy that the environment may name.
            session.trust_env = not re.match(r"(localhost|127\.[0-9.]+|\[::1])(:|$)", host(to.base_url))
        return session


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, at most a day: `retry-after-ms` (OpenAI, Azure) or Retry-After, a number or a date."""
    value = headers.get("Retry-After", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(value) if value[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(0.0, seconds), 86400.0)
