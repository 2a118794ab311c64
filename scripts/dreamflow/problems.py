"""What went wrong in a run: messages that differ only in ids and numbers are one problem, with a count."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from .generation.model import Json

SHOWN_PLACES = 3  # where to read of each occurrence, in a line
SHOWN_PROBLEMS = 10  # at the end of a run
KEPT_PLACES = 1000  # of a problem
LONGEST = 600  # characters of a message in the journal of runs
_VARYING = re.compile(r"\b[a-z]_[0-9a-z]{8,}\b|\b[0-9a-f]{12,}\b|\d+")


@dataclass
class Problem:
    """A message, or the cause of many (`is_shared`), how many had it, and where to read of each: paths of log files or
    folders."""

    message: str
    is_shared: bool = False
    count: int = 0
    places: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The first places as text."""
        more = f" and {self.count - SHOWN_PLACES:,} more" if self.count > SHOWN_PLACES else ""
        return f"{', '.join(self.places[:SHOWN_PLACES])}{more}"


class Problems:
    """The problems of a run, in the order of their first occurrence. Any thread may add to them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: dict[str, Problem] = {}

    def add(self, message: str, place: str, cause: str = "") -> bool:
        """Count a message; returns whether it is the first of its kind: of its cause, if many share it, or else of
        those that differ from it only in ids and numbers."""
        with self._guard:
            key = cause or _VARYING.sub("#", message)
            problem = self._found.setdefault(key, Problem(cause or message, is_shared=bool(cause)))
            problem.count += 1
            if len(problem.places) < KEPT_PLACES:
                problem.places.append(place)
            return problem.count == 1

    def all(self) -> list[Problem]:
        """The problems, the first one first."""
        with self._guard:
            return list(self._found.values())

    def total(self) -> int:
        """How often anything went wrong."""
        return sum(problem.count for problem in self.all())

    def as_json(self, most: int = SHOWN_PROBLEMS) -> list[dict[str, Json]]:
        """The most frequent problems for the journal of runs: message, count, where."""
        often = sorted(self.all(), key=lambda problem: -problem.count)[:most]
        return [
            {"message": problem.message[:LONGEST], "count": problem.count, "where": problem.places[:SHOWN_PLACES]}
            for problem in often
        ]


def as_lines(problems: Sequence[Problem]) -> list[str]:
    """Each problem with its count, and where to read of each."""
    lines = []
    for problem in problems[:SHOWN_PROBLEMS]:
        what = "generations were not made" if problem.is_shared else "times"
        count = f"{problem.count:,} {what}: " if problem.count > 1 or problem.is_shared else ""
        lines += [f"{count}{problem.message}", f"  see {problem.where}"]
    more = len(problems) - SHOWN_PROBLEMS
    return [*lines, f"and {more:,} other problems"] if more > 0 else lines
