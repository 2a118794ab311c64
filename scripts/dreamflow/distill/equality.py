"""Whether an adapter does the same in torch, merged into the weights, and as GGUF LoRA in llama.cpp.

Compared are next-token distributions: the logits at the last `POSITIONS` tokens of each text, from the same token ids.
A model file is quantised as a rule, and llama.cpp quantises what it multiplies by it, so that it differs from torch
with no adapter at all. Therefore:

- The yardstick is that difference without an adapter, by the same measures on the same texts.
- The adapter is tried on a copy of the model file with 16-bit weights too. There the yardstick is small (a mean KL
  divergence of about 5e-6 nats for SmolLM2-135M, against 3e-3 for its Q4_1 file), so that a mistake in the conversion
  stands out: query and key rows in the wrong order gave 9e-4 for an adapter of hardly any effect, and 8e-3 for one
  that had learned its tasks, which the quantised file alone would let pass for noise or nearly so.

What counts as equal is in `TOLERANCE` and `LARGEST_BASE_KL`; all is measured in nats per position.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np
import torch

from ..errors import ConfigError
from ..generation.model import Json
from ..generation.providers.llama_cpp_engine import attach_lora, llama_cpp

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POSITIONS = 32
LONGEST = 512  # tokens of a text that are read
TOLERANCE = {  # the mean KL divergence may be `factor` times the yardstick's and `plus` more
    "merged": {"factor": 0.0, "plus": 1e-6},  # the same arithmetic in float32, in another order
    "gguf_16_bit": {"factor": 2.0, "plus": 2e-5},
    "gguf": {"factor": 3.0, "plus": 1e-3},
}
LARGEST_BASE_KL = 0.5  # of the yardstick; quantisation stays far below, other weights than the student's far above
_PLAIN = {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.BF16}

Logits = np.ndarray  # positions x vocabulary, float32
Sequences = Sequence[Sequence[int]]


def check_equality(
    model: "PreTrainedModel", sequences: Sequences, base: Path | None, lora: Path | None, *, scratch: Path, threads: int
) -> dict[str, Json]:
    """All measures, and `equal`: whether they are within what is tolerated.

    `model` is the student with its adapter (a `PeftModel`), whose weights are merged when this returns; `sequences` are
    token ids; `base` is the student's GGUF and `lora` the adapter's, without which llama.cpp is left out; `scratch` is
    a folder that has room for the student with 16-bit weights.
    """
    with model.disable_adapter():
        bare = torch_logits(model, sequences)
    adapted = torch_logits(model, sequences)
    model.merge_adapter()
    result: dict[str, Json] = {
        "texts": len(sequences),
        "positions": len(adapted),
        "effect": difference(adapted, bare),
        "merged": _judged(TOLERANCE["merged"], difference(adapted, torch_logits(model, sequences)), None),
    }
    if base is None or lora is None:
        result["gguf"] = result["gguf_16_bit"] = None
    else:
        with _sixteen_bit(base, scratch) as plain:
            for name, path in (("gguf_16_bit", plain), ("gguf", base)):
                yardstick = difference(bare, llama_logits(path, None, sequences, threads))
                found = difference(adapted, llama_logits(path, lora, sequences, threads))
                result[name] = _judged(TOLERANCE[name], found, yardstick)
    result["equal"] = all(one["equal"] for one in result.values() if isinstance(one, Mapping) and "equal" in one)
    return result


def _judged(
    tolerance: Mapping[str, float], found: Mapping[str, float], yardstick: Mapping[str, float] | None
) -> dict[str, Json]:
    """A comparison with its verdict; the yardstick stands beside it as `without_adapter`."""
    noise = yardstick["mean_kl"] if yardstick else 0.0
    limit = tolerance["factor"] * noise + tolerance["plus"]
    equal = bool(found["mean_kl"] <= limit and noise <= LARGEST_BASE_KL)  # NaN is not
    beside = {"without_adapter": dict(yardstick)} if yardstick else {}
    return {**found, **beside, "largest_mean_kl": limit, "equal": equal}


def difference(reference: Logits, other: Logits) -> dict[str, float]:
    """How far next-token distributions differ: the share of positions with the same most likely token, the mean of the
    KL divergence of `other` from `reference` (nats), and the largest difference between two logits."""
    if reference.shape != other.shape:
        raise ConfigError(
            f"torch knows {reference.shape[1]} tokens and llama.cpp {other.shape[1]}: "
            "the model file is not the student's"
        )
    total = 0.0
    for left, right in zip(reference, other, strict=True):  # in rows: float64 for all at once takes too much memory
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


def torch_logits(model: "PreTrainedModel", sequences: Sequences) -> Logits:
    """The logits at the last positions of each sequence, below each other."""
    rows = []
    with torch.inference_mode():
        for tokens in sequences:
            ids = torch.tensor([list(tokens)], device=model.device)
            rows.append(model(input_ids=ids).logits[0, -POSITIONS:].float().cpu().numpy())
    return np.concatenate(rows)


def llama_logits(base: Path, lora: Path | None, sequences: Sequences, threads: int) -> Logits:
    """The same of a model file in llama.cpp, with an adapter or without."""
    longest = max(len(tokens) for tokens in sequences)
    try:
        llm = llama_cpp.Llama(
            str(base),
            n_ctx=longest,
            n_batch=longest,
            n_ubatch=longest,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,
            verbose=False,
        )
        if lora:
            attach_lora(llm, lora)
    except ValueError as error:
        raise ConfigError(f"{base}: llama.cpp cannot use it: {error}") from None
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
    """A copy of a GGUF model whose matrices are float16; the file itself where it is not quantised."""
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
    for tensor, kind in zip(reader.tensors, kinds, strict=True):  # one at a time: all may be more than memory holds
        writer.write_tensor_data(gguf.dequantize(tensor.data, tensor.tensor_type).astype(kind))
    writer.close()
