"""Providers answer `complete(request) -> Response`, one module each; this is the door they share.

A provider knows one way of asking a model and nothing of plans, stores, retries or files.
Whatever can go wrong has one class, and each class has one policy (`generation/respond.py`):

- `CallError(retryable=True)`: no answer, worth another try (408, 429, 5xx, a broken connection);
- `CallError(retryable=False)`: no answer, and another try would fail alike (other 4xx, no key);
- `Pending`: no answer yet (a person has not replied);
- a `Response` whose `finish_reason` is "refusal" or "length": an answer, but not one to use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ...errors import DreamflowError


@dataclass(frozen=True)
class Request:
    """One question to one model.

    `model` is its row of models.yaml (provider, name, base_url, api_key_env, context_length, timeout_s, ...);
    `messages` are chat messages {role, content}; `sampling` holds temperature, top_p, max_tokens, seed, ...;
    `sample` tells independent draws of the same question apart;
    `response_format` is None, {"type": "json_schema", "schema": {...}} or {"type": "grammar", "grammar": GBNF}.
    """

    model: Mapping[str, Any]
    messages: Sequence[Mapping[str, str]]
    sampling: Mapping[str, Any]
    sample: int = 0
    response_format: Mapping[str, Any] | None = None
    gen_id: str = ""


@dataclass(frozen=True)
class Response:
    """One answer. `finish_reason` is "stop", "length" (cut off at the limit) or "refusal".

    `usage` counts tokens: prompt_tokens (all of them), completion_tokens, cached_tokens (the part of the
    prompt that was not computed or billed in full again); where an endpoint tells it, `logprob` is the sum of the
    log-probabilities (nats) of the answer's tokens. `model_name` is what the provider says answered.
    `cost_usd` is set only where the provider itself bills and says so.
    """

    text: str
    finish_reason: str = "stop"
    usage: Mapping[str, float] = field(default_factory=dict)
    model_name: str = ""
    cost_usd: float | None = None


class CallError(DreamflowError):
    """A call that could not be made or answered. `retry_after` is the server's wish, in seconds."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after


class Pending(DreamflowError):
    """The answer will come from outside, later; the generation waits and nothing has failed."""


def provider(name: str) -> Callable[[Request], Response]:
    """The `complete` function of the provider `name` (a module of this folder), imported on first use."""
    return import_module(f"{__name__}.{name}").complete


def token_counter(model: Mapping[str, Any]) -> Callable[[str], int] | None:
    """How many tokens a text has for this model (a row of models.yaml); None where only the provider knows."""
    if model["provider"] != "llama_cpp":
        return None
    return import_module(f"{__name__}.llama_cpp").token_counter(model)
