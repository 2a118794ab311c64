"""The tables of experiences and trainings in the database."""

from pathlib import Path

from ..database.grades import grades_source
from ..database.schema import Rows, Source, Table, columns, columns_of, files
from ..files import read_json, read_jsonl
from .experiences import Experience

EXPERIENCES = Table(
    "experiences",
    "Verified generations with their outcome and salience (docs/files.md).",
    columns_of(Experience),
    ("experience_id",),
    indexes=(("gen_id",), ("model_id",), ("salience",)),
)
STUDENTS = Table(
    "students",
    "A row for each finished training: whether the student is used, and why.",
    columns("""
        name TEXT the distillation
        cycle TEXT its cycle
        model_id TEXT the id of the student
        deployed INTEGER 1: specs can use it
        accuracy_trained REAL solved held-out tasks where it was trained, 0-1
        accuracy_exported REAL the same in llama.cpp
        reasons TEXT JSON: why it is not used
    """),
    ("name", "cycle"),
)
EXAMPLES = Table(
    "training_messages",
    "What students were trained on: the accepted answers of teachers (train.jsonl, validation.jsonl).",
    columns("""
        path TEXT the file, below the data folder
        line INTEGER the line, from 1
        gen_id TEXT the answer
        messages TEXT JSON: the chat
        weight REAL the weight in the training
    """),
    ("path", "line"),
    indexes=(("gen_id",),),
)


def distill_sources(root: Path) -> list[Source]:
    """The sources of this family."""
    runs = "distill/*/cycle-*"
    experiences = files(root, "experiences/cycle-*.jsonl")
    examples = files(root, f"{runs}/train.jsonl", f"{runs}/validation.jsonl")
    about = "The graded answers of students and teachers."
    return [
        Source("experiences", 1, (EXPERIENCES,), experiences, lambda item: {"experiences": read_jsonl(root / item)}),
        Source("students", 1, (STUDENTS,), files(root, f"{runs}/exported.json"), lambda item: _student(root / item)),
        Source("training_messages", 1, (EXAMPLES,), examples, lambda item: _examples(root / item, item)),
        grades_source("distill_grades", root, f"{runs}/grades/*.jsonl", about),
    ]


def _student(path: Path) -> Rows:
    facts = read_json(path)
    accuracy = facts.get("accuracy") or {}
    row = {
        **{name: facts.get(name) for name in ("model_id", "deployed", "reasons")},
        "name": path.parents[1].name,
        "cycle": path.parent.name,
        "accuracy_trained": accuracy.get("there"),
        "accuracy_exported": accuracy.get("here"),
    }
    return {"students": [row]}


def _examples(path: Path, item: str) -> Rows:
    rows = enumerate(read_jsonl(path), 1)
    return {"training_messages": [{**row, "path": item, "line": number} for number, row in rows]}
