"""What a student is taught: answers of a teacher that a grader accepted, and its own answers to everything else.

Rejection sampling: a teacher answers a task several times, and the answers that the task's grader accepts are kept
(Zelikman et al. 2022, "STaR"). A teacher that is shown worked examples, which its student does not see, teaches what
the examples told it (Snell et al. 2022, "Learning by distilling context"); so a model can be its own teacher.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DreamflowError

Task = Mapping[str, Any]
Answer = Mapping[str, Any]
Row = dict[str, Any]


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


def teacher_messages(task: Task) -> list[dict[str, str]]:
    """What a teacher is asked: a chat in which the task's worked examples (`probe.tasks.with_worked`) were answered
    already, and the task comes last. Without any, the prompt of the task alone.

    Examples as turns of a chat, not as one text, since small models were trained on chats: of 12 extraction tasks
    SmolLM2-135M answered 7 with three examples as turns, and none or one with the same three in any of four texts.
    """
    turns = [
        {"role": role, "content": one[part]}
        for one in task.get("worked") or ()
        for role, part in (("user", "prompt"), ("assistant", "answer"))
    ]
    return [*turns, {"role": "user", "content": task["prompt"]}]


def accepted(
    task: Task, answers: Iterable[Answer], grade: Callable[[Task, str], Mapping[str, Any]], keep: int
) -> Accepted:
    """Which of a task's answers are taught: those that pass, each text once, at most `keep`, the shortest first.

    Answers are {gen_id, text, …}; one whose `text` is None gave no usable answer and counts as rejected. The shortest
    come first because what else an answer says is not what was asked, however right it is.
    """
    answers = list(answers)
    right: dict[str, Answer] = {}
    counts: Counter[str] = Counter()
    for answer in answers:
        told = {"passed": False} if answer["text"] is None else grade(task, answer["text"])
        if not told["passed"]:
            counts["ungraded" if told["passed"] is None else "rejected"] += 1
            continue
        text = answer["text"].strip()
        counts["repeated"] += text in right
        right.setdefault(text, {**answer, "text": text})
    kept = sorted(right.values(), key=lambda answer: (len(answer["text"]), answer["text"]))[:keep]
    return Accepted(kept, len(answers), counts["rejected"], counts["ungraded"], counts["repeated"])


def chat_rows(
    replay: Sequence[Row], taught: Mapping[str, Accepted], own: Mapping[str, Answer]
) -> tuple[list[Row], list[Row], dict[str, Any]]:
    """(train, validation, counts): the rows of train.jsonl and validation.jsonl, and what was taught, by role and kind.

    `replay` are rows of a replay set. A task to learn (role target) gets an example for each of its answers in
    `taught`, which share its salience as their weight. A task of general replay gets the student's own answer, from
    `own` (task_id -> {gen_id, text}; only whole answers belong there): learning without forgetting (Li and Hoiem
    2017). That answer may be wrong, and is no less fit for that: it is there to keep the student as it is where it is
    not to change. A right answer would teach it something new, which then could not be told from what was forgotten.

    An example: {messages, weight, task_id, kind, group, role, gen_id}. A `DreamflowError` tells where nothing was
    accepted to train on, or to validate on.
    """
    examples: dict[str, list[Row]] = {"train": [], "validation": []}
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


def _example(row: Row, answer: Answer, weight: float) -> Row:
    messages = [
        {"role": "user", "content": row["task"]["prompt"]},
        {"role": "assistant", "content": answer["text"].strip()},
    ]
    same = {key: row[key] for key in ("task_id", "kind", "group", "role")}
    return {"messages": messages, "weight": round(weight, 6), **same, "gen_id": answer["gen_id"]}


def _check_taught(examples: Mapping[str, Sequence[Row]], table: Sequence[Row]) -> None:
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
