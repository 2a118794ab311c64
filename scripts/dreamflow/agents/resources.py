"""Which model should chunk conversations better, up to which quality, for how many tokens, and which chunks first.

All of it follows from facts of this project: the models and prices that are configured for quality levels, the chunks
that are there, what the store has answered already, the budgets that are left, and how far trust has come."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from ..chunks.conversation import LEVELS
from ..chunks.family import Chunks
from ..chunks.filters import FilterError, parse_filter
from ..chunks.spec import Upgrade
from ..chunks.upgrade_plan import archives_of, plan_upgrade
from ..config import check
from ..errors import ConfigError, DreamflowError
from ..family import World
from ..generation.budget_use import BudgetUse, amount, budget_use
from ..generation.models import Model
from ..generation.prices import price_row
from ..plan import load_world
from ..routing.table import read_table
from ..run_budgets import configured_budgets
from ..settings import load_settings
from .project import Project

Quality = Literal[LEVELS[1:]]
DEFAULT_FILTER = "needs_upgrade=true"
SHOWN_CELLS = 12
MOST_NAMES = 6  # labels, entities and conversations, of each, in a filter
_SHORT = 3  # letters: shorter words of a context select nothing, except in scripts without spaces


class Option(BaseModel):
    """A quality level and the model that is configured for it."""

    conversations: str = Field(description="The spec, config/conversations/<name>.yaml.")
    quality: str = Field(description="Quality level of the chunks, the lowest first: basic, good, premium.")
    models: list[str] = Field(description="Ids of the model and its fallbacks; empty: by rules, without a model.")
    provider: str = Field(description='Provider of the first model; "" for rules.')
    usd_per_million: dict[str, float] | None = Field(description="Price for prompt and completion; null if unknown.")


class TrustIn(BaseModel):
    """How often a model was right in a context, by one class of evidence."""

    model_id: str = Field(description="The model.")
    context: str = Field(description='The context; "*": all of them.')
    evidence: str = Field(description="exact, person or judged.")
    mean: float = Field(description="Expected share of successes, 0-1.")
    low: float = Field(description="Lower bound of its interval.")
    high: float = Field(description="Upper bound of its interval.")
    n: float = Field(description="Outcomes that it rests on.")


class Resources(BaseModel):
    """The resources that are recommended for the next upgrade of chunks."""

    llm_provider: str = Field(description='Provider of the recommended model; "rules" if no model is needed.')
    model_id: str = Field(description='The model of config/models.yaml, or "auto" (trust chooses); "" for rules.')
    quality: str = Field(description="Quality level to reach: basic, good or premium.")
    max_tokens: int | None = Field(
        description="Most tokens that the upgrade may take; null: no limit was given or needed."
    )
    filter: str = Field(description="Which chunks to upgrade, in the filter language of upgrades.")
    as_required: bool = Field(description="Whether the required quality is what is recommended.")
    reasons: list[str] = Field(description="Why, in sentences.")
    chunks: int = Field(description="Chunks that would be chunked again.")
    conversations: int = Field(description="Conversations that they are from.")
    calls: int = Field(description="Calls that are not answered in the store yet.")
    tokens: int = Field(description="Expected tokens of these calls.")
    cost_usd: float | None = Field(description="Expected cost in US dollars; null if a price is unknown.")
    at_most_tokens: int | None = Field(description="Most tokens with every retry and fallback.")
    at_most_usd: float | None = Field(description="Most US dollars with every retry and fallback; null if unknown.")
    seconds: float = Field(description="Expected seconds of the calls, one after the other.")
    quality_now: dict[str, int] = Field(description="Chunks that exist by quality level.")
    options: list[Option] = Field(description="What is configured.")
    budgets: list[str] = Field(description="What the configured budgets leave.")
    trust: list[TrustIn] = Field(description="What is known of these models; empty before `snakemake trust`.")
    how: str = Field(description="How to do it: arguments of `forecast` and `start_run`, and the command.")


def select_resources_for(
    project: Project,
    context: str = "",
    urgency: Literal["low", "normal", "high"] = "normal",
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    quality: Quality | None = None,
    seconds: float | None = None,
) -> Resources:
    """The recommendation; arguments as in the tool `select_dreaming_resources`."""
    settings = load_settings()
    world = load_world(settings)
    family = Chunks(world)
    if not settings.conversations:
        raise DreamflowError(
            "config/config.yaml names no conversations, so no chunks can be upgraded: add `conversations: [demo]`"
        )
    family.compile()
    archives = [archive for spec in family.specs_now.values() for archive in archives_of(spec, family.folder)]
    if not archives:
        raise DreamflowError(
            "there are no chunks yet: run `snakemake chunks` first (`start_run` with the target chunks)"
        )
    text, reasons = _filter(context, archives, settings.upgrade.filter)
    uses = budget_use(world.layout.store, configured_budgets(settings, "a run that begins now"))
    usd, tokens = _limits(uses, settings.conversations, budget_usd, budget_tokens, reasons)
    given = {
        **settings.upgrade.as_dict(),
        **{"filter": text, "target": quality, "urgency": "high" if urgency == "high" else "normal"},
        **{"max_tokens": tokens, "max_duration_s": seconds},
    }
    plan = _affordable(family, world, given, usd, reasons)
    return _recommendation(project, family, world, plan, text, reasons, uses, archives, budget_usd)


def _affordable(
    family: Chunks, world: World, given: Mapping[str, Any], usd: float | None, reasons: list[str]
) -> dict[str, Any]:
    """The plan of an upgrade that costs at most `usd` US dollars, by its expected cost."""
    plan = _planned(family, world, given)
    cost, tier = plan["totals"]["cost_usd"], _tier(plan)
    if usd is None or cost is None or cost <= usd:
        return plan
    tokens = int(plan["totals"]["tokens"] * usd / cost)
    reasons.append(f"The tier {tier} costs about ${cost:.4f}; ${usd:g} pay for about {tokens:,} tokens of it.")
    capped = _planned(family, world, {**given, "max_tokens": tokens})
    if _tier(capped) == tier:
        return capped
    for lower in reversed(LEVELS[1 : LEVELS.index(tier)]):
        whole = _planned(family, world, {**given, "target": lower})
        cost = whole["totals"]["cost_usd"]
        if _tier(whole) == lower and cost is not None and cost <= usd:
            reasons += [f"{given['target']} was required."] if given["target"] else []
            reasons.append(f"The tier {lower} costs about ${cost:.4f} for everything that matches.")
            for part in whole["specs"].values():
                part["resources"]["as_required"] = given["target"] in (None, lower)
            return whole
    return capped


def _tier(plan: Mapping[str, Any]) -> str:
    """The highest tier of a plan."""
    return max((part["resources"]["tier"] for part in plan["specs"].values()), key=LEVELS.index)


def _planned(family: Chunks, world: World, given: Mapping[str, Any]) -> dict[str, Any]:
    upgrade = check({key: value for key, value in given.items() if value is not None}, Upgrade, "upgrade")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return plan_upgrade(family.specs_now, family.folder, upgrade, now, world.layout)


def _recommendation(
    project: Project,
    family: Chunks,
    world: World,
    plan: Mapping[str, Any],
    text: str,
    reasons: list[str],
    uses: Sequence[BudgetUse],
    archives: Sequence[Mapping[str, Any]],
    budget_usd: float | None,
) -> Resources:
    # Of several specs the one with most to do decides what is shown as the choice.
    name, part = max(plan["specs"].items(), key=lambda item: item[1]["totals"]["chunks"])
    chosen, totals = part["resources"], plan["totals"]
    options = [option for spec_name, spec in family.specs_now.items() for option in _options(spec_name, spec)]
    mine = next(one for one in options if one.conversations == name and one.quality == chosen["tier"])
    most = [one["totals"].get("at_most") or {"tokens": 0, "cost_usd": 0.0} for one in plan["specs"].values()]
    usd_at_most = [one["cost_usd"] for one in most]
    reasons = [*reasons, *(reason for one in plan["specs"].values() for reason in one["resources"]["reasons"])]
    reasons = [reason for reason in reasons if chosen["as_required"] or reason != f"{chosen['tier']} was required."]
    if len(plan["specs"]) > 1:
        reasons.append(f"Several specs are configured; the choice shown is that of {name}.")
    if part["skipped"] and not totals["chunks"]:
        reasons.append("Nothing that matches fits into the limits.")
    elif not totals["chunks"]:
        reasons.append("No chunk matches the filter, or all that match have this quality already.")
    reasons += [f"Skipped: {region['reason']}" for region in part["skipped"][:3]]
    trusted = _trust(project, [model for option in options for model in option.models])
    if trusted:
        reasons.append("`trust` has what verified outcomes say of these models.")
    return Resources(
        llm_provider=mine.provider or "rules",
        model_id=chosen["model_id"] or "",
        quality=chosen["tier"],
        max_tokens=chosen["max_tokens"],
        filter=text,
        as_required=chosen["as_required"],
        reasons=list(dict.fromkeys(reasons)),
        **{key: totals[key] or 0 for key in ("chunks", "conversations", "calls", "tokens", "seconds")},
        cost_usd=totals["cost_usd"],
        at_most_tokens=sum(one["tokens"] for one in most),
        at_most_usd=None if None in usd_at_most else round(sum(usd_at_most), 6),
        quality_now=dict(Counter(chunk["quality_level"] for archive in archives for chunk in archive["b_chunks"])),
        options=options,
        budgets=[f"{use.name}: {amount(use.left, use.unit)} of {amount(use.cap, use.unit)} left" for use in uses],
        trust=trusted,
        how=_how(chosen, text, totals, budget_usd),
    )


def _how(chosen: Mapping[str, Any], text: str, totals: Mapping[str, Any], budget_usd: float | None) -> str:
    if chosen["tier"] == LEVELS[0] or not totals["chunks"]:
        return "Nothing has to be run for this."
    limit = f", upgrade_max_tokens={chosen['max_tokens']}" if chosen["max_tokens"] is not None else ""
    usd = f", budget_usd={budget_usd:g}" if budget_usd else ""
    arguments = f"targets=['upgrade'], upgrade_target='{chosen['tier']}', upgrade_filter={text!r}{limit}{usd}"
    return f"`forecast` with {arguments} shows the cost; `start_run` with the same and a budget does it."


def _options(name: str, spec: Any) -> Iterable[Option]:  # a Chunking
    for level, tier in spec.tiers.items():
        models: list[Model] = list(spec.questions[level].candidates) if tier.model else []
        price = price_row(models[0]) if models else None
        yield Option(
            conversations=name,
            quality=level,
            models=[model.model_id for model in models],
            provider=models[0].provider if models else "",
            usd_per_million={key: price[key] for key in ("prompt", "completion")} if price else None,
        )


def _limits(
    uses: Iterable[BudgetUse],
    conversations: Iterable[str],
    usd: float | None,
    tokens: int | None,
    reasons: list[str],
) -> tuple[float | None, int | None]:
    """The least of what was given and of what the budgets leave that cover an upgrade."""
    keys = {f"budgets.conversations.{name}" for name in conversations}
    for use in uses:
        if not (use.covers_all or use.key in keys):
            continue
        if use.unit == "usd" and (usd is None or use.left < usd):
            usd = use.left
            reasons.append(f"The budget {use.name} leaves {amount(use.left, use.unit)}.")
        if use.unit == "tokens" and (tokens is None or use.left < tokens):
            tokens = int(use.left)
            reasons.append(f"The budget {use.name} leaves {amount(use.left, use.unit)}.")
    return usd, tokens


def _filter(context: str, archives: Sequence[Mapping[str, Any]], default: str) -> tuple[str, list[str]]:
    """The filter for a context, which is a filter, words, or empty; and why."""
    context = context.strip()[:2000]
    if not context:
        return default, []
    try:
        parse_filter(context)
    except (FilterError, ConfigError):
        pass
    else:
        return context, ["The context is a filter and is used as it is."]
    wanted = context.casefold()
    words = {word for word in re.findall(r"\w+", wanted) if len(word) > _SHORT or not word.isascii()}
    chunks = [chunk for archive in archives for chunk in archive["b_chunks"]]
    parts, named = [], []
    for field in ("labels", "entities"):
        counts = Counter(name for chunk in chunks for name in chunk[field])
        found = [
            name for name, _ in counts.most_common() if "'" not in name and _is_about(name.casefold(), wanted, words)
        ]
        parts += [f"{field} CONTAINS '{name}'" for name in found[:MOST_NAMES]]
        named += found[:MOST_NAMES]
    ids = {part for archive in archives for part in re.findall(r"[^\W_]+", archive["conversation_id"].casefold())}
    parts += [f"conversation_id CONTAINS '{part}'" for part in sorted(ids & words)[:MOST_NAMES]]
    named += sorted(ids & words)[:MOST_NAMES]
    if not parts:
        return default, [
            f"No label, entity or conversation is called like a word of the context: the filter is {default!r}."
        ]
    reason = (
        f"The context names {', '.join(dict.fromkeys(named))}: labels, entities or conversations that are called so."
    )
    return f"{DEFAULT_FILTER} AND ({' OR '.join(parts)})", [reason]


def _is_about(name: str, context: str, words: set[str]) -> bool:
    """Whether a name occurs in a context, or one of its words does."""
    return bool(name) and (name in context if not name.isascii() else bool(words & set(re.findall(r"\w+", name))))


def _trust(project: Project, models: Iterable[str]) -> list[TrustIn]:
    table = read_table(project.data)
    wanted = set(models)
    # What counts for chunks, and over all kinds of work.
    cells = [c for c in table.cells if c.model_id in wanted and c.context.startswith(("*", "chunk"))] if table else []
    cells.sort(key=lambda cell: -cell.n)
    return [
        TrustIn(**{key: getattr(cell, key) for key in TrustIn.model_fields} | {"mean": round(cell.mean, 4)})
        for cell in cells[:SHOWN_CELLS]
    ]
