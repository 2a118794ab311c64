"""A counting model server, and a project that has run once: tests change a copy of it and run again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project
from server import Server
from trial import SPEC, answer, models


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


@pytest.fixture(scope="session")
def finished(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose default target has been made: 2 drafts, 4 essays, 4 evaluations, with 8 calls."""
    return run_once(Project(tmp_path_factory.mktemp("finished"), models(server.url), SPEC), server)


@pytest.fixture(scope="session")
def finished_in_shards(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Such a project, whose generations were made by few jobs."""
    project = Project(tmp_path_factory.mktemp("sharded"), models(server.url), SPEC)
    project.edit("config/config.yaml", shards={"above": 0, "size": 5})
    run_once(project, server)
    assert len(list(project.root.glob("data/shards/main/all/cohorts/trial/*.json"))) > 1
    return project


def run_once(project: Project, server: Server) -> Project:
    before = server.calls
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert server.calls - before == 8
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with Snakemake's records."""
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    return Project.at(root)
