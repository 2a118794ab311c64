"""Plan rows of several specs under one roof."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping

from .model import Generation


class CompactRows(Mapping[str, Generation]):
    """Planned generations by id. A row is made whenever it is asked for, so many rows take little memory; who needs
    only the stage asks for that."""

    @abstractmethod
    def stage(self, gen_id: str) -> str:
        """The stage of a generation."""


class Rows(CompactRows):
    """Planned generations by id, in the order in which they were added. `source` has what each comes from: all rows of
    a spec."""

    def __init__(self) -> None:
        self.source: dict[str, Mapping[str, Generation]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[str]:
        return iter(self.source)

    def __contains__(self, gen_id: object) -> bool:
        return gen_id in self.source

    def __getitem__(self, gen_id: str) -> Generation:
        return self.source[gen_id][gen_id]

    def stage(self, gen_id: str) -> str:
        """The stage of a generation."""
        source = self.source[gen_id]
        return source.stage(gen_id) if isinstance(source, CompactRows) else source[gen_id].stage
