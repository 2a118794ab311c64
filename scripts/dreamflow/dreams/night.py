"""The files of a night: what each rule of rules/dreams.smk writes."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import pretty, read_json, write_atomic
from ..pyanalysis.analysis import analyse, as_json
from ..sandbox.isolation import Limits
from .check import Candidate, check_variants
from .drawing import dependency_svg
from .equivalence import test_procedure
from .health import comparison, failure_patterns, health, read_yields, write_yields, yields
from .journal import best_first, journal, summary_table
from .operators.synthesise import partners
from .procedure import Procedure, load_procedure
from .promote import patch, promoted_id
from .records import Record, records, write_csv, write_sqlite
from .tightening import CYCLES, next_limits, write_next

Row = Mapping[str, Any]

DIFF_LINES = 120  # of a diff that a judge gets to see


def write_analysis(procedure: Procedure, analysis_path: str, drawing_path: str) -> None:
    """The steps of a procedure and their dependences, as JSON and as a drawing."""
    analysis = analyse(procedure.source, procedure.entry, procedure.effects)
    write_atomic(analysis_path, pretty(as_json(analysis)))
    write_atomic(drawing_path, dependency_svg(analysis, procedure.procedure_id))


def write_checks(procedure: Procedure, rows: Mapping[str, Row], gens: Path, path: str) -> None:
    """The checks of a procedure's variants by id; those that were not made have none. `gens` holds their folders."""
    candidates = {}
    for gen_id, row in rows.items():
        if read_metadata(gens / gen_id)["status"] == "ok":
            code = (gens / gen_id / "parsed.py").read_text(encoding="utf-8")
            planned = row["variant"]
            where = row["wildcards"]
            candidates[gen_id] = Candidate(code, where["kind"], planned["safe"], tuple(planned["adds"]), where["site"])
    write_atomic(path, pretty(check_variants(procedure, candidates)))


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of the generation in a folder."""
    return read_json(folder / "metadata.json")


def write_tests(job: Row, checks_path: str, path: str) -> str:
    """Test the variants that passed their check, and write what a judge has to know of each; returns a line to show.

    `job`: `card`, `gens` (the folder of the variants), `variants` (id -> whether it claims to be safe), `test`
    (settings). The file has, by id, the result as `test`, and `skip` and `values` for the verdict; under `procedure`
    stands how the original did.
    """
    checks = read_json(checks_path)
    procedure = load_procedure(Path(job["card"]))
    tested = {gen_id: checks[gen_id] for gen_id in job["variants"] if gen_id in checks and not unfit(checks[gen_id])}
    codes = {gen_id: (Path(job["gens"]) / gen_id / "parsed.py").read_text(encoding="utf-8") for gen_id in tested}
    settings = dict(job["test"])
    inputs, seed = settings.pop("inputs"), settings.pop("seed")
    safe = {gen_id: job["variants"][gen_id] for gen_id in tested}
    found = test_procedure(procedure, codes, inputs=inputs, seed=seed, limits=Limits(**settings), safe=safe)
    results = found.pop("variants")
    entries: dict[str, Any] = {"procedure": found}
    for gen_id in job["variants"]:
        check = checks.get(gen_id)
        if gen_id in results:
            values = {"diff": _diff(check), "check": _check_lines(check), "test": _test_lines(results[gen_id])}
            entries[gen_id] = {"skip": None, "values": values, "test": results[gen_id]}
        else:
            entries[gen_id] = {
                "skip": f"not tested: {unfit(check)}" if check else "not made",
                "values": {},
                "test": None,
            }
    write_atomic(path, pretty(entries))
    counts = Counter(result["outcome"] for result in results.values())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "none to test"
    return f"{procedure.procedure_id}: {len(found['inputs'])} calls, {len(results)} variants tested: {outcomes}"


def unfit(check: Row) -> str:
    """Why a variant is not run, from its check; empty if it is."""
    if check["duplicate_of"]:
        return f"a duplicate of {check['duplicate_of']}"
    return "" if check["passed"] else "; ".join(check["problems"])


def _diff(check: Row) -> str:
    lines = check["diff"].splitlines()
    left = len(lines) - DIFF_LINES
    return "\n".join(lines[:DIFF_LINES]) + (f"\n({left} more lines)" if left > 0 else "")


def _check_lines(check: Row) -> list[str]:
    lines = [f"signature {check['signature']}"]
    lines += [] if check["claims"] == "none" else [f"claims about dependences: {check['claims']}"]
    return [*lines, f"novelty {check['novelty']:.2f} of 1", *check["problems"]]


def _test_lines(test: Row) -> list[str]:
    lines = [f"{test['outcome']}: {test['agreeing']} of {test['inputs_run']} calls behave as in the original"]
    lines += [test["reason"]] if test["reason"] else []
    if example := test["counterexample"]:
        seen = f"the original {example['original']}, the variant {example['variant']}"
        lines.append(f"{example['call']}: {example['aspect']}: {seen}")
    return lines


def table_of(entries: list[Row], procedures: Mapping[str, Procedure], tiers: Mapping[str, float]) -> list[Record]:
    """The records of a cycle. `entries` are what `records.records` takes, `procedures` all that there are."""
    dreamt = {entry["row"]["gen_id"]: procedures[entry["row"]["wildcards"]["procedure_id"]] for entry in entries}
    matches = {p.procedure_id: len(partners(p, procedures)) for p in dreamt.values()}
    promoted = [gen_id for gen_id, procedure in dreamt.items() if promoted_id(procedure, gen_id) in procedures]
    return records(entries, procedures, tiers, matches=matches, promoted=promoted)


def write_night(job: Row, table: list[Record], folder: Path) -> str:
    """Write the tables, the journal and the next limits of a cycle into its folder; returns a short table to show.

    `job`: `name`, `cycle`, `strategy`, `limits` (kind -> limit and taken) and `configured` (kind -> limit).
    """
    found, score, patterns, sampling = yields(table), health(table), failure_patterns(table), comparison(table)
    earlier = range(max(1, job["cycle"] - CYCLES + 1), job["cycle"])
    history = [read_yields(folder.parent / f"cycle-{cycle}" / "yield.csv") for cycle in earlier]
    limits = {kind: limit["limit"] for kind, limit in job["limits"].items()}
    taken = {kind: limit["taken"] + limit["limit"] for kind, limit in job["limits"].items()}
    planned = next_limits([*history, found], limits, job["configured"], taken)
    title = f"{job['name']}, cycle {job['cycle']}"
    write_csv(table, folder / "dreams.csv")
    write_sqlite(table, score, job["strategy"], folder / "dreams.sqlite")
    write_yields(found, folder / "yield.csv")
    write_atomic(folder / "health.json", pretty({**score, "failure_patterns": patterns, "best_of_n": sampling}))
    write_next(planned, folder / "next.yaml")
    write_atomic(folder / "journal.md", journal(table, score, found, patterns, sampling, planned, title))
    return summary_table(table)


def write_patches(table: list[Record], procedures: Mapping[str, Procedure], folder: Path) -> list[Path]:
    """Write a patch for each variant in tier 1 that is no procedure yet; returns the files."""
    written = []
    for record in best_first(table):
        if not record["promoted"]:
            name, text = patch(procedures[record["procedure_id"]], record["code"], record, procedures)
            write_atomic(folder / name, text)
            written.append(folder / name)
    return written
