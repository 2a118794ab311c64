"""Generations that are known only from a file, because which ones there are depends on results.

The file is written by a job (an upgrade's plan, a replay set, an exported student). The next run after an interrupted
one, and a job in a process of its own, read the generations from it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from .generation.model import Generation


class Deferred:
    """The generations that follow from the content of `path`; none while there is no such file.

    `origin` is the spec that they belong to. The file is read again when it has changed.
    """

    def __init__(self, path: Path, origin: str, read: Callable[[Path], Mapping[str, Generation]]) -> None:
        self.path, self.origin, self._read = path, origin, read
        self._changed = 0
        self._generations: Mapping[str, Generation] = {}
        self._places: Mapping[str, int] = {}

    @property
    def generations(self) -> Mapping[str, Generation]:
        """The generations by id, as the file says now."""
        try:
            changed = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if changed != self._changed:
            self._generations = self._read(self.path)
            self._places = {gen_id: place for place, gen_id in enumerate(self._generations)}
            self._changed = changed
        return self._generations

    def place(self, gen_id: str) -> int:
        """The position of a generation in the file's order, from 0."""
        return self._places[gen_id]
