"""What the providers that speak HTTP share: pooled connections, the key, and which error has which class.

A key leaves this process in one header, to the host of `base_url`, and nowhere else: redirects are not
followed, ~/.netrc is not read, and whatever a server says is searched for the key before it is quoted.
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
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema
from urllib3.connection import HTTPConnection

from ..model import Json
from . import CallError, Request, Response

CONNECT_TIMEOUT_S = 10
POOL_SIZE = 1024  # connections kept open to one host; more are opened and closed again, none has to wait
RETRYABLE = {408, 409, 425, 429}  # and every 5xx
NEVER_SENT = (InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema)  # base_url or the body is wrong
_sessions: dict[tuple[str, str], requests.Session] = {}
_sessions_lock = threading.Lock()


@dataclass(frozen=True)
class Endpoint:
    """Where the requests for one model go, and with which key ("" is none)."""

    provider: str
    model_id: str
    base_url: str
    timeout_s: float
    key: str = field(repr=False)


def endpoint(request: Request, base_url: str, key_env: str | None) -> Endpoint:
    """The endpoint of the request's model; `base_url` and `key_env` are what its provider has by default.

    Where there is no default `key_env` a key is optional: sent if the model names a variable that is set.
    """
    model = request.model
    name = model.api_key_env or key_env
    key = os.environ.get(name, "").strip() if name else ""
    url = (model.base_url or base_url).rstrip("/")
    model_id = model.model_id
    to = Endpoint(model.provider, model_id, url, model.timeout_s, key)
    if key_env and not key:
        raise failure(to, f"no key: set the environment variable {name}", retryable=False)
    if not (key.isascii() and key.isprintable()):  # the HTTP library would quote it in its complaint
        raise failure(to, f"the environment variable {name} holds characters no key has", retryable=False)
    return to


def payload(request: Request, **fields: Json) -> dict[str, Json]:
    """A request body: the model, those of the provider's `fields` that are not None, and `extra_body`."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"model": request.model.name, **given, **request.model.extra_body}


def ask(
    to: Endpoint, path: str, headers: Mapping[str, str], body: Json, read: Callable[[Endpoint, dict], Response]
) -> Response:
    """POST `body` as JSON and `read` the answer; every failure is a `CallError`."""
    try:
        status, said, content = _exchange(to, path, headers, body)
    except (requests.RequestException, ValueError) as error:  # ValueError: of a redirect to no URL
        what = f"no answer: {type(error).__name__}: {error}"
        raise failure(to, what, retryable=not isinstance(error, NEVER_SENT)) from None
    if 300 <= status < 400:
        target = host(said.get("Location", "")) or "another path"
        what = f"error {status}: redirects to {target}; if that is meant, change base_url"
        raise failure(to, what, retryable=False, status=status)
    try:
        answer = json.loads(content)
    except ValueError:
        answer = content.decode("utf-8", "replace")
    error = answer.get("error") if isinstance(answer, dict) else None
    if error or status >= 400:
        raise server_error(to, error or answer, status, said)
    try:
        return read(to, answer)
    except (LookupError, TypeError, AttributeError, ValueError):
        what = "the answer is not a JSON object of the documented form"
        raise failure(to, what, retryable=True, status=status) from None


def server_error(to: Endpoint, error: Json, status: int, headers: Mapping[str, str]) -> CallError:
    """The error a server reports: `error` is the "error" field of its body, or else the whole body.

    OpenRouter sends errors with HTTP 200 once a model has begun; then their class is that of their code
    or, where they have none, that of an answer that broke off.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    code, metadata = fields.get("code"), fields.get("metadata")
    if status < 400 and str(code).isdecimal():
        status = int(code)
    # insufficient_quota is OpenAI's 429 for an empty account, which no waiting fills.
    retryable = (status < 400 or status in RETRYABLE or status >= 500) and code != "insufficient_quota"
    message = fields.get("message") or fields.get("detail") or error
    if isinstance(metadata, dict) and metadata.get("raw"):  # what the provider behind OpenRouter said
        message = f"{message}: {metadata['raw']}"
    wait = _retry_after(headers)
    return failure(to, f"error {status}: {message}", retryable=retryable, status=status, retry_after=wait)


def failure(to: Endpoint, what: str, **of_the_call: Any) -> CallError:
    """The error that `what` happened (it may quote the server); the rest is as in `CallError`."""
    for form in {to.key, quote(to.key, safe="")} - {""}:
        what = what.replace(form, "[key]")
    what = " ".join(re.sub(r"//[^/@\s]*@", "//", what).split())  # a URL may hold a password
    what = what if len(what) <= 300 else what[:299] + "…"
    return CallError(f"{to.provider}: {to.model_id} at {host(to.base_url)}: {what}", **of_the_call)


def refuse_grammar(request: Request, to: Endpoint) -> None:
    """For the providers that cannot keep an answer to a grammar."""
    if request.response_format and request.response_format["type"] == "grammar":
        raise failure(to, "a grammar is not supported by this provider", retryable=False)


def host(url: str) -> str:
    """The host and port of a URL, without a password; "" if it has none."""
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
        auth=lambda prepared: prepared,  # else requests puts a password of ~/.netrc in place of the key
    ) as response:
        content = b""
        for part in response.iter_content(None):
            content += part
            # Servers that send blanks while the model thinks never let the timeout between two reads end.
            if time.monotonic() > deadline:
                raise requests.Timeout(f"the answer was not complete after {to.timeout_s} s")
        return response.status_code, response.headers, content


def _session(to: Endpoint) -> requests.Session:
    with _sessions_lock:
        session = _sessions.get((to.provider, to.base_url))
        if session is None:
            session = _sessions[to.provider, to.base_url] = requests.Session()
            # Routers forget connections that are silent for minutes, as a long answer is: probe them.
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
    """Seconds to wait, a day at most: `retry-after-ms` (OpenAI, Azure) or Retry-After, a number or a date."""
    value = headers.get("Retry-After", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(value) if value[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(0.0, seconds), 86400.0)
