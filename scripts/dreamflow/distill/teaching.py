"""What a student is taught: answers of a teacher that a grader accepted, and its own answers to everything else.

Rejection sampling: a teacher answers a task several times, and the answers that the task's grader accepts are kept
(Zelikman et al. 2022, "STaR"). A teacher that is shown worked examples, which its student does not see, teaches what
the examples told it (Snell et al. 2022, "Learning by distilling context"); so a model can be its own teacher.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import DreamflowError
from ..files import jsonl, pretty, read_jsonl, write_atomic
from ..generation.make import read_result
from ..generation.model import Json
from ..tasks.answers import ANSWER
from ..tasks.outcomes import read_grades
from .compile import Distillation
from .rows import Example, ReplayRow


@dataclass(frozen=True)
class Answer:
    """An answer to a task, and whether it is right (None: it could not be graded). `text` is None where there is no
    usable answer."""

    gen_id: str
    text: str | None
    passed: bool | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Accepted:
    """What became of a task's answers. `kept` are those to teach, the shortest first; `asked` counts all there were,
    `rejected` those that the grader refused, `ungraded` those that nothing could grade, `repeated` accepted ones that
    say the same as another."""

    kept: list[Answer] = field(default_factory=list)
    asked: int = 0
    rejected: int = 0
    ungraded: int = 0
    repeated: int = 0


def write_training_data(distillation: Distillation) -> None:
    """Write train.jsonl, validation.jsonl and teaching.json from the replay set, the answers and their grades."""
    folder = distillation.folder
    answers: dict[str, list[Answer]] = {}
    for task_id, answer in _answers(distillation, "teacher"):
        answers.setdefault(task_id, []).append(answer)
    keep = distillation.spec.teacher.keep
    taught = {task_id: accepted(given, keep) for task_id, given in answers.items()}
    own = {task_id: one for task_id, one in _answers(distillation, "practice") if one.text and not one.truncated}
    train, validation, counts = chat_rows(read_jsonl(folder / "replay.jsonl"), taught, own)
    if distillation.spec.training.kl_weight:
        for row in train:
            if row["role"] == "target":
                row["top_logprobs"] = f"logprobs/{row['gen_id']}.json"
    write_atomic(folder / "train.jsonl", jsonl(train))
    write_atomic(folder / "validation.jsonl", jsonl(validation))
    write_atomic(folder / "teaching.json", pretty(counts))


def _answers(distillation: Distillation, which: str) -> Iterable[tuple[str, Answer]]:
    """The graded answers of a set, each with the id of its task."""
    for outcome in read_grades(distillation.folder / "grades" / f"{which}.jsonl"):
        folder = distillation.world.layout.generation(ANSWER.name, outcome.gen_id)
        result = read_result(folder)
        text = (folder / "parsed.txt").read_text(encoding="utf-8") if result.status == "ok" else None
        yield outcome.task_id, Answer(outcome.gen_id, text, outcome.passed, result.truncated)


def accepted(answers: Iterable[Answer], keep: int) -> Accepted:
    """Which of a task's answers are taught: those that pass, each text once, at most `keep`, the shortest first.

    An answer without a text counts as rejected. The shortest come first because what else an answer says is not what
    the task wanted, however right it is.
    """
    answers = list(answers)
    right: dict[str, Answer] = {}
    counts: Counter[str] = Counter()
    for answer in answers:
        if answer.text is None or not answer.passed:
            counts["ungraded" if answer.text is not None and answer.passed is None else "rejected"] += 1
            continue
        text = answer.text.strip()
        counts["repeated"] += text in right
        right.setdefault(text, Answer(answer.gen_id, text, answer.passed, answer.truncated))
    kept = sorted(right.values(), key=lambda answer: (len(answer.text), answer.text))[:keep]
    return Accepted(kept, len(answers), counts["rejected"], counts["ungraded"], counts["repeated"])


def chat_rows(
    replay: Sequence[ReplayRow], taught: Mapping[str, Accepted], own: Mapping[str, Answer]
) -> tuple[list[Example], list[Example], dict[str, Json]]:
    """(train, validation, counts): the rows of train.jsonl and validation.jsonl, and what was taught, by role and kind.

    `replay` are rows of a replay set. A task to learn (role target) gets an example for each of its answers in
    `taught`, which share its salience as their weight. A task of general replay gets the student's own answer, from
    `own` (by task_id; only whole answers belong there): learning without forgetting (Li and Hoiem
    2017). That answer may be wrong, and is no less fit for that: it is there to keep the student as it is where it is
    not to change. A right answer would teach it something new, which then could not be told from what was forgotten.

    An example: {messages, weight, task_id, kind, group, role, gen_id}. A `DreamflowError` tells where nothing was
    accepted to train on, or to validate on.
    """
    examples: dict[str, list[Example]] = {"train": [], "validation": []}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in replay:
        count = counts.setdefault((row["role"], row["kind"]), Counter())
        if row["role"] == "target":
            one = taught.get(row["task_id"], Accepted())
            answers = one.kept
            judged = {"rejected": one.rejected, "ungraded": one.ungraded, "repeated": one.repeated}
            count.update({"asked": one.asked, **judged})
        else:
            answers = [own[row["task_id"]]] if row["task_id"] in own else []
        count.update({"tasks": 1, "tasks_taught": bool(answers), "examples": len(answers)})
        examples[row["split"]] += [_example(row, answer, row["salience"] / len(answers)) for answer in answers]
    table = [
        {"role": role, "kind": kind, **{name: count[name] for name in _COUNTS[role]}}
        for (role, kind), count in sorted(counts.items(), reverse=True)
    ]
    _check_taught(examples, table)
    return examples["train"], examples["validation"], {"kinds": table}


_GENERAL = ("tasks", "tasks_taught", "examples")
_COUNTS = {"target": (*_GENERAL, "asked", "rejected", "ungraded", "repeated"), "general": _GENERAL}


def _example(row: ReplayRow, answer: Answer, weight: float) -> Example:
    messages = [
        {"role": "user", "content": row["task"]["prompt"]},
        {"role": "assistant", "content": answer.text.strip()},
    ]
    same = {key: row[key] for key in ("task_id", "kind", "group", "role")}
    return {"messages": messages, "weight": round(weight, 6), **same, "gen_id": answer.gen_id}


def _check_taught(examples: Mapping[str, Sequence[Example]], table: Sequence[Mapping[str, Json]]) -> None:
    for split, rows in examples.items():
        if not any(row["role"] == "target" for row in rows):
            told = "; ".join(
                f"{row['kind']}: of {row['asked']} answers to {row['tasks']} tasks {row['rejected']} were rejected and "
                f"{row['ungraded']} could not be graded"
                for row in table
                if row["role"] == "target"
            )
            raise DreamflowError(
                f"no answer of the teacher was accepted for the split {split} ({told or 'no tasks to learn'}). Ask for "
                "more samples or worked examples, choose a better teacher, or replay more tasks"
            )
