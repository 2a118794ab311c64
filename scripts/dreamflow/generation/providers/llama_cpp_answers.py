"""An answer while it is being written: its sampler, its text, and when it ends. It samples as llama_cpp.Llama does."""

import ctypes
import json
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ...files import sha256
from ..model import Json, Response
from . import Request
from .llama_cpp_library import LlamaSampler, json_schema_to_gbnf, llama_cpp
from .llama_cpp_models import Loaded

PENALIZED = 64  # the last tokens of the answer that repeat_penalty is for


@dataclass
class Answer:
    """What a sequence has written so far. `position` is that of `token`, which is evaluated next."""

    request: Request
    future: Future[Response]
    sampler: LlamaSampler
    prompt_tokens: int
    cached: int
    most: int
    stop: list[bytes]
    last: deque[int] = field(default_factory=lambda: deque(maxlen=PENALIZED))
    token: int = 0
    count: int = 0
    text: bytes = b""
    finish_reason: str = ""

    @property
    def position(self) -> int:
        return self.prompt_tokens + self.count - 1


def next_token(loaded: Loaded, answer: Answer, row: int) -> None:
    """Draw the next token from the logits of a row of the last batch; sets `finish_reason` if it is the last."""
    _penalize(loaded, answer, row)
    token = answer.sampler.sample(loaded.context, row)
    if llama_cpp.llama_vocab_is_eog(loaded.model.vocab, token):
        answer.finish_reason = "stop"
        return
    answer.token = token
    answer.last.append(token)
    answer.count += 1
    answer.text += _piece(loaded, token)
    full = answer.prompt_tokens + answer.count >= loaded.room
    if _ends_within_a_character(answer.text) and not full:
        return
    found = next((text for text in answer.stop if text in answer.text), None)
    if found is not None:
        answer.text = answer.text[: answer.text.index(found)]
        answer.finish_reason = "stop"
    elif answer.count >= answer.most or full:
        answer.finish_reason = "length"


def _penalize(loaded: Loaded, answer: Answer, row: int) -> None:
    """Make the last tokens less likely, as llama.cpp's sampler of penalties does, which looks at every token."""
    penalty = np.float32(answer.request.sampling.get("repeat_penalty", 1.0))
    if penalty == 1 or not answer.last:
        return
    logits = np.ctypeslib.as_array(
        llama_cpp.llama_get_logits_ith(loaded.context.ctx, row), shape=(loaded.model.n_vocab(),)
    )
    tokens = list(set(answer.last))
    values = logits[tokens]
    logits[tokens] = np.where(values <= 0, values * penalty, values / penalty)


def _piece(loaded: Loaded, token: int) -> bytes:
    """The text of a token; that of a special one is empty."""
    piece = loaded.pieces.get(token)
    if piece is None:
        size = 32
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(loaded.model.vocab, token, buffer, size, 0, False)
            if length >= 0:
                break
            size = -length
        piece = loaded.pieces[token] = buffer.raw[:length]
    return piece


def _ends_within_a_character(text: bytes) -> bool:
    for known, byte in enumerate(text[:-4:-1], 1):  # from the end
        if byte & 0xC0 != 0x80:  # not a continuation
            return known < (4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1)
    return False


def make_sampler(loaded: Loaded, request: Request) -> LlamaSampler:
    """The steps that draw a token. Raises `ValueError` if the grammar cannot be read."""
    sampling = request.sampling
    sampler = LlamaSampler()
    if request.response_format is not None:
        grammar = llama_cpp.llama_sampler_init_grammar(
            loaded.model.vocab, _grammar(request.response_format).encode(), b"root"
        )
        if not grammar:
            raise ValueError("llama.cpp cannot read the grammar of the answer")
        llama_cpp.llama_sampler_chain_add(sampler.sampler, grammar)
    temperature = sampling.get("temperature", 0.7)
    if temperature == 0:
        sampler.add_greedy()
        return sampler
    sampler.add_top_k(sampling.get("top_k", 40))
    sampler.add_typical(1.0)
    sampler.add_top_p(sampling.get("top_p", 0.95))
    sampler.add_min_p(sampling.get("min_p", 0.05))
    sampler.add_temp(temperature)
    # A different seed for every sample, the same on every machine.
    sampler.add_dist(int(sha256(f"{sampling.get('seed', 0)}:{request.sample}")[:8], 16))
    return sampler


def _grammar(response_format: Mapping[str, Json]) -> str:
    if response_format["type"] == "grammar":
        return response_format["grammar"]
    schema = response_format["schema"]
    return json_schema_to_gbnf(json.dumps(schema), prop_order=list(schema.get("properties", {})))
