"""The selection of a quality level within limits, with the reasons."""

from collections.abc import Mapping

from .chunks.conversation import LEVELS
from .errors import ConfigError, unknown
from .generation.model import Json

FREE, FAST, BEST = LEVELS[0], LEVELS[1], LEVELS[-1]  # other tiers run only if they are required
EXPENSIVE_ABOVE = 100_000  # minimum token budget of the tiers above FAST, exclusive
FAST_BELOW_S = 60.0
SMALL_BATCH = 10  # conversations


def select_resources(
    budget_tokens: int | None,
    quality_required: str | None,
    time_available_s: float | None,
    conversations: int,
    urgency: str,
    tiers: Mapping[str, Mapping[str, Json]],
) -> dict[str, Json]:
    """{tier, model_id, max_tokens, as_required, reasons}: the tier that the limits allow. Raises a `ConfigError`.

    `budget_tokens` and `time_available_s` None are no limit; `quality_required` None leaves the choice to the rules;
    `urgency` is "normal" or "high"; `tiers` are {level: {model_id, max_tokens (None: no limit)}}, including basic.
    `as_required` is False if the required quality is not available; the reasons explain it. An expensive tier is never
    silently downgraded.
    """
    if quality_required not in (None, *LEVELS):
        raise ConfigError(unknown("quality level", quality_required, LEVELS))
    if urgency not in ("normal", "high"):
        raise ConfigError(unknown("urgency", urgency, ("normal", "high")))
    if FREE not in tiers:
        raise ConfigError(f"the tier {FREE} is missing")
    reasons: list[str] = []
    wanted = quality_required or _choice(budget_tokens, time_available_s, conversations, urgency, reasons)
    if quality_required:
        reasons.append(f"{quality_required} was required.")
    tier = _allowed(wanted, budget_tokens, time_available_s, tiers, reasons)
    if quality_required and tier != quality_required:
        reasons.append(f"The tier is {tier}: its chunks have the quality level {tier}, not {quality_required}.")
    limits = [limit for limit in (budget_tokens, tiers[tier].get("max_tokens")) if limit is not None]
    return {
        "tier": tier,
        "model_id": tiers[tier].get("model_id"),
        "max_tokens": min(limits, default=None) if tier != FREE else None,
        "as_required": quality_required in (None, tier),
        "reasons": reasons,
    }


def _choice(budget: int | None, seconds: float | None, conversations: int, urgency: str, reasons: list[str]) -> str:
    """The tier that the rules choose if no quality is required."""
    if budget == 0:
        return FREE  # `_allowed` adds the reason
    if seconds is not None and seconds < FAST_BELOW_S:
        reasons.append(f"The time is {seconds:g} s, less than {FAST_BELOW_S:g} s: the fast model of the tier {FAST}.")
        return FAST
    if urgency == "high" and (budget is None or budget > EXPENSIVE_ABOVE):
        reasons.append("The upgrade is urgent and the budget allows it: the best tier at once.")
        return BEST
    if conversations < SMALL_BATCH:
        reasons.append(f"{conversations} conversations are a small batch (below {SMALL_BATCH}): the tier {FAST}.")
        return FAST
    reasons.append(f"{conversations} conversations are a large batch: the free tier first, selective upgrades later.")
    return FREE


def _allowed(
    wanted: str, budget: int | None, seconds: float | None, tiers: Mapping[str, Mapping[str, Json]], reasons: list[str]
) -> str:
    """The best tier up to `wanted` that budget, time and configuration allow."""
    if budget == 0:
        reasons.append("The budget is 0 tokens: the free tier.")
        return FREE
    is_expensive = LEVELS.index(wanted) > LEVELS.index(FAST)
    if is_expensive and budget is not None and budget <= EXPENSIVE_ABOVE:
        reasons.append(f"{wanted} needs a budget above {EXPENSIVE_ABOVE:,} tokens; the budget is {budget:,}.")
        wanted = FAST
    elif is_expensive and seconds is not None and seconds < FAST_BELOW_S:
        reasons.append(f"{wanted} is too slow for {seconds:g} s; below {FAST_BELOW_S:g} s the fast model runs.")
        wanted = FAST
    for tier in reversed(LEVELS[: LEVELS.index(wanted) + 1]):
        if tier in tiers:
            return tier
        reasons.append(f"No model is configured for {tier}.")
    return FREE
