"""Nights over procedures, by real runs: from cards to a journal, again without work, the next cycle, a promotion."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import REPOSITORY, Project
from server import Server, status

RAW = REPOSITORY / "data/1_raw"
PROCEDURES = ("webshop/quote_basket", "fleet-ops/check_host")
KINDS = ["reorder", "parallelise", "parameters", "relax", "synthesise", "sample"]


def answer(body: dict[str, Any]) -> str:
    """A verdict where one is asked for, the name of a partner, else the procedure that was shown, a little changed."""
    question = body["messages"][-1]["content"]
    if "Viability:" in question:
        return "A sound idea.\nViability: 0.8\nTier: 1"
    code = question.partition("```python\n")[2].partition("\n```")[0]
    if "Violat" not in question and "days = 1" in code:
        code = code.replace("days = 1", "days = 1 + 1", 1)
    return f"Here it is.\n\n```python\n{code}\n```\nIt violates an assumption."


@pytest.fixture(scope="module")
def judge() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


def night(**changes: Any) -> dict[str, Any]:
    models = {kind: {"model": "writer", "attempts": 1} for kind in ("relax", "synthesise", "sample")}
    return {
        "procedures": ["webshop.quote_basket"],
        "kinds": KINDS,
        "limits": dict.fromkeys(KINDS, 1),
        "models": {**models, "verdict": {"model": "judge"}},
        "test": {"inputs": 3},
        **changes,
    }


@pytest.fixture(scope="module")
def dreamt(judge: Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose first night is over: one procedure, one variant of each kind, made and judged by a server."""
    row = {"provider": "openai", "name": "m", "base_url": judge.url, "context_length": 32768}
    models = {name: {**row, "price": {"prompt": 1.0, "completion": 2.0}} for name in ("writer", "judge")}
    project = Project(tmp_path_factory.mktemp("dreamt"), models, {})
    project.write("config/config.yaml", {"procedures": ["trial"]})
    project.write("config/procedures/trial.yaml", night())
    for name in PROCEDURES:
        for suffix in (".py", ".yaml"):
            project.write(f"data/1_raw/procedures/{name}{suffix}", (RAW / f"procedures/{name}{suffix}").read_text())
    for kind in ("relax", "synthesise", "sample", "match", "verdict"):
        shutil.copytree(RAW / "templates" / kind, project.root / "data/1_raw/templates" / kind)
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def project(dreamt: Project, tmp_path: Path) -> Project:
    root = tmp_path / "project"
    shutil.copytree(dreamt.root, root, symlinks=True)
    copy = object.__new__(Project)
    copy.root = root
    return copy


def table(project: Project, cycle: int = 1) -> dict[str, dict[str, str]]:
    with (project.root / f"data/dreams/trial/cycle-{cycle}/dreams.csv").open(newline="") as stream:
        return {row["kind"]: row for row in csv.DictReader(stream)}


def test_a_night_ends_with_a_journal_and_tables(dreamt: Project):
    rows = table(dreamt)
    assert list(rows) == KINDS
    outcomes = {"reorder": "equivalent", "parallelise": "equivalent", "parameters": "differs", "synthesise": "differs"}
    assert {kind: rows[kind]["outcome"] for kind in outcomes} == outcomes
    assert rows["sample"]["duplicate_of"] == rows["synthesise"]["gen_id"]
    assert (rows["reorder"]["tier"], rows["reorder"]["viability"]) == ("1", "0.8")
    assert float(rows["sample"]["cost_usd"]) > 0 and rows["reorder"]["model_id"] == ""
    # The relaxation's answer is the procedure itself: a duplicate is recorded, not run, and nobody is asked about it.
    assert (rows["relax"]["duplicate_of"], rows["relax"]["outcome"], rows["relax"]["tier"]) == ("base", "", "3")
    verdicts = {meta["parents"][0]: meta for meta in dreamt.generations("verdict").values()}
    assert verdicts[rows["relax"]["gen_id"]]["status"] == "skipped"
    assert verdicts[rows["reorder"]["gen_id"]]["parsed"]["viability"] == 0.8

    folder = dreamt.root / "data/dreams/trial/cycle-1"
    journal = (folder / "journal.md").read_text()
    assert "```diff" in journal and rows["reorder"]["gen_id"] in journal
    with sqlite3.connect(folder / "dreams.sqlite") as base:
        stored = dict(base.execute("select dream_type, tier from dream_procedures"))
    assert (stored["reorder"], stored["constraint_relaxation"], len(stored)) == (1, 3, len(KINDS))
    assert 0 < json.loads((folder / "health.json").read_text())["score"] < 1
    assert yaml.safe_load((folder / "next.yaml").read_text())["limits"]["reorder"]["taken"] == 1
    drawing = (dreamt.root / "data/dreams/analysis/webshop.quote_basket.svg").read_text()
    assert drawing.startswith("<svg") and "fetch_prices" in drawing


def test_nothing_is_left_to_do_and_what_is_deleted_comes_back_without_a_call(project: Project, judge: Server):
    calls = judge.calls
    assert "Nothing to be done" in project.run("dreams").stdout
    before = table(project)
    shutil.rmtree(project.root / "data/gens")
    shutil.rmtree(project.root / "data/dreams")
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert judge.calls == calls
    timed = {"seconds_ratio", "effectiveness_metric"}
    assert {k: {n: v for n, v in row.items() if n not in timed} for k, row in table(project).items()} == {
        k: {n: v for n, v in row.items() if n not in timed} for k, row in before.items()
    }


def test_an_edited_procedure_dreams_anew_and_a_new_one_adds_only_itself(project: Project, judge: Server):
    project.write("config/procedures/trial.yaml", night(procedures=["*"], kinds=["reorder", "parameters"]))
    calls = judge.calls
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert judge.calls == calls + 2  # the verdicts on the two variants of check_host
    code = project.read("data/1_raw/procedures/webshop/quote_basket.py")
    project.write("data/1_raw/procedures/webshop/quote_basket.py", code.replace("pieces >= 10", "pieces >= 12"))
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert judge.calls == calls + 4


def test_the_next_cycle_goes_on_where_this_one_ended(project: Project):
    first = {row["site"] for row in table(project).values()}
    project.edit("config/procedures/trial.yaml", cycle=2)
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    second = table(project, 2)
    assert second["parameters"]["site"] not in first
    assert second["sample"]["gen_id"] != table(project)["sample"]["gen_id"]
    assert "0 generations" in project.run("orphans").stdout  # the first cycle's are named by its table
    project.edit("config/procedures/trial.yaml", cycle=9)
    refused = project.run("dreams")
    assert refused.returncode and "cycle-8/next.yaml does not exist" in refused.stdout


def test_a_variant_in_tier_one_becomes_a_procedure_by_a_patch(project: Project):
    done = project.run("promote")
    assert done.returncode == 0, done.stdout
    patches = sorted((project.root / "data/dreams/trial/cycle-1/promoted").glob("*.patch"))
    assert patches and all(str(path.name) in done.stdout for path in patches)
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    for path in patches:
        subprocess.run(["git", "apply", path], cwd=project.root, check=True)
    project.write("config/procedures/trial.yaml", night(procedures=["webshop.*"], kinds=["parameters"]))
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    with (project.root / "data/dreams/trial/cycle-1/dreams.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 1 + len(patches)
    assert "0 variants in tier 1 that are not procedures yet" not in done.stdout


def test_a_model_chooses_the_partner_and_a_fallback_takes_over(project: Project, judge: Server):
    models = {
        "match": {"model": "chooser"},
        "synthesise": {"model": "broken", "fallback": ["writer"], "attempts": 1},
    }
    listed = project.read("config/models.yaml")["models"]
    answers = project.write("chooser.jsonl", json.dumps({"text": "fleet-ops.check_host"}) + "\n")
    listed["chooser"] = {"provider": "replay", "name": str(answers)}
    listed["broken"] = {**listed["writer"], "base_url": "http://127.0.0.1:9/v1"}
    project.write("config/models.yaml", {"models": listed})
    project.edit("config/config.yaml", call_attempts=1)
    spec = night(kinds=["synthesise"], match="model", models=models, limits={"synthesise": 1})
    project.write("config/procedures/trial.yaml", spec)
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    (made,) = [
        meta
        for meta in project.generations("variant").values()
        if meta["wildcards"]["kind"] == "synthesise" and meta["parents"]
    ]
    assert (made["status"], made["model_id"]) == ("ok", "writer")
    prompt = (project.root / f"data/gens/variant/{made['gen_id']}/prompt.txt").read_text()
    assert "def check_host" in prompt and "def quote_basket" in prompt
    row = table(project)["synthesise"]
    assert (row["outcome"], row["tier"], row["verdict_id"]) == ("differs", "", "")


def test_a_call_that_fails_leaves_the_rest_standing_and_the_next_run_completes_it(project: Project, judge: Server):
    shutil.rmtree(project.root / "data")
    shutil.copytree(REPOSITORY / "data/1_raw", project.root / "data/1_raw")
    project.edit("config/config.yaml", call_attempts=1)
    project.write("config/procedures/trial.yaml", night(kinds=["reorder", "sample"]))
    judge.script += [status(503)]
    broken = project.run("dreams")
    assert broken.returncode and "503" in broken.stdout
    judge.script.clear()
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert set(table(project)) == {"reorder", "sample"}


def test_an_edit_is_noticed_without_the_notes_of_snakemake(project: Project, judge: Server):
    code = project.read("data/1_raw/procedures/webshop/quote_basket.py")
    project.write("data/1_raw/procedures/webshop/quote_basket.py", code.replace("pieces >= 10", "pieces >= 14"))
    shutil.rmtree(project.root / ".snakemake")
    calls = judge.calls
    forecast = project.run("-n", "dreams").stdout
    assert "verdict             6" in forecast and "variant             6" in forecast
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert judge.calls == calls + 7  # 3 variants; verdicts on those that are no duplicates
    assert "Nothing to be done" in project.run("dreams").stdout


def test_lost_checks_are_made_again(project: Project):
    (checks,) = (project.root / "data/dreams/trial/cycle-1/checks").iterdir()
    before = checks.read_text()
    checks.unlink()
    assert project.run("promote").returncode == 0
    assert checks.read_text() == before


def test_a_variant_that_was_edited_by_hand_is_checked_and_tested_again(project: Project):
    path = project.root / f"data/gens/variant/{table(project)['reorder']['gen_id']}/parsed.py"
    path.write_text(path.read_text() + "\n# by hand\nSPEED = 1\n")
    (checks,) = (project.root / "data/dreams/trial/cycle-1/checks").iterdir()
    before = checks.read_text()
    done = project.run("dreams")
    assert done.returncode == 0, done.stdout
    assert checks.read_text() != before
    assert "Nothing to be done" in project.run("dreams").stdout


def test_a_failed_job_is_one_line_on_the_screen_and_in_its_log(project: Project):
    checks = project.root / "data/dreams/trial/cycle-1/checks/webshop.quote_basket.json"
    times = checks.stat()
    checks.write_text('{"half')
    os.utime(checks, ns=(times.st_atime_ns, times.st_mtime_ns))
    failed = project.run("--forcerun", "sandbox_test", "dreams")
    log = project.read("data/logs/sandbox_test/trial/cycle-1/webshop.quote_basket.log")
    assert failed.returncode and len(log.splitlines()) == 1
    assert "checks/webshop.quote_basket.json" in log and failed.stdout.count(log) == 1
    assert "RuleException" not in failed.stdout and "CalledProcessError" not in failed.stdout
    project.edit("config/config.yaml", procedures=[])
    failed = project.run("promote")
    assert failed.returncode and "Traceback" not in failed.stdout
    assert failed.stdout.count("procedures: no night is configured") == 1
    assert "procedures: no night is configured" in project.read("data/logs/promote.log")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"procedures": ["nothing.*"]}, "procedures[0]: unknown procedure 'nothing.*'; known: fleet-ops.check_host"),
        ({"kinds": ["relax"], "models": {}}, "models.relax: missing: name the model for 'relax'"),
        ({"models": {"verdict": {"model": "nobody"}}, "kinds": ["reorder"]}, "unknown model 'nobody'"),
        ({"kinds": ["dance"]}, "trial.yaml:"),
        ({"tiers": {"viable": 0.2}}, "tiers: 'speculative' is above 'viable'"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(project: Project, changes: dict[str, Any], told: str):
    project.write("config/procedures/trial.yaml", night(**changes))
    done = project.run("-n", "dreams")
    assert done.returncode and told in done.stdout and "Traceback" not in done.stdout
