"""Endpoints with OpenAI's "Chat Completions" API: OpenAI, Azure, vLLM, llama-server, Ollama, OpenRouter.

Field names follow OpenAI's API reference, "Create chat completion"; `grammar` is llama-server's own
(llama.cpp, tools/server/README.md), and so are some parameters of sampling, which vLLM calls otherwise
(vLLM, "OpenAI-Compatible Server": extra parameters).
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..model import Json, Response, Usage, as_json
from . import Reply, Request, http, reading, server_errors

if TYPE_CHECKING:
    from ..models import Model

Cost = Callable[[dict[str, Json], list[str]], float | UnsetType]

BASE_URL = "https://api.openai.com/v1"
GOOD = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "STOP"}
CUT = {"length", "max_tokens", "MAX_TOKENS"}
REFUSED = {"content_filter", "refusal"}
# Our names of sampling parameters, and the provider's: OpenAI's own servers, and all others. llama-server knows
# repeat_penalty, vLLM repetition_penalty, and each ignores the other.
SAMPLING = {name: (name,) for name in ("temperature", "top_p", "seed", "stop")}
MORE_SAMPLING = {**SAMPLING, "top_k": ("top_k",), "min_p": ("min_p",)}
SERVER_SAMPLING = {**MORE_SAMPLING, "repeat_penalty": ("repeat_penalty", "repetition_penalty")}
REASONING_MODEL = re.compile(r"(ft:)?(o\d|gpt-[5-9])(?!.*chat)")


class OpenAI(http.HttpProvider):
    """OpenAI, or the endpoint at the model's `base_url` (which ends in /v1)."""

    key_env = "OPENAI_API_KEY"
    base_url = BASE_URL
    batches = "openai_batch"

    def default_key_env(self, model: "Model") -> str | None:
        """OPENAI_API_KEY for api.openai.com. Other endpoints get only the key that the model's `api_key_env` names."""
        return self.key_env if _is_openai(model) else None

    def sampling_names(self, model: "Model") -> Mapping[str, tuple[str, ...]]:
        """Those of OpenAI's own models, or all at another server."""
        if not (_is_openai(model) or _host(model).endswith(".openai.azure.com")):
            limit = model.max_tokens_field or "max_tokens"
            return {**SERVER_SAMPLING, "max_tokens": (limit,)}
        is_reasoning = REASONING_MODEL.match(model.name)
        limit = model.max_tokens_field or ("max_completion_tokens" if is_reasoning else "max_tokens")
        # A model that reasons has no temperature and no top_p ("Using GPT-5: parameter compatibility").
        reasons = is_reasoning and model.extra_body.get("reasoning_effort") != "none"
        without = ("temperature", "top_p") if reasons else ()
        return {**{name: own for name, own in SAMPLING.items() if name not in without}, "max_tokens": (limit,)}

    def body(self, request: Request) -> dict[str, Json]:
        """The body of a chat completion."""
        return chat_body(request, self.sampling_names(request.model))

    def send(self, request: Request) -> Reply:
        """Call the endpoint."""
        to = http.endpoint(request, BASE_URL, self.default_key_env(request.model))
        return http.post(to, "/chat/completions", bearer(to), self.body(request))

    def read(self, request: Request, body: bytes) -> Response:
        """The response in a chat completion."""
        return read(request, body)


PROVIDER = OpenAI


def bearer(to: http.Endpoint) -> dict[str, str]:
    """The header with the key."""
    return {"Authorization": f"Bearer {to.key}"} if to.key else {}


def chat_body(request: Request, names: Mapping[str, tuple[str, ...]], **more: Json) -> dict[str, Json]:
    """The body of a chat completion; `more` are request fields that OpenAI does not have."""
    sampling = http.sampling(request, names)
    if sampling.get("seed") is not None:
        sampling["seed"] += request.sample  # with the same seed every sample would be the same answer
    return http.payload(request, messages=as_json(list(request.messages)), **sampling, **_format(request), **more)


def read(request: Request, body: bytes, cost: Cost = lambda _usage, _warnings: UNSET) -> Response:
    """The response in a "chat completion object"; `cost(usage, warnings)` is what the usage says that it cost."""
    model = request.model
    return reading.total(lambda answer, warnings: _response(answer, model, cost, warnings), body)


def _response(answer: Json, model: "Model", cost: Cost, warnings: list[str]) -> Response:
    error = server_errors.error_of(answer)
    fields = answer if isinstance(answer, dict) else {}
    choices = fields.get("choices")
    usage = reading.fields(fields.get("usage"), "the usage", warnings)
    paid = Response(
        "",
        usage=_usage(usage, warnings),
        model_name=reading.words(fields.get("model"), "the model", warnings),
        cost_usd=cost(usage, warnings),
    )
    if error and not choices:
        return server_errors.response(error, _host(model), paid)
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return reading.unreadable("it has no choices", paid)
    choice = choices[0]
    reading.check_model(model.name, paid.model_name, warnings)
    message = choice.get("message") if "message" in choice else {"content": choice.get("text")}
    message = {"content": message} if isinstance(message, str) else reading.fields(message, "the message", warnings)
    said = choice.get("finish_reason") or choice.get("native_finish_reason")
    finish_reason = reading.reason(said, warnings, GOOD, CUT, REFUSED)
    text, reasoning = reading.content(message.get("content"), warnings)
    given = (message.get(name) for name in ("reasoning", "reasoning_content", "reasoning_details"))
    text, reasoning = reading.split_thinking(text, reading.thoughts(*given) or reasoning, finish_reason)
    if refusal := message.get("refusal"):
        text, finish_reason = reading.words(refusal, "the refusal", warnings), "refusal"
    finish_reason = server_errors.broken_off(error, finish_reason, warnings)
    logprob = reading.logprob(reading.fields(choice.get("logprobs"), "logprobs", warnings).get("content"), warnings)
    counts = reading.plausible(replace(paid.usage, logprob=logprob), text, warnings)
    return replace(paid, text=text, finish_reason=finish_reason, usage=counts, reasoning=reasoning)


def _format(request: Request) -> dict[str, Json]:
    form = request.response_format
    if form is None:
        return {}
    if form["type"] == "grammar":
        return {"grammar": form["grammar"]}
    schema = {"name": "answer", "schema": form["schema"], "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _usage(usage: dict[str, Json], warnings: list[str]) -> Usage:
    """The token counts."""
    prompt_details = reading.fields(usage.get("prompt_tokens_details"), "prompt_tokens_details", warnings)
    completion_details = reading.fields(usage.get("completion_tokens_details"), "completion_tokens_details", warnings)
    prompt, completion, total, reasoning = (
        reading.count(place.get(name), name, warnings)
        for place, name in (
            (usage, "prompt_tokens"),
            (usage, "completion_tokens"),
            (usage, "total_tokens"),
            (completion_details, "reasoning_tokens"),
        )
    )
    hit = prompt_details.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))  # DeepSeek
    if UNSET not in (prompt, completion, total, reasoning) and 0 < reasoning == total - prompt - completion:
        completion += reasoning  # xAI counts them apart
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=reading.count(hit, "cached_tokens", warnings),
        cache_write_tokens=reading.count(prompt_details.get("cache_write_tokens"), "cache_write_tokens", warnings),
        reasoning_tokens=reasoning,
    )


def _is_openai(model: "Model") -> bool:
    return _host(model) == "api.openai.com" or _host(model).endswith(".api.openai.com")


def _host(model: "Model") -> str:
    return http.host(model.base_url or BASE_URL)
