"""What a routing table prefers in each context, and what that saves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .choose import Option, decide
from .table import EVERY_CONTEXT, Table

WORDS = 100  # of a prompt, where its length is not known


@dataclass(frozen=True)
class Preference:
    """What routing prefers in a context: the model and how often it is chosen, its expected success and ATP, compared
    with the model that is expected to succeed most often. `n` is the weight of the outcomes of all models there."""

    context: str
    evidence: str
    n: float
    model_id: str
    share: float
    mean: float
    atp: float
    best_id: str
    best_mean: float
    best_atp: float

    @property
    def saved(self) -> float | None:
        """The share of the ATP that it saves; None if it is the same model, or that costs nothing."""
        return 1 - self.atp / self.best_atp if self.best_id != self.model_id and self.best_atp else None


def preferences(table: Table, words: Mapping[str, int] | None = None) -> list[Preference]:
    """The preferences of a table, over all contexts and then in those with most outcomes first; none with fewer than
    two models that have outcomes. `words` are those of a usual prompt in a context; 100 where they are not known."""
    known = dict.fromkeys(cell.model_id for cell in table.cells if cell.model_id in table.models)
    options = [Option(name, one.layer, one.atp, one.words) for name in known for one in [table.models[name]]]
    size: dict[str, float] = {}
    for cell in table.cells:
        if cell.model_id in known and cell.context != EVERY_CONTEXT:
            size[cell.context] = size.get(cell.context, 0.0) + cell.n
    if len(options) < 2:
        return []
    contexts = [EVERY_CONTEXT, *sorted(size, key=lambda context: (-size[context], context))]
    size[EVERY_CONTEXT] = sum(size.values())
    usual = words or {}
    return [_preference(table, context, size[context], usual.get(context, WORDS), options) for context in contexts]


def _preference(table: Table, context: str, n: float, words: int, options: Sequence[Option]) -> Preference:
    decision = decide(table, context, words, options)
    expected = decision.expected
    preferred = max(expected, key=lambda name: (expected[name].propensity, -expected[name].atp, name))
    best = max(expected, key=lambda name: (expected[name].mean, -expected[name].atp, name))
    return Preference(
        **{"context": context, "evidence": decision.evidence, "n": n, "model_id": preferred},
        **{"share": expected[preferred].propensity, "mean": expected[preferred].mean, "atp": expected[preferred].atp},
        **{"best_id": best, "best_mean": expected[best].mean, "best_atp": expected[best].atp},
    )
