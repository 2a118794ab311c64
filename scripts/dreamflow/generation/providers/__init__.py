"""Providers call models: `complete(request) -> Response`. This is their interface; each is a class in its own module.

A provider does not plan, store or retry. To add a provider, write a class `PROVIDER` in a module here and add the
module to `PROVIDERS` (docs/extending.md). A provider that sends requests to a server (`sends`) has two halves, so
that a paid answer is stored before anything looks into it: `send(request) -> Reply` and `read(request, body) ->
Response`. What goes wrong is one of these, and `respond.py` has a policy for each:

- `CallError`: no answer; its `kind` says whether another call may succeed;
- `Pending`: no answer yet (a person has not replied);
- a `Response` whose `finish_reason` is not "stop": an unusable answer.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import ConfigError, DreamflowError
from ..model import Json, Message, Response, Sampling

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CallError", "Pending", "Provider", "Reply", "Request", "Response", "provider"]

PROVIDERS = {  # modules of this folder, and what config/README.md says of each
    "llama_cpp": "a GGUF file in this process",
    "openai": "OpenAI or any compatible endpoint: vLLM, llama-server, Ollama",
    "openrouter": "any model of openrouter.ai",
    "anthropic": "Claude",
    "human": "a person, through `data/inbox/`",
    "replay": "recorded answers",
}


@dataclass(frozen=True)
class Request:
    """One question to one model.

    `messages` are the turns of a chat, the question last; `sampling` has temperature, top_p, max_tokens, seed, ...;
    `sample` is the number of this independent draw of the question; `response_format` is None,
    {"type": "json_schema", "schema": {...}} or {"type": "grammar", "grammar": GBNF}; `inbox` is the folder of questions
    to people.
    """

    model: "Model"
    messages: Sequence[Message]
    sampling: Sampling
    sample: int = 0
    response_format: Mapping[str, Json] | None = None
    gen_id: str = ""
    inbox: Path | None = None


@dataclass(frozen=True)
class Reply:
    """What a server answered: the bytes of the body, unread, and the headers."""

    body: bytes
    headers: Mapping[str, str]


class CallError(DreamflowError):
    """A call that gave no answer. Its `kind`:

    - "connection": no connection, or it broke, or no answer came in time;
    - "busy": the server has too much to do or the limit of requests is reached;
    - "server": the server failed;
    - "account": every further call of this model would fail too (no key, no credit, no such model);
    - "request": the server does not take this question;
    - "stopped", "budget", "waiting": the call was not made, as the run ends, a budget is used up, or the question is in
      a batch that the provider has not finished.

    `retry_after` is the time in seconds after which the server requests another call; `headers` are those of its
    answer. `may_be_billed`: the request was sent, and the server may have computed an answer that did not arrive.
    `cause` is the reason and what to do about it, if further calls fail for the same reason.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        status: int | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        may_be_billed: bool = False,
        cause: str = "",
    ):
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.headers = headers or {}
        self.may_be_billed = may_be_billed
        self.cause = cause

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later in this run; not if further calls fail for the same reason."""
        return self.kind in ("connection", "busy", "server") and not self.cause


class Pending(DreamflowError):
    """A person has not answered yet; the generation waits and has not failed."""


class Provider:
    """The base class of providers. The defaults describe a remote provider that bills.

    `key_env` is the environment variable of the key, `base_url` the provider's own endpoint. `is_local`: it computes on
    this machine. `is_free`: it costs nothing. `is_instant`: it answers at once, so nothing is lost if two processes ask
    the same question. `takes_adapters`: a model may have a LoRA adapter. `sends`: it has `send` and `read`; else only
    `complete`. `highest_temperature` is that which it takes. `batches`: the module with its batch API (see `batch`).
    """

    key_env: str | None = None
    base_url: str | None = None
    is_local = False
    is_free = False
    is_instant = False
    takes_adapters = False
    sends = False
    highest_temperature = 2.0
    batches: str | None = None

    def complete(self, request: Request) -> Response:
        """Answer a request. Raises `CallError` or `Pending`."""
        return self.read(request, self.send(request).body)

    def send(self, request: Request) -> Reply:
        """The server's answer, unread. Raises `CallError` if there is none."""
        raise NotImplementedError

    def read(self, request: Request, body: bytes) -> Response:
        """The response in the body of an answer to `request`. It never raises: what cannot be read has the
        `finish_reason` "unreadable" and says why. It asks nobody, so a stored body can be read again."""
        raise NotImplementedError

    def sampling_names(self, model: "Model") -> Mapping[str, tuple[str, ...]] | None:
        """The provider's names of each of our sampling parameters that it takes; None if it takes all."""
        return None

    def limits_from(self, headers: Mapping[str, str]) -> dict[str, float]:
        """The limits that the headers of an answer or an error report; any of requests_per_minute, tokens_per_minute,
        requests_left, tokens_left and reset_s (seconds until those left are again as many as the limit)."""
        return {}

    def missing_key(self, model: "Model") -> str | None:
        """The environment variable of the model's key, if the model needs a key and the variable is not set."""
        name = model.api_key_env or self.default_key_env(model)
        return name if name and not os.environ.get(name) else None

    def default_key_env(self, model: "Model") -> str | None:
        """The variable of the key if the model names no variable; None if a key is optional."""
        return self.key_env

    def revision(self, model: "Model") -> str:
        """The version of the model: what models.yaml says, else a digest of its files, else ""."""
        return model.revision

    def service(self, model: "Model") -> str:
        """The host that answers, if it is a public service other than the provider's own; else "".

        The same model name at another service is another model. A private server (a local name or address) does not
        count as a service, since its address may change.
        """
        host = (urlsplit(model.base_url).hostname or "") if model.base_url else ""
        own = urlsplit(self.base_url or "").hostname
        return "" if host == own or _is_private(host) else host

    def written(self) -> Mapping[str, int]:
        """The tokens written so far of answers that are being written, by generation, as far as it is known."""
        return {}

    def token_counter(self, model: "Model") -> Callable[[str], int] | None:
        """A function that counts the tokens of a text for this model; None if only the provider can count them."""
        return None


@cache
def provider(name: str) -> Provider:
    """The provider called `name`. Raises a `ConfigError` that lists all names."""
    if name not in PROVIDERS:
        raise ConfigError(f"unknown provider {name!r}; known: {', '.join(PROVIDERS)}")
    return import_module(f"{__name__}.{name}").PROVIDER()


def _is_private(host: str) -> bool:
    """Whether a host is a private server: its name or address does not exist in the public network."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal", ".localhost"))
