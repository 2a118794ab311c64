"""All that the pages on procedures show: the variants of every finished cycle, and how they belong together."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..errors import DreamflowError
from ..generation.layout import Layout
from .procedure import Procedure, load_procedure
from .promote import promoted_id
from .recorded import Cycle, gain, ranked, read_cycles, unfinished
from .records import Record

T = TypeVar("T")

SECTION = "procedures"
BEST = 15  # variants in the list of the best over all cycles


@dataclass(frozen=True)
class Seen:
    """A variant in a cycle, with the path of its page."""

    cycle: Cycle
    record: Record
    path: str
    gain: float | None


@dataclass
class Dreamed:
    """All that the pages show: the finished cycles, the known procedures, the cycles that go on, and what could
    not be read."""

    layout: Layout
    cycles: list[Cycle]
    procedures: dict[str, Procedure]
    configured: set[str]
    unfinished: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @cached_property
    def seen(self) -> list[Seen]:
        """Every variant of every cycle."""
        return [
            Seen(cycle, record, f"{night_folder(cycle)}/{record.gen_id}.html", gain(record))
            for cycle in self.cycles
            for record in cycle.records
        ]

    @cached_property
    def by_id(self) -> dict[str, list[Seen]]:
        """The variants by id."""
        return _grouped(self.seen, lambda seen: seen.record.gen_id)

    @cached_property
    def by_procedure(self) -> dict[str, list[Seen]]:
        """The variants by procedure."""
        return _grouped(self.seen, lambda seen: seen.record.procedure_id)

    @cached_property
    def by_idea(self) -> dict[tuple[str, str, str], list[Seen]]:
        """The variants of a kind at a place of a procedure."""
        return _grouped(self.seen, lambda seen: idea_of(seen.record))

    @cached_property
    def promoted(self) -> dict[str, Seen]:
        """The variants that are procedures now, by the id of the new procedure."""
        known = self.procedures
        of = {
            promoted_id(known[each.record.procedure_id], each.record.gen_id): each
            for each in self.seen
            if each.record.procedure_id in known
        }
        return {name: each for name, each in of.items() if name in known}

    @cached_property
    def best(self) -> list[Seen]:
        """The best variants over all cycles, each once."""
        first = {each.record.gen_id: each for each in reversed(self.seen)}  # the newest cycle of a night comes first
        return [first[record.gen_id] for record in ranked([each.record for each in first.values()])[:BEST]]


def _grouped(items: Sequence[Seen], key: Callable[[Seen], T]) -> dict[T, list[Seen]]:
    groups: dict[T, list[Seen]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def idea_of(record: Record) -> tuple[str, str, str]:
    return record.procedure_id, record.kind, record.site


def night_folder(cycle: Cycle) -> str:
    """The folder of a cycle's pages."""
    return f"{SECTION}/nights/{cycle.key}"


def procedure_path(procedure_id: str) -> str:
    """The page of a procedure."""
    return f"{SECTION}/procedure/{procedure_id}/index.html"


def read_dreamed(layout: Layout, procedures: Path, configured: Sequence[str]) -> Dreamed:
    """Read the finished cycles and the procedures."""
    cycles = list(read_cycles(layout.root / "dreams", layout.root / "gens" / "variant"))
    dreamed = Dreamed(layout, cycles, {}, set(configured), unfinished(layout.root / "dreams"))
    for cycle in cycles:  # an id that is twice in a table would be two pages of one path
        cycle.records = list({record.gen_id: record for record in cycle.records}.values())
        dreamed.problems += cycle.problems
    for card in sorted(procedures.glob("*/*.yaml")):
        try:
            procedure = load_procedure(card)
            dreamed.procedures[procedure.procedure_id] = procedure
        except DreamflowError as error:
            dreamed.problems.append(str(error))
    return dreamed
