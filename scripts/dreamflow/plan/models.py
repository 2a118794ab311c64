"""The models of models.yaml, and what identifies one: all that a different answer could come from."""

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..config import load_yaml
from ..errors import ConfigError

_KEY_ENV = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}
_FREE = {"human", "llama_cpp", "replay"}  # providers that bill nobody
_SAMPLED = 1 << 20  # bytes of a model file that its fingerprint reads at either end


def load_models(path: Path | str) -> dict[str, dict[str, Any]]:
    """The model rows of a models.yaml by id, each with its `model_id`."""
    rows = load_yaml(path, "models")["models"]
    for model_id, row in rows.items():
        row["model_id"] = model_id
        if row["provider"] in _FREE:
            row.setdefault("price", {"prompt": 0, "completion": 0})
        if not row["name"] and row["provider"] != "human":
            raise ConfigError(f"{path}: models.{model_id}: 'name' is missing: the provider's name of the model")
    return rows


def identity(model: Mapping[str, Any]) -> dict[str, str]:
    """The part of a model row that decides its answers. A local file without a revision is known by its content."""
    revision = model["revision"]
    if not revision and model["provider"] == "llama_cpp":
        revision = fingerprint(model_file(model["name"]))
    return {
        "model_id": model["model_id"],
        "provider": model["provider"],
        "name": model["name"],
        "revision": revision,
    }


def model_file(name: str) -> Path:
    """The file behind a path or `package:<package>/<file>` (a file that an installed package ships)."""
    if name.startswith("package:"):
        package, _, inside = name.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)  # finds it without importing it
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"model file {name}: the Python package {package!r} is not installed")
        path = Path(spec.submodule_search_locations[0]) / inside
    else:
        path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"model file {name}: no such file ({path})")
    return path


@cache
def fingerprint(path: Path) -> str:
    """A digest of the size and both ends of a file: cheap at any size, the same wherever the file lies."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_SAMPLED))
        stream.seek(max(0, size - _SAMPLED))
        digest.update(stream.read(_SAMPLED))
    return "file-" + digest.hexdigest()[:16]


def missing_key(model: Mapping[str, Any]) -> str | None:
    """The environment variable that a model's key should come from, if it needs one that is not set."""
    own_server = model["provider"] == "openai" and "base_url" in model  # where a key is optional
    default = None if own_server else _KEY_ENV.get(model["provider"])
    name = model.get("api_key_env") or default
    return name if name and not os.environ.get(name) else None
