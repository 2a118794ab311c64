"""The configuration of a probe: config/probes/<name>.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from ..config import Different, Name, Section
from ..generation.settings import Sampling
from ..tasks.spec import KINDS, TaskSelection


class AnswerSettings(Section):
    """How models answer tasks."""

    template: Name = Field(
        "plain-v1", description="A prompt in `raw_root/templates/answer/`: Jinja2 with the task's `prompt`."
    )
    samples: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Answers to each task.")
    sampling: Sampling = Field(
        default_factory=Sampling,
        description="Sampling parameters; they win over the model's. Without them `temperature` is 0 "
        "and `max_tokens` 48.",
    )
    by_kind: dict[Literal[KINDS], Sampling] = Field(
        default_factory=dict,
        description="More sampling parameters for tasks of a kind, such as `{code: {max_tokens: 160}}`; they win over "
        "`sampling`.",
    )


class ProbeSpec(Section):
    """Which models are measured, and on which tasks (config/probes/<name>.yaml)."""

    models: Different[Name] = Field(description="Ids of models.yaml.")
    tasks: TaskSelection = Field(default_factory=TaskSelection, description="Which tasks to answer.")
    asked: AnswerSettings = Field(default_factory=AnswerSettings, description="How the models answer.")
