"""OpenRouter: OpenAI's API to many providers, which also says what an answer cost.

See OpenRouter's "API Reference: Overview" and "Usage Accounting"; which providers it may use, and in which
order, are fields of `extra_body` ("Provider Routing").
"""

from dataclasses import replace
from typing import Any

from . import Request, Response, http, openai

BASE_URL = "https://openrouter.ai/api/v1"


def complete(request: Request) -> Response:
    """Ask OpenRouter, with the key in OPENROUTER_API_KEY or the variable that the model names."""
    to = http.endpoint(request, BASE_URL, "OPENROUTER_API_KEY")
    http.refuse_grammar(request, to)  # OpenRouter would drop the field and bill an answer that is not bound by it
    return openai.chat(request, to, read, usage={"include": True})


def read(to: http.Endpoint, answer: dict[str, Any]) -> Response:
    """A chat completion with what OpenRouter charged for it, in US dollars (its credits)."""
    cost = (answer.get("usage") or {}).get("cost")
    return replace(openai.read(to, answer), cost_usd=None if cost is None else float(cost))
