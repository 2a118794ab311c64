"""The plan of an upgrade: for each spec its quality level and its regions, as JSON and as text."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ..generation.budgets import worst_case
from ..generation.catalog import template
from ..generation.layout import Layout
from ..generation.make import Context, build
from ..generation.model import Generation, Json, Question, Record
from ..generation.models import Model
from ..generation.prices import most_cost, price_row
from ..generation.respond import COMPLAINT_TOKENS, NeedsCall
from ..generation.tokens import estimate_tokens
from ..resources import select_resources
from .archive import has_archive, read_latest
from .compile import Chunking, chunk_rows
from .conversation import LEVELS, Archive
from .filters import parse_filter
from .spec import Upgrade
from .upgrade import Estimates, Outlook, available_seconds, known_total, plan_upgrades

SHOWN_SKIPPED = 20  # on the screen; the plan's file has all
_TOO_LARGE = (
    "one of its calls may take {largest:,} tokens, and upgrade.max_tokens is {cap:,}: raise it, or lower "
    "sampling.max_tokens of the tier"
)
_SUMS = ("chunks", "conversations", "calls", "tokens", "cost_usd", "seconds", "skipped_chunks")


def plan_upgrade(
    specs: Mapping[str, Chunking], folder: Path, settings: Upgrade, now: str, layout: Layout
) -> dict[str, Json]:
    """The plan of an upgrade that begins at `now` (ISO 8601), from the archives in `folder`. `settings` is the section
    `upgrade` of config.yaml; answers are looked up in the store of `layout`.

    The specs are planned in their order, each with what the specs before it left of the limits.
    """
    limits = {"limit": settings.limit, "max_tokens": settings.max_tokens}
    limits["max_duration_s"] = available_seconds({**settings.as_dict(), "now": now})
    parts = {}
    for name, chunking in specs.items():
        part = parts[name] = _plan_spec(chunking, archives_of(chunking, folder), settings, limits, layout)
        for key, used in (("limit", "chunks"), ("max_tokens", "tokens"), ("max_duration_s", "seconds")):
            if limits[key] is not None:
                limits[key] -= part["totals"][used]
    conversations = [name for chunking in specs.values() for name in chunking.conversations]
    return {
        "schema_version": 1,
        "planned_at": now,
        "upgrade": settings.as_dict(),
        "without_archive": [name for name in conversations if not (folder / name / "manifest.json").exists()],
        "totals": {key: known_total(part["totals"][key] for part in parts.values()) for key in _SUMS},
        "specs": parts,
    }


def archives_of(chunking: Chunking, folder: Path) -> list[Archive]:
    """The latest archives of a spec's conversations, without conversations that have none."""
    return [read_latest(folder / name) for name in chunking.conversations if has_archive(folder / name)]


def _plan_spec(
    chunking: Chunking, archives: Sequence[Archive], settings: Upgrade, limits: Mapping[str, Json], layout: Layout
) -> dict[str, Json]:
    matches = parse_filter(settings.filter)
    resources = select_resources(
        limits["max_tokens"],
        settings.target,
        limits["max_duration_s"],
        sum(any(map(matches, archive["b_chunks"])) for archive in archives),
        settings.urgency,
        {level: {"model_id": tier.model} for level, tier in chunking.tiers.items()},
    )
    part = {"resources": resources, "regions": [], "skipped": [], "unusable": [], "totals": dict.fromkeys(_SUMS, 0)}
    level = resources["tier"]
    if level == LEVELS[0]:
        return part
    tier, catalog = chunking.tiers[level], chunking.catalog
    estimates = Estimates(
        model_id=tier.model,
        price=_highest_price(chunking.questions[level].candidates),
        template_tokens=estimate_tokens(catalog.texts[template(catalog, "chunk", tier.template).sha256]),
        window_tokens=tier.window_tokens,
        seconds_per_call=tier.seconds_per_call,
        repeats_text=tier.format == "verbatim",
    )
    look = partial(outlook, chunking, level, layout, settings.max_tokens)
    return part | plan_upgrades(archives, settings.filter, level, limits, estimates, look, chunking.spec.priorities)


def _highest_price(models: Sequence[Model]) -> Mapping[str, float] | None:
    """The price of the model whose answers cost most; None if a price is unknown."""
    prices = [price_row(model) for model in models]
    return None if None in prices else max(prices, key=lambda price: (price["completion"], price["prompt"]))


def outlook(
    chunking: Chunking, level: str, layout: Layout, cap: int | None, conversation_id: str, first: int, last: int
) -> Outlook:
    """What the answers in the store leave to ask of units `first` to `last` of a conversation, at a level. `cap` is the
    budget of tokens of the upgrade."""
    if last > len(chunking.units[conversation_id]):  # its text has changed, which the upgrade tells
        return Outlook(1, 0, 0.0)
    context = Context(layout=layout, texts=chunking.catalog.texts, models=chunking.models)
    worst: list[tuple[int, float | None]] = []
    unusable, largest = [], 0
    rows = chunk_rows(chunking, conversation_id, level, (first, last))
    for row in rows:
        asked: list[Question] = []
        try:
            outcome = build(row, context, [], partial(_note, asked), read_only=True).outcome
        except NeedsCall:
            first = asked[0]
            worst.append(most_of(row, first, chunking.models))
            largest = max(largest, worst_case(first, row, chunking.models[first.model.model_id]).tokens)
            continue
        unusable += [] if outcome.status == "ok" else [outcome.reason]
    return Outlook(
        calls=len(worst),
        tokens=sum(tokens for tokens, _ in worst),
        usd=known_total(usd for _, usd in worst),
        unusable=unusable[0] if len(unusable) == len(rows) else "",
        too_large=_TOO_LARGE.format(largest=largest, cap=cap) if cap is not None and largest > cap else "",
    )


def _note(asked: list[Question], question: Question, key: str) -> Record:
    asked.append(question)
    raise NeedsCall(key)


def most_of(row: Generation, question: Question, models: Mapping[str, Model]) -> tuple[int, float | None]:
    """The most tokens and US dollars (None: a price is unknown) that a generation can take, from `question`, which is
    asked first, to the last attempt of its last fallback model."""
    tokens, costs = 0, []
    for candidate in row.candidates:
        if candidate.model != question.model:
            messages = [*(candidate.model.examples or ()), *question.messages[len(question.model.examples or ()) :]]
            question = replace(question, model=candidate.model, messages=messages, sampling=candidate.sampling)
        model = models[candidate.model.model_id]
        worst, sent_back = worst_case(question, row, model), 0
        if row.repair and row.max_attempts > 1:  # an unreadable answer is a part of the next prompt, once
            limits = model.answer_limits(question.sampling["max_tokens"], row.max_attempts - 1)
            sent_back = limits[-1] + COMPLAINT_TOKENS
        repair = most_cost(model, sent_back, 0)
        tokens += worst.all_tokens + sent_back
        costs.append(None if repair is None else worst.all_usd + repair)
    return tokens, known_total(costs)


def plan_text(plan: Mapping[str, Json]) -> str:
    """The plan of an upgrade as text: its size and cost, and the skipped regions with reasons."""
    lines = []
    for name, part in plan["specs"].items():
        totals, resources = part["totals"], part["resources"]
        size = (
            f"{totals['chunks']:,} chunks of {totals['conversations']:,} conversations, {totals['calls']:,} calls, "
            f"{_cost(totals, plan['upgrade'].get('max_tokens'))}, about {totals['seconds']:,.0f} s"
            if totals["chunks"]
            else "nothing"
        )
        lines.append(f"upgrade of {name} to {resources['tier']} ({resources['model_id'] or 'rules'}): {size}")
        lines += [f"  {reason}" for reason in resources["reasons"]]
        if done := totals.get("already_at_target"):
            lines.append(f"  {done:,} matching chunks are already at the target quality")
        if unusable := part.get("unusable"):
            count, reason = sum(len(region["chunks"]) for region in unusable), unusable[0]["reason"]
            lines.append(
                f"  {count:,} chunks stay as they are, since no answer for them can be used ({reason}); "
                "'snakemake retry_failed' draws new samples"
            )
        lines += [
            f"  skipped: {region['conversation_id']}, units {region['first']}-{region['last']} "
            f"({len(region['chunks'])} chunks): {region['reason']}"
            for region in part["skipped"][:SHOWN_SKIPPED]
        ]
        if (more := len(part["skipped"]) - SHOWN_SKIPPED) > 0:
            lines.append(f"  skipped: {more:,} more; see chunks/upgrade/plan.json")
    if missing := plan["without_archive"]:
        lines.append(f"not in this plan, as they have no archive yet: {', '.join(missing)}")
    return "\n".join(lines)


def _cost(totals: Mapping[str, Json], cap: int | None) -> str:
    """What an upgrade takes: the expectation, and the most."""
    most, usd = totals["at_most"]["tokens"], totals["at_most"]["cost_usd"]
    about = f"about {totals['tokens']:,} tokens and {_dollars(totals['cost_usd'])}"
    if cap is not None and cap < most:
        return f"{about}, never more than {cap:,} tokens (upgrade.max_tokens)"
    return f"{about}, at most {most:,} tokens and {_dollars(usd)}"


def _dollars(amount: float | None) -> str:
    return "$? (give the model a price in models.yaml)" if amount is None else f"${amount:.4f}"
