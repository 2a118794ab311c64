"""The adapter of a student: LoRA on all its linear layers, in a folder that peft reads."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save
from transformers import PreTrainedModel

from ..errors import ConfigError
from ..generation.model import Json
from .checkpoint import write_whole


def with_adapter(model: PreTrainedModel, settings: Mapping[str, Json]) -> PeftModel:
    """The model with a new LoRA adapter on all its linear layers, drawn from the seed; only that is trained."""
    torch.manual_seed(settings["seed"])
    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    if settings["gradient_checkpointing"]:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return get_peft_model(model, config)


def adapter_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """A copy of the adapter's weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(model).items()}


def write_adapter(model: PreTrainedModel, source: str, folder: Path) -> None:
    """A peft adapter folder, the same bytes for the same weights; made beside and renamed, so it is whole or absent."""
    config = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": source, "inference_mode": True}
    plain = {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in config.items()}
    if isinstance(plain["target_modules"], list):
        plain["target_modules"].sort()
    weights = {name: value.contiguous() for name, value in sorted(adapter_weights(model).items())}
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(made, ignore_errors=True)
    try:
        write_whole(made / "adapter_model.safetensors", save(weights, metadata={"format": "pt"}))
        write_whole(made / "adapter_config.json", json.dumps(plain, sort_keys=True, indent=2, default=str).encode())
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def put_on(model: PreTrainedModel, folder: Path, source: str) -> PeftModel:
    """The student `model` (from `source`) with the adapter in `folder` on it, ready to answer. A `ConfigError` names an
    adapter that cannot be read, or is not this student's."""
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"adapter {folder}: not a LoRA adapter of the student {source} ({reason[:200]})") from None
