"""Probes: how many tasks with exact graders each model solves. Heavy modules are imported where they are used."""

from collections.abc import Iterable, Mapping

from ..family import Family, World
from ..files import canonical, sha256
from ..generation.model import as_json
from ..tasks.answers import ANSWER
from .compile import CompiledProbe, compile_probe

REPORT_FILES = ("report.md", "accuracy.csv", "answers.csv", "accuracy.png")
VERSION = 1  # of the graders; raise it to grade all answers again


class Probe(Family):
    """The probes of a configuration."""

    name = "probe"
    config_key = "probes"
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
        """Return the metadata files of a probe's answers."""
        return self.metadata_files(ANSWER.name, self.probes[probe].answers)

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
