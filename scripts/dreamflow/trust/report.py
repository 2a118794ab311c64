"""The page on a cycle of trust: who can be trusted with what, how questions are routed, and what changed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low

from ..files import write_atomic
from ..generation.model import Json, from_json
from ..outcomes.table import OutcomeRow
from ..reports.render import render
from ..routing.choices import ChoiceFile
from ..routing.preferences import preferences
from ..routing.table import Table
from .policies import estimate_policies
from .posterior import EVERY
from .standing import RELIABILITY, Reputation
from .table import Row

SHOWN_CONTEXTS, SHOWN_CHANGES = 12, 10


def write_report(
    cycle: int,
    rows: Sequence[Row],
    records: Sequence[Reputation],
    outcomes: Sequence[OutcomeRow],
    routing: Mapping[str, Json],
    state: Mapping[str, Json],
    path: Path,
) -> None:
    """Write trust.md. `outcomes` are those of all cycles, `routing` is the new table."""
    words: dict[str, list[int]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.prompt_words is not None:
            words[outcome.context].append(outcome.prompt_words)
    usual = {context: median_low(values) for context, values in words.items()}
    by_context: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_context[row.context, row.evidence].append(row)
    order = sorted(by_context, key=lambda key: (key[0] != EVERY, -sum(row.outcomes for row in by_context[key]), key))
    prefers = preferences(from_json(routing, Table), usual)
    changes = sorted(records, key=lambda record: -abs(record.trust_change[RELIABILITY]))
    page = render(
        "trust.md",
        cycle=cycle,
        state=state,
        new=sum(row.new for row in rows if row.context == EVERY),
        trusted=[sorted(by_context[key], key=lambda row: (-row.trust, row.model_id)) for key in order[:SHOWN_CONTEXTS]],
        left=len(order) - SHOWN_CONTEXTS,
        routing=prefers[: SHOWN_CONTEXTS + 1],
        policies=estimate_policies(outcomes, ChoiceFile(path.parents[1] / "choices.jsonl")),
        changes=[record for record in changes if record.outcomes or record.factor != 1][:SHOWN_CHANGES],
        change_of=lambda record: record.trust_change[RELIABILITY],
        any=EVERY,
    )
    write_atomic(path, page)
