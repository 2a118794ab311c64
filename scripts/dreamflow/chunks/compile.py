"""A spec of conversations -> its generations: one for each window and quality level.

The windows of the level `basic`, which always runs, are planned when the workflow is parsed. The windows of an upgrade
depend on archives and a budget: `upgrade_rows` plans them from the upgrade's plan.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

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

# A part of the prompt that follows an unreadable answer, and so of the key of the next answer: keep it unchanged.
REPAIR = "Give the same answer again as valid JSON in the form that was asked for, and nothing else."


@dataclass
class Chunking:
    """The conversations of one spec. `units` partition each conversation. `generations` are those of its `basic`
    windows, in text order; empty if `basic` has no model."""

    path: Path
    spec: ChunkingSpec
    catalog: Catalog
    models: Mapping[str, Model]
    conversations: dict[str, Conversation]
    units: dict[str, tuple[Unit, ...]] = field(default_factory=dict)
    generations: dict[str, list[Generation]] = field(default_factory=dict)

    @property
    def tiers(self) -> dict[str, TierSpec]:
        """The settings of each configured quality level."""
        return {level: tier for level, tier in self.spec.tiers if tier is not None}


def compile_chunking(
    name: str, known: Mapping[str, Conversation], catalog: Catalog, models: Mapping[str, Model]
) -> Chunking:
    """Compile `config/conversations/<name>.yaml` for the `known` conversations. Raises `ConfigError`."""
    path = Path(f"config/conversations/{checked_name(name, 'conversations')}.yaml")
    spec = load_yaml(path, ChunkingSpec)
    with in_file(path):
        chunking = Chunking(path, spec, catalog, models, _matching(spec.conversations, known))
        for level, tier in chunking.tiers.items():  # without model files: only an upgrade may need them
            with under("tiers", level):
                if tier.model is not None:
                    check_question("chunk", tier, catalog, models)
                elif level != LEVELS[0]:
                    raise ConfigError("'model' is missing; only basic works without a model, by rules")
    for conversation_id, conversation in chunking.conversations.items():
        units = chunking.units[conversation_id] = split_units(conversation)
        chunking.generations[conversation_id] = chunk_rows(chunking, conversation_id, LEVELS[0], (1, len(units)))
    return chunking


def _matching(patterns: Sequence[str], known: Mapping[str, Conversation]) -> dict[str, Conversation]:
    for place, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ConfigError(unknown("conversation", pattern, known), ("conversations", place))
    return {name: known[name] for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)}


def chunk_rows(chunking: Chunking, conversation_id: str, level: str, region: tuple[int, int]) -> list[Generation]:
    """The generations that chunk units `region` (first, last) of a conversation at a level: one for each window, none
    without a model."""
    tier = chunking.tiers.get(level)
    if tier is None or tier.model is None:
        return []
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    with in_file(chunking.path), under("tiers", level):
        fields = question_fields("chunk", tier, chunking.catalog, chunking.models)
        inside = _with_tokens(conversation, units[region[0] - 1 : region[1]], chunking.models[tier.model])
        windows = split_windows(inside, tier.window_tokens)
    rows = []
    for window in windows:
        first, last = window.first, window.last
        options = {"first": first, "last": last, "format": tier.format}
        if tier.format == "verbatim":
            options["units"] = prompt.unit_texts(conversation, units, window)
        if tier.format == "begins":
            schema = prompt.schema(prompt.candidates(conversation, units, window))
            fields["response_format"] = {"type": "json_schema", "schema": schema}
        variables = prompt.variables(conversation, units, window)
        texts = {key: {"sha256": chunking.catalog.keep(variables.pop(key))} for key in ("units", "text")}
        row = Generation(
            **fields,
            family="conversation",
            stage="chunk",
            gen_id=generation_id("c_", conversation_id, level, fields["template_id"], tier.model, first, last),
            parser_options=options,
            variables={**texts, **variables},
            wildcards={"conversation_id": conversation_id, "quality_level": level, "units": f"{first}-{last}"},
            repair=REPAIR,
        )
        rows.append(row)
    return rows


def _with_tokens(conversation: Conversation, units: Sequence[Unit], model: Model) -> Sequence[Unit]:
    """The units with the model's own token counts, if its tokenizer is available here."""
    count = provider(model.provider).token_counter(model)
    if count is None:
        return units
    return [replace(unit, tokens=count(conversation.text[unit.start : unit.end])) for unit in units]


def windows_of(rows: Iterable[Generation]) -> list[Window]:
    """The window of each generation of the stage chunk."""
    return [Window(row.parser_options["first"], row.parser_options["last"]) for row in rows]


def upgrade_rows(chunking: Chunking, plan: Mapping[str, Json]) -> dict[str, Generation]:
    """The generations of a spec for an upgrade's plan (`upgrade_plan.plan_upgrade`), by id.

    Those of regions with unusable answers are among them, so that new samples can be drawn. Regions that no longer
    exist in the configured conversations are skipped.
    """
    rows = {}
    for conversation_id, level, region in (*regions_of(plan), *regions_of(plan, "unusable")):
        if conversation_id in chunking.units and region["last"] <= len(chunking.units[conversation_id]):
            planned = chunk_rows(chunking, conversation_id, level, (region["first"], region["last"]))
            rows |= {row.gen_id: row for row in planned}
    return rows


def regions_of(plan: Mapping[str, Json], kind: str = "regions") -> Iterator[tuple[str, str, Mapping[str, Json]]]:
    """(conversation, quality level, region) for each region of an upgrade's plan, in text order; `kind` is the list of
    the plan that has them."""
    for part in plan["specs"].values():
        for region in sorted(part.get(kind, ()), key=lambda region: (region["conversation_id"], region["first"])):
            yield region["conversation_id"], part["resources"]["tier"], region


def check_cluster_model(settings: Clusters, catalog: Catalog, models: Mapping[str, Model]) -> None:
    """Check the section `clusters` of config.yaml before anything runs. Raises `ConfigError`."""
    if settings.model is not None:
        with under("clusters"):
            check_question("cluster", settings, catalog, models)


def cluster_rows(
    plan: Mapping[str, Json], settings: Clusters, catalog: Catalog, models: Mapping[str, Model]
) -> dict[str, Generation]:
    """The generations that describe clusters, by id; none without a model. `plan` is that of
    `clusters.plan_clusters`, `settings` is the section `clusters` of config.yaml."""
    if settings.model is None or not plan["clusters"]:
        return {}
    with under("clusters"):
        fields = question_fields("cluster", settings, catalog, models)
    rows = {}
    for cluster in plan["clusters"]:
        gen_id = generation_id("k_", cluster["id"], fields["template_id"], settings.model)
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
