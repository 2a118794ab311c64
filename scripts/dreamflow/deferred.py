"""Deferred generations: they depend on results, so a job writes the file that they are read from.

Such a file is the plan of an upgrade, a replay set or an exported student. Jobs in other processes, and the next run
after an interruption, read the same file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import DreamflowError
from .generation.model import Generation


class Deferred:
    """The generations that follow from the content of `path` and of the files `besides`; none if one of them does not
    exist.

    `origin` is the spec that they belong to. The files are read again if one has changed.
    """

    def __init__(
        self, path: Path, origin: str, read: Callable[[Path], Mapping[str, Generation]], besides: Sequence[Path] = ()
    ) -> None:
        self.path, self.origin, self._read, self._files = path, origin, read, (path, *besides)
        self._changed: list[int] = []
        self._generations: Mapping[str, Generation] = {}
        self._positions: Mapping[str, int] = {}

    @property
    def generations(self) -> Mapping[str, Generation]:
        """The generations by id, from the current content of the files. Raises a `DreamflowError` if one is damaged."""
        try:
            changed = [file.stat().st_mtime_ns for file in self._files]
        except FileNotFoundError:
            return {}
        if changed != self._changed:
            try:
                self._generations = self._read(self.path)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                problem = f"unexpected content ({type(error).__name__}: {error})"
                raise DreamflowError(f"{self.path}: damaged: {problem}") from None
            self._positions = {gen_id: position for position, gen_id in enumerate(self._generations)}
            self._changed = changed
        return self._generations

    def position(self, gen_id: str) -> int:
        """The position of a generation in the file, from 0."""
        return self._positions[gen_id]
