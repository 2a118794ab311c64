"""A peft LoRA adapter as a GGUF file, which llama.cpp loads beside the model that it was trained on.

The format is that of llama.cpp's own converter (convert_lora_to_gguf.py): `general.type` "adapter", `adapter.type`
"lora", `adapter.lora.alpha`, and for every adapted matrix two tensors, `<name>.lora_a` (rank x inputs) and
`<name>.lora_b` (outputs x rank). llama.cpp adds alpha / rank * lora_b @ lora_a to the matrix.

Rotary positions turn pairs of a head's dimensions. Transformers pairs dimension i with i + half; for some architectures
llama.cpp pairs 2i with 2i + 1 instead, and its converter reorders the rows of the query and key matrices accordingly.
An adapter's rows must be reordered alike: without that it loads, answers, and is wrong.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

from ..errors import ConfigError
from ..files import read_json
from ..generation.model import Json

# By transformers' model type: llama.cpp's architecture, and whether its query and key rows are reordered.
ARCHITECTURES = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
    "smollm3": ("smollm3", True),
}
_PREFIX = "base_model.model."
_HALVES = {".lora_A.weight": ".weight.lora_a", ".lora_B.weight": ".weight.lora_b"}


def architecture_of(base: Path) -> str:
    """The architecture that a GGUF model names itself by, such as "llama"."""
    try:
        field = gguf.GGUFReader(base).get_field(gguf.Keys.General.ARCHITECTURE)
    except (ValueError, OSError, IndexError) as error:
        raise ConfigError(f"{base}: not a GGUF file that can be read: {error}") from None
    if field is None:
        raise ConfigError(f"{base}: a GGUF file that does not name its architecture")
    return str(field.contents())


def write_lora_gguf(adapter: Path, config: Mapping[str, Json], path: Path, *, name: str, base: Path | None) -> None:
    """Write the adapter in folder `adapter` (safetensors, as peft saves it) to `path`; same input, same bytes.

    `config` is the configuration of the student that it was trained on (`model.config.to_dict()`), `base` the GGUF
    model that it is meant for, if there is one. Raises `ConfigError` for an architecture that is not known here, a
    `base` of another one, and kinds of LoRA that llama.cpp cannot apply.
    """
    model_type = str(config.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise ConfigError(
            f"{adapter}: a student of type {model_type!r} cannot be exported to GGUF; "
            f"known are {', '.join(sorted(ARCHITECTURES))}"
        )
    architecture, reordered = ARCHITECTURES[model_type]
    if base is not None and (found := architecture_of(base)) != architecture:
        raise ConfigError(f"{base}: its architecture is {found!r}, but the student's is {architecture!r}")
    alpha = _alpha(adapter)
    tensors = _tensors(adapter, config, architecture, reordered)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for tensor in sorted(tensors):
        writer.add_tensor(tensor, tensors[tensor])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _alpha(adapter: Path) -> float:
    """The alpha by which llama.cpp, which divides it by the rank, scales as peft does."""
    where = adapter / "adapter_config.json"
    settings = read_json(where)
    unknown = [key for key, value in settings.items() if key.startswith("use_") and value and key != "use_rslora"]
    unknown += [key for key in ("rank_pattern", "alpha_pattern", "fan_in_fan_out") if settings.get(key)]
    if settings.get("peft_type") != "LORA" or unknown:
        what = ", ".join(unknown) or f"peft_type {settings.get('peft_type')}"
        raise ConfigError(f"{where}: {what}: llama.cpp applies plain LoRA only; train without it")
    rank, alpha = settings["r"], settings["lora_alpha"]
    return alpha * math.sqrt(rank) if settings.get("use_rslora") else float(alpha)


def _tensors(adapter: Path, config: Mapping[str, Json], architecture: str, reordered: bool) -> dict[str, np.ndarray]:
    kind = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors = {}
    for key, value in load_file(adapter / "adapter_model.safetensors").items():
        half = next((half for half in _HALVES if key.endswith(half)), "")
        module = key.removeprefix(_PREFIX).removesuffix(half)
        name = names.get_name(module) if half else None
        if name is None:
            raise ConfigError(
                f"{adapter}: {key}: llama.cpp's {architecture} has no place for it; "
                "only LoRA of linear layers can be exported"
            )
        matrix = name.rsplit(".", 1)[-1]
        if reordered and matrix in heads and half == ".lora_B.weight":
            value = interleave(value, heads[matrix])
        tensors[name + _HALVES[half]] = np.ascontiguousarray(value, dtype=np.float32)
    return tensors


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """The rows of a query or key matrix so that dimensions i and i + half of each head come to lie side by side."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
