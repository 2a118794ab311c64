"""Anthropic's "Messages" API (API reference, "Create a Message"), version 2023-06-01.

It has no seed: the samples of a question differ only through the temperature. A prompt that begins with a long system
text or long turns is cached ("Prompt caching"): their end is marked, and the next question with the same beginning
pays a tenth for it. `extra_body: {thinking: {type: enabled, budget_tokens: 4000}}` lets the model think ("Extended
thinking"); then it has no temperature.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from ..model import Json, Message, Response, Usage, as_json
from . import Reply, Request, http, reading, server_errors

if TYPE_CHECKING:
    from ..models import Model

BASE_URL = "https://api.anthropic.com"
GOOD = {"end_turn", "stop_sequence"}
CUT = {"max_tokens", "model_context_window_exceeded"}
REFUSED = {"refusal"}
TOOL = "answer"
CACHED = {"cache_control": {"type": "ephemeral"}}
CACHED_FROM_BYTES = 4096  # about 1,024 tokens, below which nothing is cached
NAMED = re.compile(r"claude-[a-z]+-(\d+)(?:[-.](\d{1,2}))?(?!\d)")  # claude-opus-4-1-20250805; older: claude-3-opus


class Anthropic(http.HttpProvider):
    """Anthropic."""

    key_env = "ANTHROPIC_API_KEY"
    base_url = BASE_URL
    highest_temperature = 1.0
    batches = "anthropic_batch"

    def sampling_names(self, model: "Model") -> Mapping[str, tuple[str, ...]]:
        """What "Create a Message" has. Models since 4.1 take either temperature or top_p, and every question has a
        temperature; those since 4.7, and all while they think, take neither ("Migration guide")."""
        named = NAMED.search(model.name)
        version = (int(named[1]), int(named[2] or 0)) if named else (3, 0)
        names: tuple[str, ...] = ("temperature", "top_k") if version >= (4, 1) else ("temperature", "top_k", "top_p")
        if _thinks(model) or version >= (4, 7):
            names = ()
        return {**{name: (name,) for name in names}, "max_tokens": ("max_tokens",), "stop": ("stop_sequences",)}

    def body(self, request: Request) -> dict[str, Json]:
        """The body of a message."""
        sampling = http.sampling(request, self.sampling_names(request.model))
        if isinstance(sampling.get("stop_sequences"), str):
            sampling["stop_sequences"] = [sampling["stop_sequences"]]
        return http.payload(request, **_messages(request.messages), **sampling, **_enforced(request))

    def send(self, request: Request) -> Reply:
        """Call Anthropic with the key from ANTHROPIC_API_KEY or from the variable that the model names."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)
        if not request.sampling.get("max_tokens"):
            raise http.failure(to, "this provider needs sampling.max_tokens", kind="request")
        # base_url may be written with /v1, as for every other provider, or without, as Anthropic does.
        path = "/messages" if to.base_url.endswith("/v1") else "/v1/messages"
        return http.post(to, path, key_headers(to), self.body(request))

    def read(self, request: Request, body: bytes) -> Response:
        """The response in a message."""
        model = request.model
        return reading.total(lambda answer, warnings: _response(answer, model, warnings), body)


PROVIDER = Anthropic


def key_headers(to: http.Endpoint) -> dict[str, str]:
    """The headers with the key and the version of the API."""
    return {"x-api-key": to.key, "anthropic-version": "2023-06-01"}


def _thinks(model: "Model") -> bool:
    thinking = model.extra_body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"


def _enforced(request: Request) -> dict[str, Json]:
    """A tool that enforces a JSON schema: the model must call it, with the answer as its input."""
    if not request.response_format:
        return {}
    tool = {"name": TOOL, "input_schema": request.response_format["schema"]}
    # A model that thinks cannot be forced to call a tool; with one tool and nothing else to do it calls it.
    choice = {"type": "auto"} if _thinks(request.model) else {"type": "tool", "name": TOOL}
    return {"tools": [tool], "tool_choice": choice}


def _messages(messages: list[Message]) -> dict[str, Json]:
    """The system text and the other messages. What comes before the last message is the beginning that questions
    share: it is marked for the cache, if it is long enough, after the system text and after the turns."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = as_json([message for message in messages if message.role != "system"])
    before = len(system.encode("utf-8", "replace"))
    blocks: Json = system or None
    if before >= CACHED_FROM_BYTES:
        blocks = [{"type": "text", "text": system, **CACHED}]
    before += sum(len(turn["content"].encode("utf-8", "replace")) for turn in turns[:-1])
    if len(turns) > 1 and before >= CACHED_FROM_BYTES and turns[-2]["content"]:
        turns[-2]["content"] = [{"type": "text", "text": turns[-2]["content"], **CACHED}]
    return {"system": blocks, "messages": turns}


def _response(answer: Json, model: "Model", warnings: list[str]) -> Response:
    error = server_errors.error_of(answer)
    fields = answer if isinstance(answer, dict) else {}
    blocks = fields.get("content")
    counts = _usage(reading.fields(fields.get("usage"), "the usage", warnings), warnings)
    paid = Response("", usage=counts, model_name=reading.words(fields.get("model"), "the model", warnings))
    if error and not blocks:
        return server_errors.response(error, http.host(model.base_url or BASE_URL), paid)
    finish_reason = reading.reason(fields.get("stop_reason"), warnings, GOOD, CUT, REFUSED)
    if blocks is None and not finish_reason:
        return reading.unreadable("it has no content", paid)
    reading.check_model(model.name, paid.model_name, warnings)
    if called := _tool_input(blocks, warnings):
        text, reasoning = called, reading.content([block for block in blocks if not _is_call(block)], [])[1]
        finish_reason = "stop" if finish_reason == "tool_use" else finish_reason
    else:
        text, reasoning = reading.content(blocks, warnings)
        text, reasoning = reading.split_thinking(text, reasoning, finish_reason)
    finish_reason = server_errors.broken_off(error, finish_reason, warnings)
    counts = reading.plausible(counts, text, warnings)
    return replace(paid, text=text, finish_reason=finish_reason, usage=counts, reasoning=reasoning)


def _is_call(block: Json) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_use"


def _tool_input(blocks: Json, warnings: list[str]) -> str:
    """The JSON of the answer, if the model called the tool that enforces a schema; else ""."""
    called = [block for block in blocks if _is_call(block)] if isinstance(blocks, list) else []
    if not called:
        return ""
    if not isinstance(called[0].get("input"), dict):
        return reading.words(called[0].get("input"), "the input of the tool", warnings)
    return reading.as_text(called[0]["input"])


def _usage(usage: dict[str, Json], warnings: list[str]) -> Usage:
    """The token counts. `input_tokens` are those that the cache neither had nor got, so the prompt is the sum."""
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    fresh, cached, written, completion = (reading.count(usage.get(name), name, warnings) for name in names)
    prompt = UNSET if fresh is UNSET else fresh + (cached or 0) + (written or 0)
    return Usage(prompt_tokens=prompt, cached_tokens=cached, cache_write_tokens=written, completion_tokens=completion)
