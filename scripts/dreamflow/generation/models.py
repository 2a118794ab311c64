"""The models of models.yaml, and what identifies one: all that a different answer could come from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..config import check, in_file, load_yaml
from ..errors import ConfigError, unknown
from .model_files import fingerprint, model_file
from .settings import ModelsFile

_KEY_ENV = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}
MAX_TOKENS = 20480
_REALS = {"temperature", "top_p", "min_p", "repeat_penalty"}
_FREE = {"human", "llama_cpp", "replay"}  # providers that bill nobody


def load_models(path: Path | str, registered: Path | None = None) -> dict[str, dict[str, Any]]:
    """The model rows of a models.yaml by id, each with its `model_id`.

    `registered` is a folder of further files of that form, which students write when they go to work; it need not be
    there. An id that two files define is an error.
    """
    models: dict[str, dict[str, Any]] = {}
    defined: dict[str, Path | str] = {}
    for file in (path, *(sorted(registered.glob("*.yaml")) if registered else ())):
        for model_id, row in _read_models(file).items():
            if model_id in models:
                with in_file(file):
                    message = f"{defined[model_id]} defines this id too; rename or delete one"
                    raise ConfigError(message, ("models", model_id))
            models[model_id], defined[model_id] = row, file
    return models


def _read_models(path: Path | str) -> dict[str, dict[str, Any]]:
    rows = load_yaml(path, ModelsFile).as_dict()["models"]
    for model_id, row in rows.items():
        row["model_id"] = model_id
        if row["provider"] in _FREE:
            row.setdefault("price", {"prompt": 0, "completion": 0})
    return rows


def identity(model: Mapping[str, Any]) -> dict[str, str]:
    """The part of a model row that decides its answers. A local file without a revision is known by its content, and
    so is an adapter, whose file may be gone though it was registered: it is looked for where the model is used."""
    revision = model["revision"]
    if not revision and model["provider"] == "llama_cpp":
        revision = fingerprint(model_file(model["name"]))
    known = {
        "model_id": model["model_id"],
        "provider": model["provider"],
        "name": model["name"],
        "revision": revision,
    }
    if "lora" in model:
        try:
            known["lora"] = fingerprint(model_file(model["lora"]))
        except ConfigError as error:
            raise ConfigError(f"model {model['model_id']}: its adapter is gone: {error}") from None
    return known


def find_model(models: Mapping[str, Mapping[str, Any]], model_id: str) -> Mapping[str, Any]:
    """The row of a model that a spec names."""
    if model_id not in models:
        raise ConfigError(unknown("model", model_id, models))
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


def registration(model_id: str, row: Mapping[str, Any]) -> str:
    """The text of a file of the registry's folder that makes a student a model of its own."""
    models = {"models": {model_id: dict(row)}}
    check(models, ModelsFile, f"registration of {model_id}")
    comment = "# A student that was trained here. Delete this file to take it back.\n"
    return comment + yaml.safe_dump(models, sort_keys=False, allow_unicode=True)
