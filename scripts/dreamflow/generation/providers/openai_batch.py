"""OpenAI's batch API (API reference, "Batch" and "Files"): a file of requests, and two files of results."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from requests import PreparedRequest

from . import CallError, Request, http, provider, reading, server_errors
from .batch import Created, Page, State, call, custom_id_in, endpoint, lines_of, pages
from .openai import bearer

if TYPE_CHECKING:
    from ..models import Model

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
TAG = "dreamflow"  # the key of a batch's metadata that has our name of the batch
ENDED = ("completed", "failed", "expired", "cancelled")
ASKED_AGAIN = ("batch_expired", "batch_cancelled", "server_error")  # error codes of a request that cost nothing


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


class _Counts(msgspec.Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Problem(msgspec.Struct):
    message: str | None = None
    line: int | None = None


class _Problems(msgspec.Struct):
    data: list[_Problem] | None = None


class _Batch(Created):
    status: str
    created_at: float
    request_counts: _Counts | None = None
    errors: _Problems | None = None
    metadata: dict[str, str] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


def line(custom_id: str, request: Request) -> bytes:
    """A line of the file of requests."""
    body = provider(request.model.provider).body(request)
    return http.encoded({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def submit(model: "Model", name: str, lines: Sequence[bytes], creating: Callable[[], None]) -> str:
    """Upload the requests, then create the batch. Only the second step costs anything."""
    to = endpoint(model)
    file = (f"{name}.jsonl", b"\n".join(lines) + b"\n", "application/jsonl")
    form = PreparedRequest()
    form.prepare_headers({})
    form.prepare_body({"purpose": "batch"}, {"file": file})
    try:
        uploaded = call(to, "POST", "/files", {**bearer(to), **form.headers}, Created, form.body)
    except CallError as error:
        error.may_be_billed = False
        raise
    creating()
    wanted = {
        "input_file_id": uploaded.id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {TAG: name},
    }
    headers = {**bearer(to), "Content-Type": "application/json"}
    return call(to, "POST", "/batches", headers, Created, msgspec.json.encode(wanted)).id


def state(model: "Model", batch_id: str) -> State:
    """What has become of a batch."""
    to = endpoint(model)
    return _state(call(to, "GET", f"/batches/{batch_id}", bearer(to), _Batch))


def results(model: "Model", batch: State) -> Iterator[tuple[str, bytes | CallError]]:
    """What has become of each request."""
    to = endpoint(model)
    for file in batch.files:
        for text in lines_of(to, f"/files/{file}/content", bearer(to)):
            try:
                item = msgspec.json.decode(text, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield custom_id_in(text), text
                continue
            if item.response is None:
                code, why = (item.error.code, item.error.message) if item.error else (None, "no answer and no error")
                kind = "server" if code in ASKED_AGAIN else "request"
                yield item.custom_id, http.failure(to, f"{code or 'error'}: {why}", kind=kind)
            elif item.response.status_code >= 400:
                yield item.custom_id, _declined(to, bytes(item.response.body), item.response.status_code)
            else:
                yield item.custom_id, bytes(item.response.body)


def list_since(model: "Model", since: datetime) -> Iterator[State]:
    """The batches that were created since then, the newest first."""
    to = endpoint(model)
    for batch in pages(to, "/batches", bearer(to), Page[_Batch], "after"):
        if batch.created_at < since.timestamp():
            return
        yield _state(batch)


def _state(batch: _Batch) -> State:
    counts = batch.request_counts or _Counts()
    problems = (batch.errors and batch.errors.data) or []
    named = [f"line {each.line}: {each.message}" if each.line else str(each.message) for each in problems]
    more = f" (and {len(named) - 1:,} more errors)" if len(named) > 1 else ""
    return State(
        id=batch.id,
        name=(batch.metadata or {}).get(TAG, ""),
        ended=batch.status in ENDED,
        total=counts.total,
        done=counts.completed + counts.failed,
        problem=(named[0] + more if named else "no reason given") if batch.status == "failed" else "",
        files=tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
    )


def _declined(to: http.Endpoint, body: bytes, status: int) -> bytes | CallError:
    """The body, if it declines this very question, since that is the answer (see `http.post`); else the error in it."""
    answer = reading.decode_or_text(body)
    error = server_errors.error_of(answer)
    if status in server_errors.DECLINING and error and server_errors.declined(error):
        return body
    return http.server_error(to, error or answer, status, {})
