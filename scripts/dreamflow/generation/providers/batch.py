"""What the batch APIs of providers share. A provider that has one names it: `Provider.batches` is a module here.

Such a module has `MAX_REQUESTS` and `MAX_BYTES` of a batch, and these functions, which raise `CallError`:

- `line(custom_id, body) -> bytes`: a request as it is sent; `body` is that of an online call;
- `submit(model, name, lines, creating) -> str`: submit a batch; returns the provider's id. `creating()` is called
  before the request that may cost something. `may_be_billed` of an error: the batch may have been created;
- `state(model, batch_id) -> State`;
- `results(model, state) -> Iterator[tuple[str, bytes | CallError]]`: the custom_id and the body of each answer, as the
  provider wrote it, or why there is none (retryable: it may be asked again);
- `list_since(model, since) -> Iterator[State]`: the batches that were created since then.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import requests
from urllib3.exceptions import NewConnectionError

from ..model import Json
from . import Request, http, provider

if TYPE_CHECKING:
    from ..models import Model

HOURS = 24  # in which a provider ends a batch, finished or not


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


def call(to: http.Endpoint, method: str, path: str, headers: Mapping[str, str], **content: Any) -> Json:
    """The JSON object that a request is answered with; `content` is as for the library `requests`."""
    with _answer(to, method, path, headers, **content) as response:
        try:
            answer = json.loads(_within(to, method, lambda: response.content))
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            what = "the answer is not a JSON object"
            raise http.failure(to, what, kind="server", status=response.status_code, may_be_billed=method == "POST")
    return answer


def lines_of(to: http.Endpoint, path: str, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The lines of a file at the provider. It is complete on this machine before the first line is returned."""
    with tempfile.TemporaryFile() as file:
        with _answer(to, "GET", path, headers) as response:
            _within(to, "GET", lambda: [file.write(chunk) for chunk in response.iter_content(1 << 20)])
        file.seek(0)
        yield from (line for line in file if line.strip())


def custom_id_in(line: bytes) -> str:
    """The custom_id in a line that is not valid JSON; "" if there is none."""
    match = re.search(rb'"custom_id"\s*:\s*"([\w-]+)"', line)
    return match[1].decode() if match else ""


def _answer(to: http.Endpoint, method: str, path: str, headers: Mapping[str, str], **content: Any) -> requests.Response:
    response = _within(
        to,
        method,
        lambda: http._session(to).request(
            method,
            to.base_url + path,
            headers=headers,
            timeout=(http.CONNECT_TIMEOUT_S, to.timeout_s),
            allow_redirects=False,
            stream=True,
            **content,
        ),
    )
    if response.status_code < 300:
        return response
    with response:
        text = _within(to, method, lambda: response.content)
    try:
        answer = json.loads(text)
    except ValueError:
        answer = text.decode("utf-8", "replace")
    error = answer.get("error") if isinstance(answer, dict) else None
    failure = http.server_error(to, error or answer, response.status_code, response.headers)
    failure.may_be_billed = method == "POST" and (response.status_code >= 500 or response.status_code == 408)
    raise failure


def _within(to: http.Endpoint, method: str, work: Callable[[], Any]) -> Any:
    """The result of `work`; errors of the connection become `CallError`s."""
    try:
        return work()
    except (requests.RequestException, OSError, ValueError) as error:
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        never_sent = isinstance(error, (requests.ConnectTimeout, ValueError)) or isinstance(reason, NewConnectionError)
        what = f"no answer: {type(error).__name__}: {error}"
        unknown = method == "POST" and not never_sent
        raise http.failure(to, what, kind="connection", may_be_billed=unknown) from None
