"""What a person gets wrong on the first day: each message says what is missing and what to do."""

from pathlib import Path

import pytest
import yaml
from dreamflow.chunks.spec import ChunkingSpec
from dreamflow.cohorts.spec import CohortSpec
from dreamflow.config import check, load_yaml
from dreamflow.distill.spec import DistillationSpec
from dreamflow.dreams.spec import NightSpec
from dreamflow.errors import ConfigError
from dreamflow.plan import compile_plan
from dreamflow.probe.spec import ProbeSpec
from dreamflow.settings import Settings, has_keys
from project import Project

EMPTY = [
    (CohortSpec, "{axes: {a: [x]}, combos: {size: 2, concepts: []}}", "combos.concepts", "or delete the key"),
    (CohortSpec, "{axes: {a: [x]}, combos: {lists: [[]]}}", "combos.lists[0]", "or it can do nothing"),
    (CohortSpec, "{axes: {}}", "axes", "the mapping is empty"),
    (CohortSpec, "{axes: {a: [x]}, from: {essays: []}}", "from.essays", "or delete the key"),
    (CohortSpec, "{axes: {a: [x]}, stages: {evaluation: {judges: []}}}", "stages.evaluation.judges", "delete the key"),
    (CohortSpec, "{axes: {a: [x]}, stages: {draft: {auto: {of: []}}}}", "stages.draft.auto.of", "or delete the key"),
    (NightSpec, "{procedures: []}", "procedures", "or delete the key"),
    (NightSpec, "{kinds: []}", "kinds", "or delete the key"),
    (ChunkingSpec, "{conversations: []}", "conversations", "or delete the key"),
    (ProbeSpec, "{models: []}", "models", "or it can do nothing"),
    (ProbeSpec, "{models: [a], tasks: {kinds: []}}", "tasks.kinds", "or delete the key"),
    (DistillationSpec, "{student: {model: a}, teacher: {model: b}, replay: {kinds: []}}", "replay.kinds", "do nothing"),
    (Settings, "{trust: {evidence: []}}", "trust.evidence", "or delete the key"),
]


@pytest.mark.parametrize(
    ("model", "text", "key", "advice"), EMPTY, ids=[f"{row[0].__name__}-{row[2]}" for row in EMPTY]
)
def test_an_empty_list_is_never_all(model, text, key, advice):
    with pytest.raises(ConfigError) as error:
        check(yaml.safe_load(text), model, "spec.yaml", text)
    assert str(error.value).startswith(f"spec.yaml:1: {key}: the ") and "is empty; name at least one" in str(
        error.value
    )
    assert advice in str(error.value)


def test_lists_that_add_nothing_may_be_empty():
    spec = check({"axes": {"a": ["x"]}, "combos": {"size": 2, "lists": []}}, CohortSpec, "x")
    assert (spec.combos.concepts, spec.output) == (None, None)
    assert check({"cohorts": [], "batch": []}, Settings, "x").cohorts == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models:\n\ta: 1\n", "spec.yaml:2:1: not valid YAML: a tab; YAML indents with spaces only"),
        ("models: [a]\ntasks:\n", "spec.yaml:2: tasks: the key has no value; give it one (a mapping), or delete it"),
        ("models:\n", "spec.yaml:1: models: the key has no value; give it one (a list), or delete it"),
    ],
)
def test_yaml_of_a_beginner(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_yaml("spec.yaml", ProbeSpec)
    assert str(error.value).startswith(said)


def test_a_folder_that_is_no_project_says_how_to_begin_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.yaml: no such file.*python \S+/scripts/new_project\.py FOLDER"):
        has_keys()


AXES = {
    "draft_template": ["plain"],
    "draft_llm": ["small"],
    "evaluation_template": ["rigor"],
    "evaluation_llm": ["small"],
}
MISTAKES = {
    "no models": ({"config/models.yaml": None}, "unknown model 'small'; known: none (config/models.yaml lists them"),
    "a blank models.yaml": ({"config/models.yaml": ""}, "unknown model 'small'; known: none"),
    "another id": ({"config/models.yaml": "models: {smal: {provider: human}}"}, "did you mean 'smal'? known: smal (in"),
    "a spec ending in .yml": (
        {"config/config.yaml": "probes: [a]", "config/probes/a.yml": ""},
        "no file config/probes/a.yaml; move config/probes/a.yml there",
    ),
    "a spec in another folder": (
        {"config/config.yaml": "probes: [a]", "config/a.yaml": ""},
        "no file config/probes/a.yaml; move config/a.yaml there",
    ),
    "no concepts": (
        {"data/1_raw/concepts_metadata.csv": "concept_id,name\n"},
        "combos: data/1_raw/concepts_metadata.csv lists no concepts; add a line for each, such as 'tide,Tides', and "
        "its text, data/1_raw/concepts/descriptions-paragraph/tide.txt",
    ),
    "no chats": (
        {"config/config.yaml": "conversations: [all]", "config/conversations/all.yaml": "",
         "data/1_raw/conversations/x": ""},
        "config/conversations/all.yaml: conversations: there is no conversation: put chats into",
    ),
    "a procedure without a card": (
        {"config/config.yaml": "procedures: [all]", "config/procedures/all.yaml": "",
         "data/1_raw/procedures/mine/f.py": "def f(): ..."},
        "unknown procedure '*'; known: none. A procedure is a card, <project>/<name>.yaml",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), MISTAKES.values(), ids=MISTAKES)
def test_what_a_spec_needs_is_named(tmp_path, monkeypatch, changes, said):
    spec = {"axes": AXES, "combos": {"size": 2}}
    project = Project(tmp_path, {"small": {"provider": "human"}}, spec)
    for path, content in changes.items():
        if content is None:
            (tmp_path / path).unlink()
        else:
            project.write(path, content)
    monkeypatch.chdir(tmp_path)
    (problem,) = compile_plan(yaml.safe_load(Path("config/config.yaml").read_text())).problems
    assert said in problem


def test_targets_without_a_spec_say_what_to_configure(tmp_path, monkeypatch):
    project = Project(tmp_path, {}, {})
    project.write("config/config.yaml", "cohorts: []\n")
    monkeypatch.chdir(tmp_path)
    plan = compile_plan({"cohorts": []})
    assert plan.nothing_for("chunks").startswith("config/config.yaml names no conversations, so")
    assert "names no cohorts or procedures" in plan.nothing_for("all")
    assert plan.nothing_for("trust") == ""
