"""Distillations: select experiences, let a teacher answer their tasks, and train a small model on the answers.

Two sets of answers are known only from files: the teacher's follow from replay.jsonl, the exported student's from
exported_answers.jsonl. Heavy modules are imported where they are used.

The methods `..._job` return what decides a job besides its other input files, as JSON (see `Run.job_file`).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..database.datasets import Dataset
from ..database.schema import Source
from ..deferred import Deferred
from ..errors import ConfigError, DreamflowError
from ..family import Family, Report, World
from ..files import canonical, jsonl, read_jsonl, sha256, write_atomic
from ..generation.make import read_result
from ..generation.model import Generation, Json
from ..generation.model_files import weights_fingerprint
from ..site.page import Page
from ..tasks.answers import ANSWER
from .compile import (
    Distillation,
    compile_distillation,
    exported_rows,
    possible_exported_rows,
    possible_teacher_rows,
    practice_rows,
    teacher_rows,
)

VERSION = 1  # of grading and selection; raise it to grade and select again


class Distill(Family):
    """The distillations of a configuration. `runs` has them by name and cycle."""

    name = "distill"
    section = "models"
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
        self.wanted: set[str] = set()  # sets of answers that requested files depend on

    def compile(self) -> None:
        """Plan the answers of all untrained students."""
        for name in self.spec_names():
            distillation = compile_distillation(name, self.spec_file(name), self.world)
            run, folder = distillation.run, distillation.folder
            self.practice[run] = practice_rows(distillation)
            self.add(name, self.practice[run])
            self.runs[run] = distillation
            self.teachers[run] = Deferred(folder / "replay.jsonl", run, partial(_teacher_rows, distillation))
            self.exported[run] = Deferred(folder / "exported_answers.jsonl", run, partial(_exported_rows, distillation))
            if distillation.exported:
                self.world.candidates[distillation.model_id] = distillation.exported

    def deferred(self) -> Sequence[Deferred]:
        """Return the answers of teachers and exported students."""
        return [*self.teachers.values(), *self.exported.values()]

    def targets(self, goal: str) -> list[str]:
        """Return the report files of all distillations."""
        return [
            f"{run.folder}/{name}"
            for run in self.runs.values()
            for name in ("report.md", "accuracy.png", "accuracy.svg")
        ]

    def reports(self) -> list[Report]:
        """Return the report of each distillation."""
        names = ("accuracy.svg", "training.png", "training.csv", "data_card.md")
        return [
            Report(f"distillation {run}", one.folder / "report.md", files=[one.folder / name for name in names])
            for run, one in self.runs.items()
        ]

    def cycles(self) -> Mapping[str, tuple[int, int]]:
        """The last cycles of the distillations with `cycle: auto`."""
        return {f"{self.config_key}/{run.name}": run.cycles for run in self.runs.values() if run.cycles}

    def left_out(self, goal: str) -> str:
        """Why a night trains no student: no PyTorch, or too little that is new."""
        from .worth import not_worth_it

        return super().left_out(goal) or not_worth_it(self.runs.values(), self.layout.root)

    def pages(self) -> Iterable[Page]:
        """The pages on all students."""
        from .pages import student_pages

        return student_pages(self)

    def want(self, which: str) -> bool:
        """Note that a requested file depends on the "teacher" or "exported" answers; always true, for use in rules."""
        self.wanted.add(which)
        return True

    def wildcards(self) -> Mapping[str, Iterable[str]]:
        """Return the names of the runs."""
        return {"run": self.runs}

    def preview(self) -> tuple[Mapping[str, Generation], str]:
        """Return as many answers of teachers and exported students as possible, where they are not known yet."""
        rows: dict[str, Generation] = {}
        for run, distillation in self.runs.items():
            if "teacher" in self.wanted and not self.teachers[run].path.exists():
                rows |= possible_teacher_rows(distillation)
            if "exported" in self.wanted and not self.exported[run].path.exists():
                rows |= possible_exported_rows(distillation)
        return rows, ""

    def referenced(self) -> set[str]:
        """Return the ids of the answers behind experiences, training examples and grades."""
        root = self.layout.root
        patterns = ("experiences/cycle-*.jsonl", "distill/*/cycle-*/train.jsonl", "distill/*/cycle-*/grades/*.jsonl")
        return {row["gen_id"] for pattern in patterns for path in root.glob(pattern) for row in read_jsonl(path)}

    def answers(self, run: str, which: str) -> Mapping[str, Generation]:
        """Return the known answers of a run by id: its practice, teacher or exported answers."""
        deferred = {"teacher": self.teachers, "exported": self.exported}
        return deferred[which][run].generations if which in deferred else self.practice[run]

    def answer_files(self, run: str, which: str) -> list[str]:
        """Return the metadata files of a set of answers."""
        return self.metadata_files(ANSWER.name, self.answers(run, which))

    def grades_job(self, run: str) -> str:
        """Return the job of the grades of answers."""
        return canonical([VERSION, sha256(canonical(self.runs[run].tasks))])

    def write_grades(self, run: str, which: str, path: str) -> None:
        """Grade a set of answers; code runs in the sandbox. Raises a `DreamflowError` if some are in batches: what
        follows, such as a training, is made once and needs all of them."""
        from ..tasks.running import grade_answers

        answers = list(self.answers(run, which))
        folders = [self.layout.generation(ANSWER.name, gen_id) for gen_id in answers]
        if waiting := sum(read_result(folder).status == "pending" for folder in folders):
            raise DreamflowError(
                f"distillation {run}: {waiting:,} of {len(folders):,} {which} answers are with the provider, in a "
                "batch. Nothing is learned without them: run again to collect them"
            )
        grade_answers(self.layout, answers, self.runs[run].tasks, path)

    def practice_grades(self, cycle: str) -> list[str]:
        """Return the files with the grades of the untrained students of a cycle."""
        runs = [run for run in self.runs.values() if str(run.spec.cycle) == cycle]
        if not runs:
            raise ConfigError(f"no distillation of config/config.yaml has cycle {cycle}")
        return [f"{run.folder}/grades/practice.jsonl" for run in runs]

    def experiences_job(self, cycle: str) -> str:
        """Return the job of a cycle's experiences. Results of other families do not trigger it; a later cycle collects
        new ones."""
        return canonical([VERSION, self.world.settings.salience.as_dict()])

    def experiences_file(self, run: str) -> str:
        """Return the file of the experiences that a run learns from."""
        return f"{self.layout.root}/experiences/cycle-{self.runs[run].spec.cycle}.jsonl"

    def experiences(self, cycle: str, path: str) -> str:
        """Collect a cycle's experiences; returns a line with the counts."""
        from .experiences import collect_experiences

        return collect_experiences(self.world, int(cycle), self.practice_grades(cycle), path)

    def replay_job(self, run: str) -> str:
        """Return the job of a replay set."""
        return canonical([VERSION, self.runs[run].spec.replay.as_dict(), sha256(canonical(self.runs[run].tasks))])

    def select(self, run: str) -> None:
        """Select the tasks to learn from and to measure on; this determines the teacher's answers."""
        from .replay import write_replay_set

        write_replay_set(self.runs[run], self.practice[run])

    def teaching_job(self, run: str) -> str:
        """Return the job of the training data."""
        spec = self.runs[run].spec
        return canonical([VERSION, spec.teacher.as_dict(), bool(spec.training.kl_weight)])

    def teach(self, run: str) -> None:
        """Write the accepted answers as training data."""
        from .teaching import write_training_data

        write_training_data(self.runs[run])

    def logprobs(self, run: str) -> list[str]:
        """Return the folder of the teacher's log-probabilities if the training needs it."""
        distillation = self.runs[run]
        return [f"{distillation.folder}/logprobs"] if distillation.spec.training.kl_weight else []

    def logprobs_job(self, run: str) -> str:
        """Return the job of scripts/teacher_logprobs.py."""
        weights = self.runs[run].teacher_weights
        return canonical({
            "teacher": weights,
            "fingerprint": weights_fingerprint(weights),
            "top_logprobs": self.runs[run].spec.teacher.top_logprobs,
            "cache": str(self.layout.root / "distill" / "students"),
            "answers": str(self.layout.root / "gens" / "answer"),
        })  # fmt: skip

    def training_job(self, run: str) -> str:
        """Return the job of scripts/distill_student.py."""
        training, checkpoint = self.runs[run].spec.training.as_dict(), str(self.runs[run].folder / "checkpoint")
        return self._student_job(run, training=training, checkpoint=checkpoint)

    def validation_job(self, run: str) -> str:
        """Return the job of scripts/validate_student.py."""
        spec = self.runs[run].spec
        gate = {key: getattr(spec.validation, key) for key in ("margin", "most_lost", "smallest")}
        tokens, batch = spec.validation.max_tokens, spec.validation.batch
        return self._student_job(run, max_new_tokens=tokens, batch=batch, gate=gate, seed=spec.training.seed)

    def export_job(self, run: str) -> str:
        """Return the job of scripts/export_student.py and of the registration."""
        distillation = self.runs[run]
        return self._student_job(
            run,
            gguf=distillation.student.source if distillation.exported else None,
            merged=distillation.spec.export.merged,
            license=distillation.spec.student.license,
            model_id=distillation.model_id,
        )

    def _student_job(self, run: str, **settings: Json) -> str:
        """Return a job with the student's weights; the fingerprint detects changed weights."""
        weights = self.runs[run].weights
        cache = str(self.layout.root / "distill" / "students")
        return canonical({**settings, "student": weights, "fingerprint": weights_fingerprint(weights), "cache": cache})

    def write_exported(self, run: str, path: str) -> None:
        """List the exported student's answers to the held-out tasks; this makes them known."""
        rows = _exported_rows(self.runs[run], Path(path))
        write_atomic(path, jsonl({"gen_id": gen_id, **row.wildcards} for gen_id, row in rows.items()))

    def register(self, run: str) -> None:
        """Register the student as a model if the gate and its exported answers allow it; otherwise unregister it."""
        from .register import register

        register(self.runs[run])

    def report(self, run: str) -> str:
        """Write the report of a run; returns its summary."""
        from .report import report_facts, write_report

        return write_report(self.runs[run].folder, report_facts(self.runs[run]))

    def sources(self) -> Sequence[Source]:
        """The tables of this family in the database."""
        from .sources import distill_sources

        return distill_sources(self.layout.root)

    def datasets(self) -> Iterable[Dataset]:
        """The datasets of this family."""
        from .datasets import training_datasets

        return training_datasets(self.layout.root)


FAMILY = Distill


def _teacher_rows(distillation: Distillation, path: Path) -> dict[str, Generation]:
    tasks = [row["task"] for row in read_jsonl(path) if row["role"] == "target"]
    # Tasks of a group share their worked examples: in a row, they also share the evaluated prefix.
    tasks.sort(key=lambda task: (task["group"], task["task_id"]))
    return teacher_rows(distillation, tasks)


def _exported_rows(distillation: Distillation, path: Path) -> dict[str, Generation]:
    """Return the answers of the exported student; none without a GGUF adapter."""
    exported = distillation.exported
    if exported is None or not Path(exported.lora).exists():
        return {}
    return exported_rows(distillation, read_jsonl(path.with_name("held_out.jsonl")), exported)
