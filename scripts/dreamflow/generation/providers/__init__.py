"""Providers answer `complete(request) -> Response`; each is a class in a module of its own. This is their interface.

A provider knows one way of calling a model and nothing of plans, stores, retries or files. To add one, write a class
`PROVIDER` in a module here and name the module in `PROVIDERS` (docs/extending.md).
Every failure has one class, and every class has one policy (`generation/respond.py`):

- `CallError(retryable=True)`: no answer, worth another try (408, 429, 5xx, a broken connection);
- `CallError(retryable=False)`: no answer, and another try would fail too (other 4xx, no key);
- `Pending`: no answer yet (a person has not replied);
- a `Response` whose `finish_reason` is "refusal" or "length": an answer that cannot be used.
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

    `messages` are the turns of a chat, the question last; `sampling` holds temperature, top_p, max_tokens, seed, ...;
    `sample` numbers independent draws of the same question;
    `response_format` is None, {"type": "json_schema", "schema": {...}} or {"type": "grammar", "grammar": GBNF}.
    `inbox` is the folder of questions to people.
    """

    model: "Model"
    messages: Sequence[Message]
    sampling: Sampling
    sample: int = 0
    response_format: Mapping[str, Json] | None = None
    gen_id: str = ""
    inbox: Path | None = None


class CallError(DreamflowError):
    """A call that could not be made or answered. `retry_after` is the time that the server names, in seconds."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after


class Pending(DreamflowError):
    """The answer will come later, from outside; the generation waits, and has not failed."""


class Provider:
    """The base class of providers. The defaults are those of a remote provider that bills.

    `key_env` is the environment variable of its key, `base_url` its own endpoint. `is_local`: it computes on this
    machine. `is_free`: it bills nobody. `takes_adapters`: a model may have a LoRA adapter.
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
        """The environment variable of the model's key, if it needs one and that is not set."""
        name = model.api_key_env or self.default_key_env(model)
        return name if name and not os.environ.get(name) else None

    def default_key_env(self, model: "Model") -> str | None:
        """The variable of the key where the model names none; None where a key is optional."""
        return self.key_env

    def revision(self, model: "Model") -> str:
        """A digest of the model's content, if it is on this machine; else ""."""
        return ""

    def service(self, model: "Model") -> str:
        """The host that answers, where it is a public service other than the provider's own; else "".

        The same model name at another service is another model. A private server (a local name or address) is no
        service: its address only says how a request is sent, and may change.
        """
        host = (urlsplit(model.base_url).hostname or "") if model.base_url else ""
        own = urlsplit(self.base_url or "").hostname
        return "" if host == own or _is_private(host) else host

    def token_counter(self, model: "Model") -> Callable[[str], int] | None:
        """How many tokens a text has for this model; None where only the provider knows."""
        return None


@cache
def provider(name: str) -> Provider:
    """The provider called `name`. Raises a `ConfigError` that lists all names."""
    if name not in PROVIDERS:
        raise ConfigError(f"unknown provider {name!r}; known: {', '.join(PROVIDERS)}")
    return import_module(f"{__name__}.{name}").PROVIDER()


def _is_private(host: str) -> bool:
    """Whether a host is a private server: a name or an address that the public network does not know."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal", ".localhost"))
