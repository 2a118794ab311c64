"""What the test servers answer, in the forms of OpenAI, OpenRouter and Anthropic, and what they would bill for it."""

import hashlib
import json
from typing import Any

PRICE = {"prompt": 1.0, "completion": 2.0}  # US dollars per million tokens, as the models of the tests say


def echo(body: dict[str, Any]) -> str:
    """The answer by default: a digest of the request and the beginning of its last message."""
    text = f"answer {digest(body)[:12]} to: {text_of(body['messages'][-1]['content'])[:200]}"
    return json.dumps({"answer": text}) if wants_json(body) else text


def scored(body: dict[str, Any]) -> str:
    """A score where one is asked for, else `echo`."""
    text = echo(body)
    return f"Judged {text[:19]}.\nSCORE: 7" if "Rate" in text_of(body["messages"][-1]["content"]) else text


def digest(body: dict[str, Any]) -> str:
    """A digest of a request: the same for the same question."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def answer_to(path: str, body: dict[str, Any], text: str) -> dict[str, Any]:
    """The whole answer with this text, in the form of the API at `path`."""
    return _message(body, text) if path.endswith("/messages") else _chat_completion(body, text)


def bill(answer: dict[str, Any]) -> tuple[int, int, float]:
    """(prompt tokens, completion tokens, US dollars) of an answer, by the usage that it reports."""
    usage = answer["usage"]
    if "input_tokens" in usage:
        prompt = sum(count for name, count in usage.items() if "input" in name)
        completion = usage["output_tokens"]
    else:
        prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    cost = usage.get("cost", (prompt * PRICE["prompt"] + completion * PRICE["completion"]) / 1e6)
    return prompt, completion, cost + usage.get("cost_details", {}).get("upstream_inference_cost", 0.0)


def _chat_completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    asked, answered = _tokens(body), len(text.split())
    usage = {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": asked // 2},
    }
    if body.get("usage"):  # OpenRouter
        usage["cost"] = asked / 1e6
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


def _message(body: dict[str, Any], text: str) -> dict[str, Any]:
    asked = _tokens(body)
    usage = {
        "input_tokens": asked,
        "cache_read_input_tokens": 2 * asked,
        "cache_creation_input_tokens": 3 * asked,
        "output_tokens": len(text.split()),
    }
    block, reason = {"type": "text", "text": text}, "end_turn"
    if body.get("tools"):
        block = {"type": "tool_use", "name": body["tools"][0]["name"], "input": json.loads(text)}
        reason = "tool_use"
    return {
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": reason,
        "usage": usage,
    }


def wants_json(body: dict[str, Any]) -> bool:
    """Whether a request asks for an answer in JSON."""
    return bool(body.get("response_format") or body.get("tools"))


def _tokens(body: dict[str, Any]) -> int:
    return sum(len(text_of(message["content"]).split()) for message in body["messages"])


def text_of(content: Any) -> str:
    """The text of a message, which may be in parts."""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
