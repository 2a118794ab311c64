"""Choose the model with the best expected value, as a routing table knows it.

The value of a model's answer is

    multiplier * p - atp_value * ATP

where p is the chance of a success, and ATP = `atp` * (1 + words / 100) for a prompt of so many words. p is not known:
its posterior is Beta(alpha, beta). Thompson sampling (Thompson 1933; Russo et al., "A Tutorial on Thompson Sampling",
2018) draws p of every model and takes the best, so that a model is chosen as often as it is probably the best one.

There are 1,000 draws for each context and class of evidence. The generation's slot decides which of them chooses, so a
rerun chooses the same; and the *propensity* of a model, its share of all draws, is exact, not an estimate. The draws of
a model depend on its posterior alone: another candidate changes no draw.

Ties go to the lower ATP, then to the id that sorts first.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from ..generation.settings import LAYERS
from .atp import atp_cost
from .prompts import with_chances
from .table import Cell, Table

if TYPE_CHECKING:
    from numpy import ndarray

DRAWS = 1000
CRISIS = "crisis"  # the state in which the most capable model answers, whatever it costs


class Option(NamedTuple):
    """A candidate: its base ATP, the words that are sent to it before every prompt, and how many it can read in all."""

    model_id: str
    layer: str
    atp: float
    words: int = 0
    most_words: float = math.inf


class Expected(Struct, frozen=True):
    """What is expected of a model: the mean of its successes, the ATP of the answer, the value, and the probability
    with which it is chosen."""

    mean: float
    atp: float
    value: float
    propensity: float


class Decision(Struct, frozen=True):
    """What is known of a choice before the draw. `winners` are the numbers of the models in `order` that win the draws;
    empty if `order[0]` is chosen in any case (the others are its cascade, if any) or, with `is_uniform`, each with the
    same probability."""

    order: tuple[str, ...]
    expected: dict[str, Expected]
    why: dict[str, str]
    evidence: str = ""
    cycle: int = 0
    state: str = ""
    winners: tuple[int, ...] = ()
    is_uniform: bool = False

    def pick(self, slot: str) -> str:
        """The model that answers, for a generation of this slot."""
        number = int.from_bytes(hashlib.sha256(slot.encode()).digest(), "big")
        if self.is_uniform:
            return self.order[number % len(self.order)]
        return self.order[self.winners[number % DRAWS] if self.winners else 0]

    def chain(self) -> list[str]:
        """All candidates, those that cost less first."""
        return sorted(self.expected, key=lambda model_id: (self.expected[model_id].atp, model_id))


def explain(table: Table | None, context: str, words: int, options: Sequence[Option], **settings: object) -> str:
    """What a choice depends on, as a table for people; arguments as in `decide`."""
    decision = decide(table, context, words, options, **settings)
    head = f"context {context}, {words:,} words, evidence {decision.evidence or 'none'}, state {decision.state or '-'}"
    rows = [
        f"  {model_id}: success {one.mean:.2f}, {one.atp:.2f} ATP, value {one.value:.3f}, chosen {one.propensity:.1%}; "
        f"{decision.why[model_id]}"
        for model_id in decision.chain()
        for one in [decision.expected[model_id]]
    ]
    return "\n".join([head, *rows])


def decide(
    table: Table | None,
    context: str,
    words: int,
    options: Sequence[Option],
    *,
    budget_atp: float | None = None,
    cascade: bool = False,
    chances: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Decision:
    """What is known of the choice among `options` (at least one) for a prompt of so many words in a context.

    A model that cannot read so many words is left out, unless none can; so is a model whose ATP is above the budget
    (`budget_atp`, else the state's), and if all are, the cheapest is chosen.
    In the state crisis the budget does not count: of the most capable layer, the model with the best mean answers.
    With `cascade` the cheapest model whose expected value is above 0 is asked first. Without a table all have the
    same probability.
    """
    options = [option for option in options if words + option.words <= option.most_words] or options
    costs = {option.model_id: atp_cost(option.atp, words + option.words) for option in options}
    ordered = sorted(options, key=lambda option: (costs[option.model_id], option.model_id))
    budget = budget_atp if budget_atp is not None or table is None else table.state.budget_atp
    if table is None:
        return _without_table(ordered, costs, budget, cascade=cascade)
    evidence = table.evidence_for([option.model_id for option in ordered], context)
    known = [table.posterior(option.model_id, option.layer, context, evidence) for option in ordered]
    cells = with_chances(known, chances)
    weight, atp_value = table.state.multiplier, table.settings.atp_value
    values = [weight * cell.mean - atp_value * costs[cell.model_id] for cell in cells]
    if table.state.name == CRISIS:
        layer = max(LAYERS.index(option.layer) for option in ordered)
        able = [number for number, option in enumerate(ordered) if LAYERS.index(option.layer) == layer]
        first = max(able, key=lambda number: cells[number].mean)
        chosen, winners, reason = [first], (), f"crisis: the most capable layer, {LAYERS[layer]}, answers"
    else:
        chosen = [n for n, cell in enumerate(cells) if budget is None or costs[cell.model_id] <= budget]
        winners, reason = (), ""
        if not chosen:
            chosen, reason = [0], f"every model costs more than the budget of {budget:g} ATP: the cheapest answers"
        elif cascade:
            start = next((place for place, n in enumerate(chosen) if values[n] > 0), 0)
            chosen, reason = chosen[start:], "cascade: the cheapest with a chance first"
        elif len(chosen) == 1:
            reason = f"the only one within the budget of {budget:g} ATP" if len(ordered) > 1 else "the only candidate"
        else:
            names = [cells[n].model_id for n in chosen]
            winners = _winners(tuple(cells[n] for n in chosen), tuple(costs[m] for m in names), weight, atp_value)
    shares = {n: winners.count(place) / DRAWS for place, n in enumerate(chosen)} if winners else {chosen[0]: 1.0}
    minimum = table.settings.minimum_evidence
    why = {}
    for number, cell in enumerate(cells):
        known = f"{cell.n:g} outcomes in this context" + (", so it explores" if cell.n < minimum else "")
        left_out = budget is not None and costs[cell.model_id] > budget
        mine = f"best in {shares[number]:.1%} of the draws" if winners and number in shares else reason
        if number not in shares:
            next_one = "asked next" if number in chosen else f"not chosen ({reason})"
            mine = "above the budget" if left_out else next_one
        why[cell.model_id] = f"{mine}; {known}"
    return Decision(
        order=tuple(cells[n].model_id for n in chosen),
        expected={
            cell.model_id: Expected(cell.mean, costs[cell.model_id], values[n], shares.get(n, 0.0))
            for n, cell in enumerate(cells)
        },
        why=why,
        evidence=evidence,
        cycle=table.cycle,
        state=table.state.name,
        winners=winners,
    )


def _without_table(
    ordered: Sequence[Option], costs: dict[str, float], budget: float | None, *, cascade: bool
) -> Decision:
    """The decision before the first cycle: nothing is known, but costs are."""
    ids = [option.model_id for option in ordered]
    chosen = [model_id for model_id in ids if budget is None or costs[model_id] <= budget] or ids[:1]
    shares = {chosen[0]: 1.0} if cascade else dict.fromkeys(chosen, 1 / len(chosen))
    return Decision(
        order=tuple(chosen),
        expected={m: Expected(0.5, costs[m], 0.0, shares.get(m, 0.0)) for m in ids},
        why=dict.fromkeys(ids, "no table yet"),
        is_uniform=len(shares) > 1,
    )


@lru_cache(maxsize=4096)
def _winners(cells: tuple[Cell, ...], costs: tuple[float, ...], weight: float, atp_value: float) -> tuple[int, ...]:
    """The number of the model that wins each draw. Among equals the first wins."""
    import numpy as np

    draws = np.stack([_draws(cell) for cell in cells])
    return tuple((weight * draws - atp_value * np.array(costs)[:, None]).argmax(axis=0).tolist())


@lru_cache(maxsize=4096)
def _draws(cell: Cell) -> "ndarray":
    """Draws of a model's chance of success. They are seeded by what the posterior is of."""
    import numpy as np

    seed = hashlib.sha256(f"{cell.model_id}|{cell.context}|{cell.evidence}".encode()).digest()
    return np.random.default_rng(int.from_bytes(seed[:16], "big")).beta(cell.alpha, cell.beta, DRAWS)
