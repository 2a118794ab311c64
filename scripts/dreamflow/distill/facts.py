"""What the report of a distillation says besides the numbers in its own files."""

from collections.abc import Iterable

from ..files import read_json, read_jsonl
from ..generation.make import read_result
from ..generation.model import Json, as_json
from ..tasks.outcomes import Outcome, read_grades
from .compile import Distillation
from .report import asked_words


def report_facts(distillation: Distillation) -> dict[str, Json]:
    """The `facts` of `report.write_report`."""
    student, teacher = distillation.student, distillation.teacher
    return {
        "run": distillation.run,
        "student": student.model_id,
        "teacher": teacher.model_id,
        "model_id": distillation.model_id,
        "atp": {"student": student.atp, "teacher": teacher.atp},
        "costs": _costs(distillation),
        "notes": _notes(distillation),
    }


def _costs(distillation: Distillation) -> dict[str, list[dict[str, Json]]]:
    """The answers whose costs are compared: the teacher's, and the student's before and after."""
    grades = distillation.folder / "grades"
    replay = read_jsonl(distillation.folder / "replay.jsonl")
    targets = {row["task_id"] for row in replay if row["role"] == "target"}
    practice = read_grades(grades / "practice.jsonl")
    costs = {
        "teacher": _with_words(distillation, read_grades(grades / "teacher.jsonl")),
        "before": _with_words(distillation, (one for one in practice if one.task_id in targets)),
    }
    if read_json(distillation.folder / "exported.json")["accuracy"] is not None:
        costs["after"] = _with_words(distillation, read_grades(grades / "exported.jsonl"))
    return costs


def _with_words(distillation: Distillation, outcomes: Iterable[Outcome]) -> list[dict[str, Json]]:
    rows = []
    for one in outcomes:
        folder = distillation.world.layout.generation("answer", one.gen_id)
        turns = as_json(read_result(folder).turns or [])
        words = asked_words((folder / "prompt.txt").read_text(encoding="utf-8"), turns)
        rows.append({**as_json(one), "words": words})
    return rows


def _notes(distillation: Distillation) -> list[str]:
    """What the numbers of a report do not show."""
    notes, settings = [], distillation.spec.teacher
    if distillation.teacher.model_id == distillation.student.model_id:
        notes.append(
            f"Teacher and student are the same model: it was shown {settings.worked} worked examples "
            f"before each question and drew {settings.samples} answers, of which the graders chose. "
            "What it learned is to do without the examples, not anything that it could not do with them."
        )
    if distillation.spec.replay.general_share:
        notes.append("Answers to general tasks are the student's own, right or wrong: they keep it as it was.")
    return notes
