"""`snakemake night` by real runs on a small project: two nights, a dry run, an interrupted night."""

import json
import shutil

import pytest
from project import REPOSITORY, Project
from trial import SPEC

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
    names = {"cohorts": ["trial"], "procedures": ["trial"], "conversations": ["trial"], "probes": ["trial"]}
    project.write("config/config.yaml", {**names, "night": {"minutes": 10, "tokens": 1_000_000}})
    night = {"procedures": ["*"], "cycle": "auto", "kinds": ["parameters", "reorder"], "test": {"inputs": 2}}
    night |= {"limits": {"parameters": 1, "reorder": 1}, "models": {"verdict": {"model": "judge"}}}
    project.write("config/procedures/trial.yaml", night)
    project.write("config/conversations/trial.yaml", {"conversations": ["bread-and-garden"]})
    project.write("config/probes/trial.yaml", {"models": ["writer"], "tasks": {"kinds": ["facts"]}})
    for name in ("procedures/webshop/quote_basket.py", "procedures/webshop/quote_basket.yaml", "probe/facts.jsonl"):
        project.write(f"data/1_raw/{name}", (RAW / name).read_text())
    name = "conversations/bread-and-garden.md"
    project.write(f"data/1_raw/{name}", (RAW / name).read_text())
    for kind in ("verdict", "answer"):
        shutil.copytree(RAW / "templates" / kind, root / "data/1_raw/templates" / kind)
    return project


def phases(project: Project, night: int) -> dict[str, dict]:
    text = (project.root / f"data/nights/{night}/phases.jsonl").read_text()
    return {line["phase"]: line for line in map(json.loads, text.splitlines())}


def test_two_nights(dreamt: Project) -> None:
    first = dreamt.run("night")
    print(first.stdout)
    assert first.returncode == 0
