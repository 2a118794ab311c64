"""Distillations: what models did is graded and ranked, a teacher shows how, and a small model learns from it.

Two sets of answers are known only from files: which tasks a teacher is asked follows from a cycle's experiences
(replay.jsonl), and an exported student can be asked when it is there (exported_answers.jsonl). What trains and draws is
imported where it is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..deferred import Deferred
from ..errors import ConfigError
from ..family import Family, World
from ..files import canonical, jsonl, read_jsonl, write_atomic
from ..generation.model import Generation
from ..tasks.answers import ANSWER
from . import jobs
from .compile import (
    Distillation,
    compile_distillation,
    exported_rows,
    possible_exported_rows,
    possible_teacher_rows,
    practice_rows,
    teacher_rows,
)

GRADED = ("practice", "teacher", "exported")  # the sets of answers of a distillation


class Distill(Family):
    """The distillations of a configuration. `runs` has them by name and cycle, as their folders are called."""

    name = "distill"
    config_key = "distillations"
    description = "Distillations for `snakemake distill`: names of files in `config/distillations/` without `.yaml`."
    goals = ("distill",)
    in_default_target = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.runs: dict[str, Distillation] = {}
        self.practice: dict[str, Mapping[str, Generation]] = {}
        self.teachers: dict[str, Deferred] = {}
        self.exported: dict[str, Deferred] = {}
        self.is_wanted = False

    # --- doors ---

    def compile(self) -> None:
        """Plan what the students of all distillations answer before they learn."""
        for name in self.spec_names():
            distillation = compile_distillation(name, self.world)
            run, folder = distillation.run, distillation.folder
            self.practice[run] = practice_rows(distillation)
            self.add(name, self.practice[run])
            self.runs[run] = distillation
            self.teachers[run] = Deferred(folder / "replay.jsonl", run, partial(_teacher_rows, distillation))
            self.exported[run] = Deferred(folder / "exported_answers.jsonl", run, partial(_exported_rows, distillation))
            if distillation.exported:
                self.world.candidates[distillation.model_id] = distillation.exported

    def deferred(self) -> Sequence[Deferred]:
        """The answers of teachers and of exported students."""
        return [*self.teachers.values(), *self.exported.values()]

    def targets(self, goal: str) -> list[str]:
        """The reports of all distillations."""
        self.is_wanted = True
        return [f"{one.folder}/{name}" for one in self.runs.values() for name in ("report.md", "accuracy.png")]

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """The names of the runs."""
        return {"run": self.runs}

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """As many answers of teachers and exported students as there can be, until it is known which."""
        rows: dict[str, Generation] = {}
        for run, distillation in self.runs.items() if self.is_wanted else ():
            if not self.teachers[run].path.exists():
                rows |= possible_teacher_rows(distillation)
            if not self.exported[run].path.exists():
                rows |= possible_exported_rows(distillation)
        return rows, ""

    def referenced(self) -> set[str]:
        """The answers that an experience, a training example or a grade came from."""
        root = self.layout.root
        patterns = ("experiences/cycle-*.jsonl", "distill/*/cycle-*/train.jsonl", "distill/*/cycle-*/grades/*.jsonl")
        return {row["gen_id"] for pattern in patterns for path in root.glob(pattern) for row in read_jsonl(path)}

    # --- answers and their grades ---

    def answers(self, run: str, which: str) -> Mapping[str, Generation]:
        """A set of answers of a run (see `GRADED`) by id, as far as they are known."""
        deferred = {"teacher": self.teachers, "exported": self.exported}
        return deferred[which][run].generations if which in deferred else self.practice[run]

    def answer_files(self, run: str, which: str) -> list[str]:
        """The metadata of a set of answers."""
        return self.metadata_files(ANSWER.name, self.answers(run, which))

    def grades_job(self, run: str) -> str:
        """What decides grades besides the answers."""
        return jobs.grades_job(self.runs[run])

    def write_grades(self, run: str, which: str, path: str) -> None:
        """Grade a set of answers; code runs in the sandbox."""
        from ..tasks.outcomes import outcomes, write_grades
        from ..tasks.running import sandbox

        folders = [self.layout.generation(ANSWER.name, gen_id) for gen_id in self.answers(run, which)]
        write_grades(path, outcomes(folders, self.runs[run].tasks, sandbox()))

    # --- experiences and what is learned from them ---

    def practice_grades(self, cycle: str) -> list[str]:
        """The grades of the answers that students gave before a cycle's training."""
        paths = [f"{one.folder}/grades/practice.jsonl" for one in self.runs.values() if str(one.cycle) == cycle]
        if not paths:
            raise ConfigError(f"no distillation of config/config.yaml has cycle {cycle}")
        return paths

    def experiences_job(self, cycle: str) -> str:
        """What decides a cycle's experiences besides the grades. What else is below the data folder when they are
        collected is taken as it is then: a later cycle sees what came after."""
        return canonical([jobs.VERSION, self.world.settings.salience.as_dict()])

    def experiences_file(self, run: str) -> str:
        """The experiences that a run learns from."""
        return f"{self.layout.root}/experiences/cycle-{self.runs[run].cycle}.jsonl"

    def experiences(self, cycle: str, path: str) -> str:
        """Collect a cycle's experiences; returns a line on how many there are, and what was left out."""
        from .experiences import collect_experiences

        return collect_experiences(self.world, int(cycle), self.practice_grades(cycle), path)

    def replay_job(self, run: str) -> str:
        """What decides a replay set besides the experiences."""
        return jobs.replay_job(self.runs[run])

    def select(self, run: str) -> None:
        """Choose what is learned and what is only measured on; the teacher's answers are known then."""
        from .replay import write_replay_set

        write_replay_set(self.runs[run], self.practice[run])

    def teaching_job(self, run: str) -> str:
        """What decides the training data besides the answers."""
        return jobs.teaching_job(self.runs[run])

    def teach(self, run: str) -> None:
        """Write the accepted answers as training data."""
        from .teaching import write_training_data

        write_training_data(self.runs[run])

    # --- the student ---

    def logprobs(self, run: str) -> list[str]:
        """The folder of the teacher's log-probabilities, where the training asks for them."""
        one = self.runs[run]
        return [f"{one.folder}/logprobs"] if one.spec.training.kl_weight else []

    def logprobs_job(self, run: str) -> str:
        """The job of scripts/teacher_logprobs.py."""
        return jobs.logprobs_job(self.runs[run])

    def training_job(self, run: str) -> str:
        """The job of scripts/distill_student.py."""
        return jobs.training_job(self.runs[run])

    def validation_job(self, run: str) -> str:
        """The job of scripts/validate_student.py."""
        return jobs.validation_job(self.runs[run])

    def export_job(self, run: str) -> str:
        """The job of scripts/export_student.py."""
        return jobs.export_job(self.runs[run])

    def write_exported(self, run: str, path: str) -> None:
        """List the answers that the exported student gives to the held-out tasks: they are known then."""
        rows = _exported_rows(self.runs[run], Path(path))
        write_atomic(path, jsonl({"gen_id": gen_id, **row.wildcards} for gen_id, row in rows.items()))

    def register(self, run: str) -> None:
        """Register the student as a model if the gate and its answers allow it; take it back if not."""
        from .register import register

        register(self.runs[run])

    def report(self, run: str) -> str:
        """Write what a run brought; returns its short form for the screen."""
        from .facts import report_facts
        from .report import write_report

        one = self.runs[run]
        return write_report(one.folder, report_facts(one))


FAMILY = Distill


def _teacher_rows(distillation: Distillation, path: Path) -> dict[str, Generation]:
    """The answers that a replay set needs of a teacher."""
    tasks = [row["task"] for row in read_jsonl(path) if row["role"] == "target"]
    # Tasks of a group share their worked examples: side by side, they share the evaluated prefix too.
    tasks.sort(key=lambda task: (task["group"], task["task_id"]))
    return teacher_rows(distillation, tasks)


def _exported_rows(distillation: Distillation, path: Path) -> dict[str, Generation]:
    """The answers of the exported student; none where it was not exported as GGUF (or that was deleted)."""
    exported = distillation.exported
    if exported is None or not Path(exported.lora).exists():
        return {}
    return exported_rows(distillation, read_jsonl(path.with_name("held_out.jsonl")), exported)
