"""A GGUF model in this process, through llama-cpp-python; a prefix that prompts share is evaluated once.

Prefix reuse. A prompt is evaluated in blocks of 32 tokens that start at multiples of 32, and a reused prefix consists
of whole blocks. So every block is computed from the same tokens in the same batch, whether or not the blocks before it
were reused, and an answer does not depend on earlier prompts, to the last bit. If a prompt shares 32 tokens or more
with one of the last prompts, the state at the end of the shared prefix is saved (about 23 kB per token for a model of
135M parameters). The least recently used state is deleted first.
"""

import ctypes
import hashlib
import json
import os
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..model import Json

# How long waiting threads spin before they sleep. With the default, practically for ever, two processes that share the
# processors slow each other down tenfold. The variable is read when the library is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp
from llama_cpp._utils import suppress_stdout_stderr
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from llama_cpp.llama_grammar import json_schema_to_gbnf
from msgspec import UNSET

from ...files import sha256, write_atomic
from ..model import Response, Usage, as_json
from ..model_files import fingerprint, model_file
from ..models import Model
from . import CallError, Request
from .reading import split_thinking

BLOCK = 32  # tokens of a block
REMEMBERED_PROMPTS = 64  # prompts that a new prompt is compared with
SMALLEST_ANSWER = 32  # tokens that a prompt must leave for the answer

Tokens = tuple[int, ...]


@dataclass
class _Loaded:
    """A model in memory. `states` are saved prefixes, the last used last; `prompt` is the content of the context."""

    llm: llama_cpp.Llama
    size: int
    format_chat: Jinja2ChatFormatter
    folder: Path | None
    most_states: int
    prompt: Tokens = ()
    states: OrderedDict[Tokens, Json] = field(default_factory=OrderedDict)
    recent: deque[Tokens] = field(default_factory=lambda: deque(maxlen=REMEMBERED_PROMPTS))


_models: OrderedDict[tuple, _Loaded] = OrderedDict()

# One thread works for all callers: OpenMP keeps a team of threads for every calling thread, and two teams on the same
# processors run at half the speed of one. It also makes locks unnecessary.
_worker = ThreadPoolExecutor(1, thread_name_prefix="llama_cpp")


def complete(request: Request) -> Response:
    """Answer in this process. Raises a terminal `CallError` if the prompt does not fit into the model's context."""
    return _worker.submit(_complete, request).result()


def _complete(request: Request) -> Response:
    loaded = _load(request.model)
    llm = loaded.llm
    tokens = _tokenize(loaded, request)
    room = llm.n_ctx() - len(tokens)
    limit = request.sampling["max_tokens"]
    if room < min(limit, SMALLEST_ANSWER):
        raise CallError(
            f"model {request.model.model_id}: the prompt has {len(tokens)} tokens, which leaves {max(room, 0)} of "
            f"context_length {llm.n_ctx()} for the answer; shorten the prompt or raise context_length",
            kind="request",
        )
    cached = _reuse(loaded, tokens)
    sampling = request.sampling
    try:
        answer = llm.create_completion(
            list(tokens),
            max_tokens=min(limit, room),
            temperature=sampling.get("temperature", 0.7),
            top_p=sampling.get("top_p", 0.95),
            top_k=sampling.get("top_k", 40),
            min_p=sampling.get("min_p", 0.05),
            repeat_penalty=sampling.get("repeat_penalty", 1.0),
            stop=sampling.get("stop", []),
            # A different seed for every sample, the same on every machine.
            seed=int(sha256(f"{sampling.get('seed', 0)}:{request.sample}")[:8], 16),
            grammar=_grammar(request.response_format),
        )
    except (RuntimeError, ValueError) as error:
        loaded.prompt = ()
        raise CallError(f"model {request.model.model_id}: {error}", kind="request") from None
    loaded.prompt = tokens
    choice = answer["choices"][0]
    usage = Usage(len(tokens), cached, answer["usage"]["completion_tokens"])
    finish_reason = "length" if choice["finish_reason"] == "length" else "stop"
    text, reasoning = split_thinking(choice["text"], "", finish_reason)
    return Response(text, finish_reason, usage, Path(llm.model_path).name, reasoning=reasoning or UNSET)


def _tokenize(loaded: _Loaded, request: Request) -> Tokens:
    formatted = loaded.format_chat(messages=as_json(list(request.messages)))
    text = formatted.prompt.encode("utf-8")
    return tuple(loaded.llm.tokenize(text, add_bos=not formatted.added_special, special=True))


def token_counter(model: Model) -> Callable[[str], int]:
    """A function that counts the tokens of a text with the model's own vocabulary; its weights are not loaded."""
    return _counter(model_file(model.source))


@cache
def _counter(path: Path) -> Callable[[str], int]:
    # llama_cpp.Llama would also create a context, which warns about a model without layers.
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    with suppress_stdout_stderr(disable=False):
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise CallError(f"{path}: not a model that llama.cpp can read", kind="account")
    vocabulary = llama_cpp.llama_model_get_vocab(model)

    def count(text: str) -> int:
        data = text.encode("utf-8")
        # Without room for the tokens, it returns their negative number.
        return -llama_cpp.llama_tokenize(vocabulary, data, len(data), None, 0, False, False)

    return count


def _grammar(response_format: Mapping[str, Json] | None) -> llama_cpp.LlamaGrammar | None:
    if response_format is None:
        return None
    if response_format["type"] == "grammar":
        return llama_cpp.LlamaGrammar.from_string(response_format["grammar"], verbose=False)
    schema = response_format["schema"]
    rules = json_schema_to_gbnf(json.dumps(schema), prop_order=list(schema.get("properties", {})))
    return llama_cpp.LlamaGrammar.from_string(rules, verbose=False)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """The number of tokens that two sequences share at the beginning, in whole blocks."""
    length = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    if length is None:
        length = min(len(left), len(right))
    return length // BLOCK * BLOCK


def _reuse(loaded: _Loaded, tokens: Tokens) -> int:
    """Set the context to the longest known prefix of `tokens`; returns its length.

    At least one token remains to be evaluated, since the answer's first token is drawn from its logits.
    """
    if not loaded.most_states:
        _rewind(loaded, 0)
        return 0
    head = tokens[: (len(tokens) - 1) // BLOCK * BLOCK]
    known = max((prefix for prefix in loaded.states if head[: len(prefix)] == prefix), key=len, default=())
    live = _common(loaded.prompt, head)
    if live >= len(known):
        reused = live
        _rewind(loaded, live)
    else:
        reused = len(known)
        _restore(loaded, known)
    if known:
        loaded.states.move_to_end(known)
    shared = max((_common(prompt, head) for prompt in loaded.recent), default=0)
    if shared and head[:shared] not in loaded.states and shared >= reused:
        loaded.llm.eval(list(tokens[reused:shared]))
        _save(loaded, head[:shared])
    loaded.recent.append(tokens)
    return reused


def _rewind(loaded: _Loaded, length: int) -> None:
    """Delete the context from `length` on."""
    if length:
        loaded.llm._ctx.kv_cache_seq_rm(-1, length, -1)
        loaded.llm.n_tokens = length
    else:
        loaded.llm._ctx.kv_cache_clear()
        loaded.llm.reset()


def _restore(loaded: _Loaded, prefix: Tokens) -> None:
    _rewind(loaded, 0)
    state = loaded.states[prefix]
    buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
    if not llama_cpp.llama_state_seq_set_data(loaded.llm._ctx.ctx, buffer, len(state), 0):
        raise CallError("llama.cpp could not restore a saved prefix", kind="server")
    loaded.llm.input_ids[: len(prefix)] = prefix
    loaded.llm.n_tokens = len(prefix)


def _save(loaded: _Loaded, prefix: Tokens) -> None:
    context = loaded.llm._ctx.ctx
    state = bytearray(llama_cpp.llama_state_seq_get_size(context, 0))
    buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
    llama_cpp.llama_state_seq_get_data(context, buffer, len(state), 0)
    loaded.states[prefix] = state
    if loaded.folder is not None:
        write_atomic(_state_path(loaded.folder, prefix), array("i", prefix).tobytes() + state)
    while len(loaded.states) > loaded.most_states:
        oldest, _ = loaded.states.popitem(last=False)
        if loaded.folder is not None:
            _state_path(loaded.folder, oldest).unlink(missing_ok=True)


def _state_path(folder: Path, prefix: Tokens) -> Path:
    return folder / f"{len(prefix)}-{hashlib.sha256(array('i', prefix)).hexdigest()[:32]}.state"


def _read_states(folder: Path | None, most: int) -> OrderedDict[Tokens, bytearray]:
    """The prefixes that earlier runs saved, the newest last; a file whose content does not fit its name is skipped."""
    states: OrderedDict[Tokens, bytearray] = OrderedDict()
    files = sorted(folder.glob("*.state"), key=lambda path: path.stat().st_mtime) if folder else []
    for path in files[-most:] if most else []:
        data = path.read_bytes()
        length = int(path.name.split("-")[0]) * array("i").itemsize
        prefix = tuple(array("i", data[:length])) if len(data) > length else ()
        if prefix and _state_path(folder, prefix) == path:
            states[prefix] = bytearray(data[length:])
    return states


def _load(model: Model) -> _Loaded:
    """The model, loaded if necessary; the least recently used models are unloaded to keep within the memory limit."""
    path = model_file(model.source, download=True)
    lora = model_file(model.lora, download=True) if model.lora else None
    adapter = (str(lora), fingerprint(lora)) if lora else None
    key = (str(path), adapter, model.context_length, model.threads, model.gpu_layers)
    if key not in _models:
        limits = model.local_models
        _unload(_file_bytes(path, lora), limits["memory_gb"] * 1e9)
        opened = _open(path, lora, model, limits)
        _unload(opened.size, limits["memory_gb"] * 1e9)  # now with the size of its context
        _models[key] = opened
    _models.move_to_end(key)
    return _models[key]


def _unload(needed: int, limit: float) -> None:
    """Unload models until `needed` bytes are free."""
    while _models and needed + sum(loaded.size for loaded in _models.values()) > limit:
        _, oldest = _models.popitem(last=False)
        oldest.llm.close()


def _file_bytes(path: Path, lora: Path | None) -> int:
    return path.stat().st_size + (lora.stat().st_size if lora else 0)


def _open(path: Path, lora: Path | None, model: Model, limits: Mapping[str, Json]) -> _Loaded:
    threads = model.threads or len(os.sched_getaffinity(0))
    try:
        llm = llama_cpp.Llama(
            str(path),
            n_ctx=model.context_length,
            n_batch=BLOCK,
            n_ubatch=BLOCK,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=model.gpu_layers,
            verbose=False,
        )
    except ValueError as error:
        raise CallError(f"model {model.model_id}: {path}: {error}", kind="account") from None
    if lora:
        try:
            attach_lora(llm, lora)
        except ValueError as error:
            raise CallError(f"model {model.model_id}: {error}", kind="account") from None
    template = llm.metadata.get("tokenizer.chat_template")
    if not template:
        raise CallError(
            f"model {model.model_id}: {path} has no chat template; an instruct model is needed", kind="account"
        )
    folder = None
    if limits["prefix_folder"]:
        # A state that was evaluated with an adapter is useless without it.
        files = [fingerprint(file) for file in (path, lora) if file]
        parts = (*files, llama_cpp.__version__, str(model.context_length), str(threads))
        folder = Path(limits["prefix_folder"]) / "-".join(parts)
    bos, eos = (llm._model.token_get_text(i) if i >= 0 else "" for i in (llm.token_bos(), llm.token_eos()))
    return _Loaded(
        llm,
        _file_bytes(path, lora) + _context_bytes(llm),
        Jinja2ChatFormatter(template, eos, bos),
        folder,
        limits["prefix_states"],
        states=_read_states(folder, limits["prefix_states"]),
    )


def attach_lora(llm: llama_cpp.Llama, lora: Path) -> None:
    """Attach a LoRA adapter to a model. Raises `ValueError` if the file is not an adapter of this model.

    `lora_path` of llama_cpp.Llama crashes the process for such a file, since it does not check for a null pointer. The
    model frees its adapters with itself.
    """
    adapter = llama_cpp.llama_adapter_lora_init(llm._model.model, str(lora).encode())
    if not adapter:
        raise ValueError(f"{lora}: not a LoRA adapter of {llm.model_path} that llama.cpp can load")
    adapters, scales = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(1.0)
    if llama_cpp.llama_set_adapters_lora(llm._ctx.ctx, adapters, 1, scales):
        raise ValueError(f"{lora}: llama.cpp could not apply it to {llm.model_path}")


def _context_bytes(llm: llama_cpp.Llama) -> int:
    """The bytes of a full context: keys and values of 2 bytes for every token, layer and key-value head."""
    model = llm._model.model
    head = llama_cpp.llama_model_n_embd(model) // llama_cpp.llama_model_n_head(model)
    return 4 * llm.n_ctx() * llama_cpp.llama_model_n_layer(model) * head * llama_cpp.llama_model_n_head_kv(model)
