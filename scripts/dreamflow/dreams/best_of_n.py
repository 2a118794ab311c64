"""Whether dreaming beats plain sampling at the same cost: best-of-N."""

from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct

from .health import known_values, rounded
from .records import Record

DREAMT = ("relax", "synthesise")


class Side(Struct, frozen=True):
    """The variants of one side: so many `of` all are compared. `best_viability` is None without verdicts."""

    variants: int
    of: int
    cost: float
    best_viability: float | None
    mean_novelty: float | None
    tier_1: int


class Comparison(Struct, frozen=True):
    """Both sides. The `unit` of costs is "cost_usd" where all prices are known and none is 0, else "tokens"; `says`
    puts the comparison, or why it cannot be made, in words."""

    unit: str
    dreams: Side
    samples: Side
    says: str


def comparison(table: Sequence[Record]) -> Comparison:
    """Dreams (relax, synthesise) against as much plain sampling (kind sample) by cost.

    The more expensive side is cut, in the order of the plan, at the variant with which it reaches the cost of the
    other. Only variants that were made are compared, and all that they cost: answers and verdicts.
    """
    made = [record for record in table if record.check]
    dreams = [record for record in made if record.kind in DREAMT]
    samples = [record for record in made if record.kind == "sample"]
    unit = "cost_usd" if all(record.cost_usd for record in (*dreams, *samples)) else "tokens"
    budget = min(_cost(dreams, unit), _cost(samples, unit))
    sides = [_side(_up_to(records, unit, budget), len(records), unit) for records in (dreams, samples)]
    return Comparison(unit, *sides, _says(*sides, unit))


def _cost(records: Sequence[Record], unit: str) -> float:
    return sum(getattr(record, unit) for record in records)


def _up_to(records: Sequence[Record], unit: str, budget: float) -> list[Record]:
    """The first variants whose cost reaches the budget."""
    kept: list[Record] = []
    for record in records:
        if _cost(kept, unit) >= budget > 0:
            break
        kept.append(record)
    return kept


def _side(kept: Sequence[Record], of: int, unit: str) -> Side:
    novelties = known_values(kept, "novelty")
    return Side(
        variants=len(kept),
        of=of,
        cost=rounded(_cost(kept, unit)),
        best_viability=max(known_values(kept, "viability"), default=None),
        mean_novelty=rounded(fmean(novelties)) if novelties else None,
        tier_1=sum(record.tier == 1 for record in kept),
    )


def _says(dreams: Side, samples: Side, unit: str) -> str:
    if not dreams.of or not samples.of:
        missing = " and ".join(
            name
            for name, side in (("dreams by relax or synthesise", dreams), ("plain samples", samples))
            if not side.of
        )
        return f"No comparison: this cycle has no {missing}."
    what = "dollars" if unit == "cost_usd" else "tokens"
    spent = f"{dreams.cost:,g} {what} on dreams, {samples.cost:,g} on samples"
    least, most = sorted((dreams.cost, samples.cost))
    if not least:
        equal = f"The costs are not known ({spent}), so the sides are compared as they are."
    elif most > 1.1 * least:
        equal = f"The budgets differ ({spent}): a variant is too dear to cut them closer."
    else:
        equal = f"At about equal cost ({spent})."
    if dreams.best_viability is None or samples.best_viability is None:
        return f"{equal} Verdicts are missing, so neither side can be called better."
    better = []
    for name, word in (
        ("tier_1", "variants in tier 1"),
        ("best_viability", "best viability"),
        ("mean_novelty", "mean novelty"),
    ):
        ours, theirs = getattr(dreams, name), getattr(samples, name)
        verb = "more" if name == "tier_1" else "a higher"
        if ours == theirs or ours is None or theirs is None:
            better.append(f"no difference in {word}")
        else:
            side = "dreams" if ours > theirs else "samples"
            better.append(f"{side} have {verb} {word} ({max(ours, theirs):g} against {min(ours, theirs):g})")
    return f"{equal} {'; '.join(better)[0].upper()}{'; '.join(better)[1:]}."
