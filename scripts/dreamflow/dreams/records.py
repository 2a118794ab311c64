"""The table of a cycle: one record per variant, with everything known about it.

Nothing here reads a clock: times come from the metadata, and a variant without a model has none.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from ..generation.model import Generation, Json, Result
from ..sandbox.runs import UNTESTED
from .check import Check
from .equivalence import Trial
from .procedure import Procedure
from .spec import Tiers
from .tiers import final_tier


class Entry(NamedTuple):
    """The files of a variant: its plan row, metadata and code, its check and test (None if missing), and the metadata
    of its verdict (None if none is planned)."""

    row: Generation
    result: Result
    code: str
    check: Check | None
    test: Trial | None
    verdict: Result | None


class Record(Struct, kw_only=True):
    """A variant in the table of its cycle. All fields except the last four are columns of dreams.csv.

    `cost_usd` is None if nothing was paid for, or if the cost of an answer is unknown; `unpriced` counts these answers.
    """

    gen_id: str
    procedure_id: str
    project: str
    category: str
    kind: str
    site: str
    description: str
    safe: bool
    model_id: str | None
    made: str
    reason: str
    status: str
    tier: int | None
    why: str
    viability: float | None = None
    verdict_tier: int | None = None
    verdict_id: str | None = None
    verdict_made: str | None = None
    verdict_problem: str | None = None
    reasons: str = ""
    check_passed: bool | None = None
    problems: str | None = None
    duplicate_of: str | None = None
    signature: str | None = None
    claims: str | None = None
    novelty: float | None = None
    nearest: str | None = None
    distance_to_base: float | None = None
    outcome: str | None = None
    test_reason: str | None = None
    inputs_run: int | None = None
    agreeing: int | None = None
    counterexample: str | None = None
    seconds_ratio: float | None = None
    matches: int
    promoted: bool
    tokens: int
    cost_usd: float | None
    latency_s: float | None
    created_at: str | None
    evaluated_at: str | None = None
    code: str
    check: Check | None
    test: Trial | None
    unpriced: int = 0


COLUMNS = Record.__struct_fields__[:-4]


def records(
    entries: Iterable[Entry],
    procedures: Mapping[str, Procedure],
    tiers: Tiers,
    *,
    matches: Mapping[str, int],
    promoted: Collection[str] = (),
) -> list[Record]:
    """One record for each of `entries`, in their order.

    `matches` has the number of matching procedures of other projects by procedure; `promoted` are the ids of variants
    that are procedures already.
    """
    table = []
    for entry in entries:
        procedure = procedures[entry.row.wildcards["procedure_id"]]
        matching = matches.get(procedure.procedure_id, 0)
        table.append(_record(entry, procedure, tiers, matching, entry.row.gen_id in promoted))
    return table


def _record(entry: Entry, procedure: Procedure, tiers: Tiers, matches: int, promoted: bool) -> Record:
    row, result, check, test, judge = entry.row, entry.result, entry.check, entry.test, entry.verdict
    verdict = judge.parsed if judge and judge.status == "ok" else None
    tier, why = final_tier(verdict, check, test, row.variant.safe, tiers)
    if not check:
        why = f"it could not be made: {result.reason or result.status}"
    paid = [result, *([judge] if judge else [])]  # a variant costs its own answer and its verdict
    unpriced = unpriced_answers(paid)
    record = Record(
        gen_id=row.gen_id,
        procedure_id=procedure.procedure_id,
        project=procedure.project,
        category=procedure.category,
        kind=row.wildcards["kind"],
        site=row.wildcards["site"],
        description=row.variant.description,
        safe=row.variant.safe,
        model_id=result.model_id,
        made=result.status,
        reason=result.reason,
        status=_status(check, test, verdict, tier),
        tier=tier,
        why=why,
        matches=matches,
        promoted=promoted,
        tokens=sum(call.usage.prompt + call.usage.completion for call in paid),
        cost_usd=None if unpriced else known_sum(call.cost_usd for call in paid),
        latency_s=known_sum(call.latency_s for call in paid),
        created_at=result.created_at,
        code=entry.code,
        check=check,
        test=test,
        unpriced=unpriced,
    )
    if judge:
        record.verdict_id, record.verdict_made, record.verdict_problem = judge.gen_id, judge.status, judge.reason
        record.evaluated_at = judge.created_at
    if verdict:
        record.viability, record.verdict_tier = verdict["viability"], verdict["tier"]
        record.reasons = verdict["reasons"]
    if check:
        record.check_passed, record.problems = check.passed, "; ".join(check.problems)
        record.signature, record.claims = check.signature, check.claims
        record.duplicate_of, record.nearest = check.duplicate_of, check.nearest
    if check and check.compiles:  # without a tree, the distances are placeholders
        record.novelty, record.distance_to_base = check.novelty, check.distance_to_base
    if test:
        record.outcome, record.test_reason = test.outcome, test.reason
        record.inputs_run, record.agreeing, record.seconds_ratio = test.inputs_run, test.agreeing, test.seconds_ratio
        record.counterexample = ""
        if example := test.counterexample:
            answers = f"original {example.original}, variant {example.variant}"
            record.counterexample = f"{example.call}: {example.aspect}: {answers}"
    return record


def _status(check: Check | None, test: Trial | None, verdict: Mapping[str, Json] | None, tier: int | None) -> str:
    """The progress of a variant, in the original's words. Tests run before verdicts, so that a judge sees the result.

    archived: in tier 3, or not made; pending_test: ready for its test; pending_evaluation: without a verdict;
    evaluated: judged, but its test has no result; tested: judged and tested.
    """
    if tier == 3 or not check:
        return "archived"
    if test is None:
        return "pending_test"
    if verdict is None:
        return "pending_evaluation"
    return "evaluated" if test.outcome in UNTESTED else "tested"


def unpriced_answers(results: Iterable[Result]) -> int:
    """How many generations were paid for at a cost that nobody knows."""
    return sum(result.is_unpriced for result in results)


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of the known values; None if none is known."""
    known = [value for value in values if value is not None]
    return round(sum(known), 9) if known else None
