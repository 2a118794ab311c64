"""The configuration of a cohort: config/cohorts/<cohort_id>.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ..config import Count, Different, Name, Optional, Section, Whole
from ..generation.settings import MayBeAuto, Sampling


class Combos(Section):
    """Which combinations of concepts the axis `combo_id` has."""

    level: Literal["sentence", "paragraph", "article"] = Field(
        "paragraph",
        description="Level of the descriptions that drafts read. A concept without it is read at the next shorter "
        "level.",
    )
    concepts: Optional[Annotated[list[str], Field(min_length=1)]] = Field(
        None, description="Concepts to combine. Default: all of `concepts_metadata.csv`."
    )
    size: Optional[Count] = Field(None, description="Concepts in a combination. Required without `lists`.")
    sample: Optional[Count] = Field(None, description="Combinations to draw at random. Default: all of this size.")
    seed: int = Field(0, description="Seed of the random draw.")
    lists: list[Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=list, description="Combinations listed one by one, besides those of `size`."
    )


class BestOf(Section):
    """The best essays of another cohort."""

    cohort: Name = Field(description="Id of that cohort.")
    n: Count = Field(description="Number of essays.")


class Selection(Section):
    """Which existing essays the cohort keeps and evaluates: one of `essays`, `csv` and `top`."""

    essays: Optional[Annotated[list[Name], Field(min_length=1)]] = Field(None, description="Ids of essays.")
    csv: Optional[Name] = Field(
        None, description="CSV file with ids of essays; its path is relative to the folder where `snakemake` runs."
    )
    column: Optional[Name] = Field(None, description="Column of that file. Default: `essay_gen_id`.")
    top: Optional[BestOf] = Field(
        None, description="The first `n` essays in the `reports/summary/ranking.csv` of `cohort` when the run starts."
    )


class StageSettings(MayBeAuto):
    """Settings of one stage of a cohort."""

    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="Samples to draw from each model before a generation counts as failed."
    )
    min_lines: Optional[Whole] = Field(
        None, description="Minimum number of non-empty lines of an answer. Default: 3 for drafts, else 1."
    )
    fallback: list[Name] = Field(
        default_factory=list,
        description="More ids of models.yaml, tried in this order if the model of a row gives no usable answer. A row "
        "leaves out its own model.",
    )
    sampling: Sampling = Field(default_factory=Sampling, description="Sampling parameters; they win over the model's.")


class EvaluationSettings(StageSettings):
    """Settings of the evaluations of a cohort."""

    judges: Optional[Different[Literal["essay", "draft"]]] = Field(
        None,
        description="Which texts are judged: `essay`, `draft` or both. Default: essays; drafts if there are no essays.",
    )


class Stages(Section):
    """Settings of the stages of a cohort."""

    draft: StageSettings = Field(default_factory=StageSettings, description="Settings of drafts.")
    essay: StageSettings = Field(default_factory=StageSettings, description="Settings of essays.")
    evaluation: EvaluationSettings = Field(
        default_factory=EvaluationSettings, description="Settings of evaluations; `judges` exists only here."
    )


class CohortSpec(Section):
    """One cohort: the product of its axes, coupled by rules (config/cohorts/<cohort_id>.yaml)."""

    axes: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description='Mapping from an axis to its levels: a list, or `"@file:levels.csv"` (csv, yaml, json or txt, in '
        "the folder of the spec or below it)."
    )
    rules: Optional[dict[str, Any]] = Field(None, description="Rules that couple axes: subsets, ties, pairs, tuples.")
    output: Optional[dict[str, Any]] = Field(
        None, description="`field_order`: axes that come first in a row, in this order. Default: that of `axes`."
    )
    combos: Optional[Combos] = Field(None, description="Combinations of concepts; they become the axis `combo_id`.")
    from_: Optional[Selection] = Field(
        None,
        alias="from",
        description="Existing essays to keep and evaluate, in place of `combos` and of all draft and essay axes.",
    )
    stages: Stages = Field(default_factory=Stages, description="Settings of `draft`, `essay` and `evaluation`.")
