"""What a night has changed of trust, routing and the metabolic state, as their files say. Every file may be missing."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DreamflowError
from ..files import read_json, read_jsonl
from ..generation.model import Json
from ..routing.preferences import Preference, preferences
from ..routing.table import EVERY_CONTEXT, read_table
from .state import Night

SHOWN_MOVES = 6
SHOWN_CONTEXTS = 10  # those with most outcomes
SHOWN_REASONS = 2
SMALLEST_MOVE, SMALLEST_DRIFT = 0.005, 0.02  # of trust with and without new outcomes


@dataclass(frozen=True)
class Move:
    """Trust in a model that moved: from `before` (None: the model is new in this context) to `after`, with the interval
    after it and the reasons of the records that moved it most; `witnesses` are files that prove them."""

    model_id: str
    context: str
    evidence: str
    before: float | None
    after: float
    low: float
    high: float
    outcomes: int
    reasons: Sequence[str] = ()
    witnesses: Sequence[str] = ()

    @property
    def change(self) -> float:
        """How far it moved; from a half if the model is new."""
        return self.after - (0.5 if self.before is None else self.before)


@dataclass
class TrustFacts:
    """What is known of a cycle of trust. `folder` is that of the cycle, None without one."""

    folder: Path | None = None
    moves: list[Move] = field(default_factory=list)
    routing: list[Preference] = field(default_factory=list)
    state: Mapping[str, Json] | None = None
    notes: list[str] = field(default_factory=list)


def trust_facts(night: Night) -> TrustFacts:
    """What the night's cycle of trust says. Damaged files are noted."""
    facts = TrustFacts()
    cycle = night.cycles.get("trust")
    folder = night.root / "trust" / f"cycle-{cycle}" if cycle else None
    if folder is None or not (folder / "trust.csv").exists():
        return facts
    facts.folder = folder
    for read in (_read_moves, _read_state, _read_routing):
        try:
            read(facts, night.root, cycle)
        except (DreamflowError, LookupError, TypeError, ValueError) as error:
            facts.notes.append(str(error) if isinstance(error, DreamflowError) else f"{folder}: damaged: {error}")
    return facts


def _read_moves(facts: TrustFacts, root: Path, cycle: int) -> None:
    with (facts.folder / "trust.csv").open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        if missing := {"model_id", "context", "evidence", "trust", "change", "new"}.difference(table.fieldnames or ()):
            raise LookupError(f"trust.csv lacks {', '.join(sorted(missing))}")
        rows = list(table)
    path = facts.folder / "reputation.jsonl"
    records = read_jsonl(path) if path.exists() else []
    for row in rows:
        change = float(row["change"]) if row["change"] else None
        smallest = SMALLEST_MOVE if int(row["new"]) else SMALLEST_DRIFT
        if row["context"] != EVERY_CONTEXT and (int(row["new"]) if change is None else abs(change) >= smallest):
            own = [each for each in records if _is_of(each, row)]
            own.sort(key=lambda each: (each["action"] == "aged", -abs(sum(each.get("trust_change", {}).values()))))
            after = float(row["trust"])
            facts.moves.append(
                Move(
                    **{name: row[name] for name in ("model_id", "context", "evidence")},
                    before=None if change is None else after - change,
                    after=after,
                    low=float(row["low"]),
                    high=float(row["high"]),
                    outcomes=int(row["new"]),
                    reasons=[f"{each['action']}: {each['reason']}" for each in own[:SHOWN_REASONS]],
                    witnesses=list(dict.fromkeys(name for each in own for name in each.get("witnesses", ()))),
                )
            )
    facts.moves.sort(key=_order)


def _order(move: Move) -> tuple[bool, float, str, str, str]:
    """Known trust that moved comes first, by how far; then new trust, by its outcomes."""
    is_new = move.before is None
    return is_new, -(move.outcomes if is_new else abs(move.change)), move.model_id, move.context, move.evidence


def _is_of(record: Mapping[str, Json], row: Mapping[str, str]) -> bool:
    place = tuple(record.get(name) for name in ("entity", "context", "evidence_class"))
    return place == (row["model_id"], row["context"], row["evidence"])


def _read_state(facts: TrustFacts, root: Path, cycle: int) -> None:
    path = facts.folder / "state.json"
    facts.state = read_json(path) if path.exists() else None


def _read_routing(facts: TrustFacts, root: Path, cycle: int) -> None:
    table = read_table(root, cycle)
    if table is None or table.cycle != cycle:
        return
    facts.routing = preferences(table)[:SHOWN_CONTEXTS]
