"""What other ways of choosing models would have achieved, estimated from the choices that `model: auto` has made."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..outcomes.table import OutcomeRow
from ..routing.choices import ChoiceFile
from ..routing.choose import Expected
from .offpolicy import Estimate, Logged, doubly_robust, self_normalised

FEWEST = 20  # choices with an outcome, below which nothing is estimated
Policy = Callable[[Mapping[str, Expected]], str]  # what was expected of each candidate -> the one that it takes


class Estimated(NamedTuple):
    """A policy over the logged choices: its mean outcome, doubly robust and by inverse propensities (self-normalised;
    None if none of its choices was made), the mean ATP, and the share of its choices that were made."""

    name: str
    outcome: Estimate
    by_weights: Estimate | None
    atp: float
    agreement: float


def estimate_policies(outcomes: Sequence[OutcomeRow], choices: ChoiceFile) -> list[Estimated]:
    """The policies: as it was, each candidate alone, the cheapest, and the one with the best expected outcome.

    Choices count if an exact outcome shows what came of them. None are returned with fewer than `FEWEST` choices.
    """
    expected = {choice.slot: choice.expected for choice in choices.read() if choice.expected}
    rows = {row.slot: row for row in outcomes if row.slot in expected and row.evidence_class == "exact"}
    logged = [(row, expected[slot]) for slot, row in sorted(rows.items())]
    if len(logged) < FEWEST:
        return []
    everyone = [set(one) for _, one in logged]
    always = sorted(set.intersection(*everyone))
    policies: dict[str, Policy] = {f"always {name}": lambda one, name=name: name for name in always}
    policies["always the cheapest"] = lambda one: min(one, key=lambda name: (one[name].atp, name))
    policies["the best expected outcome"] = lambda one: max(
        one, key=lambda name: (one[name].mean, -one[name].atp, name)
    )
    own = [_logged(row, one, {name: each.propensity for name, each in one.items()}) for row, one in logged]
    made = sum(one[row.model_id].atp for row, one in logged) / len(logged)
    found = [Estimated("as it was", doubly_robust(own), self_normalised(own), made, 1.0)]
    for name, policy in policies.items():
        taken = [policy(one) for _, one in logged]
        other = [_logged(row, one, {model: 1.0}) for (row, one), model in zip(logged, taken, strict=True)]
        same = sum(row.model_id == model for (row, _), model in zip(logged, taken, strict=True))
        by_weights = self_normalised(other) if same else None
        atp = sum(one[model].atp for (_, one), model in zip(logged, taken, strict=True)) / len(logged)
        found.append(Estimated(name, doubly_robust(other), by_weights, atp, same / len(logged)))
    return found


def _logged(row: OutcomeRow, expected: Mapping[str, Expected], policy: Mapping[str, float]) -> Logged:
    means = {name: one.mean for name, one in expected.items()}
    return Logged(row.model_id, row.propensity, row.outcome, policy, means)
