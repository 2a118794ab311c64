"""Models by `hf:<repository>/<file>`: known by their content before a download, and then used without a network."""

import hashlib
from pathlib import Path

import huggingface_hub.constants
import pytest
from dreamflow.errors import ConfigError
from dreamflow.generation import hub as hub_files
from dreamflow.generation.hub import cached, digest, download, is_missing
from dreamflow.generation.model_files import model_file, weights_fingerprint
from dreamflow.generation.models import Model, identity, load_models
from model_hub import ModelHub

OLD, NEW = b"the first weights" * 100, b"other weights, longer" * 100
FIRST, SECOND = "1" * 40, "2" * 40
NAME = "hf:org/models-GGUF/folder/a.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub with one repository, and an empty cache."""
    with ModelHub() as hub:
        hub.commit("org/models-GGUF", FIRST, {"folder/a.gguf": OLD, "b.gguf": OLD})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        hub_files._remote.cache_clear()
        yield hub


def model(name: str = NAME, **settings: str) -> Model:
    return Model(model_id="m", provider="llama_cpp", name=name, **settings)


def sha256(data: bytes) -> str:
    return "sha256-" + hashlib.sha256(data).hexdigest()


def test_a_file_is_known_by_its_content_before_it_is_downloaded(hub: ModelHub) -> None:
    known = identity(model())
    assert known.revision == sha256(OLD) == weights_fingerprint(NAME)
    assert is_missing(NAME)
    assert not hub.downloads()
    with pytest.raises(ConfigError, match=r"hf download org/models-GGUF folder/a.gguf --revision main"):
        model_file(NAME)
    assert model_file(NAME, download=True).read_bytes() == OLD
    assert identity(model()) == known
    assert not is_missing(NAME)


def test_a_downloaded_file_needs_no_request_and_does_not_follow_its_branch(hub: ModelHub) -> None:
    path = download(NAME)
    requests = len(hub.requests)
    hub.commit("org/models-GGUF", SECOND, {"folder/a.gguf": NEW})
    assert (model_file(NAME), identity(model()).revision) == (path, sha256(OLD))
    assert len(hub.requests) == requests
    # A revision is a branch, a tag or a commit; only the content counts.
    assert identity(model(revision=SECOND)).revision == sha256(NEW)
    assert identity(model(revision=FIRST)) == identity(model())


def test_a_file_without_links_in_the_cache_has_the_same_digest(hub: ModelHub) -> None:
    path = download(NAME)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert digest(NAME) == sha256(OLD)


def test_a_broken_download_continues_where_it_broke(hub: ModelHub, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 500)  # else 10 MB
    hub.cut = 700
    assert download(NAME).read_bytes() == OLD
    assert [asked.range for asked in hub.downloads()] == ["", "bytes=500-"]


def test_a_branch_that_changes_between_plan_and_download_is_an_error(hub: ModelHub) -> None:
    digest(NAME)
    hub.commit("org/models-GGUF", SECOND, {"folder/a.gguf": NEW})
    with pytest.raises(ConfigError, match=r"was changed at the Hub .*Run again"):
        download(NAME)


def test_the_token_is_that_of_the_environment(hub: ModelHub, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_of_the_file")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    hub.gated["org/models-GGUF"] = "hf_right"
    with pytest.raises(
        ConfigError, match=r"it is gated\. Accept its terms at http.*/org/models-GGUF, and set HF_TOKEN"
    ):
        digest(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ConfigError, match="HF_TOKEN has no access to it") as caught:
        digest(NAME)
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert download(NAME).read_bytes() == OLD
    assert {asked.token for asked in hub.requests if "/resolve/" in asked.path} == {"", "hf_wrong", "hf_right"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hf:org/none/a.gguf",
            r"hf:org/none/a.gguf \(revision main\): http.* has no repository org/none, or it is private",
        ),
        ("hf:org/models-GGUF/c.gguf", r"no such file; see http.*/org/models-GGUF/tree/main"),
        ("hf:org/models-GGUF/b.gguf@v2", r"\(revision v2\): no such branch, tag or commit"),
        ("hf:models-GGUF/b.gguf", r"should be hf:<owner>/<repository>/<file>"),
        ("hf:org/models-GGUF/../b.gguf", r"should be hf:<owner>/<repository>/<file>"),
    ],
)
def test_what_is_not_there_is_told_plainly(hub: ModelHub, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        digest(name)


def test_without_a_network_it_is_told_what_is_missing_and_what_to_do(hub: ModelHub, monkeypatch) -> None:
    path = download(NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert cached(NAME) == path
    with pytest.raises(ConfigError, match=r"it is not in .*cache, so http://127.0.0.1:9 must be reachable"):
        digest("hf:org/models-GGUF/b.gguf")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        digest("hf:org/models-GGUF/b.gguf")


def test_a_name_without_a_file_is_an_error_of_models_yaml(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models:\n  m:\n    provider: llama_cpp\n    name: hf:org/models-GGUF\n")
    with pytest.raises(ConfigError, match=r"models.yaml:\d+: models.m: 'hf:org/models-GGUF' should be hf:<owner>"):
        load_models(path, None, {})
