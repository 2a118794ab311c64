"""Probes: how many tasks with exact graders each model solves. What draws is imported where it is used."""

from collections.abc import Iterable, Mapping

from ..family import Family, World
from ..files import canonical, sha256
from ..generation.model import as_json
from ..tasks.answers import ANSWER
from .compile import CompiledProbe, compile_probe

REPORT_FILES = ("report.md", "accuracy.csv", "answers.csv", "accuracy.png")
VERSION = 1  # of how answers are graded; raised, all of them are graded again


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
            self.probes[name] = compile_probe(name, self.world)
            self.add(name, self.probes[name].answers)

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The names of the probes."""
        return {"probe": self.probes}

    def targets(self, goal: str) -> list[str]:
        """The reports of all probes."""
        root = self.layout.root
        return [f"{root}/probes/{probe}/{name}" for probe in self.probes for name in REPORT_FILES]

    def answer_files(self, probe: str) -> list[str]:
        """The metadata of a probe's answers."""
        return self.metadata_files(ANSWER.name, self.probes[probe].answers)

    def grades_job(self, probe: str) -> str:
        """What decides a probe's grades besides the answers: the tasks."""
        return canonical([VERSION, sha256(canonical(self.probes[probe].tasks))])

    def write_grades(self, probe: str, path: str) -> None:
        """Grade a probe's answers; code runs in the sandbox."""
        from ..tasks.outcomes import outcomes, write_grades
        from ..tasks.running import sandbox

        compiled = self.probes[probe]
        folders = [self.layout.generation(ANSWER.name, gen_id) for gen_id in compiled.answers]
        write_grades(path, outcomes(folders, compiled.tasks, sandbox()))

    def report(self, probe: str, grades: str) -> str:
        """Write a probe's tables and picture from its grades; returns the table for the screen."""
        from ..tasks.outcomes import read_grades
        from .report import write_report

        return write_report(probe, [as_json(one) for one in read_grades(grades)], self.layout.root / "probes" / probe)


FAMILY = Probe
