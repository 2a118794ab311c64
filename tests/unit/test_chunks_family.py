"""The family of conversations: what stops it and nothing else, and which generations are known from files."""

from datetime import UTC, datetime

import pytest
from chat import chunk, conversation
from dreamflow.chunks.archive import build_archive, write_archive
from dreamflow.chunks.units import split_units
from dreamflow.cycles import NIGHT
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.nights.state import Limits, begin
from dreamflow.plan import compile_plan
from project import REPOSITORY, Project

MISSING = {"provider": "llama_cpp", "name": "package:no_such_package/model.gguf"}
SERVER = {"provider": "openai", "name": "m", "base_url": "http://localhost:1", "price": {"prompt": 1, "completion": 2}}
TEXT = "User: {0} is the rye flour.\nAssistant: {0} and the sourdough starter are ready.\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = Project(tmp_path, {"gone": MISSING, "writer": SERVER}, {})
    made.write("config/config.yaml", {"conversations": ["trial"], "clusters": {"similarity": 0.01}})
    made.write("config/conversations/trial.yaml", {})
    for name in ("one", "two"):
        made.write(f"data/1_raw/conversations/{name}.md", TEXT.format(name.title()) * 4)
    for kind in ("chunk", "cluster"):
        for path in (REPOSITORY / "data/1_raw/templates" / kind).iterdir():
            made.write(f"data/1_raw/templates/{kind}/{path.name}", path.read_text())
    monkeypatch.chdir(tmp_path)
    return made


def family(project, **settings):
    return compile_plan({**project.read("config/config.yaml"), **settings}).families["chunks"]


def tiers(project, **levels):
    project.write("config/conversations/trial.yaml", {"tiers": levels})


def archive_all(project):
    """An archive of each conversation, made by rules."""
    chunks = family(project)
    chunks.read()
    for name, talk in chunks.library().items():
        units = chunks.specs["trial"].units[name]
        rules = {"method": "rules", "quality_level": "basic"}
        made = build_archive(talk, units, [chunk(1, len(units), "bread", made_by=rules)])
        write_archive(project.root / "data/chunks" / name, made)


def test_a_model_that_is_not_installed_matters_only_to_the_tier_that_runs(project):
    tiers(project, basic={}, good={"model": "gone"})
    chunks = family(project, clusters={"model": "gone"})
    assert not chunks.problem and chunks.targets("chunks") == ["data/chunks/result.json"]
    assert chunks.preview() == ({}, "conversations: 2 files of 2 to read")
    tiers(project, basic={"model": "gone"})
    problem = family(project).problem
    assert "tiers.basic: model file package:no_such_package/model.gguf" in problem and "\n" not in problem


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"clusters": {"model": "nobody"}}, "clusters.model: unknown model 'nobody'"),
        ({"clusters": {"model": "writer", "fallback": ["writer"]}}, "clusters.fallback: a model is named twice"),
        ({"clusters": {"model": "writer", "template": "none"}}, "clusters.template: unknown cluster template 'none'"),
        ({"upgrade": {"filter": "sise > 3"}}, "upgrade.filter: the filter is wrong at column 1"),
        ({"conversations": ["trial", "trial"]}, "conversations[1]: 'trial' is named twice"),
    ],
)
def test_a_mistake_is_found_when_the_workflow_is_parsed(project, settings, problem):
    assert problem in family(project, **settings).problem


@pytest.mark.parametrize(
    ("levels", "problem"),
    [
        ({"good": {}}, "tiers.good: 'model' is missing"),
        ({"premium": {"model": "nobody"}}, "tiers.premium.model: unknown model 'nobody'"),
        ({"best": {}}, "trial.yaml:"),
    ],
)
def test_a_mistake_in_a_spec_is_found_when_the_workflow_is_parsed(project, levels, problem):
    tiers(project, **levels)
    assert problem in family(project).problem


def test_windows_are_planned_for_the_tier_that_has_a_model(project):
    tiers(project, basic={"model": "writer", "window_tokens": 50})
    chunks = family(project)
    assert chunks.targets("chunks") and not chunks.deferred()[0].generations
    previewed, _ = chunks.preview()
    chunks.read()
    assert chunks.deferred()[0].generations == previewed and chunks.preview() == ({}, "")
    rows = chunks.spec_of["one"].generations["one"]
    assert len(rows) > 1 and {row.wildcards["conversation_id"] for row in rows} == {"one"}
    assert [row.parser_options["first"] for row in rows] == sorted(row.parser_options["first"] for row in rows)
    inputs = set(chunks.archive_inputs("one/one"))  # a batch of its own: a call that fails holds up no other
    metadata = {path for path in inputs if path.endswith("metadata.json")}
    assert len(metadata) == len(rows) and {path.replace("metadata", "parsed") for path in metadata} < inputs
    assert all(set(chunks.world.catalog.texts) >= {row.variables["text"]["sha256"]} for row in rows)


def test_an_upgrade_is_previewed_where_it_is_wanted_and_known_once_it_is_planned(project):
    tiers(project, basic={}, good={"model": "writer", "window_tokens": 50})
    archive_all(project)
    chunks = family(project, upgrade={"target": "good", "filter": "conversation_id = one"})
    assert chunks.preview() == ({}, "")
    assert chunks.targets("upgrade") == ["data/chunks/upgrade/plan.json"]
    rows, text = chunks.preview()
    assert {row.wildcards["quality_level"] for row in rows.values()} == {"good"}
    assert "upgrade of trial to good (writer): 1 chunks of 1 conversations" in text
    assert not any(one.generations for one in chunks.deferred())
    assert chunks.write_upgrade_plan("2026-02-13T04:00:00+00:00") == text
    known = {gen_id: row for one in chunks.deferred() for gen_id, row in one.generations.items()}
    assert known == rows and chunks.upgraded() == ["data/chunks/one/upgrade.json"]
    assert len(chunks.upgrade_inputs("one")) == len(rows) and not chunks.upgrade_inputs("two")
    # Another process reads the same rows; of a conversation that is no longer configured, none.
    again = compile_plan({**project.read("config/config.yaml"), "upgrade": {"target": "good"}})
    assert again.deferred() == rows and again.world.origin[next(iter(rows))] == "trial"
    project.write("config/conversations/trial.yaml", {"conversations": ["two"]})
    assert not compile_plan(project.read("config/config.yaml")).deferred()


def test_what_is_planned_of_conversations_waits_until_they_are_read(project):
    """As a version that had no index has left it, or if the index was deleted."""
    tiers(project, basic={}, good={"model": "writer", "window_tokens": 50})
    archive_all(project)
    chunks = family(project, upgrade={"target": "good"})
    chunks.write_upgrade_plan("2026-02-13T04:00:00+00:00")
    planned = compile_plan(project.read("config/config.yaml")).deferred()
    assert planned
    project.write(f"data/gens/chunk/{next(iter(planned))}/metadata.json", {})
    assert planned.keys() <= compile_plan(project.read("config/config.yaml")).referenced()
    (project.root / "data/talks/index.json").unlink()
    plan = compile_plan(project.read("config/config.yaml"))
    assert not plan.deferred() and [report.files for report in plan.families["chunks"].reports()] == [[]]
    with pytest.raises(DreamflowError, match="run `snakemake chunks` to read the conversations"):
        plan.referenced()  # else they would look like orphans
    plan.families["chunks"].read()
    assert plan.deferred() == planned and planned.keys() <= plan.referenced()


def test_clusters_are_previewed_where_they_are_wanted_and_known_once_they_are_planned(project):
    archive_all(project)
    chunks = family(project, clusters={"similarity": 0.01, "model": "writer"})
    chunks.targets("clusters")
    rows, _ = chunks.preview()
    assert {row.stage for row in rows.values()} == {"cluster"}
    chunks.write_cluster_plan()
    assert {gen_id: row for one in chunks.deferred() for gen_id, row in one.generations.items()} == rows
    assert len(chunks.cluster_inputs()) == len(rows) and chunks.preview() == ({}, "")


def test_a_planned_upgrade_of_a_model_that_is_gone_names_the_plan(project):
    tiers(project, basic={}, good={"model": "writer", "window_tokens": 50})
    archive_all(project)
    family(project, upgrade={"target": "good"}).write_upgrade_plan("2026-02-13T04:00:00+00:00")
    tiers(project, basic={}, good={"model": "gone", "window_tokens": 50})
    chunks = family(project)
    assert not chunks.problem  # it stops what needs these generations, and nothing else
    with pytest.raises(ConfigError, match=r"tiers.good: model file (?s:.*)delete data/chunks/upgrade/plan"):
        chunks.deferred()[0].generations  # noqa: B018


@pytest.mark.parametrize("content", ["", '{"versions": {"1"', '{"versions": {"1": {}, "7": {}}}', "[]"])
def test_a_broken_manifest_is_noticed(project, content):
    archive_all(project)
    chunks = family(project)
    batch = "many/b"
    assert chunks.incomplete(batch) == ["data/talks/made/many/b.json"]  # it has no page yet
    chunks.make_archives(batch, "data/talks/made/many/b.json")
    assert chunks.incomplete(batch) == []
    project.write("data/chunks/one/manifest.json", content)
    assert chunks.incomplete(batch) == ["data/talks/made/many/b.json"]
    chunks.make_archives(batch, "data/talks/made/many/b.json")
    assert chunks.incomplete(batch) == []


def test_what_archives_name_is_referenced(project):
    talk = conversation(("user", "Hi."), name="one")
    units = split_units(talk)
    write_archive(project.root / "data/chunks/one", build_archive(talk, units, [chunk(1, len(units))]))
    assert "g1" in family(project).referenced()
    assert "g1" in family(project, conversations=[]).referenced()


def test_a_night_upgrades_what_is_worth_it_before_it_ends(project, monkeypatch):
    archive_all(project)
    assert family(project).left_out("upgrade") == "no tier above basic has a model"
    tiers(project, good={"model": "writer"})
    wanted = {"filter": "labels CONTAINS 'bread'", "target": "good"}
    assert family(project, upgrade=wanted).left_out("upgrade") == ""
    assert family(project, upgrade={**wanted, "filter": "labels CONTAINS 'billing'"}).left_out("upgrade") == (
        "No chunk is worth an upgrade within the limits. good was required."
    )
    night = begin(project.root / "data", Limits(minutes=1), {}, datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setenv(NIGHT, str(night.number))  # which ended long ago
    assert family(project, upgrade=wanted).left_out("upgrade").startswith("No chunk is worth an upgrade")
