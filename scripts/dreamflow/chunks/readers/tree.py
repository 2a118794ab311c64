"""Branches: an edited question or a second answer makes a tree of a conversation, of which one path was seen last."""

import re
from collections.abc import Mapping

from ...generation.model import Json
from .message import NotUnderstood
from .values import label_of, seconds_of

_NO_PARENT = re.compile(r"[048-]+|.*root.*")  # such as 00000000-0000-4000-8000-000000000000


def branch(parents: Mapping[str, Json], times: Mapping[str, Json], current: Json = None) -> list[str]:
    """The names of the messages from the first to `current`, or to the newest leaf if there is no `current`.

    `parents` and `times` are by name, in the order of the source. A leaf without a time has that of the messages before
    it; of equally new leaves the last is taken. A message whose parent is missing begins the conversation if it is the
    first, or has the parent of the first; else it follows the message listed before it, so that nothing is lost. Raises
    a `NotUnderstood` if messages form a cycle.
    """
    before = _parents(parents)
    current = label_of(current)
    if current not in before:
        has_child = set(before.values())
        leaves = [name for name in before if name not in has_child]
        if not leaves and before:
            raise NotUnderstood(f"its messages form a cycle at {next(iter(before))[:80]!r}")
        known: dict[str, float] = {}
        newest = {name: _newest(name, before, times, known) for name in leaves}
        current = max(reversed(leaves), key=newest.__getitem__, default=None)
    path: dict[str, None] = {}
    while current is not None:
        if current in path:
            raise NotUnderstood(f"its messages form a cycle at {current[:80]!r}")
        path[current] = None
        current = before[current]
    return list(reversed(path))


def _parents(parents: Mapping[str, Json]) -> dict[str, str | None]:
    """The parent of each message, None for the first."""
    before: dict[str, str | None] = {}
    outside: set[str] = set()
    last = None
    for name, value in parents.items():
        parent = label_of(value)
        if parent is not None and parent not in parents:
            is_root = last is None or parent in outside or _NO_PARENT.fullmatch(parent)
            outside |= {parent} if is_root else set()
            parent = None if is_root else last
        before[name] = parent
        last = name
    return before


def _newest(name: str, before: Mapping[str, str | None], times: Mapping[str, Json], known: dict[str, float]) -> float:
    """The time of a message, or of the last one before it that has a time."""
    path: dict[str, None] = {}
    current: str | None = name
    newest = float("-inf")
    while current is not None and current not in path:
        if current in known:
            newest = known[current]
            break
        path[current] = None
        if (seconds := seconds_of(times.get(current))) is not None:
            newest = seconds
            break
        current = before[current]
    known |= dict.fromkeys(path, newest)
    return newest
