"""Generators: any number of further tasks of a kind, the same ones for the same seed, on every machine.

Each kind has templates, a group each (see `tasks`). A template has a stream of random numbers of its own, named by seed
and group, and templates take turns. So more tasks only add to fewer; with some groups only, theirs are those that they
have among all; and task ids, which are made from prompts, name the same task in every draw.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from random import Random

from ...errors import ConfigError
from ...files import read_table, sha256
from ..graders import Task
from .base import Make, Row, Template
from .code import code
from .templates import arithmetic, classification, extraction, facts, format_, knowledge

_KINDS = (extraction, arithmetic, format_, classification, code, facts, knowledge)
TEMPLATES: Mapping[str, Callable[[Row], Make]] = {  # each kind has a table <kind>.yaml beside this module
    one.__name__.strip("_"): one for one in _KINDS
}
_TRIES = 300  # draws of one template that are all known already, after which it counts as exhausted


def groups(kind: str) -> list[str]:
    """The groups of a kind's generators, in their order."""
    return [template.group for template in _templates(kind)]


def generate(kind: str, n: int, seed: int = 0, only: Collection[str] | None = None) -> list[Task]:
    """`n` tasks of a kind, no prompt twice, from its groups in turn as long as they have new ones; `only` from these.

    Tasks of two seeds may coincide: sets that must not share tasks are to be split by group. A `ConfigError` tells
    how many tasks there are where the groups cannot give `n`.
    """
    templates = [template for template in _templates(kind) if only is None or template.group in only]
    unknown = set(only or ()) - {template.group for template in templates}
    if unknown:
        raise ConfigError(f"kind {kind}: no generator has the group {min(unknown)!r}; `groups` lists them")
    turns = [_tasks(kind, template, seed) for template in templates]
    tasks: list[Task] = []
    while turns and len(tasks) < n:
        drawn = [(turn, next(turn, None)) for turn in turns]
        tasks += [task for _, task in drawn if task is not None]
        turns = [turn for turn, task in drawn if task is not None]
    if len(tasks) < n:
        raise ConfigError(f"kind {kind}: {n} tasks were asked for, but {len(templates)} group(s) give {len(tasks)}")
    return tasks[:n]


@cache
def _templates(kind: str) -> Sequence[Template]:
    """The templates of a kind. Every second one is free: it lets a model talk, so that it tells what it knows."""
    if kind not in TEMPLATES:
        raise ConfigError(f"no tasks of kind {kind!r} can be generated; known: {', '.join(TEMPLATES)}")
    rows = (
        (skill, name, row)
        for skill, named in read_table(__file__, f"{kind}.yaml").items()
        for name, row in named.items()
    )
    return [
        Template(
            f"{kind}.{skill}.{name}",
            row["context"],
            TEMPLATES[kind]({**row, "skill": skill, "name": name, "number": number, "free": number % 2 == 1}),
        )
        for number, (skill, name, row) in enumerate(rows)
    ]


def _tasks(kind: str, template: Template, seed: int) -> Iterator[Task]:
    """Tasks of one template until it gives none that is new."""
    random = Random(f"{seed}:{template.group}")  # noqa: S311  (a reproducible draw, not a secret)
    seen: set[str] = set()
    while True:
        made = next((one for _ in range(_TRIES) if (one := template.make(random)).prompt not in seen), None)
        if made is None:
            return
        seen.add(made.prompt)
        yield {
            "task_id": f"{kind}-{sha256(made.prompt)[:12]}",
            "kind": kind,
            "context": template.context,
            "group": template.group,
            "prompt": made.prompt,
            "grader": dict(made.grader),
            "answer": made.answer,
        }
