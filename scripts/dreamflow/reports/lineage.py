"""Lineage: the same facts about a generation, from its plan row or from its metadata.json.

A cohort may use drafts and essays outside of its plan (a curated selection), and metadata of the original pipeline has
other keys; this module hides both from the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..cohorts.stages import STAGES
from ..errors import DreamflowError
from ..generation.layout import Layout
from ..generation.make import read_result, with_total_cost
from ..generation.model import Generation, Json, Number


class Facts(Struct, frozen=True, kw_only=True):
    """The facts about a generation that tables need. An unknown text is ""; a copied text has no model.

    `served_as` is the provider and its name of the model. `scale` is the scale of the scores, (None, None) if unknown.
    `concepts` are the concepts in a draft's plan row, `fallbacks` its fallback models: id -> as `served_as`.
    """

    gen_id: str
    stage: str
    mode: str
    parents: tuple[str, ...]
    template_id: str
    model_id: str
    served_as: tuple[str, str]
    replicate: int
    scale: tuple[float | None, float | None]
    wildcards: Mapping[str, Json]
    concepts: Sequence[Mapping[str, Json]] | None = None
    fallbacks: Mapping[str, tuple[str, str]] = {}

    @property
    def combo_id(self) -> str:
        """The combination of concepts; "" if unknown."""
        return self.wildcards.get("combo_id") or ""


class Metadata(Struct, frozen=True, kw_only=True):
    """metadata.json as this workflow or the original pipeline writes it; each has fields that the other lacks."""

    gen_id: str
    stage: str
    status: str | None = None
    reason: str | None = None
    mode: str | None = None
    parents: tuple[str, ...] | None = None
    parent_gen_id: str | None = None
    wildcards: dict[str, Json] | None = None
    combo_id: str | None = None
    template_id: str | None = None
    model_id: str | None = None
    llm_model_id: str | None = None
    provider: str | None = None
    model_name: str | None = None
    replicate: int | None = None
    parser_options: dict[str, Json] | None = None
    parsed: dict[str, Json] | None = None
    origin_cohort_id: str | None = None
    cost_usd: Number | None = None
    attempts: Json = None


Find = Callable[[str], Facts | None]

_DECODER = msgspec.json.Decoder(Metadata, strict=False)
_STAGE = {stage.prefix: stage.name for stage in STAGES}


def facts(source: Generation | Metadata) -> Facts:
    """The facts in a plan row or in a metadata.json."""
    return _from_row(source) if isinstance(source, Generation) else _from_metadata(source)


def _from_row(row: Generation) -> Facts:
    model = row.model if row.mode != "copy" else None
    return Facts(
        gen_id=row.gen_id,
        stage=row.stage,
        mode=row.mode,
        parents=tuple(row.parents),
        template_id=row.template_id,
        model_id=model.model_id if model else "",
        served_as=(model.provider, model.name) if model else ("", ""),
        replicate=row.replicate,
        scale=_scale(row.parser_options),
        wildcards=row.wildcards,
        concepts=row.variables.get("concepts"),
        fallbacks={each.model.model_id: (each.model.provider, each.model.name) for each in row.fallbacks},
    )


def _from_metadata(metadata: Metadata) -> Facts:
    is_copy = metadata.mode == "copy"
    return Facts(
        gen_id=metadata.gen_id,
        stage=metadata.stage,
        mode=metadata.mode or "llm",
        parents=metadata.parents or ((metadata.parent_gen_id,) if metadata.parent_gen_id else ()),
        template_id=metadata.template_id or "",
        model_id="" if is_copy else metadata.model_id or metadata.llm_model_id or "",
        served_as=("", "") if is_copy else (metadata.provider or "", metadata.model_name or ""),
        replicate=metadata.replicate or 1,
        scale=_scale(metadata.parser_options or {}),
        wildcards=metadata.wildcards or {"combo_id": metadata.combo_id or ""},
    )


def _scale(parser_options: Mapping[str, Json]) -> tuple[float | None, float | None]:
    low, high = parser_options.get("scale") or (None, None)
    return low, high


def gen_path(data_root: Path | str, stage: str, gen_id: str, name: str = "parsed.txt") -> str:
    """The path of a generation's file; it begins with `data_root`."""
    return (Layout(Path(data_root)).generation(stage, gen_id) / name).as_posix()


def read_metadata(data_root: Path | str, stage: str, gen_id: str) -> Metadata | None:
    """The metadata of a generation; None if it does not exist yet. Raises a `DreamflowError` if it cannot be read."""
    path = Path(gen_path(data_root, stage, gen_id, "metadata.json"))
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete its folder and run again") from None


def total_cost(metadata: Metadata, data_root: Path | str) -> Number | None:
    """The cost of a generation with all its samples, including unusable ones, in US dollars; None if unknown."""
    if not isinstance(metadata.attempts, list) or len(metadata.attempts) < 2:
        return metadata.cost_usd
    layout = Layout(Path(data_root))
    try:
        result = read_result(layout.generation(metadata.stage, metadata.gen_id))
        return with_total_cost(result, layout.root).cost_usd
    except DreamflowError:  # the store has lost an answer
        return None


def was_paid(metadata: Metadata) -> bool:
    """Whether a model was asked for a generation, so that it has a cost even if nobody knows it."""
    return (metadata.mode or "llm") == "llm" and (metadata.status or "ok") in ("ok", "failed")


def as_answered(made: Facts, metadata: Metadata | None) -> Facts:
    """The facts about a planned generation with the model that answered, which may be a fallback."""
    if metadata is None or (metadata.status or "ok") != "ok" or metadata.model_id not in made.fallbacks:
        return made
    return replace(made, model_id=metadata.model_id, served_as=made.fallbacks[metadata.model_id])


def finder(members: Mapping[str, Facts], data_root: Path | str) -> Find:
    """A function that finds facts by id: in the members of a cohort, else among the generations under data/gens."""

    @cache
    def find(gen_id: str) -> Facts | None:
        if gen_id in members:
            made = members[gen_id]
            return as_answered(made, read_metadata(data_root, made.stage, gen_id)) if made.fallbacks else made
        metadata = read_metadata(data_root, _STAGE.get(gen_id[:1], "draft"), gen_id)
        return facts(metadata) if metadata else None

    return find


def draft_and_essay(judged_id: str, find: Find) -> tuple[Facts | None, Facts | None]:
    """The draft and the essay of a judged text; the essay is None if the judged text is a draft."""
    judged = find(judged_id)
    if judged is None or judged.stage != "essay":
        return judged, None
    return (find(judged.parents[0]) if judged.parents else None), judged


def writers(draft: Facts | None, essay: Facts | None) -> list[Facts]:
    """The generations in which a model wrote the text: the draft, and the essay unless it is a copy."""
    return [facts for facts in (draft, essay) if facts and facts.model_id]


def same_model(first: Facts, second: Facts) -> bool:
    """Whether two generations have the same model: an equal id, or the same model of the same provider."""
    has_name = bool(first.served_as[1])
    return first.model_id == second.model_id or (has_name and first.served_as == second.served_as)
