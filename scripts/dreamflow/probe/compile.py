"""A probe spec -> the tasks that it measures models on, and the answers to make."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..family import World
from ..files import checked_name
from ..generation.model import Generation
from ..generation.models import find_model
from ..tasks.answers import Questions, answer_rows, spec_tasks
from ..tasks.graders import Task
from .spec import ProbeSpec


@dataclass(frozen=True)
class CompiledProbe:
    """The tasks of a probe, and the answers of its models, each by id."""

    tasks: Mapping[str, Task]
    answers: Mapping[str, Generation]


def compile_probe(name: str, world: World) -> CompiledProbe:
    """Compile `config/probes/<name>.yaml`. Raises `ConfigError`."""
    path = Path(f"config/probes/{checked_name(name, 'probes')}.yaml")
    spec = load_yaml(path, ProbeSpec)
    answers: dict[str, Generation] = {}
    with in_file(path):
        tasks = spec_tasks(spec.tasks, world.catalog)
        for place, model in enumerate(spec.models):
            with under("models", place):
                find_model(world.models, model)
            with under("asked"):
                questions = Questions(spec.asked, model, world.catalog, world.models)
                answers |= answer_rows(tasks.values(), questions)
    return CompiledProbe(tasks, answers)
