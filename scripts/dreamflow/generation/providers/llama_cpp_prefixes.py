"""A prefix that prompts share is evaluated once.

A prompt is evaluated in blocks of 32 tokens that start at multiples of 32, never together with tokens of other
prompts, and a reused prefix consists of whole blocks. So every block is computed from the same tokens in the same
batch, whether or not the blocks before it were reused, and an answer does not depend on earlier prompts, to the last
bit. (A GPU evaluates blocks of 512; prefixes of whole blocks of 32 are reused there unless `exact` is set.)

A prefix comes from the sequence that holds the longest one, in use or not, or from a saved state: if a prompt shares a
block or more with one of the last prompts, the state at the end of the shared prefix is saved (about 23 kB a token for
a model of 135M parameters). States count in `memory_gb`; the least recently used is dropped first. They are of no use
to another model: the numbers are what these very weights compute, in the shape of this very context. The folder of the
files has a digest of the weights and of the adapter, the version of llama.cpp and the settings of the context.
"""

import ctypes

from .llama_cpp_library import llama_cpp
from .llama_cpp_models import Loaded, Slot, Tokens, drop_states, evaluate
from .llama_cpp_states import mark_used, write_state


def place_prompt(loaded: Loaded, tokens: Tokens) -> tuple[Slot, int]:
    """Evaluate a prompt in a free slot; its last token's logits are then known.

    Returns the slot and the length of the prefix that was reused. At least one token is evaluated, since the answer's
    first token is drawn from its logits.
    """
    slot, reused = _start(loaded, tokens)
    slot.prompt = tokens[:0]  # nothing, if an evaluation fails
    if loaded.most_states:
        reused_head = _head(loaded, tokens)
        shared = max((_common(loaded, prompt, reused_head) for prompt in loaded.recent), default=0)
        prefix = reused_head[:shared].tobytes()
        if shared >= max(reused, 1) and prefix not in loaded.states:
            _evaluate(loaded, slot, tokens, reused, shared)
            _save(loaded, slot, prefix)
            _evaluate(loaded, slot, tokens, shared, len(tokens))
        else:
            _evaluate(loaded, slot, tokens, reused, len(tokens))
        loaded.recent.append(tokens)
    else:
        _evaluate(loaded, slot, tokens, 0, len(tokens))
    slot.prompt = tokens
    return slot, reused


def _start(loaded: Loaded, tokens: Tokens) -> tuple[Slot, int]:
    """A free slot whose content is the longest known prefix of `tokens`, and the length of that."""
    oldest = next(slot for slot in loaded.slots if slot.answer is None)
    if not loaded.most_states:
        return oldest, _rewind(loaded, oldest, 0)
    head = _head(loaded, tokens)
    content = head.tobytes()
    known = max((prefix for prefix in loaded.states if content.startswith(prefix)), key=len, default=b"")
    if known:
        loaded.states.move_to_end(known)
    length, _, source = max(
        ((_common(loaded, slot.prompt, head), slot.answer is None, slot) for slot in loaded.slots),
        key=lambda found: found[:2],
    )
    if length and length * head.itemsize >= len(known):
        if source.answer is None:
            return source, _rewind(loaded, source, length)
        is_there = _restore(loaded, oldest, _state(loaded, source))
        return oldest, _rewind(loaded, oldest, length if is_there else 0)
    if not known:
        return oldest, _rewind(loaded, oldest, 0)
    if not _restore(loaded, oldest, loaded.states[known]):  # a damaged file: evaluate and save it again
        del loaded.states[known]
        return oldest, _rewind(loaded, oldest, 0)
    if loaded.folder is not None:
        mark_used(loaded.folder, known)
    return oldest, len(known) // head.itemsize


def clear(loaded: Loaded, slot: Slot) -> None:
    """Delete what a slot holds."""
    slot.prompt = slot.prompt[:0]
    _rewind(loaded, slot, 0)


def _head(loaded: Loaded, tokens: Tokens) -> Tokens:
    """What may be reused of a prompt: whole steps, and not its last token."""
    return tokens[: (len(tokens) - 1) // loaded.step * loaded.step]


def _common(loaded: Loaded, left: Tokens, right: Tokens) -> int:
    """The number of tokens that two sequences share at the beginning, in whole steps."""
    length = min(len(left), len(right))
    different = left[:length] != right[:length]
    if different.any():
        length = int(different.argmax())
    return length // loaded.step * loaded.step


def _evaluate(loaded: Loaded, slot: Slot, tokens: Tokens, start: int, end: int) -> None:
    while start < end:
        stop = min(end, (start // loaded.batch + 1) * loaded.batch)
        last = len(tokens) - 1
        evaluate(loaded, [(int(tokens[i]), i, slot.place, i == last) for i in range(start, stop)])
        start = stop


def _rewind(loaded: Loaded, slot: Slot, length: int) -> int:
    """Delete the content of a slot from `length` on; returns what is left, as some models can only forget all of it."""
    memory = loaded.context.memory
    if length and llama_cpp.llama_memory_seq_rm(memory, slot.place, length, -1):
        return length
    llama_cpp.llama_memory_seq_rm(memory, slot.place, -1, -1)
    return 0


def _state(loaded: Loaded, slot: Slot) -> bytearray:
    context = loaded.context.ctx
    state = bytearray(llama_cpp.llama_state_seq_get_size(context, slot.place))
    buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
    llama_cpp.llama_state_seq_get_data(context, buffer, len(state), slot.place)
    return state


def _restore(loaded: Loaded, slot: Slot, state: bytearray) -> bool:
    """Fill a slot with a saved state; whether that was possible."""
    _rewind(loaded, slot, 0)
    buffer = (ctypes.c_uint8 * len(state)).from_buffer(state)
    return bool(llama_cpp.llama_state_seq_set_data(loaded.context.ctx, buffer, len(state), slot.place))


def _save(loaded: Loaded, slot: Slot, prefix: bytes) -> None:
    state = loaded.states[prefix] = _state(loaded, slot)
    if loaded.folder is not None:
        write_state(loaded.folder, prefix, state, loaded.folder_bytes)
    drop_states(loaded)
