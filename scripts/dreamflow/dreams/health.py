"""The quality of a cycle: health, failure patterns, and yield per kind.

All functions take the records of `records.records`. An unknown number is None, never 0.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from msgspec import Struct, ValidationError, convert

from ..errors import DreamflowError
from ..generation.model import as_json
from ..sandbox.runs import FAILED, UNTESTED
from .records import Record
from .tiers import test_passed

Inputs = dict[str, float | None]

WEIGHTS = {"novelty": 0.60, "quality": 0.15, "leverage": 0.15, "efficiency": 0.10}
HEALTHY = 0.6
HIGH_NOVELTY = 0.7
MANY_NOVEL = 10  # dreams of high novelty for the full score
ENOUGH_ADOPTED = 0.25
MATCHES = 2  # procedures of other projects that a viable variant must match to count as adopted
QUICK_S = 30.0

FORMULAS = {
    "novelty": "0.7 * average novelty + 0.3 * (dreams with novelty 0.7 or more) / 10, that share at most 1",
    "quality": "0.5 * average viability + 0.3 * (0.5 * tier 1 + 0.3 * tier 2 + 0.1 * tier 3) / dreams with a tier "
    "+ 0.2 * the share of viable verdicts whose test allows tier 1",
    "leverage": "the share of adopted dreams / 0.25, at most 1; adopted: promoted, or in tier 1 with a procedure that "
    "matches at least 2 procedures of other projects",
    "efficiency": "1 if the models' answers took 30 seconds or less, else 30 / seconds, at least 0.1; the seconds of "
    "parallel calls are added",
}


class Part(Struct, frozen=True):
    """A part of health: its score (None without data), its effective weight, its formula and its inputs."""

    score: float | None
    weight: float
    formula: str
    inputs: Inputs


class Health(Struct, frozen=True):
    """The health of a cycle; `left_out` are the parts without data."""

    score: float | None
    healthy: bool | None
    threshold: float
    parts: dict[str, Part]
    left_out: list[str]


def health(table: Sequence[Record]) -> Health:
    """The health of a cycle: 0.60 novelty + 0.15 quality + 0.15 leverage + 0.10 efficiency, each in 0-1.

    The formulas are Athena's (`FORMULAS` has them in words), on measured numbers. A part without data has the score
    None and is left out: the other weights are divided by their sum.
    """
    parts = {
        "novelty": _novelty(table),
        "quality": _quality(table),
        "leverage": _leverage(table),
        "efficiency": _efficiency(table),
    }
    known = {name: score for name, (score, _) in parts.items() if score is not None}
    whole = sum(WEIGHTS[name] for name in known)
    score = sum(WEIGHTS[name] * value for name, value in known.items()) / whole if known else None
    return Health(
        score=rounded(score),
        healthy=None if score is None else score > HEALTHY,
        threshold=HEALTHY,
        parts={
            name: Part(
                score=rounded(score),
                weight=rounded(WEIGHTS[name] / whole) if name in known else 0.0,
                formula=FORMULAS[name],
                inputs={key: rounded(value) for key, value in inputs.items()},
            )
            for name, (score, inputs) in parts.items()
        },
        left_out=[name for name in parts if name not in known],
    )


def _novelty(table: Sequence[Record]) -> tuple[float | None, Inputs]:
    known = known_values(table, "novelty")
    high = sum(value >= HIGH_NOVELTY for value in known)
    inputs = {"average_novelty": fmean(known) if known else None, "high_novelty": high, "dreams": len(known)}
    score = 0.7 * fmean(known) + 0.3 * min(high / MANY_NOVEL, 1) if known else None
    return score, inputs


def _quality(table: Sequence[Record]) -> tuple[float | None, Inputs]:
    viabilities = known_values(table, "viability")
    first, second, third = (sum(record.tier == tier for record in table) for tier in (1, 2, 3))
    viable = [record for record in table if record.verdict_tier == 1]
    success = sum(test_passed(record.outcome, record.safe) for record in viable) / len(viable) if viable else None
    inputs = {
        **{"average_viability": fmean(viabilities) if viabilities else None, "verdicts": len(viabilities)},
        **{"tier_1": first, "tier_2": second, "tier_3": third, "tier_1_success": success},
    }
    if not viabilities:
        return None, inputs
    tiers = (0.5 * first + 0.3 * second + 0.1 * third) / (first + second + third)
    return 0.5 * fmean(viabilities) + 0.3 * tiers + 0.2 * (success or 0.0), inputs


def _leverage(table: Sequence[Record]) -> tuple[float | None, Inputs]:
    adopted = sum(r.promoted or (r.tier == 1 and r.matches >= MATCHES) for r in table)
    adoption = adopted / len(table) if table else None
    inputs = {"adopted": adopted, "adoption": adoption}
    # Without verdicts nothing could be adopted, which says nothing about the dreams.
    judged = known_values(table, "viability") or adopted
    return (min(adoption / ENOUGH_ADOPTED, 1) if judged else None), inputs


def _efficiency(table: Sequence[Record]) -> tuple[float | None, Inputs]:
    known = known_values(table, "latency_s")
    seconds = sum(known) if known else None
    if seconds is None:
        return None, {"call_seconds": None}
    return (1.0 if seconds <= QUICK_S else max(QUICK_S / seconds, 0.1)), {"call_seconds": seconds}


def known_values(table: Iterable[Record], name: str) -> list[float]:
    """The known values of a field."""
    return [value for record in table if (value := getattr(record, name)) is not None]


def rounded(value: float | None) -> float | None:
    """A value rounded to six decimals; whole numbers and None stay."""
    return round(value, 6) if isinstance(value, float) else value


class Example(Struct, frozen=True):
    """A variant that failed, and the message."""

    gen_id: str
    message: str


class Pattern(Struct, frozen=True):
    """Similar failures. `examples` are up to three of them."""

    category: str
    pattern: str
    count: int
    kinds: list[str]
    examples: list[Example]


def failure_patterns(table: Sequence[Record]) -> list[Pattern]:
    """The failures of a cycle, the most frequent pattern first.

    A pattern is one category and the same first 50 characters of the message, without numbers and quotations. The
    categories: not made, check, the outcome of a test, "analysis bug" for a variant that is labelled safe but differs,
    and verdict for a missing verdict.
    """
    patterns: dict[tuple[str, str], list[tuple[Record, str]]] = {}
    for record in table:
        for category, message in _failures(record):
            patterns.setdefault((category, normalised(message)), []).append((record, message))
    ranked = sorted(patterns.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        Pattern(
            category=category,
            pattern=pattern,
            count=len(failures),
            kinds=sorted({record.kind for record, _ in failures}),
            examples=[Example(record.gen_id, message) for record, message in failures[:3]],
        )
        for (category, pattern), failures in ranked
    ]


def _failures(record: Record) -> list[tuple[str, str]]:
    check, test = record.check, record.test
    if not check:
        return [("not made", record.reason or record.made)]
    if test and is_analysis_bug(record):
        return [("analysis bug", test.reason)]
    if test and test.outcome in (*FAILED, *UNTESTED):
        return [(test.outcome, test.reason)]
    if record.verdict_made == "failed":
        return [("verdict", record.verdict_problem)]
    return [("check", problem) for problem in check.problems]


def is_analysis_bug(record: Record) -> bool:
    """Whether a variant is labelled safe, but its test found a difference: the analysis is wrong."""
    return record.safe and record.outcome in (*FAILED, "differs")


def normalised(message: str) -> str:
    """The first 50 characters of a message, without the parts that differ from case to case."""
    text = re.sub(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message))
    return " ".join(text.split())[:50].rstrip()


class Yield(Struct, frozen=True, kw_only=True):
    """The results of a kind: counts, the share of tier 1 with its 95% Wilson interval, costs of variants and verdicts,
    and tier 1 per dollar and per 1,000 tokens (None if nothing was spent)."""

    variants: int
    made: int
    unique: int
    passed_check: int
    equivalent: int
    differs: int
    failed: int
    untested: int
    judged: int
    tier_1: int
    tier_2: int
    tier_3: int
    analysis_bugs: int
    tokens: int
    tier_1_share: float | None
    tier_1_low: float | None
    tier_1_high: float | None
    cost_usd: float | None
    tier_1_per_usd: float | None
    tier_1_per_1000_tokens: float | None


def yields(table: Sequence[Record]) -> dict[str, Yield]:
    """The yield of each kind."""
    kinds: dict[str, list[Record]] = {}
    for record in table:
        kinds.setdefault(record.kind, []).append(record)
    return {kind: _yield(records) for kind, records in kinds.items()}


def _yield(records: list[Record]) -> Yield:
    from ..reports.statistics import wilson  # a slow import that only journals need

    checks = [record.check for record in records if record.check]
    outcomes = [record.outcome for record in records]
    tier_1, tier_2, tier_3 = (sum(record.tier == tier for record in records) for tier in (1, 2, 3))
    low, high = wilson(tier_1, len(records))
    costs = known_values(records, "cost_usd")
    unknown = any(record.unpriced for record in records)
    cost = round(sum(costs), 9) if costs and not unknown else None
    tokens = sum(record.tokens for record in records)
    return Yield(
        variants=len(records),
        made=len(checks),
        unique=sum(check.compiles and not check.duplicate_of for check in checks),
        passed_check=sum(check.passed and not check.duplicate_of for check in checks),
        equivalent=outcomes.count("equivalent"),
        differs=outcomes.count("differs"),
        failed=sum(outcome in FAILED for outcome in outcomes),
        untested=sum(outcome in UNTESTED for outcome in outcomes),
        judged=len(known_values(records, "viability")),
        tier_1=tier_1,
        tier_2=tier_2,
        tier_3=tier_3,
        analysis_bugs=sum(map(is_analysis_bug, records)),
        tokens=tokens,
        tier_1_share=rounded(tier_1 / len(records)),
        tier_1_low=rounded(low),
        tier_1_high=rounded(high),
        cost_usd=cost,
        tier_1_per_usd=rounded(tier_1 / cost) if cost else None,
        tier_1_per_1000_tokens=rounded(1000 * tier_1 / tokens) if tokens else None,
    )


def write_yields(by_kind: Mapping[str, Yield], path: Path | str) -> None:
    """Write yield.csv: one row per kind."""
    import pandas as pd

    from ..reports.frames import write_table

    rows = [{"kind": kind, **as_json(result)} for kind, result in by_kind.items()]
    write_table(pd.DataFrame(rows, columns=["kind", *Yield.__struct_fields__]), path)


def read_yields(path: Path | str) -> dict[str, Yield]:
    """The yields in a yield.csv (floats have four decimals)."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(stream)]
    try:
        return {row.pop("kind"): convert(row, Yield, strict=False) for row in rows}
    except (KeyError, ValidationError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Run its cycle again") from None
