"""Files of grades as a table, for the families that have them."""

from pathlib import Path

from msgspec.structs import asdict

from ..tasks.outcomes import Outcome, read_grades
from .schema import Column, Source, Table, columns_of, files


def grades_source(name: str, root: Path, pattern: str, about: str) -> Source:
    """A table with the rows of the files of grades below `root` that match a pattern."""
    own = {"path": Column("TEXT", "the file of grades, below the data folder")}
    table = Table(name, about, {**own, **columns_of(Outcome)}, ("path", "gen_id"), indexes=(("gen_id",), ("model_id",)))

    def read(item: str) -> dict[str, list[dict]]:
        return {name: [{"path": item, **asdict(outcome)} for outcome in read_grades(root / item)]}

    return Source(name, 1, (table,), files(root, pattern), read)
