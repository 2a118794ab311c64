"""Providers call models: `complete(request) -> Response`. This is their interface; each is a class in its own module.

A provider does not plan, store or retry. To add a provider, write a class `PROVIDER` in a module here and add the
module to `PROVIDERS` (docs/extending.md). Every failure has a class, and every class has a policy in `respond.py`:

- `CallError(retryable=True)`: no answer, another call may succeed (408, 429, 5xx, a broken connection);
- `CallError(retryable=False)`: no answer, another call would fail too (other 4xx, no key);
- `Pending`: no answer yet (a person has not replied);
- a `Response` whose `finish_reason` is "refusal" or "length": an unusable answer.
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

__all__ = ["CallError", "Pending", "Provider", "Request", "Response", "provider"]

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


class CallError(DreamflowError):
    """A call that failed. `retry_after` is the time in seconds after which the server requests another call."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after


class Pending(DreamflowError):
    """A person has not answered yet; the generation waits and has not failed."""


class Provider:
    """The base class of providers. The defaults describe a remote provider that bills.

    `key_env` is the environment variable of the key, `base_url` the provider's own endpoint. `is_local`: it computes on
    this machine. `is_free`: it costs nothing. `takes_adapters`: a model may have a LoRA adapter.
    """

    key_env: str | None = None
    base_url: str | None = None
    is_local = False
    is_free = False
    takes_adapters = False

    def complete(self, request: Request) -> Response:
        """Answer a request. Raises `CallError` or `Pending`."""
        raise NotImplementedError

    def missing_key(self, model: "Model") -> str | None:
        """The environment variable of the model's key, if the model needs a key and the variable is not set."""
        name = model.api_key_env or self.default_key_env(model)
        return name if name and not os.environ.get(name) else None

    def default_key_env(self, model: "Model") -> str | None:
        """The variable of the key if the model names no variable; None if a key is optional."""
        return self.key_env

    def revision(self, model: "Model") -> str:
        """A digest of the model's files, if they are on this machine; else ""."""
        return ""

    def service(self, model: "Model") -> str:
        """The host that answers, if it is a public service other than the provider's own; else "".

        The same model name at another service is another model. A private server (a local name or address) does not
        count as a service, since its address may change.
        """
        host = (urlsplit(model.base_url).hostname or "") if model.base_url else ""
        own = urlsplit(self.base_url or "").hostname
        return "" if host == own or _is_private(host) else host

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
