"""The configuration of conversations (config/conversations/<name>.yaml), upgrades and clusters."""

from typing import Annotated, Literal

from pydantic import Field, create_model

from ..config import AS_WRITTEN, Name, NotNegative, Optional, Section, Whole
from ..generation.settings import ModelCall
from .conversation import LEVELS


class TierSpec(ModelCall):
    """How to chunk conversations at one quality level."""

    model: Optional[Name] = Field(
        None,
        description="An id of models.yaml, or `auto`. `basic` without one chunks by rules; all other tiers need one.",
    )
    template: Name = Field("boundaries-v1", description="A prompt in `raw_root/templates/chunk/`, without `.txt`.")
    format: Literal["numbers", "begins", "verbatim"] = Field(
        "numbers",
        description="Form of the answer: `numbers` (first and last unit of each chunk), `begins` (for each turn, "
        "whether a topic begins; template `boundaries-short-v1`) or `verbatim` (the text of each chunk, which is "
        "compared with the source; template `verbatim-v1`).",
    )
    window_tokens: Annotated[int, Field(ge=50)] = Field(
        6000,
        description="Maximum tokens of a conversation in one call; neighbouring calls overlap by an eighth. Tokens are "
        "counted with the model's vocabulary if it is a local file, else estimated.",
    )
    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        2,
        description="Samples to draw before rules chunk a window instead. The first unreadable answer is sent back "
        "once with the error.",
    )
    seconds_per_call: NotNegative = Field(10, description="Expected seconds of a call, for upgrades with a time limit.")


_RUNS_ALWAYS = (TierSpec, Field(default_factory=TierSpec, description="Always runs; by rules unless it has a model."))
_FOR_UPGRADES = (Optional[TierSpec], Field(None, description="For upgrades; needs a model."))
Levels = create_model(
    "Levels",
    __base__=Section,
    __doc__="The models of each quality level.",
    **{level: _FOR_UPGRADES if place else _RUNS_ALWAYS for place, level in enumerate(LEVELS)},
)


class ChunkingSpec(Section):
    """Which conversations to chunk, and how (config/conversations/<name>.yaml)."""

    conversations: Annotated[list[Name], Field(min_length=1)] = Field(
        default_factory=lambda: ["*"],
        description="Shell patterns of conversation ids: the id in an export, else the file name without its suffix.",
    )
    tiers: Levels = Field(default_factory=Levels, description="The quality levels.")
    priorities: dict[str, NotNegative] = Field(
        default_factory=dict,
        description="Factors for the value of an upgrade, by label or conversation id, such as `{billing: 3}`.",
    )


class Reading(Section):
    """How much of what a model did besides answering is read from conversations."""

    tools: Literal["name", "full", "none"] = Field(
        "name",
        description="Calls of tools: `full` with their arguments, `name` only by name, both with their results as "
        "text; `none` neither. A document that a model writes with a tool is always read.",
    )
    reasoning: Literal["name", "full", "none"] = Field(
        "full", description="Reasoning: `full`, `name` (the mark `[reasoning]`) or `none`."
    )


class Upgrade(Section):
    """Which chunks `snakemake upgrade` re-chunks with a better model."""

    filter: Name = Field(
        "needs_upgrade=true", description="Which chunks to upgrade, such as `language = en AND confidence < 0.5`."
    )
    target: Optional[Literal[LEVELS[1:]]] = Field(
        None,
        description="Required quality. Without it, limits, urgency and the number of conversations decide, and the "
        "plan gives the reasons.",
    )
    limit: Optional[Whole] = Field(None, description="Maximum number of chunks to upgrade.")
    max_tokens: Optional[Whole] = Field(
        None,
        description="Maximum tokens of prompts and answers, a budget that the calls of an upgrade never exceed; 0 "
        "upgrades nothing, tiers above `good` need over 100,000.",
    )
    max_duration_s: Optional[NotNegative] = Field(
        None,
        description="Maximum seconds of an upgrade: it is planned as if its calls were made in sequence, and no call "
        "ends later than so many seconds after the plan.",
    )
    deadline: Optional[str] = Field(
        None,
        description="A time such as `2026-02-13T04:00:00Z` after which no call ends: none begins that may take longer, "
        "and one that does is given up.",
    )
    urgency: Literal["normal", "high"] = Field("normal", description="`high`: the best tier that the budget allows.")


class Clusters(ModelCall):
    """How `snakemake clusters` groups chunks, and which model describes the groups."""

    similarity: Annotated[float, Field(gt=0, le=1), AS_WRITTEN] = Field(
        0.25,
        description="Minimum similarity of two chunks of one cluster: the mean of the cosines of their meaning and of "
        "their words.",
    )
    model: Optional[Name] = Field(
        None,
        description="An id of models.yaml, or `auto`: the model that describes a cluster and its contradictions. "
        "Without a model the theme of a cluster is its most frequent labels.",
    )
    template: Name = Field(
        "cluster-v1", description="A prompt in `raw_root/templates/cluster/`, with the variable `chunks`."
    )


class Notes(ModelCall):
    """What `snakemake notes` writes down of each cluster; without a model nothing."""

    model: Optional[Name] = Field(
        None,
        description="An id of models.yaml, or `auto`: the model that writes the notes. Without one there are none.",
    )
    template: Name = Field(
        "notes-v1", description="A prompt in `raw_root/templates/notes/`, with the variable `passages`."
    )
