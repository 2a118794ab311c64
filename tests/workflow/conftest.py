"""A counting model server, and a project that has run once: tests change a copy of it and run again."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Project
from protocols import scored as answer
from server import Server

SPEC = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {
        "draft_template": ["plain"],
        "draft_llm": ["writer"],
        "essay_template": ["long", "kept"],
        "evaluation_template": ["novelty"],
        "evaluation_llm": ["judge"],
    },
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1}},
}


def models(url: str) -> dict[str, Any]:
    """Three models of one server."""

    def row(name: str) -> dict[str, Any]:
        return {
            "provider": "openai",
            "name": name,
            "base_url": url,
            "context_length": 8192,
            "sampling": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 200},
            "price": {"prompt": 1.0, "completion": 2.0},
        }

    return {name: row(name) for name in ("writer", "second", "judge")}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(answer) as running:
        yield running


@pytest.fixture(scope="session")
def finished(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose default target has been made: 2 drafts, 4 essays, 4 evaluations, with 8 calls."""
    project = Project(tmp_path_factory.mktemp("finished"), models(server.url), SPEC)
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
