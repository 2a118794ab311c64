"""The journal of a night: what it tells of hand-made files, and that damaged or missing ones cannot prevent it."""

import csv
import json
from datetime import UTC, datetime

import pytest
from dreamflow.nights import journal
from dreamflow.nights.journal import write_journal
from dreamflow.nights.state import Limits, Phase, begin

NOW = datetime(2026, 3, 1, 22, tzinfo=UTC)
CYCLE = "trust/cycle-2"


@pytest.fixture
def night(tmp_path):
    root = tmp_path / "data"
    one = begin(root, Limits(minutes=60, atp=50), {"trust": 2, "procedures/demo": 1}, NOW)
    one.add(Phase(phase="upgrade", target="upgrade", started=one.started, status="skipped", why="no better *model*"))
    one.add(Phase(phase="dreams", target="dreams", started=one.started, status="done", seconds=90, calls=3, atp=20))
    return one


def write(night, path, content):
    path = night.root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_csv(night, path, *rows):
    write(night, path, "")
    with (night.root / path).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def page(night):
    write_journal(night)
    return (night.folder / "journal.md").read_text()


def trust_row(model_id, trust, change, context="stable", **fields):
    return {
        **{"model_id": model_id, "context": context, "evidence": "exact", "trust": trust, "change": change},
        **{"low": trust - 0.1, "high": trust + 0.1, "new": 5, **fields},
    }


def cell(model_id, context, mean, n=50):
    return {
        **{"model_id": model_id, "context": context, "evidence": "exact", "alpha": mean * n, "beta": (1 - mean) * n},
        **{"n": n, "mean": mean, "low": mean - 0.1, "high": mean + 0.1},
    }


@pytest.fixture
def trusted(night):
    """The files of the night's cycle of trust: a cheap model has become good enough to replace an expensive one."""
    write_csv(night, f"{CYCLE}/trust.csv", trust_row("small", 0.8, 0.3), trust_row("large", 0.82, -0.001))
    record = {"entity": "small", "context": "stable", "evidence_class": "exact", "cycle": 2}
    records = [
        {**record, "action": "aged", "reason": "a cycle passed", "trust_change": {"T3": -0.01}},
        {
            **record,
            "action": "answered",
            "reason": "5 of 5 right",
            "trust_change": {"T3": 0.31},
            "witnesses": ["p/g.jsonl"],
        },
    ]
    write(night, f"{CYCLE}/reputation.jsonl", "".join(json.dumps(each) + "\n" for each in records))
    models = {"small": {"layer": "sensory", "atp": 0.5}, "large": {"layer": "strategic", "atp": 10}}
    table = {
        "cycle": 2,
        "state": {"name": "focus", "budget_atp": 120, "multiplier": 1.5},
        "settings": {"minimum_evidence": 5, "atp_value": 0.01, "evidence": ["exact"]},
        "models": models,
        "cells": [cell("small", "stable", 0.8), cell("large", "stable", 0.82)],
    }
    write(night, f"{CYCLE}/routing.json", table)
    state = {"name": "focus", "budget_atp": 120, "multiplier": 1.5, "reasons": ["wake -> focus: salience 0.8"]}
    write(night, f"{CYCLE}/state.json", state)
    return night


def test_without_any_other_file_it_has_the_phases_and_the_limits(night):
    text = page(night)
    assert "| dreams | done | 1:30 min | 3 | 0 | 0.0000 | 20.0 |  |" in text
    assert "1.5 of 60 minutes (2%); 20 of 50 ATP (40%)" in text
    assert r"upgrade was left out: no better \*model\*" in text
    assert "There is no routing table of this night." in text
    assert "- procedures/demo: cycle 1 again, which is not finished" in text


def test_it_says_which_trust_moved_and_why_and_what_routing_saves(trusted):
    text = page(trusted)
    assert "`small` in stable (exact): **0.50 -> 0.80 (+0.30)**" in text
    assert text.index("answered: 5 of 5 right") < text.index("aged: a cycle passed")
    assert "[p/g.jsonl](../../p/g.jsonl)" in text
    assert "`large` in stable" not in text  # it did not move
    (row,) = [line.split(" | ") for line in text.splitlines() if line.startswith("| stable")]
    assert (row[1], row[4], row[5], row[7], row[8]) == ("`small`", "1.0", "`large`", "20.0", "95% |")
    assert "**focus** (120 ATP a question" in text and "salience 0.8" in text
    assert "Trust in small rose by 0.30 to 0.80 in stable." in text


def test_it_says_what_waits_and_what_failed(night):
    night.add(Phase(phase="probe", target="probe", started=night.started, status="failed", why="no key", seconds=1))
    write(night, "inbox/e_1.question.txt", "?")
    write(night, "inbox/e_2.question.txt", "?")
    write(night, "inbox/e_2.answer.txt", "!")
    row = {"gen_id": "p_1", "procedure_id": "web.backup", "tier": "1", "viability": "0.9", "novelty": "0.2"}
    row |= {"description": "faster", "outcome": "equivalent", "promoted": "False"}
    write_csv(night, "dreams/demo/cycle-1/dreams.csv", row, {**row, "gen_id": "p_2", "promoted": "True"})
    write(night, "dreams/demo/cycle-1/checks/web.backup.json", {"p_1": {"diff": "-old\n+new\n"}})
    limits = {"relax": {"limit": 2, "taken": 5, "why": "Falls to 2: few were viable."}}
    write(night, "dreams/demo/cycle-1/next.yaml", json.dumps({"limits": limits}))
    write(night, "dreams/demo/cycle-1/journal.md", "done")
    text = page(night)
    assert "- 1 question to answer: [e\\_1.question.txt](../../inbox/e_1.question.txt)" in text
    assert "- 1 variant in tier 1: `snakemake promote`" in text
    assert "```diff\n-old\n+new\n```" in text
    assert "- **probe** failed: no key. See its log, then `snakemake probe`" in text
    assert "- relax: Falls to 2: few were viable." in text
    assert "- procedures/demo: cycle 2" in text


@pytest.mark.parametrize("name", ["trust.csv", "reputation.jsonl", "routing.json", "state.json"])
def test_a_damaged_file_is_named_and_the_rest_is_told(trusted, name):
    write(trusted, f"{CYCLE}/{name}", '{"cells": 1')
    text = page(trusted)
    failed = text[text.index("## What failed") :]
    assert "damaged" in failed and CYCLE in failed
    assert "| dreams | done |" in text and "## Tomorrow" in text


def test_whatever_happens_there_is_a_journal(trusted, monkeypatch):
    monkeypatch.setattr(journal, "trust_facts", lambda night: 1 / 0)
    text = page(trusted)
    assert "ZeroDivisionError" in text and "| dreams | done |" in text
