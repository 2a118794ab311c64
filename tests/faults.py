"""How the server of `service` misbehaves, by name: errors that pass, answers in odd forms, errors that end everything.

`bill` of an odd answer is that of the good one: what a provider bills does not depend on the form that it sends.
"""

import json
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]
ERRORS = {  # name: (status, message, further fields of the error, headers)
    "429": (429, "Rate limit reached", {}, {"Retry-After": "0"}),
    "429 untimed": (429, "Rate limit reached", {}, {}),
    "500": (500, "The server had an error", {}, {}),
    "502": (502, "Bad gateway", {}, {}),
    "503": (503, "Loading", {}, {"Retry-After": "0"}),
    "504": (504, "Gateway timeout", {}, {}),
    "529": (529, "Overloaded", {"type": "overloaded_error"}, {}),
    "408": (408, "Request timeout", {}, {}),
    "error in 200": (200, "Provider returned error", {"code": 502}, {}),
    "400": (400, "Invalid request", {"type": "invalid_request_error"}, {}),
    "401": (401, "Incorrect API key provided", {"code": "invalid_api_key"}, {}),
    "402": (402, "Insufficient credits", {"code": 402}, {}),
    "quota": (429, "You exceeded your current quota", {"code": "insufficient_quota"}, {}),
    "404": (404, "The model does not exist", {"code": "model_not_found"}, {}),
    "filtered": (400, "The response was filtered", {"code": "content_filter"}, {}),
    "too long": (400, "This model's maximum context length is 8192 tokens", {"code": "context_length_exceeded"}, {}),
}
SAID_NO = ("filtered", "too long")  # answers of a kind: they say something about the question
BROKEN = ("closed", "reset", "half", "stall")  # no answer; "half" and "stall" may have been billed
TRANSIENT = ("429", "429 untimed", "500", "502", "503", "529", "408", "error in 200", *BROKEN)


def _set(answer: Answer, **fields: Any) -> Answer:
    """Replace fields of an answer, its choice or its message, wherever they are; new ones go to the message."""
    choice = answer.get("choices", [{}])[0]
    places = (answer, choice, choice.get("message", {}))
    for name, value in fields.items():
        next((place for place in places if name in place), places[-1])[name] = value
    return answer


def _usage(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    counts = {name: change(value) if isinstance(value, int) else value for name, value in answer["usage"].items()}
    return {**answer, "usage": counts}


def _ending(answer: Answer, reason: Any) -> Answer:
    return _set(answer, **{"stop_reason" if "stop_reason" in answer else "finish_reason": reason})


def _text(answer: Answer, change: Callable[[str], Any]) -> Answer:
    """The answer with `change` of its text: what is not a string takes the place of the whole content."""
    if "choices" in answer:
        return _set(answer, content=change(answer["choices"][0]["message"]["content"]))
    text = change(answer["content"][0]["text"])
    return _set(answer, content=[{"type": "text", "text": text}] if isinstance(text, str) else text)


def _invalid_byte(answer: Answer) -> bytes:
    return json.dumps(_text(answer, lambda text: text + " \x01")).encode().replace(b"\\u0001", b"\xff")


def _reasoning(answer: Answer) -> Answer:
    if "choices" in answer:
        return _ending(_set(answer, content=None, reasoning="Let me see, and see."), "length")
    return _ending(_set(answer, content=[{"type": "thinking", "thinking": "Let me see."}]), "max_tokens")


def _half(text: str) -> str:
    return text[: len(text) // 2]


# Answers that are complete, in a form that no documentation names; their usage can be read where USAGE_LOST lacks them.
READABLE: dict[str, Callable[[Answer], Any]] = {
    "usage as strings": lambda answer: _usage(answer, str),
    "usage missing": lambda answer: {name: value for name, value in answer.items() if name != "usage"},
    "usage null": lambda answer: {**answer, "usage": None},
    "usage negative": lambda answer: _usage(answer, lambda count: -count),
    "usage NaN": lambda answer: _usage(answer, lambda _count: float("nan")),
    "content as parts": lambda answer: _text(answer, lambda text: [{"type": "text", "text": text}]),
    "model as list": lambda answer: {**answer, "model": [answer["model"]]},
    "other model": lambda answer: {**answer, "model": "someone-else"},
    "null logprobs": lambda answer: _set(answer, logprobs=None),
    "invalid byte": _invalid_byte,
    "cost as text": lambda answer: {**answer, "usage": {**answer["usage"], "cost": "cheap"}},
    "think block": lambda answer: _text(answer, lambda text: f"<think>Well.\nWell.</think>\n\n{text}"),
}
USAGE_LOST = (
    "usage missing",
    "usage null",
    "usage negative",
    "usage NaN",
    "html",
    "empty",
    "list",
    "deep nesting",
    "endless nesting",
)
# Answers that nobody can use: the next sample is drawn.
UNUSABLE: dict[str, Callable[[Answer], Any]] = {
    "safety": lambda answer: _ending(_text(answer, _half), "SAFETY"),
    "abort": lambda answer: _ending(_text(answer, _half), "abort"),
    "no reason": lambda answer: _ending(_text(answer, _half), None),
    "resources": lambda answer: _ending(_text(answer, _half), "insufficient_system_resource"),
    "reasoning only": _reasoning,
    "no content": lambda answer: _text(answer, lambda _text: None),
    "content as number": lambda answer: _text(answer, lambda _text: 7),
    "html": lambda _answer: b"<html><body>Welcome to the captive portal</body></html>",
    "empty": lambda _answer: b"",
    "list": lambda _answer: b"[]",
    "deep nesting": lambda answer: json.dumps(answer)[:-1].encode() + b', "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "endless nesting": lambda _answer: b"[" * 200_000,
}
ODD = {**READABLE, **UNUSABLE}


def error(name: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of an error."""
    code, message, fields, headers = ERRORS[name]
    body = {"type": "error", "error": {"message": message, "type": "test_error", **fields}}
    return code, headers, json.dumps(body).encode()


def odd(name: str, answer: Answer) -> bytes:
    """The body of an answer in an odd form."""
    changed = ODD[name](answer)
    return changed if isinstance(changed, bytes) else json.dumps(changed).encode()


def shares(names: Any, total: float) -> list[list[Any]]:
    """The faults of a script: each of these names with an equal share of `total`."""
    names = list(names)
    return [[name, total / len(names)] for name in names]
