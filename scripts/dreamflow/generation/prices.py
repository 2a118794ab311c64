"""What tokens cost. Prices of models.yaml come first, else those that the library genai-prices brings along.

All prices are in US dollars per million tokens. Unknown is not zero: without a price, or without a count of tokens, the
cost is None.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import UNSET

from ..errors import ConfigError
from .model import Json, Number, Response, Usage
from .models import Model
from .providers import provider

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

    from .budgets import Budget

BATCH_FACTOR = 0.5  # OpenAI and Anthropic: a batch costs half
CACHE_WRITE_FACTOR = 1.25  # of the price of prompt tokens: Anthropic, and OpenAI where writing to the cache costs
CATALOGS = ("openai", "anthropic", "openrouter")  # providers of ours that genai-prices lists under the same names
PRICE_REMEDY = "Write it into models.yaml (`price: {prompt: ..., completion: ...}`, US dollars per million tokens)"
_FREE = {"prompt": 0, "completion": 0}

Price = Mapping[str, Number | str]


def price_row(model: Model, prompt_tokens: int = 0) -> dict[str, Number | str] | None:
    """The price of a model now, or None if it is unknown.

    The keys are `prompt`, `completion` and, where they are known, `cached_prompt`, `cache_write` and `batch` (a
    factor); `source` says where the row is from. Some models cost more for a long prompt: the row holds for a prompt of
    `prompt_tokens` tokens. (A price in models.yaml holds for every length.)

    A model at a `base_url` that is not the provider's own has no listed price: a private "gpt-4" is not OpenAI's.
    """
    if model.own_price:
        return {**model.own_price, "source": "models.yaml"}
    chosen = provider(model.provider)
    if chosen.is_free:
        return {**_FREE, "source": "free"}
    own_host = urlsplit(chosen.base_url or "").hostname
    if model.provider not in CATALOGS or (model.base_url and urlsplit(model.base_url).hostname != own_host):
        return None
    # Fields of the request that select another price, such as `service_tier: flex`.
    context = {key: value for key, value in model.extra_body.items() if isinstance(value, str)}
    return _listed(model.provider, model.name, max(prompt_tokens, 0), tuple(sorted(context.items())))


def _listed(
    provider_id: str, name: str, prompt_tokens: int, context: tuple[tuple[str, str], ...]
) -> dict[str, Number | str] | None:
    prices = _listed_prices(provider_id, name, context)
    if prices is None:
        return None
    from genai_prices import __version__
    from genai_prices.types import TieredPrices

    def price(name: str) -> float | None:
        value = getattr(prices, name)
        if isinstance(value, TieredPrices):  # the highest tier that the prompt reaches holds for all its tokens
            reached = [tier.price for tier in value.tiers if prompt_tokens > tier.start]
            value = reached[-1] if reached else value.base
        return None if value is None else float(value)

    source = f"genai-prices {__version__}"
    if provider_id == "openrouter" and name.endswith(":free"):
        return {**_FREE, "source": source}
    row = {
        "prompt": price("input_mtok"),
        "cached_prompt": price("cache_read_mtok"),
        "cache_write": price("cache_write_mtok"),
        "completion": price("output_mtok"),
    }
    if row["prompt"] is None or row["completion"] is None:
        return None
    return {**{key: value for key, value in row.items() if value is not None}, "source": source}


@cache
def _listed_prices(provider_id: str, name: str, context: tuple[tuple[str, str], ...]) -> "ModelPrice | None":
    """What genai-prices says of a model on the day of the first look; None if it does not know the model.

    Imported here, since it takes 0.3 s and runs without remote models never need it. Only its bundled data are used:
    it asks the network only through `UpdatePrices`, which nothing starts.
    """
    from datetime import UTC, datetime

    from genai_prices.data_snapshot import get_snapshot

    try:
        _, model = get_snapshot().find_provider_model(name, None, provider_id, None)
    except LookupError:
        return None
    return model.get_prices(datetime.now(UTC), dict(context))


def cost(usage: Usage, price: Price | None, batch: bool = False) -> float | None:
    """The cost of tokens in US dollars, or None if a count or the price is unknown.

    Tokens that the provider's cache had, or took, are part of the prompt and have prices of their own; reasoning is
    part of the completion. `batch`: they were in a batch.
    """
    if price is None:
        return None
    if not any(value for key, value in price.items() if key not in ("batch", "source")):
        return 0.0
    if usage.prompt_tokens is UNSET or usage.completion_tokens is UNSET:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    written = min(usage.cache_write_tokens or 0, usage.prompt_tokens - cached)
    total = (
        (usage.prompt_tokens - cached - written) * price["prompt"]
        + cached * price.get("cached_prompt", price["prompt"])
        + written * _write_price(price)
        + usage.completion_tokens * price["completion"]
    )
    return round(total * (price.get("batch", BATCH_FACTOR) if batch else 1) / 1e6, 9)


def answer_cost(response: Response, price: Price | None, batch: bool = False) -> float | None:
    """The cost of an answer in US dollars: as the provider reports it, else that of its tokens."""
    reported = response.cost_usd
    if _is_amount(reported):
        return reported
    return cost(response.usage, price, batch)


def most_cost(model: Model, prompt_tokens: int, completion_tokens: int, batch: bool = False) -> float | None:
    """The most that a call of so many tokens can cost in US dollars, whatever the cache does and whichever model of
    OpenRouter's `models` answers; None if a price is unknown.

    OpenRouter's providers differ in price, and the listed price is that of one of them. If the request limits the price
    (`provider: {max_price: ...}`), that limit is the price.
    """
    return most_costs(model, prompt_tokens, [completion_tokens], batch)[0]


def most_costs(model: Model, prompt_tokens: int, completions: Sequence[int], batch: bool = False) -> list[float | None]:
    """The same for several calls with this prompt, whose answers have so many tokens."""
    prices = _highest_prices(model, prompt_tokens)
    if None in prices:
        return [None] * len(completions)
    highest = [
        {**price, "prompt": max(price["prompt"], price.get("cached_prompt", 0), _write_price(price))}
        for price in prices
    ]
    usages = [Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens) for tokens in completions]
    return [max(cost(usage, price, batch) for price in highest) for usage in usages]


def _highest_prices(model: Model, prompt_tokens: int) -> list[Price | None]:
    """The price of each model that may answer."""
    if model.provider != "openrouter" or model.price:
        return [price_row(model, prompt_tokens)]
    routing = model.extra_body.get("provider")
    limit = routing.get("max_price") if isinstance(routing, Mapping) else None
    if isinstance(limit, Mapping) and all(_is_amount(limit.get(key)) for key in ("prompt", "completion")):
        return [{"prompt": limit["prompt"], "cache_write": limit["prompt"], "completion": limit["completion"]}]
    others = model.extra_body.get("models")
    names = [model.name, *(others if isinstance(others, list) else [])]
    return [price_row(model.model_copy(update={"name": str(name)}), prompt_tokens) for name in names]


def _is_amount(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _write_price(price: Price) -> Number:
    return price.get("cache_write", price["prompt"] * CACHE_WRITE_FACTOR)


def check_priced(models: Iterable[Model], budgets: Iterable["Budget"]) -> None:
    """Raise a `ConfigError` if one of these budgets is in dollars and one of the models, all of which it covers, has no
    known price: such a budget cannot be kept."""
    unknown = sorted({model.model_id for model in models if most_cost(model, 1, 1) is None})
    for budget in budgets if unknown else ():
        if budget.usd is not None:
            names = f"model {unknown[0]}" if len(unknown) == 1 else f"models {', '.join(unknown)}"
            raise ConfigError(
                f"the budget {budget.key} is in dollars, but the price of {names} is unknown. {PRICE_REMEDY}, or set "
                "a budget in tokens instead"
            )
