"""OpenRouter: OpenAI's API to many providers, with the cost of each answer.

See OpenRouter's "API Reference: Overview", "Usage Accounting" and "App Attribution". Fields of `extra_body` choose what
answers: `provider` orders, allows and prices the providers ("Provider Routing"), `models` lists models that answer
if the model is down ("Model Fallbacks"; the response then has a warning), `reasoning` sets the effort or the tokens of
reasoning.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from ..model import Json, Response
from . import Reply, Request, http, openai, reading

if TYPE_CHECKING:
    from ..models import Model

BASE_URL = "https://openrouter.ai/api/v1"
ATTRIBUTION = {"HTTP-Referer": "https://dreamflow.invalid", "X-Title": "Dreamflow"}  # a name: there is no such site
SAMPLING = {**openai.MORE_SAMPLING, "repeat_penalty": ("repetition_penalty",)}


class OpenRouter(http.HttpProvider):
    """OpenRouter."""

    key_env = "OPENROUTER_API_KEY"
    base_url = BASE_URL

    def sampling_names(self, model: "Model") -> Mapping[str, tuple[str, ...]]:
        """All; OpenRouter leaves out what the model behind it does not take."""
        return {**SAMPLING, "max_tokens": (model.max_tokens_field or "max_tokens",)}

    def body(self, request: Request) -> dict[str, Json]:
        """The body of a chat completion that asks for its cost."""
        return openai.chat_body(request, self.sampling_names(request.model), usage={"include": True})

    def send(self, request: Request) -> Reply:
        """Call OpenRouter with the key from OPENROUTER_API_KEY or from the variable that the model names."""
        to = http.endpoint(request, BASE_URL, self.key_env)
        http.refuse_grammar(request, to)  # OpenRouter would ignore the grammar and bill the answer
        return http.post(to, "/chat/completions", {**openai.bearer(to), **ATTRIBUTION}, self.body(request))

    def read(self, request: Request, body: bytes) -> Response:
        """The response in a chat completion, with its cost in US dollars (OpenRouter's credits)."""
        return openai.read(request, body, _cost)


PROVIDER = OpenRouter


def _cost(usage: dict[str, Json], warnings: list[str]) -> float | UnsetType:
    """What the answer cost; with a key of one's own at the provider behind OpenRouter (BYOK), also what that bills."""
    cost = reading.dollars(usage.get("cost"), "the cost", warnings)
    if usage.get("is_byok") is not True or cost is UNSET:
        return cost
    details = reading.fields(usage.get("cost_details"), "cost_details", warnings)
    upstream = reading.dollars(details.get("upstream_inference_cost"), "the cost of the provider", warnings)
    return UNSET if upstream is UNSET else cost + upstream
