"""OpenRouter: OpenAI's API to many providers, which also says what an answer cost.

See OpenRouter's "API Reference: Overview" and "Usage Accounting"; which providers it may use, and in which
order, are fields of `extra_body` ("Provider Routing").
"""

from msgspec.structs import replace

from ..model import Json
from . import Provider, Request, Response, http, openai

BASE_URL = "https://openrouter.ai/api/v1"


class OpenRouter(Provider):
    """OpenRouter."""

    key_env = "OPENROUTER_API_KEY"
    base_url = BASE_URL

    def complete(self, request: Request) -> Response:
        """Call OpenRouter, with the key in OPENROUTER_API_KEY or the variable that the model names."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)  # OpenRouter would drop the field and bill an answer that is not bound by it
        return openai.chat(request, to, read, usage={"include": True})


PROVIDER = OpenRouter


def read(to: http.Endpoint, answer: dict[str, Json]) -> Response:
    """A chat completion with what OpenRouter charged for it, in US dollars (its credits)."""
    cost = (answer.get("usage") or {}).get("cost")
    return replace(openai.read(to, answer), cost_usd=None if cost is None else float(cost))
