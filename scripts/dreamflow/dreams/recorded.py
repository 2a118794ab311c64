"""Finished cycles as their files have them, also those of nights that are no longer configured.

A file that is missing or damaged costs what it would show, and a line in `problems`; never the other cycles.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from ..errors import DreamflowError
from ..files import is_name, read_as, read_text
from .best import is_sound, unjudged_first
from .check import Check
from .health import Health, Pattern, Yield, read_yields
from .night import Tested
from .records import Record

T = TypeVar("T")

_CYCLE = re.compile(r"cycle-([1-9][0-9]{0,8})")
_TABLE = "dreams.csv"
_TEXTS = {"gen_id", "procedure_id", "project", "category", "kind", "site", "description", "made", "reason", "status"}
_TEXTS |= {"why", "reasons"}  # columns where an empty cell is an empty text; in the others it is unknown


@dataclass
class Cycle:
    """A finished cycle. `health`, `patterns` and `journal` are None or empty where their file is missing."""

    night: str
    number: int
    records: list[Record] = field(default_factory=list)
    yields: dict[str, Yield] = field(default_factory=dict)
    health: Health | None = None
    patterns: list[Pattern] = field(default_factory=list)
    journal: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Name and cycle; also the path of its folder below dreams/."""
        return f"{self.night}/cycle-{self.number}"


class _Summary(msgspec.Struct):
    """The part of health.json that is not `Health` itself."""

    failure_patterns: list[Pattern] = []


def read_cycles(dreams: Path, gens: Path) -> Iterator[Cycle]:
    """The finished cycles below the folder `dreams`: by night, the newest first. `gens` has the variants."""
    for night, number in _cycles(dreams):
        folder = dreams / night / f"cycle-{number}"
        if (folder / _TABLE).exists():
            yield _read_cycle(folder, Cycle(night, number), gens)


def unfinished(dreams: Path) -> list[str]:
    """The cycles that have begun and have no table yet, such as "demo, cycle 2"."""
    begun = [
        (night, number) for night, number in _cycles(dreams) if any((dreams / night / f"cycle-{number}").iterdir())
    ]
    return [
        f"{night}, cycle {number}"
        for night, number in begun
        if not (dreams / night / f"cycle-{number}" / _TABLE).exists()
    ]


def _cycles(dreams: Path) -> Iterator[tuple[str, int]]:
    for folder in sorted(dreams.iterdir()) if dreams.is_dir() else ():
        matches = (_CYCLE.fullmatch(path.name) for path in folder.glob("cycle-*") if path.is_dir())
        numbers = sorted((int(match[1]) for match in matches if match), reverse=True)
        yield from ((folder.name, number) for number in (numbers if is_name(folder.name) else ()))


def _read_cycle(folder: Path, cycle: Cycle, gens: Path) -> Cycle:
    def attempt(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (DreamflowError, OSError, ValueError) as error:
            cycle.problems.append(str(error))
            return otherwise

    cycle.records = attempt(lambda: _records(folder / _TABLE), [])
    checks: dict[str, Check] = {}
    tests: dict[str, Tested] = {}
    for procedure in dict.fromkeys(record.procedure_id for record in cycle.records):
        checks |= attempt(lambda name=procedure: read_as(folder / "checks" / f"{name}.json", dict[str, Check]), {})
        tests |= attempt(lambda name=procedure: read_as(folder / "tests" / f"{name}.json", dict[str, Tested]), {})
    for record in cycle.records:
        record.check, test = checks.get(record.gen_id), tests.get(record.gen_id)
        record.test = test.test if test else None
        code = gens / record.gen_id / "parsed.py"
        if code.exists():
            record.code = attempt(lambda path=code: read_text(path), "")
    cycle.yields = attempt(lambda: read_yields(folder / "yield.csv"), {})
    cycle.health = attempt(lambda: read_as(folder / "health.json", Health), None)
    cycle.patterns = attempt(lambda: read_as(folder / "health.json", _Summary), _Summary()).failure_patterns
    cycle.journal = attempt(lambda: read_text(folder / "journal.md"), "")
    return cycle


def _records(path: Path) -> list[Record]:
    """The rows of a dreams.csv, still without code, check and test. Raises a `DreamflowError` for a damaged file."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [
            {name: text if text or name in _TEXTS else None for name, text in row.items()}
            for row in csv.DictReader(stream)
        ]
    try:
        records = [
            msgspec.convert({**row, "code": "", "check": None, "test": None}, Record, strict=False) for row in rows
        ]
    except (TypeError, msgspec.ValidationError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete it and run again: it is then made again") from None
    for record in records:
        for name in (record.gen_id, record.procedure_id):
            if not is_name(name):
                raise DreamflowError(f"{path}: damaged: {name!r} is no id. Delete it and run again")
    return records


def gain(record: Record) -> float | None:
    """The share of the original's time that an equivalent variant saves; None if it was not measured."""
    known = record.outcome == "equivalent" and record.seconds_ratio is not None
    return round(1 - record.seconds_ratio, 4) if known else None


def ranked(records: Sequence[Record]) -> list[Record]:
    """The variants that are sound, new, and not in the archive, the best first: those in tier 1, those without a
    verdict whose test did not fail, those in tier 2, the others. In each group those that behave like their original
    come first, by gain, then by viability, novelty and id."""
    kept = [record for record in records if record.made == "ok" and record.tier != 3]
    kept = [record for record in kept if not record.check or is_sound(record)]
    hopeful = {id(record) for record in unjudged_first(kept)}

    def key(record: Record) -> tuple[float | bool | str, ...]:
        group = {1: 1, 2: 3}.get(record.tier, 2 if id(record) in hopeful else 4)
        same, viability = record.outcome != "equivalent", record.viability or 0
        return group, same, -(gain(record) or 0), -viability, -(record.novelty or 0), record.gen_id

    return sorted(kept, key=key)
