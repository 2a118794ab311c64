"""Plan rows of several specs under one roof."""

from collections.abc import Iterator, Mapping

from .model import Generation


class Rows(Mapping[str, Generation]):
    """Planned generations by id, in the order in which they were added. `source` has the mapping that each comes from:
    a spec with many rows makes a row when it is asked for, so rows are not kept here.
    """

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
