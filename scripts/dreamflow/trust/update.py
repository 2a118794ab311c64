"""A cycle of trust: new outcomes -> reputation records -> the table, the routing table, the state, the database."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DreamflowError
from ..files import pretty, write_atomic
from ..generation.models import Model
from ..outcomes.table import OutcomeRow, read_outcomes
from ..reports.markdown import counted, text_table
from ..routing.atp import words_of
from .database import write_database
from .folders import OUTCOMES, RECORDS, cycle_folder, cycles, earlier_outcomes
from .measure import measured_state
from .picture import draw_trust
from .posterior import EVERY, Posterior
from .report import write_report
from .spec import Trust
from .standing import Place, Standing, advance, read_records, record_lines, replay
from .table import Row, csv_text, table, trust_of, with_changes

SHOWN = 12  # rows of the table on the screen
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Past:
    """What earlier cycles have left: the standings, and the rows of every cycle, made from the records alone."""

    standings: Mapping[Place, Standing]
    trust: Mapping[Place, Posterior]
    rows: Sequence[Row]


def past(data_root: Path, cycle: int, layers: Mapping[str, str]) -> Past:
    """Replay the records of the cycles before `cycle`. Raises a `DreamflowError` for damaged ones."""
    standings: dict[Place, Standing] = {}
    trust: dict[Place, Posterior] = {}
    rows: list[Row] = []
    for number in (n for n in cycles(data_root) if n < cycle):
        path = cycle_folder(data_root, number) / RECORDS
        if not path.exists():
            continue
        records = read_records(path)
        if other := {record.cycle for record in records} - {number}:
            raise DreamflowError(f"{path}: it has records of cycle {min(other)}; put them back where they belong")
        standings = replay(records, standings)
        before, trust = trust, trust_of(standings, layers)
        rows += table(standings, trust, before, records, layers, number)
    return Past(standings, trust, rows)


def update(data_root: Path, cycle: int, models: Mapping[str, Model], settings: Trust) -> str:
    """Write the files of a cycle from its outcomes.csv and the cycles before; returns the table to print."""
    folder = cycle_folder(data_root, cycle)
    outcomes = read_outcomes(folder / OUTCOMES)
    layers = {model_id: model.known_layer for model_id, model in models.items()}
    earlier = past(data_root, cycle, layers)
    expected = {place: posterior.mean for place, posterior in earlier.trust.items()}
    drafts, verify = advance(
        earlier.standings,
        by_place(outcomes),
        expected,
        cycle,
        half_life=settings.half_life,
        revision_share=settings.revision_share,
        eta=settings.eta,
        minimum=settings.minimum_evidence,
    )
    standings = replay(drafts, earlier.standings)
    trust = trust_of(standings, layers)
    records = with_changes(drafts, earlier.standings, earlier.trust, trust)
    rows = table(standings, trust, earlier.trust, records, layers, cycle)
    state = measured_state(data_root, cycle, outcomes, expected)
    at = max((row.created_at or "" for row in outcomes), default="")
    routing = routing_table(cycle, trust, standings, models, settings, state, verify)
    write_atomic(folder / "trust.csv", csv_text(rows))
    write_atomic(folder / "state.json", pretty(state))
    write_atomic(folder / "routing.json", pretty(routing))
    draw_trust([*earlier.rows, *rows], folder / "trust.png")
    write_database(rows, at, data_root, folder / "trust.sqlite")
    everything = [*earlier_outcomes(data_root, cycle), *outcomes]
    write_report(cycle, rows, records, everything, routing, state, folder / "trust.md")
    write_atomic(folder / RECORDS, record_lines(records))
    return _shown(cycle, rows, outcomes, state, folder)


def by_place(outcomes: Iterable[OutcomeRow]) -> dict[Place, list[OutcomeRow]]:
    """The outcomes of each place, in the order of their time."""
    places: dict[Place, list[OutcomeRow]] = defaultdict(list)
    for row in sorted(outcomes, key=lambda row: (row.created_at or "", row.outcome_id)):
        places[Place(row.model_id, row.context, row.evidence_class)].append(row)
    return dict(places)


def routing_table(
    cycle: int,
    trust: Mapping[Place, Posterior],
    standings: Mapping[Place, Standing],
    models: Mapping[str, Model],
    settings: Trust,
    state: Mapping[str, object],
    verify: Sequence[Place],
) -> dict[str, object]:
    """The table by which `model: auto` is resolved (see `routing.table`): models that are configured, and layers."""
    cells = []
    for place, posterior in sorted(trust.items()):
        # A model without outcomes has no cell: the prior of its layer holds for it.
        if place.model_id.startswith(EVERY) or (place.model_id in models and posterior.n > 0):
            standing = standings.get(place)
            cells.append({
                **place._asdict(),
                "outcomes": standing.outcomes if standing else None,
                **{name: round(getattr(posterior, name), 6) for name in ("alpha", "beta", "n", "mean", "low", "high")},
            })  # fmt: skip
    return {
        "schema_version": SCHEMA_VERSION,
        "cycle": cycle,
        "state": {name: state[name] for name in ("name", "budget_atp", "multiplier")},
        "settings": {name: getattr(settings, name) for name in ("minimum_evidence", "atp_value", "evidence")},
        "models": {
            model_id: {
                "layer": model.known_layer,
                "atp": model.atp,
                "revision": model.revision,
                "words": words_of(model.example_turns),
            }
            for model_id, model in sorted(models.items())
        },
        "cells": cells,
        "verify": [place._asdict() for place in verify if place.model_id in models],
    }


def _shown(
    cycle: int, rows: Sequence[Row], outcomes: Sequence[OutcomeRow], state: Mapping[str, object], folder: Path
) -> str:
    """The table on the screen: the places that changed most, after the whole of each model."""
    head = f"trust, cycle {cycle}: {counted(len(outcomes), 'new outcome')}; state {state['name']}"
    if not rows:
        return f"{head}. No model has an outcome yet: run `snakemake probe`, for example."
    order = sorted(rows, key=lambda row: (row.context != EVERY, -abs(row.change or 0), -row.new, row.place))
    cells = [
        (
            row.model_id,
            "all contexts" if row.context == EVERY else row.context,
            row.evidence,
            f"{row.trust:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            "new" if row.change is None else f"{row.change:+.2f}",
            f"{row.new:,} of {row.outcomes:,}",
        )
        for row in order[:SHOWN]
    ]
    header = ("model", "context", "evidence", "trust", "90% interval", "change", "new outcomes")
    more = f"\n  ... and {len(rows) - SHOWN} more rows" if len(rows) > SHOWN else ""
    return f"{head}\n\n{text_table([header, *cells], left=3)}{more}\n\nAll of it: {folder}/"
