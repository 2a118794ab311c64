"""The tables of probes in the database."""

from pathlib import Path

from ..database.grades import grades_source
from ..database.schema import Source


def probe_sources(root: Path) -> list[Source]:
    """The sources of this family."""
    about = "The graded answers of all probes, those of nights too."
    return [grades_source("probe_grades", root, "probes/*/grades.jsonl", about)]
