"""Anthropic's batch API (API reference, "Message Batches"). A batch keeps no name of ours, only the custom_ids."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from . import CallError, Request, http, provider, reading, server_errors
from .anthropic import key_headers
from .batch import Created, Page, State, call, custom_id_in, endpoint, lines_of, pages

if TYPE_CHECKING:
    from ..models import Model

MAX_REQUESTS = 100_000
MAX_BYTES = 256_000_000
PASSING = ("api_error", "overloaded_error", "rate_limit_error", "timeout_error")  # a request that may be asked again


class _Result(msgspec.Struct):
    type: str  # succeeded | errored | canceled | expired
    message: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result


class _Batch(Created):
    processing_status: str
    created_at: datetime
    request_counts: dict[str, int] = msgspec.field(default_factory=dict)


def line(custom_id: str, request: Request) -> bytes:
    """A member of the list of requests."""
    http.refuse_grammar(request, endpoint(request.model))
    return http.encoded({"custom_id": custom_id, "params": provider(request.model.provider).body(request)})


def submit(model: "Model", name: str, lines: Sequence[bytes], creating: Callable[[], None]) -> str:
    """Create the batch; the API has no place for its `name`."""
    to = endpoint(model)
    headers = {**key_headers(to), "Content-Type": "application/json"}
    creating()
    return call(to, "POST", _path(to), headers, Created, b'{"requests":[' + b",".join(lines) + b"]}").id


def state(model: "Model", batch_id: str) -> State:
    """What has become of a batch."""
    to = endpoint(model)
    return _state(call(to, "GET", f"{_path(to)}/{batch_id}", key_headers(to), _Batch))


def results(model: "Model", batch: State) -> Iterator[tuple[str, bytes | CallError]]:
    """What has become of each request."""
    to = endpoint(model)
    for text in lines_of(to, f"{_path(to)}/{batch.id}/results", key_headers(to)):
        try:
            item = msgspec.json.decode(text, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield custom_id_in(text), text
            continue
        if item.result.type == "succeeded":
            yield item.custom_id, bytes(item.result.message)
        else:
            yield item.custom_id, _unanswered(to, item.result)


def list_since(model: "Model", since: datetime) -> Iterator[State]:
    """The batches that were created since then, the newest first."""
    to = endpoint(model)
    for batch in pages(to, _path(to), key_headers(to), Page[_Batch], "after_id"):
        if batch.created_at < since:
            return
        yield _state(batch)


def _state(batch: _Batch) -> State:
    total = sum(batch.request_counts.values())
    done = total - batch.request_counts.get("processing", 0)
    return State(batch.id, name=None, ended=batch.processing_status == "ended", total=total, done=done)


def _unanswered(to: http.Endpoint, result: _Result) -> bytes | CallError:
    """Why there is no answer; the body, if it declines this very question, since that is the answer."""
    if result.type != "errored":
        return http.failure(to, f"the request was {result.type}", kind="server")
    error = server_errors.error_of(reading.decode_or_text(bytes(result.error)))
    if error and server_errors.declined(error):
        return bytes(result.error)
    fields = error if isinstance(error, dict) else {"message": error}
    kind = "server" if fields.get("type") in PASSING else "request"
    return http.failure(to, f"{fields.get('type') or 'error'}: {fields.get('message')}", kind=kind)


def _path(to: http.Endpoint) -> str:
    return "/messages/batches" if to.base_url.endswith("/v1") else "/v1/messages/batches"
