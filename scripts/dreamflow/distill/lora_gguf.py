"""Convert a peft LoRA adapter to a GGUF file for llama.cpp.

The format is that of llama.cpp's convert_lora_to_gguf.py: `general.type` "adapter", `adapter.type` "lora",
`adapter.lora.alpha`, and two tensors per adapted matrix, `<name>.lora_a` (rank x inputs) and `<name>.lora_b` (outputs x
rank). llama.cpp adds alpha / rank * lora_b @ lora_a to the matrix.

Rotary positions rotate pairs of a head's dimensions. Transformers pairs dimension i with i + half. For some
architectures llama.cpp pairs 2i with 2i + 1, so the rows of query and key matrices are reordered; otherwise the adapter
loads but its answers are wrong.
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

# Model type of transformers: architecture of llama.cpp, and whether query and key rows are reordered.
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
    """Return the architecture in a GGUF model file, such as "llama". Raises `ConfigError`."""
    try:
        field = gguf.GGUFReader(base).get_field(gguf.Keys.General.ARCHITECTURE)
    except (ValueError, OSError, IndexError) as error:
        raise ConfigError(f"{base}: not a readable GGUF file: {error}") from None
    if field is None:
        raise ConfigError(f"{base}: the GGUF file does not name its architecture")
    return str(field.contents())


def write_lora_gguf(adapter: Path, config: Mapping[str, Json], path: Path, *, name: str, base: Path | None) -> None:
    """Write the peft adapter in folder `adapter` to `path`; the same input gives the same bytes.

    `config` is the student's `model.config.to_dict()`, `base` its GGUF model, if any. Raises `ConfigError` for an
    unknown architecture, a `base` with another architecture, and variants of LoRA that llama.cpp does not support.
    """
    model_type = str(config.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise ConfigError(
            f"{adapter}: a student of type {model_type!r} cannot be exported to GGUF; "
            f"supported types: {', '.join(sorted(ARCHITECTURES))}"
        )
    architecture, reordered = ARCHITECTURES[model_type]
    if base is not None and (other := architecture_of(base)) != architecture:
        raise ConfigError(f"{base}: its architecture is {other!r}, but the student's is {architecture!r}")
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
    """Return the alpha with which llama.cpp (alpha / rank) scales like peft."""
    where = adapter / "adapter_config.json"
    settings = read_json(where)
    unsupported = [key for key, value in settings.items() if key.startswith("use_") and value and key != "use_rslora"]
    unsupported += [key for key in ("rank_pattern", "alpha_pattern", "fan_in_fan_out") if settings.get(key)]
    if settings.get("peft_type") != "LORA" or unsupported:
        what = ", ".join(unsupported) or f"peft_type {settings.get('peft_type')}"
        raise ConfigError(f"{where}: {what}: llama.cpp supports plain LoRA only; train without it")
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
                f"{adapter}: {key}: llama.cpp's {architecture} has no such tensor; "
                "only LoRA of linear layers can be exported"
            )
        matrix = name.rsplit(".", 1)[-1]
        if reordered and matrix in heads and half == ".lora_B.weight":
            value = interleave(value, heads[matrix])
        tensors[name + _HALVES[half]] = np.ascontiguousarray(value, dtype=np.float32)
    return tensors


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of a query or key matrix so that dimensions i and i + half of each head are adjacent."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
