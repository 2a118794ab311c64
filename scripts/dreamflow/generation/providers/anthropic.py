"""Anthropic's "Messages" API (API reference, "Create a Message"), version 2023-06-01.

It has no seed: the samples of a question differ only through the temperature.
"""

import json

from ..model import Json, Usage, as_json
from . import Provider, Request, Response, http

BASE_URL = "https://api.anthropic.com"
FINISH_REASONS = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "refusal"}
TOOL = "answer"


class Anthropic(Provider):
    """Anthropic."""

    key_env = "ANTHROPIC_API_KEY"
    base_url = BASE_URL
    batches = "anthropic_batch"

    def payload(self, request: Request) -> dict[str, Json]:
        """The body of the request."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)
        if not request.sampling.get("max_tokens"):
            raise http.failure(to, "this provider needs sampling.max_tokens", kind="request")
        return _payload(request)

    def read(self, request: Request, body: bytes) -> Response:
        """The response in a body."""
        return _read(http.endpoint(request, BASE_URL, self.key_env), json.loads(body))

    def complete(self, request: Request) -> Response:
        """Call Anthropic with the key from ANTHROPIC_API_KEY or from the variable that the model names."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)
        if not request.sampling.get("max_tokens"):
            raise http.failure(to, "this provider needs sampling.max_tokens", kind="request")
        headers = {"x-api-key": to.key, "anthropic-version": "2023-06-01"}
        # base_url may be written with /v1, as for every other provider, or without, as Anthropic does.
        path = "/messages" if to.base_url.endswith("/v1") else "/v1/messages"
        return http.ask(to, path, headers, _payload(request), _read)


PROVIDER = Anthropic


def _payload(request: Request) -> dict[str, Json]:
    enforced = {}
    if request.response_format:  # a tool enforces a JSON schema: the model must call it, with the answer as its input
        tool = {"name": TOOL, "input_schema": request.response_format["schema"]}
        enforced = {"tools": [tool], "tool_choice": {"type": "tool", "name": TOOL}}
    sampling = {name: value for name, value in request.sampling.items() if name not in ("seed", "stop")}
    stop = request.sampling.get("stop")
    system = [message.content for message in request.messages if message.role == "system"]
    return http.payload(
        request,
        messages=as_json([message for message in request.messages if message.role != "system"]),
        system="\n\n".join(system) or None,
        stop_sequences=[stop] if isinstance(stop, str) else stop,
        **sampling,
        **enforced,
    )


def _read(_to: http.Endpoint, answer: Json) -> Response:
    usage = {name: value or 0 for name, value in (answer.get("usage") or {}).items()}
    cached = usage.get("cache_read_input_tokens", 0)
    prompt = usage.get("input_tokens", 0) + cached + usage.get("cache_creation_input_tokens", 0)
    counts = Usage(prompt, cached, usage.get("output_tokens", 0))
    return Response(
        text=_text(answer["content"]),
        finish_reason=FINISH_REASONS.get(answer.get("stop_reason"), "stop"),
        usage=counts if usage else Usage(),
        model_name=answer.get("model") or "",
    )


def _text(blocks: list[dict[str, Json]]) -> str:
    for block in blocks:
        if block["type"] == "tool_use":
            return json.dumps(block["input"], ensure_ascii=False)
    return "".join(block["text"] for block in blocks if block["type"] == "text")
