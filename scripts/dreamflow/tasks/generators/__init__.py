"""Generators of tasks: the same seed gives the same tasks on every machine.

Each kind has templates, and each template is a group (see `tasks`) with its own random numbers, seeded by seed and
group. Templates take turns. So a larger number only adds tasks, and a selection of groups does not change their tasks.
Task ids are made from prompts.
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

TEMPLATES: Mapping[str, Callable[[Row], Make]] = {  # the table of a kind is <kind>.yaml
    "extraction": extraction,
    "arithmetic": arithmetic,
    "format": format_,
    "classification": classification,
    "code": code,
    "facts": facts,
    "knowledge": knowledge,
}
_MAX_REPEATS = 300  # repeated prompts in a row after which a template is exhausted


def groups(kind: str) -> list[str]:
    """Return the groups of a kind, in order."""
    return [template.group for template in _templates(kind)]


def generate(kind: str, n: int, seed: int = 0, only: Collection[str] | None = None) -> list[Task]:
    """Return `n` tasks of a kind with different prompts, from its groups (or those in `only`) in turn.

    Different seeds may give the same task, so disjoint sets must be split by group. Raises a `ConfigError` if the
    groups have fewer than `n` tasks.
    """
    templates = [template for template in _templates(kind) if only is None or template.group in only]
    unknown = set(only or ()) - {template.group for template in templates}
    if unknown:
        raise ConfigError(f"kind {kind}: no generator has the group {min(unknown)!r}")
    turns = [_tasks(kind, template, seed) for template in templates]
    tasks: list[Task] = []
    while turns and len(tasks) < n:
        drawn = [(turn, next(turn, None)) for turn in turns]
        tasks += [task for _, task in drawn if task is not None]
        turns = [turn for turn, task in drawn if task is not None]
    if len(tasks) < n:
        raise ConfigError(
            f"kind {kind}: {n} tasks were requested, but {len(templates)} group(s) have only {len(tasks)}"
        )
    return tasks[:n]


@cache
def _templates(kind: str) -> Sequence[Template]:
    """Return the templates of a kind. Every second template is free: the answer may stand in a sentence."""
    if kind not in TEMPLATES:
        raise ConfigError(f"no tasks of kind {kind!r} can be generated; known: {', '.join(TEMPLATES)}")
    templates: list[Template] = []
    for skill, rows in read_table(__file__, f"{kind}.yaml").items():
        for name, row in rows.items():
            number = len(templates)
            make = TEMPLATES[kind]({**row, "skill": skill, "name": name, "number": number, "free": number % 2 == 1})
            templates.append(Template(f"{kind}.{skill}.{name}", row["context"], make))
    return templates


def _tasks(kind: str, template: Template, seed: int) -> Iterator[Task]:
    """Yield tasks of a template until it is exhausted."""
    random = Random(f"{seed}:{template.group}")  # noqa: S311  (a reproducible draw, not a secret)
    seen: set[str] = set()
    while True:
        draws = (template.make(random) for _ in range(_MAX_REPEATS))
        content = next((draw for draw in draws if draw.prompt not in seen), None)
        if content is None:
            return
        seen.add(content.prompt)
        yield {
            "task_id": f"{kind}-{sha256(content.prompt)[:12]}",
            **{"kind": kind, "context": template.context, "group": template.group},
            **{"prompt": content.prompt, "grader": dict(content.grader), "answer": content.answer},
        }
