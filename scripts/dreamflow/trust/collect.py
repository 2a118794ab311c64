"""The outcomes of a cycle: collected from the results of all families, and sorted into contexts."""

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import asdict

from ..config import under
from ..family import World
from ..files import canonical, write_atomic
from ..outcomes.collect import collect_outcomes
from ..outcomes.outcome import Outcome
from ..outcomes.table import OutcomeRow, new_outcomes, outcome_rows, write_outcomes
from ..reports.markdown import counted
from ..routing.context_report import context_report
from ..routing.contexts import compile_named, context_of
from ..routing.prompts import FILE as PROMPTS
from ..routing.prompts import Example, fit_prompts
from ..routing.similarity import TfidfContexts
from ..settings import in_config
from .folders import OUTCOMES, cycle_folder, earlier_outcomes
from .posterior import ageing

CLASSIFIER = "contexts.json"


def write_cycle_outcomes(world: World, cycle: int) -> str:
    """Write outcomes.csv (the outcomes that no earlier cycle has) and contexts.md of a cycle, and contexts.json if they
    are sorted by similarity; returns a line with the counts."""
    root, folder = world.layout.root, cycle_folder(world.layout.root, cycle)
    models = world.models
    everything, left_out = collect_outcomes(root, world.catalog.root, models)
    earlier = earlier_outcomes(root, cycle)
    new = new_outcomes(everything, earlier)
    layers = {model_id: model.known_layer for model_id, model in models.items()}
    atp = {model_id: model.atp for model_id, model in models.items()}
    contexts = dict(zip((outcome.outcome_id for outcome in new), _contexts(world, new, everything, cycle), strict=True))
    rows = outcome_rows(new, cycle, lambda outcome: contexts[outcome.outcome_id], layers, atp)
    texts = [
        {"text": o.prompt, "kind": o.kind, "model_id": o.model_id, "outcome": o.outcome}
        for o in everything
        if o.prompt and o.evidence_class == "exact"
    ]
    write_atomic(folder / "contexts.md", context_report(texts))
    write_outcomes(folder / OUTCOMES, rows)
    _write_prompts(world, cycle, everything, [*earlier, *rows])
    reasons = "; ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))
    return f"{counted(len(rows), 'new outcome')} in cycle {cycle} of trust" + (
        f" (left out: {reasons})" if reasons else ""
    )


def _write_prompts(world: World, cycle: int, everything: Sequence[Outcome], rows: Sequence[OutcomeRow]) -> None:
    """Write prompts.json, trust by prompt for each class of evidence with enough outcomes, if they are sorted by
    similarity. Outcomes of earlier cycles weigh less, as in trust."""
    trust, path = world.settings.trust, cycle_folder(world.layout.root, cycle) / PROMPTS
    if "similarity" not in trust.contexts.by:
        path.unlink(missing_ok=True)
        return
    texts = {outcome.outcome_id: outcome.prompt for outcome in everything}
    examples: dict[str, list[Example]] = {}
    for row in rows:
        if texts.get(row.outcome_id) and row.model_id in world.models:
            weight = row.weight * ageing(cycle - row.cycle, trust.half_life)
            example = Example(texts[row.outcome_id], row.context, row.model_id, row.outcome, weight)
            examples.setdefault(row.evidence_class, []).append(example)
    fitted = {evidence: fit_prompts(mine) for evidence, mine in sorted(examples.items())}
    write_atomic(path, canonical({evidence: asdict(known) for evidence, known in fitted.items() if known}))


def _contexts(world: World, new: Sequence[Outcome], everything: Sequence[Outcome], cycle: int) -> list[str]:
    """The context of each new outcome: the one in which its model was chosen, if it was, else by the settings."""
    settings = world.settings.trust.contexts
    with in_config({}), under("trust", "contexts", "named"):
        named = compile_named(settings.named)
    similarity = None
    path = cycle_folder(world.layout.root, cycle) / CLASSIFIER
    if "similarity" in settings.by:
        similarity = TfidfContexts.fit(list(dict.fromkeys(o.prompt for o in everything if o.prompt)))
        write_atomic(path, canonical(similarity.as_dict()))
    else:
        path.unlink(missing_ok=True)
    contexts = []
    for outcome in new:
        kind = outcome.context if outcome.stage == "variant" else outcome.kind  # its operator
        row = {**outcome.columns, "kind": kind, "context": outcome.context}
        chosen = outcome.made.choice if outcome.made else UNSET
        context = "" if chosen is UNSET else chosen["context"]
        if not context:
            # Of the prompt alone, as in a choice and in a night's probes, which cannot know what is asked before it.
            context, _ = context_of(outcome.prompt, row, by=settings.by, named=named, similarity=similarity)
        contexts.append(context)
    return contexts
