"""A spec of conversations -> its generations: one chunking for each window and quality level.

The windows of the tier that always runs (`basic`) are planned when the workflow is parsed; what is chunked anew by a
better model follows from archives and a budget, so those rows are made from an upgrade's plan (`upgrade_rows`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..config import load_yaml
from ..errors import ConfigError
from ..files import checked_name
from ..generation.asking import asking
from ..generation.catalog import Catalog
from ..generation.ids import generation_id
from ..generation.models import find_model
from ..generation.providers import token_counter
from . import prompt
from .conversation import Conversation, Unit, Window
from .units import split_units
from .windows import split_windows

Row = dict[str, Any]

SAMPLING = {"temperature": 0.2, "max_tokens": 4000}
REPAIR = "Give the same answer again as valid JSON in the form that was asked for, and nothing else."


@dataclass
class Chunking:
    """The conversations of one spec. `units` partition each; `windows` are those of the tier basic, in order, by the
    ids of their generations: none where that tier has no model and rules do its work."""

    name: str
    path: Path
    spec: Row
    catalog: Catalog
    models: Mapping[str, Row]
    conversations: dict[str, Conversation]
    units: dict[str, tuple[Unit, ...]] = field(default_factory=dict)
    windows: dict[str, dict[str, Window]] = field(default_factory=dict)
    generations: dict[str, Row] = field(default_factory=dict)


def compile_chunking(
    name: str, known: Mapping[str, Conversation], catalog: Catalog, models: Mapping[str, Row]
) -> Chunking:
    """Compile `config/conversations/<name>.yaml` over the conversations that there are."""
    path = Path(f"config/conversations/{checked_name(name, 'conversations')}.yaml")
    spec = load_yaml(path, "chunking")
    chunking = Chunking(name, path, spec, catalog, models, _chosen(spec["conversations"], known, path))
    chunking.units = {talk: split_units(conversation) for talk, conversation in chunking.conversations.items()}
    for level in spec["tiers"]:
        asked(chunking, level)  # a mistake in a tier that only an upgrade uses is told now
    for talk, units in chunking.units.items():
        rows = chunk_rows(chunking, talk, "basic", (1, len(units)))
        chunking.windows[talk] = {row["gen_id"]: window for row, window in rows}
        chunking.generations |= {row["gen_id"]: row for row, _ in rows}
    return chunking


def _chosen(patterns: Sequence[str], known: Mapping[str, Conversation], path: Path) -> dict[str, Conversation]:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            there = ", ".join(known) or "none"
            raise ConfigError(f"{path}: conversations: none is called {pattern!r} (known: {there})")
    return {name: one for name, one in known.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def chunk_rows(
    chunking: Chunking,
    name: str,
    level: str,
    region: tuple[int, int],
) -> list[tuple[Row, Window]]:
    """The generations, each with its window, that chunk units `region` (first, last) of a conversation at a level."""
    settings = chunking.spec["tiers"].get(level, {})
    if "model" not in settings:
        return []
    conversation, units = chunking.conversations[name], chunking.units[name]
    fields = asked(chunking, level)
    count = token_counter(find_model(chunking.models, settings["model"]))
    inside = units[region[0] - 1 : region[1]]
    if count is not None:
        inside = [replace(unit, tokens=count(conversation.text[unit.start : unit.end])) for unit in inside]
    rows = []
    for window in split_windows(inside, settings["window_tokens"]):
        options = {"first": window.first, "last": window.last, "format": settings["format"]}
        if settings["format"] == "verbatim":
            options["units"] = prompt.unit_texts(conversation, units, window)
        shown = prompt.variables(conversation, units, window)
        response_format = fields["response_format"]
        if settings["format"] == "begins":
            schema = prompt.schema(prompt.candidates(conversation, units, window))
            response_format = {"type": "json_schema", "schema": schema}
        row = {
            **fields,
            "response_format": response_format,
            "family": "conversation",
            "stage": "chunk",
            "gen_id": generation_id(
                "c_", name, level, fields["template_id"], fields["model"]["model_id"], window.first, window.last
            ),
            "parser_options": options,
            "variables": {
                **{key: {"sha256": chunking.catalog.keep(shown.pop(key))} for key in ("units", "text")},
                **shown,
            },
            "wildcards": {"conversation_id": name, "quality_level": level, "units": f"{window.first}-{window.last}"},
            "repair": REPAIR,
        }
        rows.append((row, window))
    return rows


def cluster_rows(
    plan: Mapping[str, Any], settings: Row, catalog: Catalog, models: Mapping[str, Row]
) -> dict[str, tuple[str, Row]]:
    """By gen_id, the cluster and the generation that says what it is about; none without a model. `plan` is what
    `Talks.plan_clusters` wrote."""
    if "model" not in settings:
        return {}
    try:
        fields = asking("cluster", settings, SAMPLING, catalog, models)
    except ConfigError as error:
        raise ConfigError(f"config/config.yaml: clusters: {error}") from None
    rows = {}
    for cluster in plan["clusters"]:
        gen_id = generation_id("k_", cluster["id"], fields["template_id"], fields["model"]["model_id"])
        row = {
            **fields,
            **{"family": "conversation", "stage": "cluster", "gen_id": gen_id, "repair": REPAIR},
            "parser_options": {"ids": cluster["related_chunks"]},
            "variables": {"chunks": {"sha256": catalog.keep(plan["material"][cluster["id"]])}},
            "wildcards": {"cluster_id": cluster["id"]},
        }
        rows[gen_id] = (cluster["id"], row)
    return rows


def asked(chunking: Chunking, level: str) -> Row:
    """Who is asked at a level, and how: the fields of a row that do not depend on its window; {} for rules."""
    settings = chunking.spec["tiers"][level]
    if "model" not in settings:
        if level != "basic":
            raise ConfigError(
                f"{chunking.path}: tiers.{level}: 'model' is missing: only basic can do without, by rules"
            )
        return {}
    try:
        return asking("chunk", {"template": "boundaries-v1", **settings}, SAMPLING, chunking.catalog, chunking.models)
    except ConfigError as error:
        raise ConfigError(f"{chunking.path}: tiers.{level}: {error}") from None
