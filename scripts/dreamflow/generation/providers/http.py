"""Shared by the providers that use HTTP: the call, the key, and the classes of errors.

The key is sent in one header, to the host of `base_url`, and nowhere else: redirects are not followed, ~/.netrc is not
read, no cookie is kept (see `connections`), and the key is removed from whatever a server answers.
"""

import gzip
import json
import os
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import quote

import msgspec
from requests.exceptions import ReadTimeout
from requests.structures import CaseInsensitiveDict

from ..model import Json
from . import CallError, Provider, Reply, Request, connections, headers, reading, server_errors

BLOCK = 65536
SHORTEST_SECRET = 8  # a shorter key, such as EMPTY for a server that wants any key, may be a word of an answer


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of a model and the key for it ("": no key)."""

    provider: str
    model_id: str
    base_url: str
    timeout_s: float
    key: str = field(repr=False)


class HttpProvider(Provider):
    """A provider that posts JSON to a server."""

    sends = True

    def body(self, request: Request) -> dict[str, Json]:
        """The body of the request: what a batch, too, sends for it."""
        raise NotImplementedError

    def limits_from(self, answered: Mapping[str, str]) -> dict[str, float]:
        """The limits that the headers of an answer report."""
        return headers.limits(answered)


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


def payload(request: Request, **given: Json) -> dict[str, Json]:
    """A request body: the model, the fields that are given, and the model's `extra_body`; a field that is None, also
    one of `extra_body`, is left out."""
    body = {"model": request.model.name, **given, **request.model.extra_body}
    return {name: value for name, value in body.items() if value is not None}


def sampling(request: Request, names: Mapping[str, tuple[str, ...]]) -> dict[str, Json]:
    """The sampling parameters of a request as the provider calls them; those that it does not know are left out.

    The workflow has refused such parameters of the configuration (`questions.check_sampling`), so the ones that are
    left out here are our defaults.
    """
    return {other: value for name, value in request.sampling.items() for other in names.get(name, ())}


def post(to: Endpoint, path: str, own: Mapping[str, str], body: Json) -> Reply:
    """POST `body` as JSON. Raises `CallError` for every failure; what a status of success brings is returned unread.

    An error that declines this very question is returned too: it is the answer, and would be the same again.
    """
    status, answered, content = _exchange(to, path, own, body)
    if 300 <= status < 400:
        target = host(answered.get("Location", "")) or "another path"
        what = f"error {status}: redirects to {target}; if that is intended, change base_url"
        raise failure(to, what, kind="account", status=status, headers=answered)
    reply = Reply(without_key(content, to.key), answered)
    if status < 300 and b'"error"' not in content:
        return reply
    answer = reading.decode_or_text(content)
    error = server_errors.error_of(answer)
    if status < 300 and (not error or server_errors.has_answer(answer)):
        return reply
    if (status < 300 or status in server_errors.DECLINING) and error and server_errors.declined(error):
        return reply
    raise server_error(to, error or answer, status, answered)


def server_error(to: Endpoint, error: Json, status: int, answered: Mapping[str, str]) -> CallError:
    """The error that a server reports: `error` is the "error" field of the body, or else the whole body."""
    status = server_errors.status_of(error, status)
    metadata = error.get("metadata") if isinstance(error, dict) else None
    more = metadata.get("headers") if isinstance(metadata, dict) else None
    if isinstance(more, dict):  # OpenRouter: the limit of a day's free requests
        answered = CaseInsensitiveDict(answered)
        answered.update({name: str(value) for name, value in more.items()})
    return failure(
        to,
        f"error {status}: {server_errors.message_of(error)}",
        kind=server_errors.kind_of(error, status, answered),
        status=status,
        retry_after=headers.retry_after(answered),
        headers=answered,
        may_be_billed=status in server_errors.MAY_BE_BILLED,
    )


def failure(to: Endpoint, what: str, **more: Json) -> CallError:
    """The error with the message `what`, which may quote the server; `more` are the fields of `CallError`."""
    what = without_key(what.encode("utf-8", "replace"), to.key).decode("utf-8", "replace")
    what = " ".join(re.sub(r"//[^/@\s]*@", "//", what).split())  # a URL may contain a password
    what = what if len(what) <= 300 else what[:299] + "…"
    return CallError(f"{to.provider}: {to.model_id} at {host(to.base_url)}: {what}", **more)


def no_answer(to: Endpoint, error: Exception, *, bills: bool = True) -> CallError:
    """The error of a call for which one of `connections.ERRORS` was raised; `bills`: its answer costs something."""
    return failure(
        to,
        f"no answer: {connections.reason(error, to.base_url, to.timeout_s)}",
        kind="account" if connections.is_wrong(error) else "connection",
        may_be_billed=bills and connections.is_sent(error),
    )


def without_key(body: bytes, key: str) -> bytes:
    """`body` without the key, which careless servers quote: as it is, as in a URL, or as in JSON."""
    if len(key) < SHORTEST_SECRET:
        return body
    for form in {key, quote(key, safe=""), key.replace("/", r"\/"), json.dumps(key)[1:-1]}:
        body = body.replace(form.encode(), b"[key]")
    return body


def refuse_grammar(request: Request, to: Endpoint) -> None:
    """Raise a `CallError` if the request has a grammar; for providers that cannot enforce one."""
    if request.response_format and request.response_format["type"] == "grammar":
        raise failure(to, "a grammar is not supported by this provider", kind="request")


@cache
def host(url: str) -> str:
    """The host and port of a URL, without a password; "" if the URL has no host."""
    match = re.match(r"(?:[a-z]+:)?//(?:[^/?#]*@)?([^/?#]*)", url.lower())
    return match[1] if match else ""


def _exchange(to: Endpoint, path: str, own: Mapping[str, str], body: Json) -> tuple[int, Mapping[str, str], bytes]:
    """(status, headers, body) of the answer."""
    try:
        content = encoded(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise failure(to, f"the request cannot be sent: {error}", kind="request") from None
    try:
        return _answer(to, path, {"Content-Type": "application/json", **own}, content)
    except connections.ERRORS as error:
        raise no_answer(to, error) from None


def _answer(to: Endpoint, path: str, sent: Mapping[str, str], content: bytes) -> tuple[int, Mapping[str, str], bytes]:
    deadline = time.monotonic() + to.timeout_s
    with connections.send(to.base_url, to.timeout_s, "POST", path, sent, content) as response:
        parts = []
        while part := response.read1(BLOCK):
            parts.append(part)
            # Some servers send blanks while the model thinks, so the timeout between two reads never ends.
            if time.monotonic() > deadline:
                raise ReadTimeout(f"the answer was not complete in time (timeout_s: {to.timeout_s:g})")
    return response.status, response.headers, _decompressed(b"".join(parts), response.headers)


def encoded(body: Json) -> bytes:
    """`body` as JSON. Raises `ValueError` for what JSON does not have, such as NaN."""
    try:
        content = msgspec.json.encode(body)
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(body, allow_nan=False).encode()
    if b"null" in content:  # NaN too is written so
        json.dumps(body, allow_nan=False)
    return content


def _decompressed(body: bytes, answered: Mapping[str, str]) -> bytes:
    """The body without a compression that we did not ask for; as it is if that fails."""
    open_with = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(answered.get("Content-Encoding", ""))
    try:
        return open_with(body) if open_with else body
    except (OSError, EOFError, zlib.error):
        return body
