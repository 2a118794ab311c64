"""Who made what from what: the same few facts of a generation, from its plan row or from its metadata.json.

A cohort may rest on drafts and essays that are not in its plan (a curated selection), and folders written by
the original pipeline have fewer keys; both are read here, so that no table has to know.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ..cohorts.stages import STAGES
from ..errors import DreamflowError
from ..generation.layout import Layout
from ..generation.model import Generation, Json, Number


class Facts(Struct, frozen=True, kw_only=True):
    """What tables need to know of a generation. A text is "" where nothing is known; a copied text has no model.

    `served_as` is the provider and its name of the model. `scale` is that of the scores, (None, None) where it is not
    known. `concepts` are those that a draft read, as its plan row has them.
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

    @property
    def combo_id(self) -> str:
        """The combination of concepts; "" where it is not known."""
        return self.wildcards.get("combo_id") or ""


class Metadata(Struct, frozen=True, kw_only=True):
    """metadata.json as this workflow or the original pipeline writes it: each lacks fields of the other."""

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


Find = Callable[[str], Facts | None]

_DECODER = msgspec.json.Decoder(Metadata, strict=False)
_STAGE = {stage.prefix: stage.name for stage in STAGES}


def facts(made: Generation | Metadata) -> Facts:
    """The facts of a plan row or of a metadata.json."""
    return _planned(made) if isinstance(made, Generation) else _recorded(made)


def _planned(row: Generation) -> Facts:
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
    )


def _recorded(made: Metadata) -> Facts:
    copied = made.mode == "copy"
    return Facts(
        gen_id=made.gen_id,
        stage=made.stage,
        mode=made.mode or "llm",
        parents=made.parents or ((made.parent_gen_id,) if made.parent_gen_id else ()),
        template_id=made.template_id or "",
        model_id="" if copied else made.model_id or made.llm_model_id or "",
        served_as=("", "") if copied else (made.provider or "", made.model_name or ""),
        replicate=made.replicate or 1,
        scale=_scale(made.parser_options or {}),
        wildcards=made.wildcards or {"combo_id": made.combo_id or ""},
    )


def _scale(parser_options: Mapping[str, Json]) -> tuple[float | None, float | None]:
    low, high = parser_options.get("scale") or (None, None)
    return low, high


def gen_path(data_root: Path | str, stage: str, gen_id: str, name: str = "parsed.txt") -> str:
    """The path of a generation's file, beginning as `data_root` does."""
    return (Layout(Path(data_root)).generation(stage, gen_id) / name).as_posix()


def read_metadata(data_root: Path | str, stage: str, gen_id: str) -> Metadata | None:
    """What metadata.json says, or None where there is none yet. Raises a `DreamflowError` if it cannot be read."""
    path = Path(gen_path(data_root, stage, gen_id, "metadata.json"))
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete its folder and run again: it is made again") from None


def finder(members: Mapping[str, Facts], data_root: Path | str) -> Find:
    """A look-up of facts by id: among the members of a cohort first, else among the generations under data/gens."""

    @cache
    def find(gen_id: str) -> Facts | None:
        if gen_id in members:
            return members[gen_id]
        metadata = read_metadata(data_root, _STAGE.get(gen_id[:1], "draft"), gen_id)
        return facts(metadata) if metadata else None

    return find


def draft_and_essay(judged_id: str, find: Find) -> tuple[Facts | None, Facts | None]:
    """The draft and the essay behind a text that is judged; the essay is None where that text is a draft."""
    judged = find(judged_id)
    if judged is None or judged.stage != "essay":
        return judged, None
    return (find(judged.parents[0]) if judged.parents else None), judged


def writers(draft: Facts | None, essay: Facts | None) -> list[Facts]:
    """The generations whose model wrote the text: the draft, and an essay that is no copy."""
    return [made for made in (draft, essay) if made and made.model_id]


def same_model(one: Facts, other: Facts) -> bool:
    """Whether one model is behind both: an equal id, or another id for the same provider's model."""
    named = one.served_as[1]
    return one.model_id == other.model_id or bool(named and one.served_as == other.served_as)
