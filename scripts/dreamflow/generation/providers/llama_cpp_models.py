"""GGUF models in memory: one context of several sequences each, loaded and unloaded within a limit of memory.

Every sequence has its own part of the context (`kv_unified` is off), so the attention of a sequence is computed from
the same cells in the same order whatever the others hold.
"""

import ctypes
import os
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..model import Json
from ..model_files import fingerprint, model_file
from ..models import Model
from . import CallError
from .llama_cpp_library import Jinja2ChatFormatter, LlamaContext, LlamaModel, attach_lora, llama_cpp, set_verbose
from .llama_cpp_states import read_states

BLOCK = 32  # tokens that a processor evaluates at once; a reused prefix consists of whole blocks
GPU_BATCH = 512  # tokens that a GPU evaluates at once
REMEMBERED_PROMPTS = 64  # prompts that a new prompt is compared with

Tokens = np.ndarray  # of int32


@dataclass
class Slot:
    """One sequence of a context. `prompt` is what it holds at least; `answer` is what is being written into it."""

    place: int
    prompt: Tokens = field(default_factory=lambda: np.empty(0, np.int32))
    answer: Any = None


@dataclass
class Loaded:
    """A model in memory. `slots`: the one unused for longest first; `states`: saved prefixes, the last used last;
    `own_size`: bytes without them; `memory`: the limit in bytes of all models together."""

    name: str
    model: LlamaModel
    context: LlamaContext
    own_size: int
    memory: float
    format_chat: Jinja2ChatFormatter
    batch: int
    step: int
    most_states: int
    folder: Path | None
    folder_bytes: float
    slots: list[Slot]
    states: OrderedDict[bytes, bytearray]
    recent: deque[Tokens] = field(default_factory=lambda: deque(maxlen=REMEMBERED_PROMPTS))
    pieces: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buffer = llama_cpp.llama_batch_init(max(self.batch, len(self.slots)), 0, 1)

    @property
    def size(self) -> int:
        """The bytes of the weights, the context and the saved prefixes."""
        return self.own_size + sum(map(len, self.states.values()))

    @property
    def room(self) -> int:
        """The tokens of a sequence: a prompt and its answer."""
        return llama_cpp.llama_n_ctx_seq(self.context.ctx)

    def close(self) -> None:
        """Free the memory."""
        llama_cpp.llama_batch_free(self.buffer)
        self.context.close()
        self.model.close()


Key = tuple
models: OrderedDict[Key, Loaded] = OrderedDict()  # the last used last


def model_key(model: Model) -> Key:
    """What must be equal for two requests to be answered by one loaded model."""
    lora = model_file(model.lora, download=True) if model.lora else None
    adapter = (str(lora), fingerprint(lora)) if lora else None
    path = str(model_file(model.source, download=True))
    return (path, adapter, model.context_length, model.threads, model.gpu_layers)


def load(key: Key, model: Model) -> Loaded:
    """The model, loaded if necessary; the least recently used models are unloaded to keep within the memory limit."""
    if key not in models:
        path = Path(key[0])
        lora = Path(key[1][0]) if key[1] else None
        limit = model.local_models["memory_gb"] * 1e9
        _unload(_file_bytes(path, lora), limit)
        opened = _open(path, lora, model, model.local_models)
        _unload(opened.own_size, limit)  # now with the size of its context
        models[key] = opened
        drop_states(opened)
    models.move_to_end(key)
    return models[key]


def drop_states(loaded: Loaded) -> None:
    """Forget the saved prefixes of a model that were unused for longest, above their number or the limit of memory.
    Files of them stay."""
    while loaded.states and (len(loaded.states) > loaded.most_states or _used() > loaded.memory):
        loaded.states.popitem(last=False)


def _used() -> int:
    """The bytes of all loaded models."""
    return sum(loaded.size for loaded in models.values())


def _unload(needed: int, limit: float) -> None:
    """Free `needed` bytes: forget the saved prefixes of the model unused for longest, then unload it, and so on."""
    while models and needed + _used() > limit:
        oldest = next(iter(models.values()))
        if oldest.states:
            oldest.states.popitem(last=False)
        else:
            models.popitem(last=False)
            oldest.close()


def _file_bytes(path: Path, lora: Path | None) -> int:
    return path.stat().st_size + (lora.stat().st_size if lora else 0)


def _open(path: Path, lora: Path | None, model: Model, limits: Mapping[str, Json]) -> Loaded:
    set_verbose(False)
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0x7FFFFFFF if model.gpu_layers == -1 else model.gpu_layers
    try:
        weights = LlamaModel(path_model=str(path), params=parameters, verbose=False)
    except ValueError as error:
        raise CallError(f"model {model.model_id}: {path}: {error}", kind="account") from None
    metadata = weights.metadata()
    template = metadata.get("tokenizer.chat_template")
    if not template:
        weights.close()
        raise CallError(
            f"model {model.model_id}: {path} has no chat template; an instruct model is needed", kind="account"
        )
    try:
        each = _sequence_bytes(weights, model.context_length)
        free = limits["memory_gb"] * 1e9 - _file_bytes(path, lora)
        fit = int(free / each) - bool(limits["prefix_states"])  # saved prefixes get the memory of a sequence
        count = max(1, min(limits["sequences"], fit, llama_cpp.llama_max_parallel_sequences()))
        context = _context(weights, model, count, path, lora)
        if limits["exact"] and count > 1:
            width = _exact_width(weights, context, count)
            if width < count:
                context.close()
                count = width
                context = _context(weights, model, count, path, lora)
    except ValueError as error:
        weights.close()
        raise CallError(f"model {model.model_id}: {error}", kind="account") from None
    folder = None
    if limits["prefix_folder"]:
        # A state that was evaluated with an adapter is useless without it, and so is one of a context of other shape.
        files = [fingerprint(file) for file in (path, lora) if file]
        shape = map(str, (model.context_length, _threads(model), count, _batch(model), model.gpu_layers))
        parts = (*files, llama_cpp.__version__, *shape)
        folder = Path(limits["prefix_folder"]).expanduser() / "-".join(parts)
    bos, eos = (weights.token_get_text(i) if i >= 0 else "" for i in (weights.token_bos(), weights.token_eos()))
    batch = _batch(model)
    return Loaded(
        path.name,
        weights,
        context,
        _file_bytes(path, lora) + count * each,
        limits["memory_gb"] * 1e9,
        Jinja2ChatFormatter(template, eos, bos),
        batch,
        batch if limits["exact"] else BLOCK,
        limits["prefix_states"],
        folder,
        limits["prefix_folder_gb"] * 1e9,
        [Slot(place) for place in range(count)],
        read_states(folder, limits["prefix_states"]) if folder else OrderedDict(),
    )


def _threads(model: Model) -> int:
    return model.threads or len(os.sched_getaffinity(0))


def _batch(model: Model) -> int:
    """How many tokens of a prompt are evaluated at once."""
    return GPU_BATCH if model.gpu_layers and llama_cpp.llama_supports_gpu_offload() else BLOCK


def _context(weights: LlamaModel, model: Model, count: int, path: Path, lora: Path | None) -> LlamaContext:
    """A context for `count` sequences. Raises `ValueError` if it or the adapter cannot be used."""
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = count * _padded(model.context_length)
    parameters.n_seq_max = count
    parameters.n_batch = parameters.n_ubatch = max(_batch(model), count)
    parameters.n_threads = parameters.n_threads_batch = _threads(model)
    parameters.kv_unified = False
    # On processors, flash attention makes the sum of a sequence depend on the length of the longest one beside it.
    automatic, disabled = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO, llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.flash_attn_type = disabled if _batch(model) == BLOCK else automatic
    context = LlamaContext(model=weights, params=parameters, verbose=False)
    if lora:
        try:
            attach_lora(weights.model, context.ctx, lora, path)
        except ValueError:
            context.close()
            raise
    return context


def _padded(length: int) -> int:
    """The length of a sequence as llama.cpp rounds it."""
    return -(-length // 256) * 256


def _sequence_bytes(weights: LlamaModel, context_length: int) -> int:
    """The bytes of a full sequence: keys and values of 2 bytes for every token, layer and key-value head."""
    model = weights.model
    head = llama_cpp.llama_model_n_embd(model) // llama_cpp.llama_model_n_head(model)
    layers, heads = llama_cpp.llama_model_n_layer(model), llama_cpp.llama_model_n_head_kv(model)
    return 4 * _padded(context_length) * layers * head * heads


def evaluate(loaded: Loaded, rows: Sequence[tuple[int, int, int, bool]]) -> None:
    """Evaluate (token, position, place, whether its logits are needed). Raises `RuntimeError` if llama.cpp fails."""
    _decode(loaded.context, loaded.buffer, rows)


def _decode(context: LlamaContext, buffer: Any, rows: Sequence[tuple[int, int, int, bool]]) -> None:
    buffer.n_tokens = len(rows)
    for i, (token, position, place, wanted) in enumerate(rows):
        buffer.token[i], buffer.pos[i], buffer.logits[i] = token, position, wanted
        buffer.n_seq_id[i], buffer.seq_id[i][0] = 1, place
    if code := llama_cpp.llama_decode(context.ctx, buffer):
        raise RuntimeError(f"llama_decode returned {code}")


def _exact_width(weights: LlamaModel, context: LlamaContext, count: int) -> int:
    """How many sequences this machine decodes together with the same bits as each alone.

    llama.cpp multiplies some kinds of weights (of a GGUF file of Q4_K, for example) by four tokens in another order
    than by one. Tokens are decoded together and alone, in batches of growing size, and the logits are compared.
    """
    buffer = llama_cpp.llama_batch_init(count, 0, 1)
    words = weights.n_vocab()

    def logits(places: Sequence[int]) -> list[bytes]:
        llama_cpp.llama_memory_clear(context.memory, True)
        _decode(context, buffer, [((997 * (place + 1)) % words, 0, place, True) for place in places])
        size = words * ctypes.sizeof(ctypes.c_float)
        return [ctypes.string_at(llama_cpp.llama_get_logits_ith(context.ctx, i), size) for i in range(len(places))]

    try:
        alone = {place: logits([place])[0] for place in {0, 1}}
        exact = 1
        for width in (*(size for size in (2, 3, 4, 8, 16) if size < count), count):
            together = logits(range(width))
            if any(together[place] != alone[place] for place in alone):
                break
            exact = width
    finally:
        llama_cpp.llama_batch_free(buffer)
    llama_cpp.llama_memory_clear(context.memory, True)
    return exact
