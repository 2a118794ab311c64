"""Compile a probe spec into tasks and answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..family import World
from ..generation.model import Generation
from ..generation.models import find_model
from ..tasks.answers import answer_rows, select_tasks
from ..tasks.graders import Task
from .spec import ProbeSpec


@dataclass(frozen=True)
class CompiledProbe:
    """The tasks of a probe and the answers of its models, by id."""

    tasks: Mapping[str, Task]
    answers: Mapping[str, Generation]


def compile_probe(path: Path, world: World) -> CompiledProbe:
    """Compile a file of config/probes/. Raises `ConfigError`."""
    spec = load_yaml(path, ProbeSpec)
    answers: dict[str, Generation] = {}
    with in_file(path):
        tasks = select_tasks(spec.tasks, world.catalog)
        for place, model in enumerate(spec.models):
            with under("models", place):
                find_model(world.models, model)
            with under("asked"):
                answers |= answer_rows(tasks.values(), spec.asked, model, world.catalog, world.models)
    return CompiledProbe(tasks, answers)
