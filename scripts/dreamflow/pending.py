"""What waits for whom, as `snakemake pending` lists it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from .errors import DreamflowError
from .generation.batch_files import open_batches
from .generation.budget_use import amount, budget_use
from .generation.budgets import Budget
from .generation.layout import Layout
from .generation.make import Context, read_result
from .generation.model import Generation
from .generation.providers.batch import HOURS
from .generation.providers.human import answer_path
from .plan import Plan
from .reports.markdown import counted
from .upkeep import missing_keys

SHOWN = 15  # items of a list
_OVER_BUDGET = re.compile(r"the budget (\S+) does not allow")


def pending_text(plan: Plan, context: Context, is_stale: Callable[[str], bool]) -> str:
    """What waits for whom: questions to people, batches with the providers, generations whose last try failed, with its
    reason (a budget, a quota, a dead host), and missing keys."""
    rows = {**plan.generations, **plan.deferred()}
    layout, budgets = context.layout, context.calls.budgets if context.calls else ()
    stale = [row for gen_id, row in rows.items() if row.mode != "human" and is_stale(gen_id)]
    sections = [
        *_people(plan, [row for row in rows.values() if row.mode == "human"], layout, is_stale),
        *_batches(layout.store),
        *_failures(stale, layout, budgets),
        *missing_keys(plan, stale),
    ]
    if not sections:
        return "nothing waits: no question to a person, no batch, no failed call, no missing key"
    return "\n".join(sections)


def _people(plan: Plan, rows: Iterable[Generation], layout: Layout, is_stale: Callable[[str], bool]) -> Iterator[str]:
    """The questions of the inbox without an answer, and the answers that could not be read."""
    waiting = []
    for row in rows:
        question, answer = layout.inbox / f"{row.gen_id}.question.txt", answer_path(layout.inbox, row.gen_id)
        if not answer.exists():
            waiting += [f"read {question}, write {answer.name} beside it"] if question.exists() else []
        elif not is_stale(row.gen_id) and (reason := _pending_reason(plan.folder(row.gen_id))):
            waiting.append(reason)
    if waiting:
        yield f"people: {counted(len(waiting), 'question')} to answer, then run again"
        yield from _shown(waiting)


def _pending_reason(folder: Path) -> str:
    try:
        result = read_result(folder)
    except DreamflowError:
        return ""
    return result.reason if result.status == "pending" else ""


def _batches(store: Path) -> Iterator[str]:
    batches = open_batches(store)
    if batches:
        items = sum(len(batch.items) for batch in batches)
        yield f"providers: {counted(items, 'question')} in batches; run again to collect what is answered"
        yield from _shown(
            [
                f"{store}/batches/{batch.name}.json: {len(batch.items):,} of model {batch.model_id}, {batch.state}, "
                f"expires by {datetime.fromisoformat(batch.created) + timedelta(hours=HOURS):%Y-%m-%d %H:%M} UTC"
                for batch in batches
            ]
        )


def _failures(stale: Iterable[Generation], layout: Layout, budgets: Iterable[Budget]) -> Iterator[str]:
    """Why the last tries of generations that are not made failed, from their logs."""
    reasons: Counter[str] = Counter()
    for row in stale:
        try:
            text = Path(layout.log(row.stage, row.gen_id)).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        if text.strip():
            over = _OVER_BUDGET.search(text)
            reason = text.partition(" was not made: ")[2] or text
            reasons[f"the budget {over[1]} allows no further call" if over else reason.strip().splitlines()[0]] += 1
    if reasons:
        yield f"not made: {counted(reasons.total(), 'generation')} whose last try failed; run again to continue"
        yield from _shown([f"{count:,}: {reason}" for reason, count in reasons.most_common()])
    for use in budget_use(layout.store, budgets):
        if use.left == 0:
            yield f"budget {use.name} is used up: {amount(use.spent, use.unit)} of {amount(use.cap, use.unit)}"


def _shown(items: Sequence[str]) -> list[str]:
    more = [f"  and {len(items) - SHOWN:,} more"] if len(items) > SHOWN else []
    return [*(f"  {item}" for item in items[:SHOWN]), *more]
