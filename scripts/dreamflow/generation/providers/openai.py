"""Endpoints with OpenAI's "Chat Completions" API: OpenAI, vLLM, llama-server, Ollama, OpenRouter.

Field names follow OpenAI's API reference, "Create chat completion"; `grammar` is llama-server's own
(llama.cpp, tools/server/README.md).
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import UNSET

from ..model import Json, Usage, as_json
from . import Provider, Request, Response, http

if TYPE_CHECKING:
    from ..models import Model

BASE_URL = "https://api.openai.com/v1"
FINISH_REASONS = {"length": "length", "content_filter": "refusal"}


class OpenAI(Provider):
    """OpenAI, or the endpoint at the model's `base_url` (which ends in /v1)."""

    key_env = "OPENAI_API_KEY"
    base_url = BASE_URL
    batches = "openai_batch"

    def payload(self, request: Request) -> dict[str, Json]:
        """The body of the request."""
        return payload(request)

    def read(self, request: Request, body: bytes) -> Response:
        """The response in a body."""
        return read(http.endpoint(request, BASE_URL, self.default_key_env(request.model)), json.loads(body))

    def default_key_env(self, model: "Model") -> str | None:
        """OPENAI_API_KEY for api.openai.com. Other endpoints get only the key that the model's `api_key_env` names."""
        return self.key_env if http.host(model.base_url or BASE_URL) == "api.openai.com" else None

    def complete(self, request: Request) -> Response:
        """Call the endpoint."""
        return chat(request, http.endpoint(request, BASE_URL, self.default_key_env(request.model)))


PROVIDER = OpenAI


def read(to: http.Endpoint, answer: dict[str, Json]) -> Response:
    """The response in a "chat completion object". Raises `IndexError` if the list of choices is empty."""
    choice = answer["choices"][0]
    reason = choice.get("finish_reason")
    if choice.get("error") or reason == "error":  # OpenRouter: the model broke off
        raise http.server_error(to, choice.get("error") or "the model broke off", 200, {})
    message = choice["message"]
    refusal = message.get("refusal")
    return Response(
        text=refusal or _text(message.get("content")),
        finish_reason="refusal" if refusal else FINISH_REASONS.get(reason, "stop"),
        usage=_usage(answer.get("usage"), choice),
        model_name=answer.get("model") or "",
    )


def chat(
    request: Request,
    to: http.Endpoint,
    read: Callable[[http.Endpoint, dict[str, Json]], Response] = read,
    **fields: Json,
) -> Response:
    """Call a compatible endpoint; `fields` are request fields that OpenAI does not have."""
    headers = {"Authorization": f"Bearer {to.key}"} if to.key else {}
    return http.ask(to, "/chat/completions", headers, payload(request, **fields), read)


def payload(request: Request, **fields: Json) -> dict[str, Json]:
    sampling = dict(request.sampling)
    limit = {request.model.max_tokens_field or "max_tokens": sampling.pop("max_tokens", None)}
    if sampling.get("seed") is not None:
        sampling["seed"] += request.sample  # with the same seed every sample would be the same answer
    messages = as_json(list(request.messages))
    return http.payload(request, messages=messages, **sampling, **limit, **_format(request), **fields)


def _format(request: Request) -> dict[str, Json]:
    form = request.response_format
    if form is None:
        return {}
    if form["type"] == "grammar":
        return {"grammar": form["grammar"]}
    schema = {"name": "answer", "schema": form["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _text(content: str | list[dict[str, Json]] | None) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _usage(usage: dict[str, Json] | None, choice: dict[str, Json]) -> Usage:
    """The token counts, and the sum of the answer's log-probabilities where `extra_body` requests them."""
    tokens = (choice.get("logprobs") or {}).get("content")
    logprob = sum(token["logprob"] for token in tokens) if tokens else UNSET
    if not usage:
        return Usage(logprob=logprob)
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        usage.get("prompt_tokens") or 0, details.get("cached_tokens") or 0, usage.get("completion_tokens") or 0, logprob
    )
