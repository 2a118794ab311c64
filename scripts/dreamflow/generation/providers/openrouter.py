"""OpenRouter: OpenAI's API to many providers, with the cost of each answer.

See OpenRouter's "API Reference: Overview" and "Usage Accounting". Fields of `extra_body` choose and order the providers
("Provider Routing").
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
        """Call OpenRouter with the key from OPENROUTER_API_KEY or from the variable that the model names."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)  # OpenRouter would ignore the grammar and bill the answer
        return openai.chat(request, to, read, usage={"include": True})


PROVIDER = OpenRouter


def read(to: http.Endpoint, answer: dict[str, Json]) -> Response:
    """A chat completion with its cost in US dollars (OpenRouter's credits)."""
    cost = (answer.get("usage") or {}).get("cost")
    return replace(openai.read(to, answer), cost_usd=None if cost is None else float(cost))
