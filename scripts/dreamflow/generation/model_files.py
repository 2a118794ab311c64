"""Model files: their paths, and fingerprints of their contents."""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from ..errors import ConfigError
from . import hub

_SAMPLED = 1 << 20  # bytes that a fingerprint reads at each end of a file


def model_file(name: str, *, download: bool = False) -> Path:
    """The file that a path, `package:<package>/<file>` (a file in an installed package) or `hf:<repository>/<file>`
    names. Raises a `ConfigError` if it is not here; with `download`, a file of the Hugging Face Hub is downloaded."""
    if name.startswith(hub.PREFIX):
        if path := hub.download(name) if download else hub.cached(name):
            return path
        raise hub.to_download(name)
    if name.startswith("package:"):
        package, _, inside = name.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)  # does not import it
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"model file {name}: the Python package {package!r} is not installed")
        path = Path(spec.submodule_search_locations[0]) / inside
    else:
        path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"model file {name}: no such file ({path})")
    return path


def fingerprint(path: Path) -> str:
    """A digest of the size and both ends of a file: fast at any size, and independent of the path."""
    status = path.stat()
    return _fingerprint(path, status.st_size, status.st_mtime_ns)


@cache
def _fingerprint(path: Path, size: int, _changed: int) -> str:
    # The time is part of the cache key, since an adapter may be rewritten while this process runs.
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_SAMPLED))
        stream.seek(max(0, size - _SAMPLED))
        digest.update(stream.read(_SAMPLED))
    return "file-" + digest.hexdigest()[:16]


def source_fingerprint(name: str) -> str:
    """A digest of the content of the file that `name` (as in `model_file`) means; it downloads nothing."""
    return hub.digest(name) if name.startswith(hub.PREFIX) else fingerprint(model_file(name))


def weights_folder(source: str) -> Path | None:
    """The Hugging Face folder that `source` names; None if it names a file."""
    if source.startswith(("package:", hub.PREFIX)):
        return None
    path = Path(source).expanduser()
    if not path.exists():
        raise ConfigError(f"weights {source}: no such folder or file")
    return path if path.is_dir() else None


def weights_fingerprint(source: str) -> str:
    """A digest of a model's weights, independent of the path of the folder or file."""
    folder = weights_folder(source)
    if folder is None:
        return source_fingerprint(source)
    patterns = ("*.json", "*.jinja", "*.safetensors", "*.bin", "*.model")
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    known = "".join(f"{file.name}\n{fingerprint(file)}\n" for file in files)
    return "folder-" + hashlib.sha256(known.encode()).hexdigest()[:16]
