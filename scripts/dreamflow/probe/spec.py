"""The configuration of a probe: config/probes/<name>.yaml."""

from pydantic import Field

from ..config import Different, Name, Section
from ..generation.settings import MayBeAuto
from ..tasks.spec import AnswerSettings, TaskSelection


class ProbeAnswers(AnswerSettings, MayBeAuto):
    """How the models of a probe answer."""


class ProbeSpec(Section):
    """Which models are measured, and on which tasks (config/probes/<name>.yaml)."""

    models: Different[Name] = Field(description="Ids of models.yaml; `auto` lets trust choose a model for each task.")
    tasks: TaskSelection = Field(default_factory=TaskSelection, description="Which tasks to answer.")
    asked: ProbeAnswers = Field(default_factory=ProbeAnswers, description="How the models answer.")
