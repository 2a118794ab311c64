"""Training data: a teacher's answers that a grader accepted, and the student's own answers to general tasks.

Rejection sampling: a teacher answers a task several times, and the accepted answers are kept (Zelikman et al. 2022,
"STaR"). The teacher sees worked examples that the student does not see, so a model can be its own teacher (Snell et
al. 2022, "Learning by distilling context").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from ..errors import DreamflowError
from ..files import jsonl, pretty, read_jsonl, write_atomic
from ..generation.make import read_result
from ..generation.model import Json
from ..tasks.answers import ANSWER
from ..tasks.outcomes import read_grades
from .compile import Distillation
from .replay import ReplayRow, Role

_GENERAL = ("tasks", "tasks_taught", "examples")
_COUNTS = {"target": (*_GENERAL, "asked", "rejected", "ungraded", "repeated"), "general": _GENERAL}


class Example(TypedDict):
    """A line of train.jsonl and validation.jsonl: a chat with the answer to learn, and its weight."""

    messages: list[dict[str, str]]
    weight: float
    task_id: str
    kind: str
    group: str
    role: Role
    gen_id: str
    top_logprobs: NotRequired[str]  # the file of the teacher's log-probabilities


@dataclass(frozen=True)
class Answer:
    """A graded answer. `text` is None if it is not usable, `passed` None if it could not be graded."""

    gen_id: str
    text: str | None
    passed: bool | None = None
    truncated: bool = False


@dataclass(frozen=True)
class AcceptedAnswers:
    """The accepted answers to a task: `kept` for training, shortest first. The counts: `asked` (all), `rejected` by the
    grader, `ungraded`, and `repeated` (accepted, with the same text as another)."""

    kept: list[Answer] = field(default_factory=list)
    asked: int = 0
    rejected: int = 0
    ungraded: int = 0
    repeated: int = 0


def write_training_data(distillation: Distillation) -> None:
    """Write train.jsonl, validation.jsonl and teaching.json from the replay set, the answers and their grades."""
    folder, spec = distillation.folder, distillation.spec
    answers: dict[str, list[Answer]] = {}
    for task_id, answer in _answers(distillation, "teacher"):
        answers.setdefault(task_id, []).append(answer)
    teacher = {task_id: accept_answers(candidates, spec.teacher.keep) for task_id, candidates in answers.items()}
    practice = _answers(distillation, "practice")
    own = {task_id: answer for task_id, answer in practice if answer.text and not answer.truncated}
    train, validation, counts = chat_rows(read_jsonl(folder / "replay.jsonl"), teacher, own)
    if spec.training.kl_weight:
        for row in train:
            if row["role"] == "target":
                row["top_logprobs"] = f"logprobs/{row['gen_id']}.json"
    write_atomic(folder / "train.jsonl", jsonl(train))
    write_atomic(folder / "validation.jsonl", jsonl(validation))
    write_atomic(folder / "teaching.json", pretty(counts))


def _answers(distillation: Distillation, which: str) -> Iterable[tuple[str, Answer]]:
    """Yield (task id, answer) for each line of a file of grades."""
    for outcome in read_grades(distillation.folder / "grades" / f"{which}.jsonl"):
        folder = distillation.world.layout.generation(ANSWER.name, outcome.gen_id)
        result = read_result(folder)
        text = (folder / "parsed.txt").read_text(encoding="utf-8") if result.status == "ok" else None
        yield outcome.task_id, Answer(outcome.gen_id, text, outcome.passed, result.truncated)


def accept_answers(answers: Iterable[Answer], keep: int) -> AcceptedAnswers:
    """Select at most `keep` different answers that pass. Answers without a text count as rejected.

    The shortest come first: further text in an answer is not what the task requires.
    """
    correct: dict[str, Answer] = {}
    counts: Counter[str] = Counter()
    for answer in answers:
        counts["asked"] += 1
        if answer.text is None or not answer.passed:
            counts["ungraded" if answer.text is not None and answer.passed is None else "rejected"] += 1
            continue
        text = answer.text.strip()
        counts["repeated"] += text in correct
        correct.setdefault(text, Answer(answer.gen_id, text, answer.passed, answer.truncated))
    kept = sorted(correct.values(), key=lambda answer: (len(answer.text), answer.text))[:keep]
    return AcceptedAnswers(kept, **counts)


def chat_rows(
    replay: Sequence[ReplayRow], teacher: Mapping[str, AcceptedAnswers], own: Mapping[str, Answer]
) -> tuple[list[Example], list[Example], dict[str, Json]]:
    """Return the rows of train.jsonl and validation.jsonl, and the counts by role and kind.

    A target task gets an example per answer in `teacher`; they share its salience as weight. A general task gets the
    student's own complete answer, from `own` (learning without forgetting; Li and Hoiem 2017). It may be wrong: it
    preserves the student, and a correct answer would teach something new, which hides forgetting.

    Raises a `DreamflowError` if a split has no accepted answer of the teacher.
    """
    examples: dict[str, list[Example]] = {"train": [], "validation": []}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in replay:
        count = counts.setdefault((row["role"], row["kind"]), Counter())
        if row["role"] == "target":
            selected = teacher.get(row["task_id"], AcceptedAnswers())
            answers = selected.kept
            count.update({name: getattr(selected, name) for name in ("asked", "rejected", "ungraded", "repeated")})
        else:
            answers = [own[row["task_id"]]] if row["task_id"] in own else []
        count.update({"tasks": 1, "tasks_taught": bool(answers), "examples": len(answers)})
        examples[row["split"]] += [_example(row, answer, row["salience"] / len(answers)) for answer in answers]
    table = [
        {"role": role, "kind": kind, **{name: count[name] for name in _COUNTS[role]}}
        for (role, kind), count in sorted(counts.items(), reverse=True)
    ]
    _check_examples(examples, table)
    return examples["train"], examples["validation"], {"kinds": table}


def _example(row: ReplayRow, answer: Answer, weight: float) -> Example:
    messages = [
        {"role": "user", "content": row["task"]["prompt"]},
        {"role": "assistant", "content": answer.text.strip()},
    ]
    same = {key: row[key] for key in ("task_id", "kind", "group", "role")}
    return {"messages": messages, "weight": round(weight, 6), **same, "gen_id": answer.gen_id}


def _check_examples(examples: Mapping[str, Sequence[Example]], table: Sequence[Mapping[str, Json]]) -> None:
    for split, rows in examples.items():
        if not any(row["role"] == "target" for row in rows):
            counts = "; ".join(
                f"{row['kind']}: {row['asked']} answers to {row['tasks']} tasks, {row['rejected']} rejected, "
                f"{row['ungraded']} ungraded"
                for row in table
                if row["role"] == "target"
            )
            raise DreamflowError(
                f"no answer of the teacher was accepted for the split {split} ({counts or 'no tasks to learn'}). Draw "
                "more samples, add worked examples, choose a better teacher, or replay more tasks"
            )
