"""Anthropic's batch API (API reference, "Message Batches"). A batch keeps no name of ours, only the custom_ids."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from ..model import Json
from . import CallError, Request, http, provider
from .anthropic import key_headers
from .batch import State, call, custom_id_in, endpoint, lines_of

if TYPE_CHECKING:
    from ..models import Model

MAX_REQUESTS = 100_000
MAX_BYTES = 256_000_000
PASSING = ("api_error", "overloaded_error", "rate_limit_error", "timeout_error")  # a request that may be asked again


class _Result(msgspec.Struct):
    type: str  # succeeded | errored | canceled | expired
    message: msgspec.Raw = msgspec.Raw()
    error: Json = None


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result


def line(custom_id: str, request: Request) -> bytes:
    """A member of the list of requests."""
    http.refuse_grammar(request, endpoint(request.model))
    return http._encoded({"custom_id": custom_id, "params": provider(request.model.provider).body(request)})


def submit(model: "Model", name: str, lines: Sequence[bytes], creating: Callable[[], None]) -> str:
    """Create the batch; the API has no place for its `name`."""
    to = endpoint(model)
    headers = {**key_headers(to), "Content-Type": "application/json"}
    creating()
    return call(to, "POST", _path(to), headers, b'{"requests":[' + b",".join(lines) + b"]}")["id"]


def state(model: "Model", batch_id: str) -> State:
    """What has become of a batch."""
    to = endpoint(model)
    return _state(call(to, "GET", f"{_path(to)}/{batch_id}", key_headers(to)))


def results(model: "Model", batch: State) -> Iterator[tuple[str, bytes | CallError]]:
    """What has become of each request."""
    to = endpoint(model)
    for text in lines_of(to, f"{_path(to)}/{batch.id}/results", key_headers(to)):
        try:
            one = msgspec.json.decode(text, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield custom_id_in(text), text
            continue
        if one.result.type == "succeeded":
            yield one.custom_id, bytes(one.result.message)
        else:
            yield one.custom_id, _error(to, one.result)


def list_since(model: "Model", since: datetime) -> Iterator[State]:
    """The batches that were created since then, the newest first."""
    to = endpoint(model)
    after = ""
    while True:
        page = call(to, "GET", f"{_path(to)}?limit=100{after}", key_headers(to))
        for batch in page["data"]:
            if datetime.fromisoformat(batch["created_at"]) < since:
                return
            yield _state(batch)
        if not page.get("has_more"):
            return
        after = f"&after_id={page['last_id']}"


def _state(batch: Json) -> State:
    counts = batch.get("request_counts") or {}
    total = sum(counts.values())
    return State(
        id=batch["id"],
        name=None,
        ended=batch["processing_status"] == "ended",
        total=total,
        done=total - counts.get("processing", 0),
    )


def _error(to: http.Endpoint, result: _Result) -> CallError:
    if result.type != "errored":
        return http.failure(to, f"the request was {result.type}", kind="server")
    error = result.error if isinstance(result.error, dict) else {"message": result.error}
    error = error.get("error") or error  # {"type": "error", "error": {"type": ..., "message": ...}}
    kind = "server" if error.get("type") in PASSING else "request"
    return http.failure(to, f"{error.get('type') or 'error'}: {error.get('message')}", kind=kind)


def _path(to: http.Endpoint) -> str:
    return "/messages/batches" if to.base_url.endswith("/v1") else "/v1/messages/batches"
