"""Check that an adapter behaves the same in torch, merged into the weights, and as GGUF LoRA in llama.cpp.

The next-token distributions at the last `POSITIONS` tokens of each text are compared, in nats per position. A quantised
model file differs from torch even without an adapter. Therefore:

- The baseline is the difference without an adapter, on the same texts.
- The adapter is also tested on a copy of the model file with 16-bit weights. There the baseline is small (a mean KL
  divergence of about 5e-6 nats for SmolLM2-135M, against 3e-3 for its Q4_1 file), so conversion errors are visible:
  query and key rows in the wrong order gave 9e-4 for an adapter with hardly any effect and 8e-3 for a trained adapter,
  which can pass for noise in the quantised file.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import PreTrainedModel

from ..errors import ConfigError
from ..generation.model import Json
from ..generation.providers.llama_cpp_library import attach_lora, llama_cpp

POSITIONS = 32
MAX_TOKENS = 512  # of a text
TOLERANCE = {  # maximum mean KL divergence: `factor` times the baseline's, and `plus`
    "merged": {"factor": 0.0, "plus": 1e-6},  # the same arithmetic in float32, in another order
    "gguf_16_bit": {"factor": 2.0, "plus": 2e-5},
    "gguf": {"factor": 3.0, "plus": 1e-3},
}
MAX_BASE_KL = 0.5  # of the baseline: far above quantisation, far below the weights of another model
_PLAIN = {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16}

Logits = np.ndarray  # positions x vocabulary, float32
Sequences = Sequence[Sequence[int]]


def check_equality(
    model: PreTrainedModel, sequences: Sequences, base: Path | None, lora: Path | None, *, scratch: Path, threads: int
) -> dict[str, Json]:
    """Return all differences, and `equal`: whether they are within the tolerance. Merges the weights of `model`.

    `model` is the student with its adapter (a `PeftModel`); `sequences` are token ids; `base` and `lora` are the GGUF
    files of student and adapter, without which llama.cpp is left out; `scratch` is a folder for the student with 16-bit
    weights.
    """
    with model.disable_adapter():
        bare = torch_logits(model, sequences)
    adapted = torch_logits(model, sequences)
    model.merge_adapter()
    result: dict[str, Json] = {
        "texts": len(sequences),
        "positions": len(adapted),
        "effect": difference(adapted, bare),
        "merged": _comparison("merged", difference(adapted, torch_logits(model, sequences)), None),
    }
    if base is None or lora is None:
        result["gguf"] = result["gguf_16_bit"] = None
    else:
        with _sixteen_bit(base, scratch) as plain:
            for name, path in (("gguf_16_bit", plain), ("gguf", base)):
                baseline = difference(bare, llama_logits(path, None, sequences, threads))
                with_adapter = difference(adapted, llama_logits(path, lora, sequences, threads))
                result[name] = _comparison(name, with_adapter, baseline)
    result["equal"] = all(result[name]["equal"] for name in TOLERANCE if result[name])
    return result


def _comparison(name: str, measured: Mapping[str, float], baseline: Mapping[str, float] | None) -> dict[str, Json]:
    """Return a difference with its baseline (`without_adapter`), its limit and whether it is within the limit."""
    noise = baseline["mean_kl"] if baseline else 0.0
    limit = TOLERANCE[name]["factor"] * noise + TOLERANCE[name]["plus"]
    equal = bool(measured["mean_kl"] <= limit and noise <= MAX_BASE_KL)  # False for NaN
    return {
        **measured,
        **({"without_adapter": dict(baseline)} if baseline else {}),
        "largest_mean_kl": limit,
        "equal": equal,
    }


def difference(reference: Logits, other: Logits) -> dict[str, float]:
    """Return the difference of next-token distributions: the share of positions with the same likeliest token, the mean
    KL divergence of `other` from `reference` (nats), and the largest difference of two logits."""
    if reference.shape != other.shape:
        raise ConfigError(
            f"torch has {reference.shape[1]} tokens and llama.cpp {other.shape[1]}: the model file is not the student's"
        )
    total = 0.0
    for left, right in zip(reference, other, strict=True):  # row by row: float64 needs too much memory for all
        p, q = _log_softmax(left), _log_softmax(right)
        total += float(np.exp(p) @ (p - q))
    return {
        "same_top": float((reference.argmax(1) == other.argmax(1)).mean()),
        "mean_kl": max(0.0, total / len(reference)) if total == total else total,
        "largest": float(np.abs(reference - other).max()),
    }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def torch_logits(model: PreTrainedModel, sequences: Sequences) -> Logits:
    """Return the logits at the last positions of all sequences, as rows."""
    rows = []
    with torch.inference_mode():
        for tokens in sequences:
            ids = torch.tensor([list(tokens)], device=model.device)
            rows.append(model(input_ids=ids).logits[0, -POSITIONS:].float().cpu().numpy())
    return np.concatenate(rows)


def llama_logits(base: Path, lora: Path | None, sequences: Sequences, threads: int) -> Logits:
    """Return the same logits from llama.cpp, with or without an adapter."""
    longest = max(len(tokens) for tokens in sequences)
    try:
        sizes = {"n_ctx": longest, "n_batch": longest, "n_ubatch": longest}
        sizes |= {"n_threads": threads, "n_threads_batch": threads}
        llm = llama_cpp.Llama(str(base), **sizes, logits_all=True, verbose=False)
        if lora:
            attach_lora(llm._model.model, llm._ctx.ctx, lora, base)
    except ValueError as error:
        raise ConfigError(f"{base}: llama.cpp cannot load it: {error}") from None
    rows = []
    for tokens in sequences:
        llm._ctx.kv_cache_clear()
        llm.reset()
        llm.eval(list(tokens))
        rows.append(llm.scores[max(0, len(tokens) - POSITIONS) : len(tokens)].copy())
    llm.close()
    return np.concatenate(rows)


@contextlib.contextmanager
def _sixteen_bit(base: Path, scratch: Path) -> Iterator[Path]:
    """Yield a copy of a GGUF model with float16 matrices; the file itself if it is not quantised."""
    reader = gguf.GGUFReader(base)
    if all(tensor.tensor_type in _PLAIN for tensor in reader.tensors):
        yield base
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "plain.gguf"
        _dequantise(reader, path)
        yield path


def _dequantise(reader: gguf.GGUFReader, path: Path) -> None:
    writer = gguf.GGUFWriter(path, reader.get_field(gguf.Keys.General.ARCHITECTURE).contents())
    own = {gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE, gguf.Keys.General.QUANTIZATION_VERSION}
    for field in reader.fields.values():
        if field.name not in own and not field.name.startswith("GGUF."):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    kinds = [np.dtype(np.float16 if len(tensor.shape) > 1 else np.float32) for tensor in reader.tensors]
    for tensor, kind in zip(reader.tensors, kinds, strict=True):
        writer.add_tensor_info(tensor.name, tensor.shape[::-1].tolist(), kind, int(tensor.n_elements) * kind.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in zip(reader.tensors, kinds, strict=True):  # one by one: all may not fit into memory
        writer.write_tensor_data(gguf.dequantize(tensor.data, tensor.tensor_type).astype(kind))
    writer.close()
