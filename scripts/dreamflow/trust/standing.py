"""The standing of models: what their outcomes add up to in each context, and the reputation records that change it.

Only records change a standing, so the table of a cycle follows from the records of all cycles. Records have the fields
of R7 of the web4 specification: entity, action, trust_change, reason and witnesses (the files of evidence).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import decode
from msgspec.structs import replace

from ..errors import DreamflowError
from ..files import canonical, read_text
from ..generation.model import as_json
from ..outcomes.table import OutcomeRow
from ..reports.markdown import counted
from .posterior import ageing, discount, moving_average, surprise

REMEDY = "Restore the file, or delete this cycle and the later ones: their outcomes are then collected again as one"
RELIABILITY = "T3_reliability"  # R7's name of the trust that answers change


class Place(NamedTuple):
    """Where trust belongs: a model, a context and a class of evidence."""

    model_id: str
    context: str
    evidence: str


class Standing(Struct, frozen=True, kw_only=True):
    """The evidence on a model in a context: weighted successes and failures, aged; the number of outcomes ever; the
    moving average; the model's revision and the cycle of the last outcome."""

    successes: float = 0.0
    failures: float = 0.0
    outcomes: int = 0
    moving_average: float = 0.5
    revision: str = ""
    last_cycle: int = 0


class Reputation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of a standing: what was there counts `factor` times, then successes, failures and outcomes are added."""

    cycle: int
    entity: str
    context: str
    evidence_class: str
    action: str
    reason: str
    trust_change: dict[str, float] = {}
    witnesses: list[str] = []
    factor: float = 1.0
    successes: float = 0.0
    failures: float = 0.0
    outcomes: int = 0
    moving_average: float | None = None
    revision: str | None = None

    @property
    def place(self) -> Place:
        """Where it changes trust."""
        return Place(self.entity, self.context, self.evidence_class)


def advance(
    standings: Mapping[Place, Standing],
    outcomes: Mapping[Place, Sequence[OutcomeRow]],
    expected: Mapping[Place, float],
    cycle: int,
    *,
    half_life: float,
    revision_share: float,
    eta: float,
    minimum: float,
) -> tuple[list[Reputation], list[Place]]:
    """The records of a cycle, and the places that its outcomes make worth verifying.

    `outcomes` are the new ones of each place in the order of their time, `expected` the trust before. Evidence ages by
    `half_life` (cycles), counts `revision_share` when the model has changed, and less when at least `minimum` outcomes
    were far from what was expected (see `posterior.surprise`).
    """
    records, verify = [], []
    for place in sorted({*standings, *outcomes}):
        before, new = standings.get(place, Standing()), outcomes.get(place, ())
        record = _recorder(place, cycle)
        if before.outcomes:
            records.append(
                record(
                    action="aged",
                    reason=f"a cycle passed; evidence counts half after {half_life:g}",
                    factor=ageing(1, half_life),
                )
            )
        revision = next((item.revision for item in reversed(new) if item.revision), before.revision)
        if before.revision and revision != before.revision:
            records.append(
                record(
                    action="changed",
                    reason=f"another revision of the model: {revision[:12]} after {before.revision[:12]}",
                    factor=revision_share,
                )
            )
        weight = sum(item.weight for item in new)
        if before.outcomes and weight >= minimum and place in expected:
            seen = sum(item.weight * item.outcome for item in new) / weight
            size, advice = surprise(seen, expected[place])
            if advice != "go on":
                verify.append(place)
                said = f"{seen:.2f} where {expected[place]:.2f} was expected (surprise {size:.2f}): {advice}"
                records.append(record(action="surprised", reason=said, factor=discount(advice)))
        average = before.moving_average
        groups: dict[tuple[str, str], list[OutcomeRow]] = defaultdict(list)
        for item in new:
            groups[item.kind, item.verified_by].append(item)
        for (kind, verified_by), items in groups.items():
            for item in items:
                average = moving_average(average, item.outcome, eta)
            successes = sum(item.weight * item.outcome for item in items)
            records.append(
                record(
                    action=f"answered {kind}",
                    reason=_said(items, verified_by),
                    witnesses=sorted({file for item in items for file in item.evidence.split("; ")}),
                    successes=successes,
                    failures=sum(item.weight for item in items) - successes,
                    outcomes=len(items),
                    moving_average=average,
                    revision=revision,
                )
            )
    return records, verify


def _recorder(place: Place, cycle: int):  # noqa: ANN202
    def record(**fields: object) -> Reputation:
        return Reputation(
            cycle=cycle, entity=place.model_id, context=place.context, evidence_class=place.evidence, **fields
        )

    return record


def _said(items: Sequence[OutcomeRow], verified_by: str) -> str:
    if {item.outcome for item in items} <= {0, 1}:
        return f"{sum(item.outcome == 1 for item in items)} of {len(items)} right, by {verified_by}"
    mean = sum(item.outcome for item in items) / len(items)
    return f"{counted(len(items), 'outcome')}, {mean:.2f} on average, by {verified_by}"


def replay(records: Iterable[Reputation], standings: Mapping[Place, Standing] | None = None) -> dict[Place, Standing]:
    """The standings after the records, in their order, from `standings` (none) on."""
    now = dict(standings or {})
    for record in records:
        old = now.get(record.place, Standing())
        changed = replace(
            old,
            successes=old.successes * record.factor + record.successes,
            failures=old.failures * record.factor + record.failures,
            outcomes=old.outcomes + record.outcomes,
        )
        if record.outcomes:
            changed = replace(changed, last_cycle=record.cycle)
        if record.moving_average is not None:
            changed = replace(changed, moving_average=record.moving_average)
        if record.revision is not None:
            changed = replace(changed, revision=record.revision)
        now[record.place] = changed
    return now


def record_lines(records: Iterable[Reputation]) -> str:
    """The text of a file of records."""
    return "".join(canonical(as_json(record)) + "\n" for record in records)


def read_records(path: Path) -> list[Reputation]:
    """The records in a file. Raises a `DreamflowError` that names an invalid line."""
    records = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        try:
            records += [decode(line, type=Reputation)] if line else []
        except (DecodeError, ValidationError) as error:
            raise DreamflowError(f"{path}:{number}: not a reputation record: {error}. {REMEDY}") from None
    return records
