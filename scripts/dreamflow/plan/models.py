"""The models of models.yaml, and what identifies one: all that a different answer could come from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import load_yaml
from ..errors import ConfigError
from ..model_files import fingerprint, model_file

_KEY_ENV = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}
MAX_TOKENS = 20480
_REALS = {"temperature", "top_p", "min_p", "repeat_penalty"}
_FREE = {"human", "llama_cpp", "replay"}  # providers that bill nobody


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


def find_model(models: Mapping[str, Mapping[str, Any]], model_id: str) -> Mapping[str, Any]:
    """The row of a model that a spec names."""
    if model_id not in models:
        raise ConfigError(f"unknown model {model_id!r}; models.yaml has {', '.join(sorted(models))}")
    return models[model_id]


def merge_sampling(model: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is asked with: our defaults, the model's, and `own`, which wins."""
    sampling = {"temperature": 0.7, "max_tokens": MAX_TOKENS, **model["sampling"], **own}
    # 1 and 1.0 are one temperature: written as the other, nothing must be asked again.
    sampling |= {key: float(sampling[key]) for key in _REALS & sampling.keys()}
    if "max_output_tokens" in model:
        sampling["max_tokens"] = min(sampling["max_tokens"], model["max_output_tokens"])
    return sampling


def missing_key(model: Mapping[str, Any]) -> str | None:
    """The environment variable that a model's key should come from, if it needs one that is not set."""
    own_server = model["provider"] == "openai" and "base_url" in model  # where a key is optional
    default = None if own_server else _KEY_ENV.get(model["provider"])
    name = model.get("api_key_env") or default
    return name if name and not os.environ.get(name) else None
