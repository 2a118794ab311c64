"""A spec of conversations -> its generations: one for each window and quality level.

The windows of the level `basic`, which always runs, follow from the conversations that were read. The windows of an
upgrade depend on archives and a budget: `upgrade_rows` plans them from the upgrade's plan.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..errors import ConfigError, unknown
from ..files import checked_name
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.model import Generation, Json
from ..generation.models import Model
from ..generation.providers import provider
from ..generation.settings import AUTO
from ..routing.auto import Asked, Router
from . import prompt
from .conversation import LEVELS, Conversation, Unit, Window
from .index import Library, Part, Talk
from .spec import ChunkingSpec, Clusters, TierSpec
from .windows import split_windows

# A part of the prompt that follows an unreadable answer, and so of the key of the next answer: keep it unchanged.
REPAIR = "Give the same answer again as valid JSON in the form that was asked for, and nothing else."


class _Basic(dict[str, list[Generation]]):
    """The generations of the level basic by conversation; a key that is missing is filled in."""

    def __init__(self, chunking: "Chunking") -> None:
        super().__init__()
        self.chunking = chunking

    def __missing__(self, conversation_id: str) -> list[Generation]:
        chunking, rows = self.chunking, []
        if LEVELS[0] in chunking.questions:  # else rules make the chunks, and no text is needed
            whole = (1, len(chunking.units[conversation_id]))
            rows = chunk_rows(chunking, conversation_id, LEVELS[0], whole)
        self[conversation_id] = rows
        return rows


@dataclass
class Chunking:
    """One spec and its conversations, which are read when asked for; `talks` is what the index says of them."""

    path: Path
    spec: ChunkingSpec
    catalog: Catalog
    models: Mapping[str, Model]
    router: Router
    conversations: Mapping[str, Conversation] = field(default_factory=dict)
    units: Mapping[str, tuple[Unit, ...]] = field(default_factory=dict)
    talks: Mapping[str, Talk] = field(default_factory=dict)

    def among(self, library: Library) -> "Chunking":
        """The same spec with those of these conversations that it is about. Raises a `ConfigError` if a pattern matches
        none."""
        with in_file(self.path):
            names = _matching(self.spec.conversations, library)
        talks = {name: library.places[name].talk for name in names}
        units = Part(names, lambda name: library.stored(name).units)
        return replace(self, conversations=Part(names, library.__getitem__), units=units, talks=talks)

    @cached_property
    def generations(self) -> Mapping[str, list[Generation]]:
        """The generations of the `basic` windows of each conversation, in text order; empty without a model. They are
        made when they are asked for, since that reads the conversation."""
        return _Basic(self)

    @property
    def has_basic(self) -> bool:
        """Whether a model makes the chunks of the level basic."""
        return self.spec.tiers.basic.model is not None

    @property
    def tiers(self) -> dict[str, TierSpec]:
        """The settings of each configured quality level."""
        return {level: tier for level, tier in self.spec.tiers if tier is not None}

    @cached_property
    def questions(self) -> dict[str, Asked]:
        """What the models of each configured quality level are asked."""
        return {
            level: Asked("chunk", tier, self.catalog, self.models, self.router, ("tiers", level))
            for level, tier in self.tiers.items()
            if tier.model is not None
        }


def load_chunking(name: str, catalog: Catalog, models: Mapping[str, Model], router: Router) -> Chunking:
    """`config/conversations/<name>.yaml`, checked, without conversations. Raises `ConfigError`."""
    path = Path(f"config/conversations/{checked_name(name, 'conversations')}.yaml")
    spec = load_yaml(path, ChunkingSpec)
    with in_file(path):
        chunking = Chunking(path, spec, catalog, models, router)
        for level, tier in chunking.tiers.items():  # without model files: only an upgrade may need them
            if tier.model is not None:
                chunking.questions[level].check()
            elif level != LEVELS[0]:
                with under("tiers", level):
                    raise ConfigError("'model' is missing; only basic works without a model, by rules")
        if chunking.tiers[LEVELS[0]].model not in (None, AUTO):
            chunking.questions[LEVELS[0]].fields(None)  # it always runs, so its files have to be there
    return chunking


def _matching(patterns: Sequence[str], known: Collection[str]) -> dict[str, None]:
    for place, pattern in enumerate(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ConfigError(unknown("conversation", pattern, known), ("conversations", place))
    return {name: None for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)}


def chunk_rows(chunking: Chunking, conversation_id: str, level: str, region: tuple[int, int]) -> list[Generation]:
    """The generations that chunk units `region` (first, last) of a conversation at a level: one for each window, none
    without a model. With `model: auto` one model is chosen for the region, as windows depend on its tokens."""
    question = chunking.questions.get(level)
    if question is None:
        return []
    tier = chunking.tiers[level]
    conversation, units = chunking.conversations[conversation_id], chunking.units[conversation_id]
    template_id = question.slot_fields["template_id"]
    choice, chosen, inside = None, tier.model, units[region[0] - 1 : region[1]]

    def variables_of(window: Window) -> dict[str, Json]:
        variables = prompt.variables(conversation, units, window)
        texts = {key: {"sha256": chunking.catalog.keep(variables.pop(key))} for key in ("units", "text")}
        return {**texts, **variables}

    with in_file(chunking.path):
        if tier.model == AUTO:
            slot = generation_id("c_", conversation_id, level, template_id, AUTO, *region)
            first = variables_of(split_windows(inside, tier.window_tokens)[0])
            choice = question.choose(slot, first, {"conversation_id": conversation_id, "quality_level": level})
            chosen = choice.model_id
        fields = question.fields(choice)
        with under("tiers", level):
            windows = split_windows(_with_tokens(conversation, inside, chunking.models[chosen]), tier.window_tokens)
    rows = []
    for window in windows:
        first, last = window.first, window.last
        options = {"first": first, "last": last, "format": tier.format}
        if tier.format == "verbatim":
            options["units"] = prompt.unit_texts(conversation, units, window)
        if tier.format == "begins":
            schema = prompt.schema(prompt.candidates(conversation, units, window))
            fields["response_format"] = {"type": "json_schema", "schema": schema}
        row = Generation(
            **fields,
            family="conversation",
            stage="chunk",
            gen_id=generation_id("c_", conversation_id, level, template_id, chosen, first, last),
            parser_options=options,
            variables=variables_of(window),
            wildcards={"conversation_id": conversation_id, "quality_level": level, "units": f"{first}-{last}"},
            repair=REPAIR,
        )
        rows.append(row)
        if choice is not None:
            chunking.router.note(row.gen_id, choice)
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
    """The generations of a spec for an upgrade's plan (`upgrade_plan.plan_upgrade`), by id, in the order of the plan:
    calls are begun in it.

    Those of regions with unusable answers are among them, so that new samples can be drawn. Regions that no longer
    exist in the configured conversations are skipped.
    """
    rows = {}
    for level, region in planned_regions(plan):
        conversation_id = region["conversation_id"]
        if conversation_id in chunking.conversations and region["last"] <= len(chunking.units[conversation_id]):
            planned = chunk_rows(chunking, conversation_id, level, (region["first"], region["last"]))
            rows |= {row.gen_id: row for row in planned}
    return rows


def planned_regions(plan: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """(quality level, region) for each region of an upgrade's plan, in its order; those with unusable answers last."""
    for part in plan["specs"].values():
        for kind in ("regions", "unusable"):
            yield from ((part["resources"]["tier"], region) for region in part.get(kind, ()))


def regions_of(plan: Mapping[str, Json], kind: str = "regions") -> Iterator[tuple[str, str, Mapping[str, Json]]]:
    """(conversation, quality level, region) for each region of an upgrade's plan, in text order; `kind` is the list of
    the plan that has them."""
    for part in plan["specs"].values():
        for region in sorted(part.get(kind, ()), key=lambda region: (region["conversation_id"], region["first"])):
            yield region["conversation_id"], part["resources"]["tier"], region


def cluster_question(settings: Clusters, catalog: Catalog, models: Mapping[str, Model], router: Router) -> Asked | None:
    """What the model of the section `clusters` of config.yaml is asked; None without a model. Raises `ConfigError`."""
    if settings.model is None:
        return None
    question = Asked("cluster", settings, catalog, models, router, ("clusters",))
    question.check()
    return question


def cluster_rows(plan: Mapping[str, Json], question: Asked | None) -> dict[str, Generation]:
    """The generations that describe clusters, by id; none without a model. `plan` is that of
    `clusters.plan_clusters`, `question` that of `cluster_question`."""
    rows = {}
    for cluster in plan["clusters"] if question else ():
        variables = {"chunks": {"sha256": question.catalog.keep(plan["material"][cluster["id"]])}}
        wildcards = {"cluster_id": cluster["id"]}

        def ids(model: str, fields: Mapping[str, Json], cluster_id: str = cluster["id"]) -> str:
            return generation_id("k_", cluster_id, fields["template_id"], model)

        gen_id, fields = question.row(ids, variables, wildcards)
        rows[gen_id] = Generation(
            **fields,
            family="conversation",
            stage="cluster",
            gen_id=gen_id,
            parser_options={"ids": cluster["related_chunks"]},
            variables=variables,
            wildcards=wildcards,
            repair=REPAIR,
        )
    return rows
