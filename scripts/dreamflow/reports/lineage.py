"""Lineage: the same facts about a generation, from its plan row or from its metadata.json.

A cohort may use drafts and essays outside of its plan (a curated selection), and metadata of the original pipeline has
other keys; this module hides both from the tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..cohorts.planned import Planned
from ..cohorts.stages import STAGES
from ..generation.model import Generation, Json
from ..generation.rows import CompactRows, Rows
from ..generation.summary import Look, Metadata, Summary, read_metadata


class Facts(Struct, frozen=True, kw_only=True, gc=False):
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


Find = Callable[[str], Facts | None]

_STAGE = {stage.prefix: stage.name for stage in STAGES}


class Members(Mapping[str, Facts]):
    """The facts about what a cohort consists of: what it keeps, then what it plans. They are made when they are read,
    since a large plan has no room for them. Of `Planned` rows they have neither concepts nor coordinates, except the
    combination."""

    def __init__(self, kept: Mapping[str, Facts], planned: Mapping[str, Generation]) -> None:
        self.kept, self.planned = kept, planned
        self._shared: dict[int, Facts] = {}  # of many rows, by what these rows have in common
        self._wildcards: dict[str, dict[str, str]] = {}

    def __getitem__(self, gen_id: str) -> Facts:
        if gen_id not in self.planned:
            return self.kept[gen_id]
        rows = self.planned.source[gen_id] if isinstance(self.planned, Rows) else self.planned
        return self._compact(rows, gen_id) if isinstance(rows, Planned) else _from_row(rows[gen_id])

    def _compact(self, rows: Planned, gen_id: str) -> Facts:
        entry = rows.entries[gen_id]
        made = self._shared.get(id(entry.shared))
        if made is None:
            made = self._shared[id(entry.shared)] = _from_row(entry.shared.row)
        combo_id = rows.combo_id(gen_id)
        wildcards = self._wildcards.setdefault(combo_id, {"combo_id": combo_id})
        parents = () if made.stage == "draft" else (entry.source,)
        own = {"gen_id": gen_id, "parents": parents, "replicate": entry.replicate, "wildcards": wildcards}
        return replace(made, **own, concepts=None)

    def of_stage(self, stage: str) -> Iterator[Facts]:
        """The facts about the members of a stage."""
        yield from (made for made in self.kept.values() if made.stage == stage and made.gen_id not in self.planned)
        rows = self.planned
        if isinstance(rows, CompactRows):
            yield from (self[gen_id] for gen_id in rows if rows.stage(gen_id) == stage)
        else:
            yield from (_from_row(row) for row in rows.values() if row.stage == stage)

    def __contains__(self, gen_id: object) -> bool:
        return gen_id in self.planned or gen_id in self.kept

    def __iter__(self) -> Iterator[str]:
        yield from self.kept
        yield from (gen_id for gen_id in self.planned if gen_id not in self.kept)

    def __len__(self) -> int:
        return len(self.kept.keys() | self.planned.keys())


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
    return f"{_gens(data_root)}/{stage}/{gen_id}/{name}"


@cache
def _gens(data_root: Path | str) -> str:
    return (Path(data_root) / "gens").as_posix()


def was_paid(made: Facts, summary: Summary) -> bool:
    """Whether a model was asked for a generation, so that it has a cost even if nobody knows it."""
    return made.mode == "llm" and summary.status in ("ok", "failed")


def as_answered(made: Facts, summary: Summary | None) -> Facts:
    """The facts about a planned generation with the model that answered, which may be a fallback."""
    if not made.fallbacks or summary is None or summary.status != "ok" or summary.model_id not in made.fallbacks:
        return made
    return replace(made, model_id=summary.model_id, served_as=made.fallbacks[summary.model_id])


def as_reported(made: Facts, summary: Summary) -> Facts:
    """The facts about a planned generation that exists, with the model as its metadata.json names it."""
    if made.mode == "copy":
        return made
    served_as = (summary.provider, summary.model_name)
    return replace(made, model_id=summary.model_id, served_as=served_as, fallbacks={})


def stage_of(gen_id: str) -> str:
    """The stage of a generation, from the first letter of its id."""
    return _STAGE.get(gen_id[:1], "draft")


def finder(members: Mapping[str, Facts], data_root: Path | str, look: Look) -> Find:
    """A function that finds facts by id: in the members of a cohort, else among the generations under data/gens."""

    @cache
    def find_elsewhere(gen_id: str) -> Facts | None:
        metadata = read_metadata(data_root, stage_of(gen_id), gen_id)
        return facts(metadata) if metadata else None

    def find(gen_id: str) -> Facts | None:
        if gen_id not in members:
            return find_elsewhere(gen_id)
        made = members[gen_id]
        return as_answered(made, look(made.stage, gen_id)) if made.fallbacks else made

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
