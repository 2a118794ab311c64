"""Jobs that make many generations: the same files as with a job each, and failures that concern nobody else.

test_rerun.py and test_failures.py have more: many of their tests run in both ways.
"""

import shutil
from pathlib import Path

import pytest
from project import Project
from server import Server, reply
from trial import SPEC, answer, models

SHARDS = {"above": 0, "size": 5}


def contents(project: Project) -> dict[str, bytes]:
    """The files of all generations."""
    root = project.root / "data/gens"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*/*")}


def times(project: Project) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in project.root.glob("data/gens/*/*/*")}


def test_both_ways_keep_and_write_the_same_files(project: Project, server: Server) -> None:
    before, made_at, calls = contents(project), times(project), server.calls
    for shards in (SHARDS, {"above": 0, "size": 2}, {"above": 300}, SHARDS):
        project.edit("config/config.yaml", shards=shards)
        done = project.run()
        assert done.returncode == 0, done.stdout
        assert "Nothing to be done" in project.run().stdout
    assert times(project) == made_at
    shutil.rmtree(project.root / "data/gens")
    assert project.run().returncode == 0
    assert contents(project) == before
    project.edit("config/config.yaml", shards={"above": 300})
    assert project.run().returncode == 0
    assert contents(project) == before
    assert server.calls == calls


def test_a_copy_of_a_project_has_nothing_to_do(project: Project) -> None:
    """All files are new there, but products are not made again: one of them may be a training of hours."""
    project.edit("config/config.yaml", shards=SHARDS)
    assert project.run().returncode == 0
    root = project.root.with_name("copied")
    shutil.copytree(project.root, root, copy_function=shutil.copy)
    copied = Project.at(root)
    for _ in range(2):
        assert "Nothing to be done" in copied.run("-n").stdout
        assert "Nothing to be done" in copied.run().stdout


@pytest.fixture
def fresh(tmp_path: Path, server: Server) -> Project:
    project = Project(tmp_path / "fresh", models(server.url), SPEC)
    project.edit("config/config.yaml", shards=SHARDS)
    return project


def test_a_stage_or_one_generation_is_made_without_the_others(fresh: Project, server: Server) -> None:
    assert fresh.run("drafts").returncode == 0
    assert set(contents(fresh)) == {name for name in contents(fresh) if name.startswith("draft/")}
    assert len(fresh.generations("draft")) == 2
    done = fresh.run("essays", "drafts")
    assert done.returncode == 0, done.stdout
    assert (len(fresh.generations("essay")), len(fresh.generations("evaluation"))) == (4, 0)
    shutil.rmtree(fresh.root / "data/gens")
    draft = sorted(path.name for path in (fresh.root / "data/logs/draft").glob("*")) or None
    assert draft is None  # logs are those of failures
    essay = next(iter(Project.at(fresh.root).answers().values()))["asked"]["gen_id"]
    stage = {"d": "draft", "e": "essay", "v": "evaluation"}[essay[0]]
    done = fresh.run(f"data/gens/{stage}/{essay}/metadata.json")
    assert done.returncode == 0, done.stdout
    assert essay in fresh.generations(stage)
    assert len(fresh.generations()) < 6


def test_what_fails_is_missing_and_products_of_the_rest_are_made(tmp_path: Path) -> None:
    """Two cohorts in shards: the reports of the one whose call fails are not made, those of the other are."""
    with Server(answer) as own:
        project = Project(tmp_path / "fresh", models(own.url), SPEC)
        second = {**SPEC, "combos": {"lists": [["a", "c"]]}}
        project.write("config/cohorts/second.yaml", second)
        project.edit("config/config.yaml", cohorts=["trial", "second"], shards=SHARDS)
        own.script += [reply(400, {"error": {"message": "no such thing"}})]
        done = project.run("--cores", "1")
        assert done.returncode == 1
        assert "no such thing" in done.stdout
        assert "5 generations are missing" in done.stdout
        assert "Traceback" not in done.stdout
        lacking = [path for path in project.root.glob("data/shards/**/*.json") if project.read(path)["missing"]]
        assert len(lacking) == 1
        (cohort,) = {path.relative_to(project.root / "data/shards/main/all/cohorts").parts[0] for path in lacking}
        other = {"trial": "second", "second": "trial"}[cohort]
        assert not (project.root / f"data/cohorts/{cohort}/reports").exists()
        assert (project.root / f"data/cohorts/{other}/reports").exists()
        assert "not made: 1 generation whose last try failed" in project.run("pending").stdout
        calls, made = own.calls, times(project)
        assert project.run().returncode == 0
        assert own.calls - calls == 4
        assert times(project).items() >= made.items()
        assert (project.root / f"data/cohorts/{cohort}/reports").exists()


def test_prune_removes_the_files_of_shards_that_are_gone(project: Project) -> None:
    project.edit("config/config.yaml", shards={"above": 0, "size": 2})
    assert project.run().returncode == 0
    small = set(project.root.glob("data/shards/**/*.json"))
    project.edit("config/config.yaml", shards=SHARDS)
    assert project.run().returncode == 0
    assert set(project.root.glob("data/shards/**/*.json")) > small
    assert project.run("prune").returncode == 0
    left = set(project.root.glob("data/shards/**/*.json"))
    assert left
    assert not left & small
    assert "Nothing to be done" in project.run().stdout
