"""A probe spec -> the tasks that it measures models on, and the answers to make."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import load_yaml
from ..family import World
from ..files import checked_name
from ..generation.model import Generation
from ..tasks.answers import Questions, answer_rows, spec_tasks
from ..tasks.graders import Task


@dataclass(frozen=True)
class CompiledProbe:
    """The tasks of a probe, and the answers of its models, each by id."""

    tasks: Mapping[str, Task]
    answers: Mapping[str, Generation]


def compile_probe(name: str, world: World) -> CompiledProbe:
    """Compile `config/probes/<name>.yaml`. Raises `ConfigError`."""
    path = Path(f"config/probes/{checked_name(name, 'probes')}.yaml")
    spec = load_yaml(path, "probe")
    tasks = spec_tasks(spec["tasks"], world.catalog, path)
    answers: dict[str, Generation] = {}
    for model in spec["models"]:
        settings = {**spec["asked"], "model": model}
        answers |= answer_rows(tasks.values(), Questions(settings, f"{path}: asked", world.catalog, world.models))
    return CompiledProbe(tasks, answers)
