"""Files of the Hugging Face Hub, named `hf:<repository>/<file>` or `hf:<repository>/<file>@<revision>`.

They are in the cache of the library huggingface_hub. A file that is there is used without a request, so a branch stays
at the version that was downloaded, and a run needs no network. A file is known by the digest of its content that the
Hub keeps, which a request tells before the file is here; so a plan needs no download.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ..errors import ConfigError

PREFIX = "hf:"
FORM_SAID = "hf:<owner>/<repository>/<file>, such as hf:unsloth/gemma-3-1b-it-GGUF/gemma-3-1b-it-Q4_K_M.gguf"
FORM = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>(?!\.\.?/)[^/@]+(/(?!\.\.?/)[^/@]+)*)(@(?P<revision>[^\s@]+))?"
)


class HubFile(NamedTuple):
    """A file of the Hub: its repository, its path there, and a branch, tag or commit."""

    repo: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}/{self.file} (revision {self.revision})"


def hub_file(name: str) -> HubFile:
    """The file that a name means. Raises a `ConfigError` if the name does not have the form."""
    match = FORM.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name!r} should be {FORM_SAID}")
    return HubFile(match["repo"], match["file"], match["revision"] or "main")


def cached(name: str) -> Path | None:
    """The path of a file in the cache; None if it is not there."""
    source = hub_file(name)
    path = _library().try_to_load_from_cache(source.repo, source.file, revision=source.revision)
    return Path(path) if isinstance(path, str) else None  # else None, or a mark that there is no such file


def digest(name: str) -> str:
    """The digest of a file's content: from the cache, else from the Hub, which sends no content.

    Raises a `ConfigError` if the file is not in the cache and the Hub does not tell.
    """
    path = cached(name)
    return _known(_etag(path)) if path else _known(_remote(hub_file(name))[0])


def is_missing(name: str) -> bool:
    """Whether a name means a file of the Hub that is not in the cache."""
    return name.startswith(PREFIX) and cached(name) is None


def describe(name: str) -> str:
    """What a download of a file means: its name, size and place. Raises a `ConfigError` if the Hub does not tell."""
    source = hub_file(name)
    return f"{source}, {_remote(source)[1] / 1e6:,.0f} MB, to {cache_folder()}"


def download(name: str) -> Path:
    """The path of a file in the cache; it is downloaded if it is not there, with its progress on a terminal.

    Raises a `ConfigError` if that fails, or if the branch has changed since this process asked for the digest.
    """
    if path := cached(name):
        return path
    source = hub_file(name)
    planned, _ = _remote(source)
    print(f"downloading {describe(name)}", file=sys.stderr, flush=True)
    with _explained(source):
        path = Path(_library().hf_hub_download(source.repo, source.file, revision=source.revision, **_access()))
    if _etag(path) != planned:
        raise ConfigError(f"{source}: it was changed at the Hub in this minute. Run again")
    return path


def to_download(name: str) -> ConfigError:
    """The error if a file should be here and is not, and must not be downloaded now."""
    source = hub_file(name)
    command = f"hf download {source.repo} {source.file} --revision {source.revision}"
    return ConfigError(f"{source}: it is not in {cache_folder()}, and is needed now. First run: {command}")


def cache_folder() -> str:
    """The folder of all downloaded files."""
    return _library().constants.HF_HUB_CACHE


def _library() -> ModuleType:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    try:
        import huggingface_hub.constants  # at the first use: 0.2 s
        import huggingface_hub.errors
    except ImportError:
        message = "names with hf: need the package huggingface_hub: pip install -r envs/local_models.txt"
        raise ConfigError(message) from None
    return huggingface_hub


def _access() -> dict[str, Any]:
    """Where the Hub is, and the token: from the environment only, not from the library's file."""
    return {"endpoint": os.environ.get("HF_ENDPOINT") or None, "token": os.environ.get("HF_TOKEN") or False}


@cache
def _remote(source: HubFile) -> tuple[str, int]:
    """The digest (for files in Git LFS or Xet SHA-256, else that of Git) and size of a file at the Hub."""
    library, access = _library(), _access()
    with _explained(source):
        if library.constants.is_offline_mode():
            raise library.errors.OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        endpoint = access["endpoint"]
        url = library.hf_hub_url(source.repo, source.file, revision=source.revision, endpoint=endpoint)
        answer = library.get_hf_file_metadata(url, **access)
    if not answer.etag or answer.size is None:
        raise ConfigError(f"{source}: {url} tells neither size nor digest (ETag); is HF_ENDPOINT a Hub?")
    return answer.etag, answer.size


def _etag(path: Path) -> str:
    """The digest of a file in the cache: the name of the blob that it links to."""
    if path.is_symlink() and (blob := path.readlink()).parent.name == "blobs":
        return blob.name
    return _sha256(path, path.stat().st_mtime_ns)  # a disk without links


@cache
def _sha256(path: Path, _changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _known(etag: str) -> str:
    return f"sha256-{etag}" if len(etag) == 64 else f"etag-{etag}"


@contextmanager
def _explained(source: HubFile) -> Iterator[None]:
    """Turn errors of the library into ones that say what to do."""
    errors = _library().errors
    host = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    page, token = f"{host}/{source.repo}", "HF_TOKEN" if os.environ.get("HF_TOKEN") else ""
    try:
        yield
    except errors.GatedRepoError:
        what = "HF_TOKEN has no access to it" if token else "it is gated"
        raise ConfigError(f"{source}: {what}. Accept its terms at {page}, and set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        what = "and HF_TOKEN opens no such private one" if token else "or it is private: set HF_TOKEN"
        raise ConfigError(f"{source}: {host} has no repository {source.repo}, {what}") from None
    except errors.RevisionNotFoundError:
        raise ConfigError(f"{source}: no such branch, tag or commit; see {page}/commits/main") from None
    except errors.RemoteEntryNotFoundError:
        raise ConfigError(f"{source}: no such file; see {page}/tree/{source.revision}") from None
    except errors.OfflineModeIsEnabled:
        raise ConfigError(f"{source}: it is not in {cache_folder()}, and HF_HUB_OFFLINE is set: unset it") from None
    except Exception as error:  # of the HTTP client, which differs by version, or of the disk
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 401:
            raise ConfigError(f"{source}: {host} does not accept HF_TOKEN") from None
        what = f"{error}".strip().split("\n")[0] or type(error).__name__
        remedy = f"it is not in {cache_folder()}, so {host} must be reachable (HF_ENDPOINT names a mirror), or copy"
        raise ConfigError(f"{source}: {what}; {remedy} the file here and name its path") from None
