"""`snakemake night` by real runs on a small project: dry runs, two nights, the day between them."""

import json
import re
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dreamflow.nights.lock import night_lock
from project import REPOSITORY, Project
from server import PATIENCE_S, Server
from trial import SPEC, answer, models

RAW = REPOSITORY / "data/1_raw"
ANSWERS = [
    {"contains": "Viability:", "text": "Sound.\nViability: 0.8\nTier: 1"},
    {"text": "An answer of some words.\nIt has two lines.\nSCORE: 7"},
]


@pytest.fixture(scope="module")
def dreamt(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with work of every kind, before its first night."""
    root = tmp_path_factory.mktemp("night")
    answers = root / "answers.jsonl"
    answers.write_text("".join(json.dumps(line) + "\n" for line in ANSWERS))
    row = {"provider": "replay", "name": str(answers), "context_length": 8192, "price": {"prompt": 0, "completion": 0}}
    project = Project(root, dict.fromkeys(("writer", "judge"), row), SPEC)
    names = {"cohorts": ["trial"], "procedures": ["trial"], "probes": ["trial"]}
    project.write("config/config.yaml", {**names, "night": {"minutes": 10, "tokens": 1_000_000}})
    night = {"procedures": ["*"], "cycle": "auto", "kinds": ["parameters", "reorder"], "test": {"inputs": 2}}
    night |= {"limits": {"parameters": 1, "reorder": 1}, "models": {"verdict": {"model": "judge"}}}
    project.write("config/procedures/trial.yaml", night)
    project.write("config/probes/trial.yaml", {"models": ["writer"], "tasks": {"kinds": ["facts"]}})
    for name in ("procedures/webshop/quote_basket.py", "procedures/webshop/quote_basket.yaml", "probe/facts.jsonl"):
        project.write(f"data/1_raw/{name}", (RAW / name).read_text())
    for kind in ("verdict", "answer"):
        shutil.copytree(RAW / "templates" / kind, root / "data/1_raw/templates" / kind)
    return project


def phases(project: Project, night: int) -> dict[str, dict]:
    text = (project.root / f"data/nights/{night}/phases.jsonl").read_text()
    return {line["phase"]: line for line in map(json.loads, text.splitlines())}


def test_a_dry_run_shows_the_phases_and_the_calls_of_the_next_night(dreamt: Project) -> None:
    shown = dreamt.run("night", "-n").stdout
    assert "the next night: limits: 10 minutes, 1,000,000 tokens" in shown
    assert "procedures/trial: cycle 1" in shown and "trust: cycle 1" in shown
    assert "dreams: snakemake dreams" in shown and "distill: left out (nothing configured)" in shown
    assert re.search(r"verdict +judge", shown) and re.search(r"answer +writer", shown)
    assert not (dreamt.root / "data/nights").exists()


@pytest.fixture(scope="module")
def first(dreamt: Project) -> Project:
    """The project after its first night."""
    done = dreamt.run("night", "--cores", "2")
    assert done.returncode == 0, done.stdout
    assert "night 1: 2 variants dreamt" in done.stdout
    return dreamt


def test_the_first_night_runs_all_phases_and_ends_in_a_journal(first: Project) -> None:
    lines = phases(first, 1)
    made = {name: line["status"] for name, line in lines.items()}
    assert made == {
        **dict.fromkeys(("chunks", "upgrade", "distill"), "skipped"),
        **dict.fromkeys(("dreams", "evaluations", "probe", "trust"), "done"),
    }
    assert list(lines) == ["chunks", "upgrade", "dreams", "evaluations", "probe", "trust", "distill"]
    assert lines["dreams"]["made"] == {"variant": 2, "verdict": 2}
    assert (lines["probe"]["calls"], lines["evaluations"]["made"]["evaluation"]) == (23, 4)
    assert all(line["atp"] > 0 for line in lines.values() if line["calls"])
    night = first.read("data/nights/1/night.json")
    assert night["cycles"] == {"procedures/trial": 1, "trust": 1}
    with closing(sqlite3.connect(first.root / "data/store/answers.sqlite")) as store:
        spent = store.execute("SELECT tokens, atp FROM spent WHERE scope = 'night:1'").fetchone()
    assert spent[0] == sum(line["tokens"] for line in lines.values())
    assert spent[1] == pytest.approx(sum(line["atp"] for line in lines.values()))
    journal = first.read("data/nights/1/journal.md")
    assert "| dreams | done |" in journal and "```diff" in journal and "[all of it](../../trust/cycle-1/" in journal
    assert all((first.root / "data/nights/1" / name).exists() for name in re.findall(r"\]\(([^)#]+)\)", journal))


def test_by_day_nothing_moves_on(first: Project) -> None:
    assert "Nothing to be done" in first.run("dreams").stdout


def test_the_second_night_goes_on_from_the_first_and_spares_what_is_made(first: Project) -> None:
    shown = first.run("night", "-n").stdout
    assert "procedures/trial: cycle 2" in shown and re.search(r"verdict +judge +2", shown)
    done = first.run("night", "--cores", "2", "--nolock")
    assert done.returncode == 0, done.stdout
    lines = phases(first, 2)
    assert lines["dreams"]["made"] == {"variant": 2, "verdict": 2}
    assert (lines["evaluations"]["calls"], lines["evaluations"]["made"]) == (0, {})
    assert (first.root / "data/dreams/trial/cycle-2/journal.md").exists()
    assert (first.root / "data/trust/cycle-2/reputation.jsonl").exists()
    assert "- procedures/trial: cycle 3" in first.read("data/nights/2/journal.md")


def test_a_night_beside_another_does_nothing(first: Project) -> None:
    with night_lock(first.root / "data/nights", datetime(2026, 1, 2, tzinfo=UTC)):
        done = first.run("night")
    assert done.returncode == 0
    assert "another night runs since 2026-01-02T00:00:00" in done.stdout
    assert sorted(path.name for path in (first.root / "data/nights").glob("[0-9]*")) == ["1", "2"]


def test_ctrl_c_ends_the_phase_in_order_and_the_next_run_goes_on_with_the_night(tmp_path: Path) -> None:
    go, arrived = threading.Event(), threading.Event()

    def hold(body: dict[str, Any]) -> str:
        arrived.set()
        go.wait(PATIENCE_S)
        return answer(body)

    with Server(hold) as server:
        project = Project(tmp_path / "project", models(server.url), SPEC)
        process = project.start("night", "--cores", "2")
        assert arrived.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)  # to the night alone, as systemd sends it
        lines = (line for line in process.stdout if line.startswith("Terminating processes on user request"))
        assert next(lines) and next(lines)  # the night, and its phase
        go.set()
        screen, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode != 0
        assert "night 1 was interrupted during evaluations: 'snakemake night' goes on with it" in screen
        assert 0 < server.calls < 8 and not (project.root / "data/nights/1/journal.md").exists()
        done = project.run("night", "--cores", "2")
        assert done.returncode == 0, done.stdout
        assert server.calls == 8  # nothing was asked twice
    assert phases(project, 1)["evaluations"]["status"] == "done"
    assert "| evaluations | interrupted |" in project.read("data/nights/1/journal.md")
