"""The outputs of the rules in rules/dreams.smk."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from ..files import pretty, read_as, write_atomic
from ..generation.layout import Layout
from ..generation.make import read_result
from ..generation.model import Generation, Json, Result, as_json
from ..pyanalysis import analysis
from ..sandbox.isolation import Limits
from .best import best_first, summary_table
from .best_of_n import comparison
from .check import Candidate, Check, check_variants
from .compile import Night
from .drawing import dependency_svg
from .equivalence import Trial, test_procedure
from .health import failure_patterns, health, read_yields, write_yields, yields
from .journal import journal
from .operators.synthesise import partners
from .procedure import Procedure, load_procedure
from .promote import patch, promoted_id
from .records import Entry, Record, records
from .spec import Tiers
from .tables import write_csv, write_sqlite
from .tightening import CYCLES, next_limits, write_next

DIFF_LINES = 120  # lines of a diff in a prompt


def write_analysis(procedure: Procedure, analysis_path: str, drawing_path: str) -> None:
    """Write the steps of a procedure and their dependences, as JSON and as a drawing."""
    steps = analysis.analyse(procedure.source, procedure.entry, procedure.effects)
    write_atomic(analysis_path, pretty(analysis.as_json(steps)))
    write_atomic(drawing_path, dependency_svg(steps, procedure.procedure_id))


def write_checks(procedure: Procedure, rows: Sequence[Generation], layout: Layout, path: str) -> None:
    """Write the checks of a procedure's variants by id, without variants that could not be made."""
    candidates = {}
    for row in rows:
        folder = layout.generation(row.stage, row.gen_id)
        if read_result(folder).status == "ok":
            code = (folder / layout.parsed_name(row.stage)).read_text(encoding="utf-8")
            kind, site, planned = row.wildcards["kind"], row.wildcards["site"], row.variant
            candidates[row.gen_id] = Candidate(code, kind, planned.safe, tuple(planned.adds), site)
    write_atomic(path, pretty(as_json(check_variants(procedure, candidates))))


class Tested(Struct, frozen=True):
    """The test of a variant: why its verdict is skipped (None if it is not), and more variables of its template."""

    skip: str | None = None
    values: dict[str, Json] = {}
    test: Trial | None = None


def write_tests(job: Mapping[str, Json], checks_path: str, path: str) -> str:
    """Test the variants that passed their check, and write the evidence for their verdicts; returns a progress line.

    `job`: `card`, `gens` (the folder of the variants), `variants` (id -> whether it claims to be safe), `test`
    (settings). The file has a `Tested` for each variant, and under `procedure` the result of the original.
    """
    checks = read_as(checks_path, dict[str, Check])
    procedure = load_procedure(Path(job["card"]))
    fit = {gen_id: checks[gen_id] for gen_id in job["variants"] if gen_id in checks and not unfit(checks[gen_id])}
    codes = {gen_id: (Path(job["gens"]) / gen_id / "parsed.py").read_text(encoding="utf-8") for gen_id in fit}
    settings = dict(job["test"])
    inputs, seed = settings.pop("inputs"), settings.pop("seed")
    safe = {gen_id: job["variants"][gen_id] for gen_id in fit}
    trials = test_procedure(procedure, codes, inputs=inputs, seed=seed, limits=Limits(**settings), safe=safe)
    original = {"isolation": trials.isolation, "inputs": trials.inputs, "original": trials.original}
    entries = {gen_id: _tested(checks.get(gen_id), trials.variants.get(gen_id)) for gen_id in job["variants"]}
    write_atomic(path, pretty(as_json({"procedure": original, **entries})))
    counts = Counter(trial.outcome for trial in trials.variants.values())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "no variant to test"
    return f"{procedure.procedure_id}: {len(trials.inputs)} calls, {len(trials.variants)} variants tested: {outcomes}"


def _tested(check: Check | None, trial: Trial | None) -> Tested:
    if check is None:
        return Tested("not made")
    if trial is None:
        return Tested(f"not tested: {unfit(check)}")
    lines = check.diff.splitlines()
    more = f"\n({len(lines) - DIFF_LINES} more lines)" if len(lines) > DIFF_LINES else ""
    checked = [f"signature {check.signature}"]
    checked += [] if check.claims == "none" else [f"claims about dependences: {check.claims}"]
    checked += [f"novelty {check.novelty:.2f} of 1", *check.problems]
    values = {"diff": "\n".join(lines[:DIFF_LINES]) + more, "check": checked, "test": _test_lines(trial)}
    return Tested(None, values, trial)


def unfit(check: Check) -> str:
    """Why a variant is not tested, from its check; empty if it is."""
    if check.duplicate_of:
        return f"a duplicate of {check.duplicate_of}"
    return "" if check.passed else "; ".join(check.problems)


def _test_lines(test: Trial) -> list[str]:
    lines = [f"{test.outcome}: {test.agreeing} of {test.inputs_run} calls behave as in the original"]
    lines += [test.reason] if test.reason else []
    if example := test.counterexample:
        seen = f"the original {example.original}, the variant {example.variant}"
        lines.append(f"{example.call}: {example.aspect}: {seen}")
    return lines


def table_of(entries: list[Entry], procedures: Mapping[str, Procedure], tiers: Tiers) -> list[Record]:
    """The records of a cycle. `procedures` are all known procedures."""
    bases = {entry.row.gen_id: procedures[entry.row.wildcards["procedure_id"]] for entry in entries}
    matches = {p.procedure_id: len(partners(p, procedures)) for p in bases.values()}
    promoted = [gen_id for gen_id, procedure in bases.items() if promoted_id(procedure, gen_id) in procedures]
    return records(entries, procedures, tiers, matches=matches, promoted=promoted)


def write_night(night: Night, table: list[Record], matching: list[Result], folder: Path) -> str:
    """Write the tables, the journal and the next limits of a cycle into its folder; returns a short table. `matching`
    are the choices of partners that the cycle has paid for."""
    cycle = night.spec.cycle
    counts, score, patterns, sampling = yields(table), health(table), failure_patterns(table), comparison(table)
    recent = range(max(1, cycle - CYCLES + 1), cycle)
    history = [read_yields(folder.parent / f"cycle-{number}" / "yield.csv") for number in recent]
    limits = {kind: limit.limit for kind, limit in night.limits.items()}
    taken = {kind: limit.taken + limit.limit for kind, limit in night.limits.items()}
    planned = next_limits([*history, counts], limits, night.configured, taken)
    write_csv(table, folder / "dreams.csv")
    write_sqlite(table, score, night.spec.strategy, folder / "dreams.sqlite")
    write_yields(counts, folder / "yield.csv")
    summary = {**as_json(score), "failure_patterns": as_json(patterns), "best_of_n": as_json(sampling)}
    write_atomic(folder / "health.json", pretty(summary))
    write_next(planned, folder / "next.yaml")
    title = f"{night.name}, cycle {cycle}"
    write_atomic(folder / "journal.md", journal(table, score, counts, patterns, sampling, planned, title, matching))
    return summary_table(table)


def write_patches(table: list[Record], procedures: Mapping[str, Procedure], folder: Path) -> list[Path]:
    """Write a patch for each variant in tier 1 that is not a procedure yet; returns the files."""
    written = []
    for record in best_first(table):
        if not record.promoted:
            name, text = patch(procedures[record.procedure_id], record.code, record, procedures)
            write_atomic(folder / name, text)
            written.append(folder / name)
    return written
