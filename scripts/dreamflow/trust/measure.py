"""What was measured in a cycle, and the metabolic state that follows from it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..cycles import nights_folder, open_night, read_night
from ..errors import DreamflowError
from ..files import read_json, read_jsonl
from ..generation.model import Json
from ..nights.state import read_phases
from ..outcomes.table import OutcomeRow
from ..routing.states import measure, next_state
from .folders import cycle_folder
from .standing import Place

SUCCEEDED = {"done": True, "failed": False}  # by the status of a phase of a night; one that a limit ended is neither


def measured_state(
    data_root: Path, cycle: int, outcomes: Sequence[OutcomeRow], expected: Mapping[Place, float]
) -> dict[str, Json]:
    """The state after a cycle (see `routing.states`). `expected` is the trust before the cycle.

    Measured are: outcomes against what was expected, the phases of the open night, the salience of the experiences that
    the cycle's answers made, the seconds of its answers, and the share of the night's minutes that they took.
    """
    night = open_night(data_root)
    own = _state(data_root, cycle)
    if night is None and own and (own.get("measured") or {}).get("night"):
        return dict(own)  # of the night that made this cycle; by day nothing more is known of it
    pairs = [
        (row.outcome, expected.get(Place(row.model_id, row.context, row.evidence_class)))
        for row in outcomes
        if row.evidence_class == "exact"
    ]
    busy_s = sum(row.latency_s or 0.0 for row in {row.gen_id: row for row in outcomes}.values())
    measured = measure(
        cycle,
        night=night is not None,
        outcomes=pairs,
        succeeded=[] if night is None else _phases(data_root, night),
        saliences=_saliences(data_root, {row.gen_id for row in outcomes}),
        busy_s=round(busy_s, 3),
        load=None if night is None else _load(data_root, night),
    )
    return next_state(_state(data_root, cycle - 1), measured)


def _state(data_root: Path, cycle: int) -> Mapping[str, Json] | None:
    """The state after a cycle; None if it has none."""
    path = cycle_folder(data_root, cycle) / "state.json"
    try:
        state = read_json(path) if path.exists() else None
    except DreamflowError:
        return {}  # counts as damaged, which is among the reasons
    return state if state is None or isinstance(state, dict) else {}


def _phases(data_root: Path, night: int) -> list[bool]:
    """For each phase of a night that ran, whether it succeeded."""
    phases, _ = read_phases(nights_folder(data_root) / str(night))
    return [SUCCEEDED[phase.status] for phase in phases if phase.status in SUCCEEDED]


def _load(data_root: Path, night: int) -> float | None:
    """The share of a night's minutes that its phases took; None without a limit."""
    limits = read_night(data_root, night).get("limits") or {}
    minutes = limits.get("minutes")
    phases, _ = read_phases(nights_folder(data_root) / str(night))
    seconds = sum(phase.seconds for phase in phases)
    return round(seconds / 60 / minutes, 4) if minutes else None


def _saliences(data_root: Path, gen_ids: set[str]) -> list[float]:
    files = sorted((data_root / "experiences").glob("cycle-*.jsonl"))
    rows: Iterable[Mapping[str, Json]] = (row for file in files for row in read_jsonl(file))
    return [row["salience"] for row in rows if row["gen_id"] in gen_ids and row["salience"] is not None]
