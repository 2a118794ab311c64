"""The table of trust: a row for each model, context and class of evidence."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..generation.model import as_json
from .posterior import EVERY, Posterior, posteriors
from .standing import RELIABILITY, Place, Reputation, Standing, replay


class Row(Struct, frozen=True, kw_only=True):
    """A row of trust.csv. `trust` is the mean of the Beta posterior (`alpha`, `beta`), `low` and `high` its 90%
    interval; `n` is the weight of the outcomes after ageing, `outcomes` their number ever and `new` in this cycle;
    `change` is that of `trust` since the cycle before, and `moving_average` the trust by the plain rule, which knows
    neither uncertainty nor age."""

    cycle: int
    model_id: str
    layer: str
    context: str
    evidence: str
    trust: float
    low: float
    high: float
    n: float
    outcomes: int
    new: int
    change: float | None
    successes: float
    failures: float
    alpha: float
    beta: float
    moving_average: float | None
    revision: str
    last_cycle: int | None

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return Place(self.model_id, self.context, self.evidence)


def trust_of(standings: Mapping[Place, Standing], layers: Mapping[str, str]) -> dict[Place, Posterior]:
    """The posteriors of all places with evidence, of their models (context `EVERY`) and of their layers, for each class
    of evidence by itself. `layers` has the layer of each model that is configured."""
    result: dict[Place, Posterior] = {}
    for evidence in sorted({place.evidence for place in standings}):
        own = {place: standing for place, standing in standings.items() if place.evidence == evidence}
        counts = {(place.model_id, place.context): (s.successes, s.failures) for place, s in own.items()}
        for (model_id, context), posterior in posteriors(counts, layers).items():
            result[Place(model_id, context, evidence)] = posterior
    return result


def table(
    standings: Mapping[Place, Standing],
    trust: Mapping[Place, Posterior],
    before: Mapping[Place, Posterior],
    records: Iterable[Reputation],
    layers: Mapping[str, str],
    cycle: int,
) -> list[Row]:
    """The rows of a cycle, by model, context and class of evidence. `before` is the trust of the cycle before,
    `records` are those of this cycle."""
    new: Counter[Place] = Counter()
    for record in records:
        for place in (record.place, record.place._replace(context=EVERY)):
            new[place] += record.outcomes
    known = {**_totals(standings), **standings}
    rows = []
    for place, posterior in sorted(trust.items()):
        standing = known.get(place)
        if standing is None:  # a layer, or a model without outcomes
            continue
        is_own = place in standings
        earlier = before.get(place) or before.get(place._replace(context=EVERY))
        rows.append(
            Row(
                cycle=cycle,
                model_id=place.model_id,
                layer=layers.get(place.model_id, ""),
                context=place.context,
                evidence=place.evidence,
                trust=posterior.mean,
                low=posterior.low,
                high=posterior.high,
                n=standing.successes + standing.failures,
                outcomes=standing.outcomes,
                new=new[place],
                change=posterior.mean - earlier.mean if earlier else None,
                successes=standing.successes,
                failures=standing.failures,
                alpha=posterior.alpha,
                beta=posterior.beta,
                moving_average=standing.moving_average if is_own else None,
                revision=standing.revision,
                last_cycle=standing.last_cycle if is_own else None,
            )
        )
    return rows


def _totals(standings: Mapping[Place, Standing]) -> dict[Place, Standing]:
    """What the standings of a model in all contexts add up to, by class of evidence."""
    totals: dict[Place, Standing] = {}
    for place, own in standings.items():
        every = place._replace(context=EVERY)
        total = totals.get(every, Standing())
        names = ("successes", "failures", "outcomes")
        totals[every] = Standing(**{name: getattr(total, name) + getattr(own, name) for name in names})
    return totals


def with_changes(
    records: Sequence[Reputation],
    before: Mapping[Place, Standing],
    trust_before: Mapping[Place, Posterior],
    trust: Mapping[Place, Posterior],
) -> list[Reputation]:
    """The records of a cycle with what each changed of its place's trust; together they make the whole change.

    Each record has the step by Laplace's rule. The first record of a place also has the rest of the change, which
    follows from other contexts and models.
    """
    steps: dict[Place, list[tuple[int, float]]] = {}
    now = dict(before)
    for number, record in enumerate(records):
        place = record.place
        start = _mean(now.get(place, Standing()))
        now[place] = replay([record], {place: now.get(place, Standing())})[place]
        steps.setdefault(place, []).append((number, _mean(now[place]) - start))
    changes = [0.0] * len(records)
    for place, own in steps.items():
        earlier = trust_before.get(place) or trust_before.get(place._replace(context=EVERY))
        whole = trust[place].mean - (earlier.mean if earlier else 0.5)
        for number, step in own:
            changes[number] = step
        changes[own[0][0]] += whole - sum(step for _, step in own)
    return [
        replace(record, trust_change={RELIABILITY: round(change, 6)})
        for record, change in zip(records, changes, strict=True)
    ]


def _mean(standing: Standing) -> float:
    """The mean after a uniform prior (Laplace's rule of succession)."""
    return (standing.successes + 1) / (standing.successes + standing.failures + 2)


def csv_text(rows: Iterable[Row]) -> str:
    """The rows as CSV; unknown values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row.__struct_fields__)
    for row in rows:
        values = as_json(row).values()
        writer.writerow([round(value, 6) if isinstance(value, float) else value for value in values])
    return text.getvalue()
