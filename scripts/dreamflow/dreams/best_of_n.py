"""Compare dreams with plain sampling at the same cost: best-of-N."""

from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct

from .health import known_values, rounded
from .records import Record

DREAMS = ("relax", "synthesise")


class Side(Struct, frozen=True):
    """The compared variants of one side, out of `of`. `best_viability` is None without verdicts."""

    variants: int
    of: int
    cost: float
    best_viability: float | None
    mean_novelty: float | None
    tier_1: int


class Comparison(Struct, frozen=True):
    """Both sides. The `unit` of costs is "cost_usd" if all prices are known and above 0, else "tokens"; `says` is the
    result in words, or why no comparison is possible."""

    unit: str
    dreams: Side
    samples: Side
    says: str


def comparison(table: Sequence[Record]) -> Comparison:
    """Compare dreams (relax, synthesise) with plain samples (sample) of the same total cost.

    The more expensive side is cut, in plan order, after the variant that reaches the cost of the other side. Only
    variants that could be made count, with the full cost of their answers and verdicts.
    """
    compared = [record for record in table if record.check]
    dreams = [record for record in compared if record.kind in DREAMS]
    samples = [record for record in compared if record.kind == "sample"]
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
        names = [("dreams (relax or synthesise)", dreams), ("plain samples", samples)]
        return f"No comparison: this cycle has no {' and no '.join(name for name, side in names if not side.of)}."
    what = "dollars" if unit == "cost_usd" else "tokens"
    spent = f"{dreams.cost:,g} {what} on dreams, {samples.cost:,g} on samples"
    least, most = sorted((dreams.cost, samples.cost))
    if not least:
        equal = f"The costs are not known ({spent}), so the comparison ignores them."
    elif most > 1.1 * least:
        equal = f"The budgets differ ({spent}): the variants are too expensive for a closer cut."
    else:
        equal = f"At about equal cost ({spent})."
    if dreams.best_viability is None or samples.best_viability is None:
        return f"{equal} Without verdicts, neither side can be called better."
    better = []
    for name, words in (
        ("tier_1", "more variants in tier 1"),
        ("best_viability", "a higher best viability"),
        ("mean_novelty", "a higher mean novelty"),
    ):
        ours, theirs = getattr(dreams, name), getattr(samples, name)
        if ours == theirs or ours is None or theirs is None:
            better.append(f"no difference in {words.removeprefix('more ').removeprefix('a higher ')}")
        else:
            side = "dreams" if ours > theirs else "samples"
            better.append(f"{side} have {words} ({max(ours, theirs):g} against {min(ours, theirs):g})")
    text = "; ".join(better)
    return f"{equal} {text[0].upper()}{text[1:]}."
