"""The plan of an upgrade: for each spec its quality level and its regions, as JSON and as text."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from ..errors import DreamflowError
from ..files import read_json
from ..generation.budget_use import BudgetUse
from ..generation.layout import Layout
from ..generation.model import Generation, Json
from ..generation.models import Model
from ..reports.markdown import count
from ..resources import select_resources
from .archive import has_archive, read_latest
from .compile import Chunking, chunk_rows
from .conversation import LEVELS, Archive
from .filters import parse_filter
from .spec import Upgrade
from .upgrade import AT_MOST, ESTIMATES, PAID, Room, available_seconds, known_total, moment, plan_upgrades
from .upgrade_look import Prospects, look
from .upgrade_tried import failures, tried_again

SHOWN_SKIPPED = 20  # on the screen; the plan's file has all
_SUMS = ("chunks", "conversations", *ESTIMATES, "waiting", "skipped_chunks", "unusable_chunks")
_NOTHING = {
    **dict.fromkeys((*_SUMS, "matched_chunks", "already_at_target"), 0),
    "at_most": dict.fromkeys(AT_MOST, 0),
    "skipped": dict.fromkeys(ESTIMATES, 0),
    "unusable_paid": dict.fromkeys(PAID, 0),
}


def plan_upgrade(
    specs: Mapping[str, Chunking],
    folder: Path,
    settings: Upgrade,
    now: str,
    layout: Layout,
    *,
    run: str = "",
    uses: Sequence[BudgetUse] = (),
    is_batch: Callable[[str, Model], bool] = lambda stage, model: False,
    archives: Callable[[Chunking], Sequence[Archive]] | None = None,
) -> dict[str, Json]:
    """The plan of an upgrade that begins at `now` (ISO 8601), from the archives in `folder`.

    `settings` is the section `upgrade` of config.yaml; answers are looked up in the store of `layout`. `run` is the
    name of the run, `uses` is what the budgets leave, `is_batch(stage, model)` says which questions are for batches;
    `archives` are those that a run would find, if they are not those of the folder.

    The specs are planned in their order, each with what the specs before it left of the limits. What failed in the plan
    before this one comes last.
    """
    limits = {"limit": settings.limit, "max_tokens": settings.max_tokens}
    seconds = limits["max_duration_s"] = available_seconds({**settings.as_dict(), "now": now})
    prospects = Prospects.of(layout, is_batch)
    found = {name: (archives or partial(archives_of, folder=folder))(chunking) for name, chunking in specs.items()}
    tried = _tried(specs, found, folder, layout)
    parts, spent = {}, dict.fromkeys(("tokens", "cost_usd"), 0.0)
    for name, chunking in specs.items():
        rooms = _rooms(uses, name, spent)
        part = _plan_spec(chunking, found[name], settings, limits, prospects, rooms, tried, folder)
        parts[name] = part
        for key, used in (("limit", "chunks"), ("max_tokens", "tokens"), ("max_duration_s", "seconds")):
            if limits[key] is not None:
                limits[key] -= part["totals"][used]
        spent = {key: spent[key] + (part["totals"][key] or 0) for key in spent}
    there = {archive["conversation_id"] for each in found.values() for archive in each}
    names = [name for chunking in specs.values() for name in chunking.conversations]
    return {
        "schema_version": 2,
        "planned_at": now,
        "run": run,
        "until": None if seconds is None else (moment(now) + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "upgrade": settings.as_dict(),
        "without_archive": [name for name in names if name not in there],
        "totals": {key: known_total(part["totals"][key] for part in parts.values()) for key in _SUMS},
        "specs": parts,
        "tried": tried,
    }


def archives_of(chunking: Chunking, folder: Path) -> list[Archive]:
    """The latest archives of a spec's conversations, without conversations that have none."""
    return [read_latest(folder / name) for name in chunking.conversations if has_archive(folder / name)]


def _tried(
    specs: Mapping[str, Chunking], found: Mapping[str, Sequence[Archive]], folder: Path, layout: Layout
) -> list[dict[str, Json]]:
    """What the plans of earlier upgrades have tried in vain."""
    previous = folder / "upgrade" / "plan.json"
    if not previous.exists():
        return []
    archives = {archive["conversation_id"]: archive for each in found.values() for archive in each}
    spec_of = {name: chunking for chunking in specs.values() for name in chunking.conversations}

    def rows_of(conversation_id: str, level: str, first: int, last: int) -> Sequence[Generation]:
        chunking = spec_of[conversation_id]
        known = level in chunking.questions and last <= len(chunking.units[conversation_id])
        return chunk_rows(chunking, conversation_id, level, (first, last)) if known else ()

    try:
        before = read_json(previous).get("tried", ())
        return tried_again(before, failures(previous, archives, rows_of, folder, layout), archives)
    except (LookupError, TypeError, AttributeError, DreamflowError):  # a damaged plan is written anew
        return []


def _rooms(uses: Sequence[BudgetUse], spec: str, spent: Mapping[str, float]) -> dict[str, list[Room]]:
    """What budgets leave for the upgrade of a spec, by level ("": for any), after what earlier specs have taken of
    those that cover all."""
    rooms: dict[str, list[Room]] = {}
    for use in uses:
        kind, _, name = use.scope.partition(":")
        covers_all = use.covers_all or kind == "night"
        if use.unit not in ("usd", "tokens") or not (
            covers_all or kind == "tier" or use.scope == f"conversations:{spec}"
        ):
            continue
        taken = spent["cost_usd" if use.unit == "usd" else "tokens"] if use.scope != f"conversations:{spec}" else 0
        rooms.setdefault(name if kind == "tier" else "", []).append(Room(use.key, use.unit, max(use.left - taken, 0)))
    return rooms


def _plan_spec(
    chunking: Chunking,
    archives: Sequence[Archive],
    settings: Upgrade,
    limits: Mapping[str, Json],
    prospects: Prospects,
    rooms: Mapping[str, Sequence[Room]],
    tried: Sequence[Mapping[str, Json]],
    folder: Path,
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
    part = {"resources": resources, "regions": [], "skipped": [], "unusable": [], "totals": dict(_NOTHING)}
    level = resources["tier"]
    if level == LEVELS[0]:
        return part
    own = [*rooms.get("", ()), *rooms.get(level, ())]
    caps = [("upgrade.max_tokens", settings.max_tokens)] if settings.max_tokens is not None else []
    caps += [(room.name, int(room.left)) for room in own if room.unit == "tokens"]
    return part | plan_upgrades(
        archives,
        settings.filter,
        level,
        limits,
        partial(look, chunking, level, prospects, caps, folder),
        model_id=chunking.tiers[level].model,
        priorities=chunking.spec.priorities,
        rooms=own,
        tried=tried,
    )


def plan_text(plan: Mapping[str, Json]) -> str:
    """The plan of an upgrade as text: its size and cost, what failed before, and the skipped regions with reasons."""
    lines = []
    if plan["until"] and moment(plan["until"]) <= moment(plan["planned_at"]):
        lines.append("no call may be made any more: upgrade.deadline has passed, or upgrade.max_duration_s is 0")
    for name, part in plan["specs"].items():
        totals, resources = part["totals"], part["resources"]
        size = (
            f"{totals['chunks']:,} chunks of {totals['conversations']:,} conversations, {totals['calls']:,} calls, "
            f"{_cost(totals, plan['upgrade'].get('max_tokens'))}, about {totals['seconds']:,.0f} s"
            if totals["chunks"]
            else "nothing"
        )
        if totals["waiting"]:
            size += f"; {totals['waiting']:,} more answers are waited for"
        lines.append(f"upgrade of {name} to {resources['tier']} ({resources['model_id'] or 'rules'}): {size}")
        lines += [f"  {reason}" for reason in resources["reasons"]]
        if done := totals.get("already_at_target"):
            lines.append(f"  {done:,} matching chunks are already at the target quality")
        if failed := [region for region in (*part["regions"], *part["skipped"]) if region["failed"]]:
            worst = max(failed, key=lambda region: region["failed"])
            times = "once" if worst["failed"] == 1 else f"up to {worst['failed']:,} times"
            lines.append(
                f"  {count(len(failed), 'region')} failed before ({times}: {worst['problem']}), so they come after "
                "the others"
            )
        if unusable := part["unusable"]:
            chunks, reason = totals["unusable_chunks"], unusable[0]["reason"]
            paid = totals["unusable_paid"]
            lines.append(
                f"  {chunks:,} chunks stay as they are, since no answer for them can be used ({reason}); "
                f"{count(paid['answers'], 'answer')} of {paid['tokens']:,} tokens cost {_dollars(paid['cost_usd'])}; "
                "'snakemake retry_failed' draws new samples"
            )
        if part["skipped"]:
            rest = totals["skipped"]
            lines.append(
                f"  skipped: {totals['skipped_chunks']:,} chunks, for which {rest['calls']:,} more calls would take "
                f"about {rest['tokens']:,} tokens and {_dollars(rest['cost_usd'])}"
            )
        lines += [
            f"  skipped: {region['conversation_id']}, units {region['first']}-{region['last']} "
            f"({len(region['chunks'])} chunks): {region['reason']}"
            for region in part["skipped"][:SHOWN_SKIPPED]
        ]
        if (more := len(part["skipped"]) - SHOWN_SKIPPED) > 0:
            lines.append(f"  skipped: {more:,} more; see chunks/upgrade/plan.json")
    if missing := plan["without_archive"]:
        shown = ", ".join(missing[:SHOWN_SKIPPED]) + (
            f" and {len(missing) - SHOWN_SKIPPED:,} more" * (len(missing) > SHOWN_SKIPPED)
        )
        lines.append(
            f"not in this plan, as they have no archive yet: {shown}; run `snakemake chunks` first to count them"
        )
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
