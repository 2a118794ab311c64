"""A spec of conversations -> its generations: one for each window and quality level.

The windows of the tier that always runs (`basic`) are planned when the workflow is parsed. What an upgrade re-chunks
follows from archives and a budget, so those rows are made from the upgrade's plan (`upgrade_rows`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..config import in_file, load_yaml, under
from ..errors import ConfigError, unknown
from ..files import checked_name
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.model import Generation, Json
from ..generation.models import Model
from ..generation.providers import provider
from ..generation.questions import check_question, question_fields
from . import prompt
from .conversation import LEVELS, Conversation, Unit, Window
from .spec import ChunkingSpec, Clusters, TierSpec
from .units import split_units
from .windows import split_windows

REPAIR = "Give the same answer again as valid JSON in the form that was asked for, and nothing else."


@dataclass
class Chunking:
    """The conversations of one spec. `units` partition each; `generations` are those of the windows of the tier basic,
    by conversation and in the order of its text: none where that tier has no model and rules do its work."""

    name: str
    path: Path
    spec: ChunkingSpec
    catalog: Catalog
    models: Mapping[str, Model]
    conversations: dict[str, Conversation]
    units: dict[str, tuple[Unit, ...]] = field(default_factory=dict)
    generations: dict[str, list[Generation]] = field(default_factory=dict)

    @property
    def tiers(self) -> dict[str, TierSpec]:
        """The settings of each quality level that is configured."""
        return {level: tier for level, tier in self.spec.tiers if tier}


def compile_chunking(
    name: str, known: Mapping[str, Conversation], catalog: Catalog, models: Mapping[str, Model]
) -> Chunking:
    """Compile `config/conversations/<name>.yaml` for the `known` conversations. Raises `ConfigError`."""
    path = Path(f"config/conversations/{checked_name(name, 'conversations')}.yaml")
    spec = load_yaml(path, ChunkingSpec)
    with in_file(path):
        chunking = Chunking(name, path, spec, catalog, models, _matching(spec.conversations, known))
        for level in chunking.tiers:
            _check_tier(chunking, level)
    for conversation_id, conversation in chunking.conversations.items():
        units = chunking.units[conversation_id] = split_units(conversation)
        chunking.generations[conversation_id] = chunk_rows(chunking, conversation_id, LEVELS[0], (1, len(units)))
    return chunking


def _matching(patterns: Sequence[str], known: Mapping[str, Conversation]) -> dict[str, Conversation]:
    for place, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ConfigError(unknown("conversation", pattern, known), ("conversations", place))
    return {name: one for name, one in known.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def _check_tier(chunking: Chunking, level: str) -> None:
    """Find mistakes in a tier that only an upgrade uses before anything runs, without reading its model's file."""
    tier = chunking.tiers[level]
    with under("tiers", level):
        if tier.model:
            check_question("chunk", tier, chunking.catalog, chunking.models)
        elif level != LEVELS[0]:
            raise ConfigError("'model' is missing; only basic works without one, by rules")


def chunk_rows(chunking: Chunking, conversation_id: str, level: str, region: tuple[int, int]) -> list[Generation]:
    """The generations that chunk units `region` (first, last) of a conversation at a level, one for each window; none
    where the level has no model."""
    tier = chunking.tiers.get(level)
    if tier is None or tier.model is None:
        return []
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    with in_file(chunking.path), under("tiers", level):
        fields = question_fields("chunk", tier, chunking.catalog, chunking.models)
        inside = _counted(conversation, units[region[0] - 1 : region[1]], chunking.models[tier.model])
        windows = split_windows(inside, tier.window_tokens)
    return [_chunk_row(chunking, conversation_id, level, window, fields) for window in windows]


def _counted(conversation: Conversation, units: Sequence[Unit], model: Model) -> Sequence[Unit]:
    """The units with their tokens as the model counts them, where this machine can count for it."""
    count = provider(model.provider).token_counter(model)
    if count is None:
        return units
    return [replace(unit, tokens=count(conversation.text[unit.start : unit.end])) for unit in units]


def _chunk_row(
    chunking: Chunking, conversation_id: str, level: str, window: Window, fields: Mapping[str, Any]
) -> Generation:
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    form = chunking.tiers[level].format
    options = {"first": window.first, "last": window.last, "format": form}
    if form == "verbatim":
        options["units"] = prompt.unit_texts(conversation, units, window)
    response_format = fields["response_format"]
    if form == "begins":
        schema = prompt.schema(prompt.candidates(conversation, units, window))
        response_format = {"type": "json_schema", "schema": schema}
    shown = prompt.variables(conversation, units, window)
    texts = {key: {"sha256": chunking.catalog.keep(shown.pop(key))} for key in ("units", "text")}
    parts = (conversation_id, level, fields["template_id"], fields["model"].model_id, window.first, window.last)
    return Generation(
        **{**fields, "response_format": response_format},
        family="conversation",
        stage="chunk",
        gen_id=generation_id("c_", *parts),
        parser_options=options,
        variables={**texts, **shown},
        wildcards={
            "conversation_id": conversation_id,
            "quality_level": level,
            "units": f"{window.first}-{window.last}",
        },
        repair=REPAIR,
    )


def windows_of(rows: Iterable[Generation]) -> list[Window]:
    """The window that each generation of the stage chunk reads."""
    options = (row.parser_options for row in rows)
    return [Window(number, option["first"], option["last"]) for number, option in enumerate(options, 1)]


def upgrade_rows(chunking: Chunking, plan: Mapping[str, Json]) -> dict[str, Generation]:
    """The generations of a spec that an upgrade's plan (`upgrade_plan.plan_upgrade`) needs, by id.

    Regions that the configured conversations no longer have are left out: the next plan decides what becomes of them.
    """
    rows = {}
    for conversation_id, level, region in regions_of(plan):
        if conversation_id in chunking.units and region["last"] <= len(chunking.units[conversation_id]):
            planned = chunk_rows(chunking, conversation_id, level, (region["first"], region["last"]))
            rows |= {row.gen_id: row for row in planned}
    return rows


def regions_of(plan: Mapping[str, Json]) -> Iterator[tuple[str, str, Mapping[str, Json]]]:
    """(conversation, quality level, region) for each region of an upgrade's plan, in the order of the text."""
    for part in plan["specs"].values():
        for region in sorted(part["regions"], key=lambda region: (region["conversation_id"], region["first"])):
            yield region["conversation_id"], part["resources"]["tier"], region


def check_cluster_model(settings: Clusters, catalog: Catalog, models: Mapping[str, Model]) -> None:
    """Find mistakes in the section `clusters` of config.yaml before anything runs. Raises `ConfigError`."""
    if settings.model:
        with under("clusters"):
            check_question("cluster", settings, catalog, models)


def cluster_rows(
    plan: Mapping[str, Json], settings: Clusters, catalog: Catalog, models: Mapping[str, Model]
) -> dict[str, Generation]:
    """The generations that say what clusters are about, by id; none without a model. `plan` is the clusters' plan
    (`clusters.plan_clusters`), `settings` the section `clusters` of config.yaml."""
    if not settings.model or not plan["clusters"]:
        return {}
    with under("clusters"):
        fields = question_fields("cluster", settings, catalog, models)
    rows = {}
    for cluster in plan["clusters"]:
        gen_id = generation_id("k_", cluster["id"], fields["template_id"], fields["model"].model_id)
        rows[gen_id] = Generation(
            **fields,
            family="conversation",
            stage="cluster",
            gen_id=gen_id,
            parser_options={"ids": cluster["related_chunks"]},
            variables={"chunks": {"sha256": catalog.keep(plan["material"][cluster["id"]])}},
            wildcards={"cluster_id": cluster["id"]},
            repair=REPAIR,
        )
    return rows
