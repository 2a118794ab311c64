"""What nights over procedures have made: the journal, the health of cycles, and statistics over all of them."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, Field

from ..errors import DreamflowError, unknown
from ..files import read_json
from .project import PAGE_ITEMS, Project, cut, items_page

LONGEST_DIFF = 3000  # characters
SHOWN_PATTERNS = 10


@dataclass(frozen=True)
class Cycle:
    """A finished cycle of a night: its folder, and when its journal was written."""

    night: str
    number: int
    folder: Path
    written: datetime


class Dream(BaseModel):
    """A variant of a procedure."""

    gen_id: str = Field(description="Id of the variant; `read_generation` shows its code.")
    night: str = Field(description="The night, `<name>/cycle-<n>`.")
    procedure: str = Field(description="The procedure that it is a variant of.")
    kind: str = Field(description="How it was made: an operator, `relax`, `synthesise` or `sample`.")
    description: str = Field(description="What is different.")
    status: str = Field(description="pending_test, pending_evaluation, evaluated, tested or archived.")
    tier: int | None = Field(description="1 viable, 2 speculative, 3 archive; null without a verdict.")
    viability: float | None = Field(description="The judge's viability, 0-1.")
    novelty: float | None = Field(description="Distance to the original and to earlier variants, 0-1.")
    test: str = Field(description="Outcome of the sandbox test against the original, and why.")
    counterexample: str = Field(description="A call on which it differs from the original.")
    reasons: str = Field(description="The judge's reasons, or why the variant has its tier.")
    model_id: str = Field(description='The model that wrote it; "" for an operator.')
    cost_usd: float | None = Field(
        description="Cost with its verdict in US dollars; null if nothing was paid or it is unknown."
    )
    when: str = Field(description="When it was judged or made (ISO 8601).")
    verdict_id: str = Field(description='Id of its verdict; "" if none is planned.')
    diff: str = Field(default="", description="The change as a unified diff, only if asked for.")


class Journal(BaseModel):
    """Variants of finished nights, the latest night first, in it the best first."""

    total: int = Field(description="Number of variants that match.")
    dreams: list[Dream] = Field(description="This page of them.")
    next_offset: int | None = Field(description="Offset of the next page; null at the end.")
    journals: list[str] = Field(description="The journals of these nights, Markdown for people.")
    note: str = Field(description="What is missing, if anything is.")


class HealthPart(BaseModel):
    """A part of health."""

    score: float | None = Field(description="0-1; null without data, then the part is left out.")
    weight: float = Field(description="Its share of the health, after parts without data were left out.")
    formula: str = Field(description="How it is computed.")


class CycleHealth(BaseModel):
    """The health of a cycle: 0.60 novelty + 0.15 quality + 0.15 leverage + 0.10 efficiency."""

    night: str = Field(description="The night, `<name>/cycle-<n>`.")
    written: str = Field(description="When it ended (ISO 8601).")
    score: float | None = Field(description="0-1; null without data.")
    healthy: bool | None = Field(description="Whether the score is above the threshold.")
    threshold: float | None = Field(description="The threshold.")
    parts: dict[str, HealthPart] = Field(description="novelty, quality, leverage, efficiency.")
    left_out: list[str] = Field(description="Parts without data.")
    failure_patterns: list[str] = Field(description="What failed most, with the number of variants.")
    journal: str = Field(description="Its journal.")


class HealthReport(BaseModel):
    """The health of finished cycles, the latest first."""

    cycles: list[CycleHealth] = Field(description="The cycles.")
    note: str = Field(description="What is missing, if anything is.")


class KindStats(BaseModel):
    """The variants of a kind."""

    variants: int = Field(description="All of them.")
    sound: int = Field(description="Those whose check found no problem and that are no duplicates.")
    tiers: dict[str, int] = Field(description="Number by tier: 1, 2, 3, none.")
    cost_usd: float | None = Field(description="US dollars; null if nothing was paid or it is unknown.")


class DreamStats(BaseModel):
    """Statistics over all variants of finished nights."""

    nights: int = Field(description="Finished cycles.")
    variants: int = Field(description="Variants.")
    judged: int = Field(description="Variants with a verdict.")
    tier_1_share: float | None = Field(description="Share of tier 1 among the judged variants.")
    tiers: dict[str, int] = Field(description="Number by tier: 1, 2, 3, none.")
    statuses: dict[str, int] = Field(description="Number by status.")
    tests: dict[str, int] = Field(description="Number by outcome of the sandbox test; `none`: not tested.")
    kinds: dict[str, KindStats] = Field(description="By kind of variant.")
    models: dict[str, int] = Field(description="Variants by the model that wrote them; `local`: an operator.")
    average_viability: float | None = Field(description="Of the judged variants.")
    average_novelty: float | None = Field(description="Of the variants that compile.")
    promoted: int = Field(description="Variants that are procedures by now.")
    tokens: int = Field(description="Tokens of all their calls.")
    cost_usd: float | None = Field(
        description="US dollars of all their calls; null if nothing was paid or it is unknown."
    )
    note: str = Field(description="What is missing, if anything is.")


def journal(
    project: Project,
    limit: int = 10,
    tier: int | None = None,
    days_back: float | None = None,
    night: str = "",
    offset: int = 0,
    *,
    diffs: bool = False,
) -> Journal:
    """The variants of finished nights; arguments as in the tool `dream_journal`."""
    cycles = _cycles(project, days_back, night)
    rows = [(cycle, row) for cycle in cycles for row in _best_first(_rows(project, cycle))]
    if tier is not None:
        rows = [(cycle, row) for cycle, row in rows if row.get("tier") == str(tier)]
    page, following = items_page(rows, offset, limit or PAGE_ITEMS)
    checks = cache(lambda path: _checks(project, path))
    dreams = [
        _dream(cycle, row, checks(cycle.folder / "checks" / f"{row.get('procedure_id')}.json") if diffs else {})
        for cycle, row in page
    ]
    journals = dict.fromkeys(project.shown(cycle.folder / "journal.md") for cycle, _ in page)
    return Journal(total=len(rows), dreams=dreams, next_offset=following, journals=list(journals), note=_note(cycles))


def health(project: Project, night: str = "", limit: int = 5) -> HealthReport:
    """The health of the last cycles of all nights, or of one."""
    cycles = _cycles(project, None, night)
    found = []
    for cycle in cycles[: max(1, min(limit, 50))]:
        whole = read_json(project.inside(cycle.folder / "health.json"))
        parts = {
            name: HealthPart(**{k: part.get(k) for k in ("score", "weight", "formula")})
            for name, part in whole["parts"].items()
        }
        patterns = [
            f"{pattern.get('count')}: {pattern.get('category')}: {cut(str(pattern.get('pattern')), 200)}"
            for pattern in whole.get("failure_patterns", [])[:SHOWN_PATTERNS]
        ]
        found.append(
            CycleHealth(
                night=f"{cycle.night}/cycle-{cycle.number}",
                written=cycle.written.isoformat(timespec="seconds"),
                **{key: whole.get(key) for key in ("score", "healthy", "threshold", "left_out")},
                parts=parts,
                failure_patterns=patterns,
                journal=project.shown(cycle.folder / "journal.md"),
            )
        )
    return HealthReport(cycles=found, note=_note(cycles))


def stats(project: Project, days_back: float | None = None, night: str = "") -> DreamStats:
    """Statistics over the variants of finished nights."""
    cycles = _cycles(project, days_back, night)
    rows = [row for cycle in cycles for row in _rows(project, cycle)]
    judged = [row for row in rows if _number(row.get("viability")) is not None]
    tiers = _counts(rows, "tier")
    kinds = {}
    for kind in dict.fromkeys(row.get("kind", "") for row in rows):
        own = [row for row in rows if row.get("kind") == kind]
        sound = sum(row.get("check_passed") == "True" and not row.get("duplicate_of") for row in own)
        kinds[kind] = KindStats(variants=len(own), sound=sound, tiers=_counts(own, "tier"), cost_usd=_total(own))
    return DreamStats(
        nights=len(cycles),
        variants=len(rows),
        judged=len(judged),
        tier_1_share=round(sum(row["tier"] == "1" for row in judged) / len(judged), 4) if judged else None,
        tiers=tiers,
        statuses=_counts(rows, "status"),
        tests=_counts(rows, "outcome"),
        kinds=kinds,
        models={name if name != "none" else "local": count for name, count in _counts(rows, "model_id").items()},
        average_viability=_mean(rows, "viability"),
        average_novelty=_mean(rows, "novelty"),
        promoted=sum(row.get("promoted") == "True" for row in rows),
        tokens=sum(int(_number(row.get("tokens")) or 0) for row in rows),
        cost_usd=_total(rows),
        note=_note(cycles),
    )


def _cycles(project: Project, days_back: float | None, night: str) -> list[Cycle]:
    """The finished cycles, the latest first."""
    found = []
    for folder in project.folders(project.data / "dreams"):
        for cycle in project.folders(folder):
            number = cycle.name.removeprefix("cycle-")
            table = cycle / "dreams.csv"
            if number.isdecimal() and cycle.name.startswith("cycle-") and table.is_file():
                written = datetime.fromtimestamp(table.stat().st_mtime, UTC)
                found.append(Cycle(folder.name, int(number), cycle, written))
    if night:
        name, _, number = night.partition("/cycle-")
        known = [f"{cycle.night}/cycle-{cycle.number}" for cycle in found]
        found = [one for one in found if one.night == name and number in ("", str(one.number))]
        if not found:
            raise DreamflowError(unknown("finished night", night[:100], known))
    if days_back is not None:
        since = datetime.now(UTC) - timedelta(days=min(max(days_back, 0), 36500))
        found = [cycle for cycle in found if cycle.written >= since]
    return sorted(found, key=lambda cycle: (cycle.written, cycle.number, cycle.night), reverse=True)


def _note(cycles: list[Cycle]) -> str:
    return (
        ""
        if cycles
        else "No night has ended in this time: `dream` says what one would make, `snakemake dreams` makes it."
    )


def _rows(project: Project, cycle: Cycle) -> Iterator[dict[str, str]]:
    with project.inside(cycle.folder / "dreams.csv").open(encoding="utf-8", errors="replace", newline="") as stream:
        yield from csv.DictReader(stream)


def _best_first(rows: Iterator[dict[str, str]]) -> list[dict[str, str]]:
    def key(row: dict[str, str]) -> tuple[float, float, float]:
        tier = _number(row.get("tier"))
        return (
            tier if tier is not None else 4,
            -(_number(row.get("viability")) or 0),
            -(_number(row.get("novelty")) or 0),
        )

    return sorted(rows, key=key)


def _dream(cycle: Cycle, row: dict[str, str], checks: dict[str, Any]) -> Dream:
    check = checks.get(row.get("gen_id", ""), {})
    test = ": ".join(filter(None, (row.get("outcome"), row.get("test_reason"))))
    tier = _number(row.get("tier"))
    diff = str(check.get("diff", ""))
    return Dream(
        gen_id=row.get("gen_id", ""),
        night=f"{cycle.night}/cycle-{cycle.number}",
        procedure=row.get("procedure_id", ""),
        kind=row.get("kind", ""),
        description=cut(row.get("description", ""), 300),
        status=row.get("status", ""),
        tier=None if tier is None else int(tier),
        viability=_number(row.get("viability")),
        novelty=_number(row.get("novelty")),
        test=cut(test or "not tested", 300),
        counterexample=cut(row.get("counterexample", ""), 500),
        reasons=cut(row.get("reasons") or row.get("why", ""), 500),
        model_id=row.get("model_id", ""),
        cost_usd=_number(row.get("cost_usd")),
        when=row.get("evaluated_at") or row.get("created_at") or cycle.written.isoformat(timespec="seconds"),
        verdict_id=row.get("verdict_id", ""),
        diff=diff if len(diff) <= LONGEST_DIFF else diff[:LONGEST_DIFF] + "\n… (cut; see `read_generation`)",
    )


def _checks(project: Project, path: Path) -> dict[str, Any]:
    with suppress(DreamflowError):
        found = read_json(project.inside(path))
        return {key: value for key, value in found.items() if isinstance(value, dict)}
    return {}


def _number(text: str | None) -> float | None:
    with suppress(ValueError):
        return float(text) if text else None
    return None


def _counts(rows: list[dict[str, str]], column: str) -> dict[str, int]:
    return dict(sorted(Counter(row.get(column) or "none" for row in rows).items()))


def _mean(rows: list[dict[str, str]], column: str) -> float | None:
    values = [value for row in rows if (value := _number(row.get(column))) is not None]
    return round(fmean(values), 4) if values else None


def _total(rows: list[dict[str, str]]) -> float | None:
    costs = [value for row in rows if (value := _number(row.get("cost_usd"))) is not None]
    return round(sum(costs), 6) if costs else None
