"""How well a cycle dreamt: health, failure patterns, yield per kind, and whether dreaming beats plain sampling.

All functions take the records of `records.records`. A number that cannot be known is None, never 0.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..sandbox.runs import FAILED, UNTESTED
from .records import Record
from .tiers import test_passed

Yield = dict[str, Any]

WEIGHTS = {"novelty": 0.60, "quality": 0.15, "leverage": 0.15, "efficiency": 0.10}
HEALTHY = 0.6
HIGH_NOVELTY = 0.7
MANY_NOVEL = 10  # dreams of high novelty, from which on more are not better
ENOUGH_ADOPTED = 0.25
MATCHES = 2  # procedures of other projects, from which on a viable variant counts as adopted
QUICK_S = 30.0

FORMULAS = {
    "novelty": "0.7 * the average novelty + 0.3 * the share of 10 that have a novelty of 0.7 or more (at most 1)",
    "quality": "0.5 * the average viability + 0.3 * (0.5 * tier 1 + 0.3 * tier 2 + 0.1 * tier 3) / dreams with a tier "
    "+ 0.2 * the share of those judged viable whose test let them into tier 1",
    "leverage": "the share of dreams that are adopted, as a share of 0.25 (at most 1); adopted: promoted, or in tier 1 "
    "and its procedure matches at least 2 procedures of other projects",
    "efficiency": "1 if the models' answers took 30 seconds or less, else 30 / seconds, at least 0.1; seconds as they "
    "were measured call by call, so that it does not matter how many ran at once",
}


def health(table: Sequence[Record]) -> dict[str, Any]:
    """{score, healthy, parts}: 0.60 novelty + 0.15 quality + 0.15 leverage + 0.10 efficiency, each in 0-1.

    The formulas are Athena's (`FORMULAS` has them in words), on numbers that are really measured. A part without
    data has the score None and is left out: the weights of the others are divided by their sum. `parts` has for each
    part its score, weight as used, formula, and inputs.
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
    return {
        "score": _rounded(score),
        "healthy": None if score is None else score > HEALTHY,
        "threshold": HEALTHY,
        "parts": {
            name: {
                "score": _rounded(score),
                "weight": _rounded(WEIGHTS[name] / whole) if name in known else 0.0,
                "formula": FORMULAS[name],
                "inputs": {key: _rounded(value) for key, value in inputs.items()},
            }
            for name, (score, inputs) in parts.items()
        },
        "left_out": [name for name in parts if name not in known],
    }


def _novelty(table: Sequence[Record]) -> tuple[float | None, dict[str, Any]]:
    known = _known(table, "novelty")
    high = sum(value >= HIGH_NOVELTY for value in known)
    inputs = {"average_novelty": fmean(known) if known else None, "high_novelty": high, "dreams": len(known)}
    score = 0.7 * fmean(known) + 0.3 * min(high / MANY_NOVEL, 1) if known else None
    return score, inputs


def _quality(table: Sequence[Record]) -> tuple[float | None, dict[str, Any]]:
    viabilities = _known(table, "viability")
    first, second, third = (sum(record["tier"] == tier for record in table) for tier in (1, 2, 3))
    viable = [record for record in table if record["verdict_tier"] == 1]
    success = sum(test_passed(record["outcome"], record["safe"]) for record in viable) / len(viable) if viable else None
    inputs = {
        **{"average_viability": fmean(viabilities) if viabilities else None, "verdicts": len(viabilities)},
        **{"tier_1": first, "tier_2": second, "tier_3": third, "tier_1_success": success},
    }
    if not viabilities:
        return None, inputs
    tiers = (0.5 * first + 0.3 * second + 0.1 * third) / (first + second + third)
    return 0.5 * fmean(viabilities) + 0.3 * tiers + 0.2 * (success or 0.0), inputs


def _leverage(table: Sequence[Record]) -> tuple[float | None, dict[str, Any]]:
    adopted = sum(is_adopted(record) for record in table)
    adoption = adopted / len(table) if table else None
    inputs = {"adopted": adopted, "adoption": adoption}
    # Where nothing was judged, nothing could be adopted: that says nothing of the dreams.
    judged = _known(table, "viability") or adopted
    return (min(adoption / ENOUGH_ADOPTED, 1) if judged else None), inputs


def is_adopted(record: Record) -> bool:
    """Promoted, or viable and of use in other projects too."""
    return record["promoted"] or (record["tier"] == 1 and record["matches"] >= MATCHES)


def _efficiency(table: Sequence[Record]) -> tuple[float | None, dict[str, Any]]:
    known = _known(table, "latency_s")
    seconds = sum(known) if known else None
    if seconds is None:
        return None, {"call_seconds": None}
    return (1.0 if seconds <= QUICK_S else max(QUICK_S / seconds, 0.1)), {"call_seconds": seconds}


def _known(table: Iterable[Record], name: str) -> list[float]:
    return [record[name] for record in table if record[name] is not None]


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if isinstance(value, float) else value


# Failures.


def failure_patterns(table: Sequence[Record]) -> list[dict[str, Any]]:
    """What went wrong, the most frequent first: {category, pattern, count, kinds, examples}.

    Failures with one category and the same first 50 characters, numbers and quotations apart, are one pattern. The
    categories: not made, check, the outcome of a test, "analysis bug" for a variant that is labelled safe and differs
    all the same, and verdict, where that could not be had. `examples` has up to three variants: {gen_id, message}.
    """
    found: dict[tuple[str, str], list[tuple[Record, str]]] = {}
    for record in table:
        for category, message in _failures(record):
            found.setdefault((category, normalised(message)), []).append((record, message))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "category": category,
            "pattern": pattern,
            "count": len(those),
            "kinds": sorted({record["kind"] for record, _ in those}),
            "examples": [{"gen_id": record["gen_id"], "message": message} for record, message in those[:3]],
        }
        for (category, pattern), those in ranked
    ]


def _failures(record: Record) -> list[tuple[str, str]]:
    check, test = record["check"], record["test"]
    if not check:
        return [("not made", record["reason"] or record["made"])]
    if test and is_analysis_bug(record):
        return [("analysis bug", test["reason"])]
    if test and test["outcome"] in (*FAILED, *UNTESTED):
        return [(test["outcome"], test["reason"])]
    if record["verdict_made"] == "failed":
        return [("verdict", record["verdict_problem"])]
    return [("check", problem) for problem in check["problems"]]


def is_analysis_bug(record: Record) -> bool:
    """Labelled safe, and yet its test found a difference: the analysis claimed too much."""
    return record["safe"] and record["outcome"] in (*FAILED, "differs")


def normalised(message: str) -> str:
    """The first 50 characters of a message, with what differs from case to case taken out."""
    text = re.sub(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message))
    return " ".join(text.split())[:50].rstrip()


# Yield.

_COUNTS = (
    *("variants", "made", "unique", "passed_check", "equivalent", "differs", "failed", "untested"),
    *("judged", "tier_1", "tier_2", "tier_3", "analysis_bugs", "tokens"),
)
_SHARES = ("tier_1_share", "tier_1_low", "tier_1_high", "cost_usd", "tier_1_per_usd", "tier_1_per_1000_tokens")


def yields(table: Sequence[Record]) -> dict[str, Yield]:
    """What each kind brought, by kind: counts, the share of tier 1 with its 95% Wilson interval, costs, and tier 1
    for a dollar and for 1,000 tokens (None where nothing was spent). Costs are those of the variants and verdicts."""
    kinds: dict[str, list[Record]] = {}
    for record in table:
        kinds.setdefault(record["kind"], []).append(record)
    return {kind: _yield(those) for kind, those in kinds.items()}


def _yield(those: list[Record]) -> Yield:
    from ..reports.statistics import wilson  # imported late: it takes a second, and only journals need it

    checks = [record["check"] for record in those if record["check"]]
    outcomes = [record["outcome"] for record in those]
    tier_1, tier_2, tier_3 = (sum(record["tier"] == tier for record in those) for tier in (1, 2, 3))
    low, high = wilson(tier_1, len(those))
    costs = _known(those, "cost_usd")
    cost = round(sum(costs), 9) if costs else None
    tokens = sum(record["tokens"] for record in those)
    return {
        "variants": len(those),
        "made": len(checks),
        "unique": sum(check["compiles"] and not check["duplicate_of"] for check in checks),
        "passed_check": sum(check["passed"] and not check["duplicate_of"] for check in checks),
        "equivalent": outcomes.count("equivalent"),
        "differs": outcomes.count("differs"),
        "failed": sum(outcome in FAILED for outcome in outcomes),
        "untested": sum(outcome in UNTESTED for outcome in outcomes),
        "judged": len(_known(those, "viability")),
        **{"tier_1": tier_1, "tier_2": tier_2, "tier_3": tier_3},
        "analysis_bugs": sum(map(is_analysis_bug, those)),
        "tokens": tokens,
        **{"tier_1_share": _rounded(tier_1 / len(those)), "tier_1_low": _rounded(low), "tier_1_high": _rounded(high)},
        "cost_usd": cost,
        "tier_1_per_usd": _rounded(tier_1 / cost) if cost else None,
        "tier_1_per_1000_tokens": _rounded(1000 * tier_1 / tokens) if tokens else None,
    }


def write_yields(found: Mapping[str, Yield], path: Path | str) -> None:
    """Write yield.csv: a row a kind."""
    import pandas as pd

    from ..reports.frames import write_table

    columns = ["kind", *_COUNTS, *_SHARES]
    write_table(pd.DataFrame([{"kind": kind, **one} for kind, one in found.items()], columns=columns), path)


def read_yields(path: Path | str) -> dict[str, Yield]:
    """The yields in a yield.csv, as they were before (floats at four decimals)."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    counts = [{name: int(row[name]) for name in _COUNTS} for row in rows]
    shares = [{name: float(row[name]) if row[name] else None for name in _SHARES} for row in rows]
    return {row["kind"]: {**count, **share} for row, count, share in zip(rows, counts, shares, strict=True)}


# Against plain sampling.

DREAMT = ("relax", "synthesise")


def comparison(table: Sequence[Record]) -> dict[str, Any]:
    """Dreams (relax, synthesise) against as much plain sampling (kind sample) by cost: best-of-N.

    {unit, dreams, samples, says}: `unit` is "cost_usd" where all prices are known and none is 0, else "tokens". The
    dearer side is cut, in the order of the plan, at the variant with which it reaches the cost of the other. A side is
    {variants, of, cost, best_viability, mean_novelty, tier_1}; `says` puts the comparison, or why there is none, in
    words. Only variants that were made are compared, and all that they cost: answers and verdicts.
    """
    made = [record for record in table if record["check"]]
    sides = {
        "dreams": [record for record in made if record["kind"] in DREAMT],
        "samples": [record for record in made if record["kind"] == "sample"],
    }
    priced = all(record["cost_usd"] for side in sides.values() for record in side)
    unit = "cost_usd" if priced else "tokens"
    totals = {name: sum(record[unit] for record in side) for name, side in sides.items()}
    budget = min(totals.values())
    kept = {name: _up_to(side, unit, budget) for name, side in sides.items()}
    result = {name: _side(kept[name], len(side), unit) for name, side in sides.items()}
    return {"unit": unit, **result, "says": _said(result, unit)}


def _up_to(side: list[Record], unit: str, budget: float) -> list[Record]:
    """The first variants whose cost reaches the budget."""
    spent, kept = 0.0, []
    for record in side:
        if spent >= budget > 0:
            break
        kept.append(record)
        spent += record[unit]
    return kept


def _side(kept: list[Record], of: int, unit: str) -> dict[str, Any]:
    novelties = _known(kept, "novelty")
    return {
        "variants": len(kept),
        "of": of,
        "cost": _rounded(sum(record[unit] for record in kept)),
        "best_viability": max(_known(kept, "viability"), default=None),
        "mean_novelty": _rounded(fmean(novelties)) if novelties else None,
        "tier_1": sum(record["tier"] == 1 for record in kept),
    }


def _said(sides: Mapping[str, Mapping[str, Any]], unit: str) -> str:
    dreams, samples = sides["dreams"], sides["samples"]
    if not dreams["of"] or not samples["of"]:
        missing = " and ".join(
            name
            for name, side in (("dreams by relax or synthesise", dreams), ("plain samples", samples))
            if not side["of"]
        )
        return f"No comparison: this cycle has no {missing}."
    what = "dollars" if unit == "cost_usd" else "tokens"
    spent = f"{dreams['cost']:,g} {what} on dreams, {samples['cost']:,g} on samples"
    least, most = sorted((dreams["cost"], samples["cost"]))
    if not least:
        equal = f"The costs are not known ({spent}), so the sides are compared as they are."
    elif most > 1.1 * least:
        equal = f"The budgets differ ({spent}): a variant is too dear to cut them closer."
    else:
        equal = f"At about equal cost ({spent})."
    if dreams["best_viability"] is None or samples["best_viability"] is None:
        return f"{equal} Verdicts are missing, so neither side can be called better."
    better = []
    for name, word in (
        ("tier_1", "variants in tier 1"),
        ("best_viability", "best viability"),
        ("mean_novelty", "mean novelty"),
    ):
        ours, theirs = dreams[name], samples[name]
        verb = "more" if name == "tier_1" else "a higher"
        if ours == theirs or ours is None or theirs is None:
            better.append(f"no difference in {word}")
        else:
            side = "dreams" if ours > theirs else "samples"
            better.append(f"{side} have {verb} {word} ({max(ours, theirs):g} against {min(ours, theirs):g})")
    return f"{equal} {'; '.join(better)[0].upper()}{'; '.join(better)[1:]}."
