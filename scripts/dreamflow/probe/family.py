"""Probes: how many tasks with exact graders each model solves. Heavy modules are imported where they are used.

A night has a probe of its own, `night-<n>`, whose tasks a job chooses when it runs.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import in_file, load_yaml, under
from ..cycles import NEXT, NIGHT, nights_folder, numbers, open_night
from ..database.schema import Source
from ..deferred import Deferred
from ..errors import ConfigError
from ..family import Family, Report, World
from ..files import canonical, jsonl, read_jsonl, sha256, write_atomic
from ..generation.model import Generation, as_json
from ..generation.models import find_model
from ..generation.settings import AUTO
from ..reports.markdown import first_item
from ..site.page import Page
from ..tasks.answers import ANSWER, answer_rows, select_tasks
from ..tasks.graders import Task
from .spec import ProbeSpec

REPORT_FILES = ("report.md", "accuracy.csv", "answers.csv", "accuracy.png", "accuracy.svg")
VERSION = 1  # of the graders; raise it to grade all answers again


@dataclass(frozen=True)
class CompiledProbe:
    """The tasks of a probe and the answers of its models, by id."""

    spec: ProbeSpec
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
    return CompiledProbe(spec, tasks, answers)


def night_number(root: Path) -> int:
    """Return the number of the open night, or of the last one; in a dry run of a night, of the one that would begin."""
    last = max(numbers(nights_folder(root)), default=0)
    number = open_night(root)
    return number or (last + 1 if os.environ.get(NIGHT) == NEXT else max(last, 1))


class Probe(Family):
    """The probes of a configuration. `night` is the name of the open night's probe, or of the last one's."""

    name = "probe"
    section = "models"
    config_key = "probes"
    description = "Probes for `snakemake probe`: names of files in `config/probes/` without `.yaml`."
    stages = (ANSWER,)
    goals = ("probe", "night_probes")
    in_default_target = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.probes: dict[str, CompiledProbe] = {}
        self.number = night_number(self.layout.root)
        self.night = f"night-{self.number}"
        self.is_wanted = False  # whether a requested file needs the night's probe
        self._night = Deferred(self._folder(self.night) / "tasks.jsonl", self.night, self._night_rows)

    def compile(self) -> None:
        """Plan the answers of every probe."""
        for place, name in enumerate(self.spec_names()):
            if re.fullmatch("night-[0-9]+", name):
                raise ConfigError(f"{name!r} is the name of a night's probe; rename it", (self.config_key, place))
            self.probes[name] = compile_probe(self.spec_file(name), self.world)
            self.add(name, self.probes[name].answers)

    def deferred(self) -> Sequence[Deferred]:
        """Return the answers of the night's probe."""
        return [self._night]

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """Return the answers that the night's probe would ask for now, if it is wanted and not written yet."""
        from .nights import lines_of, night_text, rows_of

        if not self.is_wanted or self._night.path.exists():
            return {}, ""
        chosen, settings = self._choose()
        return rows_of(lines_of(chosen, settings), self.world), night_text(self.number, chosen, settings)

    def referenced(self) -> set[str]:
        """Return the ids of the answers that nights have graded."""
        paths = self.layout.root.glob("probes/night-*/grades.jsonl")
        return {row["gen_id"] for path in paths for row in read_jsonl(path)}

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """Return the names of the probes, and of the night's probe."""
        return {"probe": [*self.probes, self.night], "night_probe": [self.night]}

    def targets(self, goal: str) -> list[str]:
        """Return the report files of all probes, or of the night's probe."""
        probes = self.probes if goal == "probe" else [self.night]
        return [f"{self._folder(probe)}/{name}" for probe in probes for name in REPORT_FILES]

    def pages(self) -> Iterable[Page]:
        """The pages on all probes that have grades."""
        from .pages import probe_pages

        return probe_pages(self)

    def reports(self) -> list[Report]:
        """Return the report of each probe."""
        pages = {probe: self._folder(probe) / REPORT_FILES[0] for probe in self.probes}
        return [
            Report(
                f"probe {probe}",
                page,
                first_item(page),
                self.probes[probe].answers,
                files=[page.with_name(name) for name in REPORT_FILES[1:] if not name.endswith(".png")],
            )
            for probe, page in pages.items()
        ]

    def want_night(self, probe: str) -> bool:
        """Return whether this is the night's probe, and note that a requested file depends on it."""
        self.is_wanted |= probe == self.night
        return probe == self.night

    def write_night_tasks(self, path: str) -> str:
        """Choose the tasks of the night's probe and write them; returns a line for the screen."""
        from .nights import lines_of, night_text

        chosen, settings = self._choose()
        write_atomic(path, jsonl(lines_of(chosen, settings)))
        return night_text(self.number, chosen, settings)

    def _choose(self) -> tuple:
        from .nights import choose

        return choose(self.number, self.world, [probe.spec for probe in self.probes.values()])

    def _night_rows(self, path: Path) -> dict[str, Generation]:
        from .nights import rows_of

        return rows_of(read_jsonl(path), self.world)

    def _folder(self, probe: str) -> Path:
        return self.layout.root / "probes" / probe

    def _answers(self, probe: str) -> Mapping[str, Generation]:
        return self._night.generations if probe == self.night else self.probes[probe].answers

    def _tasks(self, probe: str) -> Mapping[str, Task]:
        if probe != self.night:
            return self.probes[probe].tasks
        lines = read_jsonl(self._night.path) if self._night.path.exists() else []
        return {line["task"]["task_id"]: line["task"] for line in lines}

    def answer_files(self, probe: str) -> list[str]:
        """Return the files of a probe's answers."""
        return self.result_files(ANSWER.name, self._answers(probe))

    def grades_job(self, probe: str) -> str:
        """Return the job of the grades: the tasks of the probe."""
        return canonical([VERSION, sha256(canonical(self._tasks(probe)))])

    def write_grades(self, probe: str, path: str) -> None:
        """Grade a probe's answers; code runs in the sandbox."""
        from ..tasks.running import grade_answers

        grade_answers(self.layout, self._answers(probe), self._tasks(probe), path)

    def report(self, probe: str, grades: str) -> str:
        """Write a probe's tables and figure from its grades; returns the table to print."""
        from ..tasks.outcomes import read_grades
        from .report import write_report

        return write_report(probe, [as_json(row) for row in read_grades(grades)], self._folder(probe))

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import probe_sources

        return probe_sources(self.layout.root)


FAMILY = Probe
