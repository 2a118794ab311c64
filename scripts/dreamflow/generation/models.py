"""The models of models.yaml, and the identity of a model: everything about it that decides its answers."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from msgspec import UNSET
from pydantic import Field

from ..config import check, in_file, load_yaml, under
from ..errors import ConfigError, unknown
from . import hub
from .model import ModelIdentity, Sampling
from .model_files import source_fingerprint
from .providers import provider
from .settings import AUTO, LimitSettings, ModelSettings, ModelsFile

MAX_TOKENS = 20480
_REALS = {"temperature", "top_p", "min_p", "repeat_penalty"}


class Model(ModelSettings):
    """A model of models.yaml with its id. `local_models` are the limits of all models in this process together,
    `provider_limits` those of all models of its provider."""

    model_id: str
    provider_limits: LimitSettings | None = None
    local_models: dict[str, Any] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        """The file of a local model, for `model_file`; "" for other models."""
        if not provider(self.provider).is_local:
            return ""
        return f"{self.name}@{self.revision}" if self.revision and self.name.startswith(hub.PREFIX) else self.name

    @cached_property
    def own_price(self) -> dict[str, float] | None:
        """The price of models.yaml as plain values; None if it has none."""
        return self.price.as_dict() if self.price else None

    @property
    def longest_answer(self) -> int:
        """The tokens that an answer may have when the limit is raised after a truncated one."""
        return self.max_output_tokens or self.context_length // 2

    def answer_limits(self, limit: int, attempts: int) -> list[int]:
        """The limits in tokens of attempts that begin with `limit`: doubled after each truncated answer."""
        return [min(limit * 2**attempt, max(limit, self.longest_answer)) for attempt in range(attempts)]

    def most_answer(self, limit: int) -> int:
        """The tokens that an answer may have by the limit of a request, which `extra_body` may raise or leave out."""
        own = [self.extra_body[name] for name in ("max_tokens", "max_completion_tokens") if name in self.extra_body]
        return max([limit, *(most if isinstance(most, int) else self.longest_answer for most in own)])


def load_models(path: Path | str, registered: Path | None, local_models: Mapping[str, Any]) -> dict[str, Model]:
    """The models of a models.yaml by id.

    Without the file there are none. `registered` is a folder of further files of that form, one for each student that
    was trained here; it need not be there. An id that two files define is an error.
    """
    models: dict[str, Model] = {}
    limits: dict[str, dict[str, Any]] = {}  # by provider
    defined: dict[str, Path | str] = {}
    for file in (path, *(sorted(registered.glob("*.yaml")) if registered else ())):
        if file == path and not Path(file).exists():
            continue
        content = load_yaml(file, ModelsFile)
        limits |= {name: {"provider_limits": given.as_dict()} for name, given in content.provider_limits.items()}
        for model_id, row in content.models.items():
            if model_id == AUTO:
                with in_file(file):
                    message = f"{AUTO!r} means that trust chooses the model; give this model another id"
                    raise ConfigError(message, ("models", model_id))
            if model_id in models:
                with in_file(file):
                    message = f"{defined[model_id]} defines this id too; rename or delete one"
                    raise ConfigError(message, ("models", model_id))
            given = {
                "model_id": model_id,
                "local_models": local_models,
                **limits.get(row.provider, {}),
                **row.as_dict(),
            }
            models[model_id], defined[model_id] = Model.model_validate(given), file
            with in_file(file), under("models", model_id):
                check_sampling(models[model_id], row.sampling.as_dict())
    return models


def identity(model: Model) -> ModelIdentity:
    """The part of a model that decides its answers. A local file without a revision is identified by its content; so
    are an adapter and a file of the Hugging Face Hub, whose revision may be a branch."""
    chosen = provider(model.provider)
    try:
        lora = source_fingerprint(model.lora) if model.lora else UNSET
    except ConfigError as error:
        raise ConfigError(f"model {model.model_id}: its adapter is gone: {error}") from None
    return ModelIdentity(
        model_id=model.model_id,
        provider=model.provider,
        name=model.name,
        revision=chosen.revision(model),
        lora=lora,
        extra_body=dict(model.extra_body) if model.extra_body else UNSET,
        service=chosen.service(model) or UNSET,
        examples=model.example_turns or UNSET,
    )


def find_model(models: Mapping[str, Model], model_id: str) -> Model:
    """The model that a spec names."""
    if model_id == AUTO:
        raise ConfigError("'auto' is not possible here: name a model of models.yaml")
    if model_id not in models:
        advice = "in config/models.yaml" if models else "config/models.yaml lists them; config/README.md shows how"
        raise ConfigError(f"{unknown('model', model_id, models)} ({advice})")
    return models[model_id]


def merge_sampling(model: Model, own: Sampling) -> dict[str, Any]:
    """The sampling parameters of a question: our defaults, the model's, and `own`, which wins."""
    sampling = {"temperature": 0.7, "max_tokens": MAX_TOKENS, **model.sampling.as_dict(), **own}
    # 1 and 1.0 are the same temperature, so they must have the same key.
    sampling |= {key: float(sampling[key]) for key in _REALS & sampling.keys()}
    if model.max_output_tokens:
        sampling["max_tokens"] = min(sampling["max_tokens"], model.max_output_tokens)
    return sampling


def check_sampling(model: Model, given: Sampling) -> None:
    """Raise a `ConfigError` for a sampling parameter that was given and that the model's provider does not take. A seed
    is no error: it goes to the providers that take one."""
    chosen = provider(model.provider)
    names = chosen.sampling_names(model)
    for name, value in given.items():
        if names is not None and name not in names and name != "seed":
            what = f"{model.model_id!r} ({model.provider}, {model.name}) does not take {name}; delete it for this model"
            raise ConfigError(what, ("sampling", name))
        if name == "temperature" and value > chosen.highest_temperature:
            what = f"{value} is above {chosen.highest_temperature:g}, the highest that {model.provider} takes"
            raise ConfigError(what, ("sampling", name))


def registration(model: Model, lora: str) -> str:
    """The text of a file of the registry's folder: `model` with an adapter, as a model of its own."""
    own = {**model.as_dict(), "lora": lora}
    row = {
        key: value
        for key, value in own.items()
        if key not in ("model_id", "local_models", "provider_limits") and value not in (None, "")
    }
    models = {"models": {model.model_id: row}}
    check(models, ModelsFile, f"registration of {model.model_id}")
    comment = "# A student that was trained here. Delete this file to take it back.\n"
    return comment + yaml.safe_dump(models, sort_keys=False, allow_unicode=True)
