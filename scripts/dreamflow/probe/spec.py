"""The configuration of a probe: config/probes/<name>.yaml."""

from pydantic import Field

from ..config import Different, Name, Section
from ..tasks.spec import AnswerSettings, TaskSelection


class ProbeSpec(Section):
    """Which models are measured, and on which tasks (config/probes/<name>.yaml)."""

    models: Different[Name] = Field(description="Ids of models.yaml.")
    tasks: TaskSelection = Field(default_factory=TaskSelection, description="Which tasks to answer.")
    asked: AnswerSettings = Field(default_factory=AnswerSettings, description="How the models answer.")
