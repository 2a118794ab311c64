"""A student's adapter: LoRA on all linear layers, in a peft folder."""

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
from .student import brief


def add_adapter(model: PreTrainedModel, settings: Mapping[str, Json]) -> PeftModel:
    """Return the model with a new trainable LoRA adapter on all linear layers, initialised by the seed."""
    torch.manual_seed(settings["seed"])
    sizes = {"r": settings["rank"], "lora_alpha": settings["alpha"], "lora_dropout": settings["dropout"]}
    config = LoraConfig(**sizes, target_modules="all-linear", task_type="CAUSAL_LM")
    if settings["gradient_checkpointing"]:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return get_peft_model(model, config)


def adapter_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return a copy of the adapter's weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(model).items()}


def write_adapter(model: PreTrainedModel, source: str, folder: Path) -> None:
    """Write a peft adapter folder, complete or not at all; the same weights give the same bytes."""
    config = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": source, "inference_mode": True}
    plain = {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in config.items()}
    if isinstance(plain["target_modules"], list):
        plain["target_modules"].sort()
    weights = {name: value.contiguous() for name, value in sorted(adapter_weights(model).items())}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        write_whole(temporary / "adapter_model.safetensors", save(weights, metadata={"format": "pt"}))
        config = json.dumps(plain, sort_keys=True, indent=2, default=str).encode()
        write_whole(temporary / "adapter_config.json", config)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def attach_adapter(model: PreTrainedModel, folder: Path, source: str) -> PeftModel:
    """Return the student `model` (from `source`) with the adapter in `folder`, in evaluation mode. Raises a
    `ConfigError` if the adapter is unreadable or belongs to another student."""
    try:
        return PeftModel.from_pretrained(model, str(folder)).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(f"adapter {folder}: not a LoRA adapter of the student {source} ({brief(error)})") from None
