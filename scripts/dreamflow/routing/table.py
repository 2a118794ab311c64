"""The routing table, `data/trust/cycle-<n>/routing.json`: how often each model was right in each context, the metabolic
state, and the settings with which models are chosen until the next cycle."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from ..cycles import numbers
from ..errors import DreamflowError
from ..files import read_as

EVERY_CONTEXT = "*"  # the context of cells over all contexts
_REMEDY = "Delete the file and run 'snakemake trust': it is made again"


class State(Struct, frozen=True):
    """A metabolic state: the most ATP that an answer may cost, and what a success is worth in it."""

    name: str
    budget_atp: float
    multiplier: float


class RoutingSettings(Struct, frozen=True):
    """`evidence`: classes of evidence, the preferred one first. `atp_value`: the worth of an ATP, in successes."""

    minimum_evidence: float
    atp_value: float
    evidence: list[str]


class RoutedModel(Struct, frozen=True):
    """A model as the cycle knew it; `words` are those of its worked examples."""

    layer: str
    atp: float
    revision: str = ""
    words: int = 0


class Cell(Struct, frozen=True):
    """The posterior Beta(`alpha`, `beta`) of a model's successes in a context by a class of evidence, of `n` outcomes;
    `low` and `high` bound its interval. The prior of a layer has the `model_id` `*<layer>`."""

    model_id: str
    context: str
    evidence: str
    alpha: float
    beta: float
    n: float
    mean: float
    low: float
    high: float


class Place(Struct, frozen=True):
    """A model in a context."""

    model_id: str
    context: str


class Table(Struct, frozen=True, dict=True):
    """The routing table of a cycle. `verify`: where its outcomes were a surprise, so that more probes are worth it."""

    cycle: int
    state: State
    settings: RoutingSettings
    models: dict[str, RoutedModel]
    cells: list[Cell]
    verify: list[Place] = []
    schema_version: int = 1

    @cached_property
    def by_key(self) -> Mapping[tuple[str, str, str], Cell]:
        """The cells by model, context and class of evidence."""
        return {(cell.model_id, cell.context, cell.evidence): cell for cell in self.cells}

    def posterior(self, model_id: str, layer: str, context: str, evidence: str) -> Cell:
        """What is believed of a model in a context: its own cell, else its cell over all contexts, else the prior of
        its layer, else Beta(1, 1). `n` counts outcomes in this very context."""
        for name, where in ((model_id, context), (model_id, EVERY_CONTEXT), (f"*{layer}", EVERY_CONTEXT)):
            cell = self.by_key.get((name, where, evidence))
            if cell is not None:
                is_own = (name, where) == (model_id, context)
                return cell if is_own else Cell(model_id, context, evidence, cell.alpha, cell.beta, 0, *_bounds(cell))
        return Cell(model_id, context, evidence, 1, 1, 0, 0.5, 0.05, 0.95)

    def evidence_for(self, model_ids: list[str], context: str) -> str:
        """The class of evidence for a choice: the first in which one of the models has the minimum of outcomes in the
        context, else over all contexts, else the first of all. Classes are never mixed."""
        for where in (context, EVERY_CONTEXT):
            for evidence in self.settings.evidence:
                cells = [self.by_key.get((model_id, where, evidence)) for model_id in model_ids]
                if any(cell is not None and cell.n >= self.settings.minimum_evidence for cell in cells):
                    return evidence
        return self.settings.evidence[0]


def _bounds(cell: Cell) -> tuple[float, float, float]:
    return cell.mean, cell.low, cell.high


def last_cycle(root: Path, at_most: int | None = None) -> int | None:
    """The last cycle of trust that has a routing table; None if there is none. `root` is the data folder."""
    made = (n for n in numbers(root / "trust") if (root / "trust" / f"cycle-{n}" / "routing.json").exists())
    return max((number for number in made if at_most is None or number <= at_most), default=None)


def read_table(root: Path, at_most: int | None = None) -> Table | None:
    """The last routing table in the data folder, up to cycle `at_most`; None before the first. Raises a
    `DreamflowError` if it is damaged."""
    cycle = last_cycle(root, at_most)
    if cycle is None:
        return None
    path = root / "trust" / f"cycle-{cycle}" / "routing.json"
    table = read_as(path, Table, _REMEDY)
    problem = _problem(table)
    if problem:
        raise DreamflowError(f"{path}: damaged: {problem}. {_REMEDY}")
    return table


def _problem(table: Table) -> str:
    if not table.settings.evidence:
        return "'settings.evidence' is empty"
    for cell in table.cells:
        if not (cell.alpha > 0 and cell.beta > 0):
            return f"alpha and beta of {cell.model_id} in {cell.context} ({cell.evidence}) are not above 0"
    return ""
