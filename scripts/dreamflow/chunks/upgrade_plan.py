"""The plan of an upgrade: for each spec its quality level and its regions, as JSON and as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..generation.catalog import template
from ..generation.model import Json
from ..generation.prices import price_row
from ..generation.tokens import estimate_tokens
from .archive import has_archive, read_latest
from .compile import Chunking
from .conversation import LEVELS, Archive
from .filters import parse_filter
from .resources import select_resources
from .spec import Upgrade
from .upgrade import Estimates, available_seconds, plan_upgrades

SHOWN_SKIPPED = 20  # on the screen; the plan's file has all
_SUMS = ("chunks", "conversations", "calls", "tokens", "cost_usd", "seconds", "skipped_chunks")


def plan_upgrade(specs: Mapping[str, Chunking], folder: Path, settings: Upgrade, now: str) -> dict[str, Json]:
    """The plan of an upgrade that begins at `now` (ISO 8601), from the archives in `folder`. `settings` is the section
    `upgrade` of config.yaml.

    The specs are planned in their order, each with what the specs before it left of the limits.
    """
    limits = {"limit": settings.limit, "max_tokens": settings.max_tokens}
    limits["max_duration_s"] = available_seconds({**settings.as_dict(), "now": now})
    parts = {}
    for name, chunking in specs.items():
        part = parts[name] = _plan_spec(chunking, archives_of(chunking, folder), settings, limits)
        for key, used in (("limit", "chunks"), ("max_tokens", "tokens"), ("max_duration_s", "seconds")):
            if limits[key] is not None:
                limits[key] -= part["totals"][used]
    conversations = [name for chunking in specs.values() for name in chunking.conversations]
    return {
        "schema_version": 1,
        "planned_at": now,
        "upgrade": settings.as_dict(),
        "without_archive": [name for name in conversations if not (folder / name / "manifest.json").exists()],
        "totals": {key: round(sum(part["totals"][key] for part in parts.values()), 9) for key in _SUMS},
        "specs": parts,
    }


def archives_of(chunking: Chunking, folder: Path) -> list[Archive]:
    """The latest archives of a spec's conversations, without conversations that have none."""
    return [read_latest(folder / name) for name in chunking.conversations if has_archive(folder / name)]


def _plan_spec(
    chunking: Chunking, archives: Sequence[Archive], settings: Upgrade, limits: Mapping[str, Json]
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
    part = {"resources": resources, "regions": [], "skipped": [], "totals": dict.fromkeys(_SUMS, 0)}
    level = resources["tier"]
    if level == LEVELS[0]:
        return part
    tier, catalog = chunking.tiers[level], chunking.catalog
    estimates = Estimates(
        model_id=tier.model,
        price=price_row(chunking.models[tier.model]),
        template_tokens=estimate_tokens(catalog.texts[template(catalog, "chunk", tier.template).sha256]),
        window_tokens=tier.window_tokens,
        seconds_per_call=tier.seconds_per_call,
    )
    return part | plan_upgrades(archives, settings.filter, level, limits, estimates, chunking.spec.priorities)


def plan_text(plan: Mapping[str, Json]) -> str:
    """The plan of an upgrade as text: its size and cost, and the skipped regions with reasons."""
    lines = []
    for name, part in plan["specs"].items():
        totals, resources = part["totals"], part["resources"]
        size = (
            f"{totals['chunks']:,} chunks of {totals['conversations']:,} conversations, {totals['calls']:,} calls, "
            f"at most {totals['tokens']:,} tokens and ${totals['cost_usd']:.4f}, about {totals['seconds']:,.0f} s"
            if totals["chunks"]
            else "nothing"
        )
        lines.append(f"upgrade of {name} to {resources['tier']} ({resources['model_id'] or 'rules'}): {size}")
        lines += [f"  {reason}" for reason in resources["reasons"]]
        if done := totals.get("already_at_target"):
            lines.append(f"  {done:,} matching chunks are already at the target quality")
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
