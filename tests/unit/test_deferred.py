"""Generations that only a file names: a damaged file is one plain error."""

import json

import pytest
from dreamflow.deferred import Deferred
from dreamflow.errors import DreamflowError


@pytest.mark.parametrize("content", ["{}", "[1]", "null", '{"clusters": [1]}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_text(content)
    deferred = Deferred(path, "spec", lambda path: {one["id"]: one for one in json.loads(path.read_text())["clusters"]})
    with pytest.raises(DreamflowError, match=r"plan\.json: damaged"):
        deferred.generations  # noqa: B018
