"""Every shipped spec compiles; the default ones need no key; the examples for OpenRouter are within its free tier."""

from pathlib import Path

import pytest
import yaml
from dreamflow.plan import Plan
from dreamflow.upkeep import missing_keys
from plans import planned
from project import REPOSITORY

LISTS = ("cohorts", "procedures", "conversations", "probes")
SPECS = [(key, path.stem) for key in LISTS for path in sorted((REPOSITORY / "config" / key).glob("*.yaml"))]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The plan of a shipped configuration, on a data folder of its own, without keys."""
    monkeypatch.chdir(REPOSITORY)
    for name in ("OPENROUTER_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def plan(**config: list[str]) -> Plan:
        return planned({**config, "data_root": str(tmp_path)})

    return plan


@pytest.mark.parametrize(("key", "name"), SPECS)
def test_a_shipped_spec_is_planned(shipped, key: str, name: str):
    plan = shipped(**{key: [name]})
    assert plan.generations or key == "conversations"  # which rules can chunk


def test_what_runs_by_default_needs_no_key(shipped):
    config = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    plan = shipped(**{key: config[key] for key in LISTS})
    assert not missing_keys(plan, plan.generations.values())


@pytest.mark.parametrize("key", ["cohorts", "procedures"])
def test_the_examples_for_openrouter_have_fallbacks_and_stay_within_the_free_tier(shipped, key: str):
    plan = shipped(**{key: ["openrouter"]})
    asking = [row for row in plan.generations.values() if row.mode == "llm"]
    assert asking and all(row.fallbacks for row in asking)
    assert all("OPENROUTER_API_KEY is not set" in line for line in missing_keys(plan, asking))
    used = {candidate.model.model_id for row in asking for candidate in row.candidates}
    models = [plan.models[name] for name in used]
    assert {model.provider for model in models} == {"openrouter"}
    assert sum(model.limits.requests_per_day for model in models) <= 1000
    assert sum(model.limits.requests_per_minute for model in models) <= 20
    assert len(asking) < 60
