"""Models whose answers could not be used, so that another model answered, or none.

Else a model that is asked first and fails would never be blamed: the generation's metadata names the model that
answered in the end. Where usable answers have exact outcomes (by a grader, a parser, the sandbox), so have these. A
draft or an essay is judged, so one that could not be used counts among the judged ones, as 0.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from msgspec.structs import replace

from ..errors import DreamflowError
from ..generation.model import Attempt, Record, Usage
from ..generation.store import read_record
from .made import Generations, Made, NoOutcome, metadata_file, of_generation, prompt_of
from .outcome import Outcome

JUDGED = ("draft", "essay")


def unusable_outcomes(generations: Generations, left_out: Counter[str]) -> Iterator[Outcome]:
    """An outcome of 0 for each model that was asked and gave no usable answer, if others do not tell it: of the models
    before the one that answered, and of the last one too if a draft or an essay has failed."""
    for stage in generations.stages():
        for gen_id in sorted(generations.ids(stage)):
            try:
                made = generations(stage, gen_id)
            except NoOutcome:  # counted elsewhere
                continue
            is_last_told = made.status == "ok" or stage not in JUDGED
            # The samples of each model begin with the same number.
            several = len({attempt.sample for attempt in made.attempts}) < len(made.attempts)
            if made.mode == "llm" and made.attempts and (several or not is_last_told):
                try:
                    yield from _outcomes(generations, made, is_last_told=is_last_told)
                except (OSError, DreamflowError):
                    left_out[f"{stage}: the store lacks its unusable answers"] += 1


def _outcomes(generations: Generations, made: Made, *, is_last_told: bool) -> Iterator[Outcome]:
    records = [(attempt, _record(generations.root / "store", attempt)) for attempt in made.attempts]
    models = [list(pairs) for _, pairs in groupby(records, key=lambda pair: pair[1].request.model.model_id)]
    for pairs in models[:-1] if is_last_told else models:
        own = _made_by(made, pairs)
        grade = {"evidence_class": "judged" if made.stage in JUDGED else "exact", "verified_by": "parser"}
        kind = str(made.wildcards.get("kind", made.stage)) if made.stage == "answer" else made.stage
        yield Outcome(
            **of_generation(own),
            prompt=prompt_of(generations.root, made.stage, made.gen_id),
            **{"kind": kind, "context": str(made.wildcards.get("kind", made.template_id)), **grade},
            **{"outcome": 0.0, "passed": False, "why": f"no usable answer in {len(pairs)} attempt(s): {own.reason}"},
            evidence=(metadata_file(made),),
        )


def _record(store: Path, attempt: Attempt) -> Record:
    record = read_record(store, attempt.response_key)
    if record is None:
        raise DreamflowError(f"{store}: no answer {attempt.response_key}")
    return record


def _made_by(made: Made, pairs: list[tuple[Attempt, Record]]) -> Made:
    """A generation as if it had ended with the attempts of one model, with what they cost."""
    attempt, last = pairs[-1]
    costs = [record.call.cost_usd for _, record in pairs]
    seconds = [record.call.latency_s for _, record in pairs]
    return replace(
        made,
        status="failed",
        reason=attempt.reason or attempt.error or "",
        model_id=last.request.model.model_id,
        model_revision=last.request.model.revision,
        attempts=[attempt],
        response_key=attempt.response_key,
        usage=sum((record.response.usage for _, record in pairs), Usage()),
        cost_usd=None if None in costs else sum(costs),
        latency_s=None if None in seconds else sum(seconds),
        created_at=last.call.at,
    )
