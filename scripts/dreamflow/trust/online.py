"""Trust while answers come in one at a time: posteriors that keep up, and forget what a change made untrue.

Counts are added at once; what the levels of the hierarchy tell each other is recomputed every REFIT outcomes. A change
of a model in a context (`drift.change_point`) drops the outcomes before it. Evidence also ages with every outcome, so
that models that are not asked for long are tried again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .drift import change_point
from .posterior import EVERY, ageing, posteriors

REFIT = 250  # outcomes
RECENT = 300  # outcomes of a model in a context in which changes are looked for
CHECKED = 5  # outcomes between two looks
HALF_LIFE = 3000  # outcomes, of all models

Key = tuple[str, str]


@dataclass
class OnlineTrust:
    """The state of an online learner: `cells` has (alpha, beta) of each (model, context)."""

    layers: Mapping[str, str]  # of the models
    contexts: Sequence[str]
    half_life: float = HALF_LIFE
    counts: dict[Key, list[float]] = field(default_factory=dict)
    cells: dict[Key, list[float]] = field(default_factory=dict)
    recent: dict[Key, list[float]] = field(default_factory=dict)
    since: dict[Key, int] = field(default_factory=dict)  # outcomes since the last look for a change
    seen: int = 0
    changes: list[tuple[int, Key]] = field(default_factory=list)  # when which model changed in which context

    def __post_init__(self) -> None:
        self.refit()

    def refit(self) -> None:
        """Recompute the cells from all counts."""
        known = posteriors({key: (value[0], value[1]) for key, value in self.counts.items()}, self.layers)
        for model in self.layers:
            for context in self.contexts:
                own = known.get((model, context)) or known[model, EVERY]
                self.cells[model, context] = [own.alpha, own.beta]

    def observe(self, model: str, context: str, outcome: float) -> bool:
        """Learn from an outcome in [0, 1]; whether it showed that the model has changed in this context."""
        key = model, context
        self.seen += 1
        for values in (self.counts.setdefault(key, [0.0, 0.0]), self.cells[key]):
            values[0] += outcome
            values[1] += 1 - outcome
        recent = self.recent.setdefault(key, [])
        recent.append(outcome)
        del recent[:-RECENT]
        self.since[key] = self.since.get(key, 0) + 1
        changed = self.since[key] >= CHECKED and self._check(key)
        if changed or self.seen % REFIT == 0:
            if self.seen % REFIT == 0:
                share = ageing(REFIT, self.half_life)
                self.counts = {key: [share * value for value in values] for key, values in self.counts.items()}
            self.refit()
        return changed

    def _check(self, key: Key) -> bool:
        self.since[key] = 0
        place = change_point(self.recent[key])
        if place is None:
            return False
        kept = self.recent[key][place:]
        self.recent[key] = kept
        self.counts[key] = [sum(kept), len(kept) - sum(kept)]
        self.changes.append((self.seen, key))
        return True
