"""The table of a cycle: one record a variant, with all that is known of it.

Nothing here reads a clock: times come from the response store, by way of the metadata, and what an operator made
without a model has none.
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
    """All that files say of a variant: its plan row, its metadata and code, its check and its test (None where there is
    none), and the metadata of its verdict (None where none is planned)."""

    row: Generation
    result: Result
    code: str
    check: Check | None
    test: Trial | None
    verdict: Result | None


class Record(Struct, kw_only=True):
    """A variant in the table of its cycle. All fields but the last three are columns of dreams.csv."""

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


COLUMNS = Record.__struct_fields__[:-3]


def records(
    entries: Iterable[Entry],
    procedures: Mapping[str, Procedure],
    tiers: Tiers,
    *,
    matches: Mapping[str, int],
    promoted: Collection[str] = (),
) -> list[Record]:
    """One record for each of `entries`, in their order.

    `matches` says for each procedure how many procedures of other projects it matches, `promoted` which variants (by
    id) have become procedures of their own.
    """
    return [_record(entry, procedures, tiers, matches, promoted) for entry in entries]


def _record(
    entry: Entry,
    procedures: Mapping[str, Procedure],
    tiers: Tiers,
    matches: Mapping[str, int],
    promoted: Collection[str],
) -> Record:
    row, result, where = entry.row, entry.result, entry.row.wildcards
    procedure = procedures[where["procedure_id"]]
    check, test, judge = entry.check, entry.test, entry.verdict
    verdict = judge.parsed if judge and judge.status == "ok" else None
    tier, why = final_tier(verdict, check, test, row.variant.safe, tiers)
    if not check:
        why = f"it was not made: {result.reason or result.status}"
    paid = [result, *([judge] if judge else [])]  # what a variant costs: to make it, and to judge it
    record = Record(
        gen_id=row.gen_id,
        procedure_id=procedure.procedure_id,
        project=procedure.project,
        category=procedure.category,
        kind=where["kind"],
        site=where["site"],
        description=row.variant.description,
        safe=row.variant.safe,
        model_id=result.model_id,
        made=result.status,
        reason=result.reason,
        status=_status(check, test, verdict, tier),
        tier=tier,
        why=why,
        matches=matches.get(procedure.procedure_id, 0),
        promoted=row.gen_id in promoted,
        tokens=sum(one.usage.prompt + one.usage.completion for one in paid),
        cost_usd=known_sum(one.cost_usd for one in paid),
        latency_s=known_sum(one.latency_s for one in paid),
        created_at=result.created_at,
        code=entry.code,
        check=check,
        test=test,
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
        if check.compiles:  # else its distances are 0 for want of a tree, not because it is like another
            record.novelty, record.distance_to_base = check.novelty, check.distance_to_base
    if test:
        record.outcome, record.test_reason = test.outcome, test.reason
        record.inputs_run, record.agreeing, record.seconds_ratio = test.inputs_run, test.agreeing, test.seconds_ratio
        record.counterexample = ""
        if one := test.counterexample:
            record.counterexample = f"{one.call}: {one.aspect}: original {one.original}, variant {one.variant}"
    return record


def _status(check: Check | None, test: Trial | None, verdict: Mapping[str, Json] | None, tier: int | None) -> str:
    """The original's word for how far a dream has come. Here tests come before verdicts, so that a judge knows them.

    archived: in tier 3, or never made; pending_test: fit to be run, but its test is not there; pending_evaluation:
    without a verdict; evaluated: judged, but its test could say nothing; tested: judged and tested.
    """
    if tier == 3 or not check:
        return "archived"
    if test is None:
        return "pending_test"
    if verdict is None:
        return "pending_evaluation"
    return "evaluated" if test.outcome in UNTESTED else "tested"


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return round(sum(known), 9) if known else None
