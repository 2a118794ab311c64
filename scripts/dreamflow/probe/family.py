"""Probes: how many tasks with exact graders each model solves. Heavy modules are imported where they are used."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..errors import ConfigError
from ..family import Family, World
from ..files import canonical, sha256
from ..generation.model import Generation, as_json
from ..generation.models import find_model
from ..generation.settings import AUTO
from ..tasks.answers import ANSWER, answer_rows, select_tasks
from ..tasks.graders import Task
from .spec import ProbeSpec

REPORT_FILES = ("report.md", "accuracy.csv", "answers.csv", "accuracy.png")
VERSION = 1  # of the graders; raise it to grade all answers again


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
            if model != AUTO:
                with under("models", place):
                    find_model(world.models, model)
            with under("asked"):
                answers |= answer_rows(
                    tasks.values(), spec.asked, model, world.catalog, world.models, world.router, spec.asked.auto
                )
        if spec.asked.auto is not None and AUTO not in spec.models:
            raise ConfigError("'models' does not name auto", ("asked", "auto"))
    return CompiledProbe(tasks, answers)


class Probe(Family):
    """The probes of a configuration."""

    name = "probe"
    config_key = "probes"
    description = "Probes for `snakemake probe`: names of files in `config/probes/` without `.yaml`."
    stages = (ANSWER,)
    goals = ("probe",)
    in_default_target = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.probes: dict[str, CompiledProbe] = {}

    def compile(self) -> None:
        """Plan the answers of every probe."""
        for name in self.spec_names():
            self.probes[name] = compile_probe(self.spec_file(name), self.world)
            self.add(name, self.probes[name].answers)

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """Return the names of the probes."""
        return {"probe": self.probes}

    def targets(self, goal: str) -> list[str]:
        """Return the report files of all probes."""
        return [f"{self.layout.root}/probes/{probe}/{name}" for probe in self.probes for name in REPORT_FILES]

    def answer_files(self, probe: str) -> list[str]:
        """Return the files of a probe's answers."""
        return self.result_files(ANSWER.name, self.probes[probe].answers)

    def grades_job(self, probe: str) -> str:
        """Return the job of the grades: the tasks of the probe."""
        return canonical([VERSION, sha256(canonical(self.probes[probe].tasks))])

    def write_grades(self, probe: str, path: str) -> None:
        """Grade a probe's answers; code runs in the sandbox."""
        from ..tasks.running import grade_answers

        compiled = self.probes[probe]
        grade_answers(self.layout, compiled.answers, compiled.tasks, path)

    def report(self, probe: str, grades: str) -> str:
        """Write a probe's tables and figure from its grades; returns the table to print."""
        from ..tasks.outcomes import read_grades
        from .report import write_report

        return write_report(probe, [as_json(row) for row in read_grades(grades)], self.layout.root / "probes" / probe)


FAMILY = Probe
