"""The rows of the files that a distillation writes and reads again."""

from typing import Literal, NotRequired, TypedDict

from ..tasks.graders import Task

Split = Literal["train", "validation"]
Role = Literal["target", "general"]


class ReplayRow(TypedDict):
    """A line of replay.jsonl: a task to learn from, with its most salient experience. `role`: whether its kind is to be
    learned (target) or kept (general)."""

    task_id: str
    kind: str
    group: str
    salience: float
    experience_id: str
    task: Task
    split: NotRequired[Split]
    role: NotRequired[Role]


class Example(TypedDict):
    """A line of train.jsonl and validation.jsonl: a chat with the answer to learn, and how much it counts."""

    messages: list[dict[str, str]]
    weight: float
    task_id: str
    kind: str
    group: str
    role: Role
    gen_id: str
    top_logprobs: NotRequired[str]  # the file of the teacher's log-probabilities
