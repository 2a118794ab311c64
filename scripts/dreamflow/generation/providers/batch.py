"""What the batch APIs of providers share. A provider that has one names it: `Provider.batches` is a module here.

Such a module has `MAX_REQUESTS` and `MAX_BYTES` of a batch, and these functions, which raise `CallError`:

- `line(custom_id, request) -> bytes`: a request as it is sent, with the body of an online call;
- `submit(model, name, lines, creating) -> str`: submit a batch; returns the provider's id. `creating()` is called
  before the request that may cost something. `may_be_billed` of an error: the batch may have been created;
- `state(model, batch_id) -> State`;
- `results(model, state) -> Iterator[tuple[str, bytes | CallError]]`: the custom_id and the body of each answer, as the
  provider wrote it, or why there is none (retryable: it may be asked again);
- `list_since(model, since) -> Iterator[State]`: the batches that were created since then.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
from urllib3 import BaseHTTPResponse

from . import Request, connections, http, provider, reading, server_errors

if TYPE_CHECKING:
    from ..models import Model

T = TypeVar("T")
HOURS = 24  # in which a provider ends a batch, finished or not
BLOCK = 1 << 20


class Created(msgspec.Struct):
    """Something that a request has made at the provider."""

    id: str


B = TypeVar("B", bound=Created)


class Page(msgspec.Struct, Generic[B]):
    """A page of a list of batches, the newest first."""

    data: list[B]
    has_more: bool = False


@dataclass(frozen=True)
class State:
    """A batch at the provider.

    `name` is ours: "" if the batch has none, None if the API keeps none. `total` and `done` count requests; `problem`
    says why the provider took none of them; `files` are those with the results.
    """

    id: str
    name: str | None
    ended: bool
    total: int
    done: int
    problem: str = ""
    files: tuple[str, ...] = ()


def batch_api(name: str) -> ModuleType | None:
    """The batch API of the provider called `name`; None if it has none."""
    module = provider(name).batches
    return import_module(f"{__package__}.{module}") if module else None


def endpoint(model: "Model") -> http.Endpoint:
    """The endpoint of a model and the key for it."""
    chosen = provider(model.provider)
    return http.endpoint(Request(model, [], {}), chosen.base_url, chosen.default_key_env(model))


def call(
    to: http.Endpoint, method: str, path: str, headers: Mapping[str, str], kind: type[T], body: bytes | None = None
) -> T:
    """What a request is answered with, as an object of type `kind`. Raises `CallError`."""
    with _answer(to, method, path, headers, body) as response:
        content, status = response.read(decode_content=True), response.status
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"the answer does not have the documented form: {error}"
        raise http.failure(to, what, kind="server", status=status, may_be_billed=method == "POST") from None


def pages(to: http.Endpoint, path: str, headers: Mapping[str, str], kind: type[Page[B]], cursor: str) -> Iterator[B]:
    """The batches of a list, page by page. `cursor` is the parameter that says after which one a page begins."""
    after = ""
    while True:
        page = call(to, "GET", f"{path}?limit=100{after}", headers, kind)
        yield from page.data
        if not page.has_more or not page.data:
            return
        after = f"&{cursor}={page.data[-1].id}"


def lines_of(to: http.Endpoint, path: str, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The lines of a file at the provider, without the key. The file is complete on this machine before the first line
    is returned."""
    with tempfile.TemporaryFile() as file:
        with _answer(to, "GET", path, headers) as response:
            for part in response.stream(BLOCK, decode_content=True):
                file.write(part)
        file.seek(0)
        yield from (http.without_key(line, to.key) for line in file if line.strip())


def custom_id_in(line: bytes) -> str:
    """The custom_id in a line that is not valid JSON; "" if there is none."""
    match = re.search(rb'"custom_id"\s*:\s*"([\w-]+)"', line)
    return match[1].decode() if match else ""


@contextmanager
def _answer(
    to: http.Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Iterator[BaseHTTPResponse]:
    """The response, unread, if its status is one of success. Errors of the connection become `CallError`s."""
    try:
        with connections.send(to.base_url, to.timeout_s, method, path, headers, body) as response:
            if response.status < 300:
                yield response
                return
            answer = reading.decode_or_text(response.read(decode_content=True))
    except connections.ERRORS as error:
        raise http.no_answer(to, error, bills=method == "POST") from None
    error = http.server_error(to, server_errors.error_of(answer) or answer, response.status, response.headers)
    error.may_be_billed = method == "POST" and (response.status >= 500 or response.status == 408)
    raise error
