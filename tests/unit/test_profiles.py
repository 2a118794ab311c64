"""The profiles name rules that exist, and each rule is either local or for a cluster."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OF_A_CLUSTER = {
    "shard_cluster",
    "shard_gpu",
    "sandbox_test",
    "teacher_logprobs",
    "distill_student",
    "validate_student",
    "export_student",
}


def rules() -> dict[str, str]:
    """The text of every rule, by name."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    parts = re.split(r"^(?:rule|checkpoint|use rule \w+ as) (\w+)(?::| with:)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_rule_that_does_not_go_to_a_cluster_is_local() -> None:
    working = {name for name, body in rules().items() if re.search(r"^    (run|script|log):", body, flags=re.M)}
    local = {name for name, body in rules().items() if re.search(r"^    localrule: True$", body, flags=re.M)}
    assert local == working - OF_A_CLUSTER


def test_the_rules_of_all_stages_are_local() -> None:
    (block,) = re.findall(
        r"^for stage in .*?(?=^\S|\Z)", (ROOT / "rules/generations.smk").read_text(), flags=re.M | re.S
    )
    assert block.count("    rule:") == block.count("localrule: True") == 1


@pytest.mark.parametrize("name", sorted(OF_A_CLUSTER))
def test_a_job_of_a_cluster_says_what_it_takes(name: str) -> None:
    body = rules()[name]
    assert {"mem_mb", "runtime"} <= set(re.findall(r"(\w+)=", body))


@pytest.mark.parametrize("profile", ["slurm", "gpu"])
def test_a_profile_names_rules_that_are_there(profile: str) -> None:
    settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    assert settings["set-resources"].keys() <= OF_A_CLUSTER


def test_the_default_profile_does_not_undo_what_another_sets() -> None:
    """It is loaded after the one that is given, and wins."""
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    for profile in ("slurm", "gpu", "nightly"):
        settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
        assert {key for key in settings.keys() & default.keys() if settings[key] != default[key]} == set()


def test_there_is_one_gpu_unless_said_otherwise() -> None:
    assert "gpu=1" in yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())["resources"]
