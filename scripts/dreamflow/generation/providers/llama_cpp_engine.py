"""Answers of GGUF models in this process, through llama-cpp-python: requests in flight are decoded together.

Every caller waits in its own thread; one worker thread does all the work. It answers all requests of one model before
it turns to another, those with a common prefix one after the other. A prompt is evaluated alone (llama_cpp_prefixes);
then one batch a step has the next token of every sequence.

Whether the bits of an answer depend on which others are in the batch depends on the kind of weights and the machine:
not at all for Q4_1 (SmolLM2-135M) on x86, as every product is computed alone there; for Q4_K, llama.cpp multiplies
four tokens at once in another order than one. `exact` decodes only as many sequences together as give the same bits.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
from msgspec import UNSET

from ..model import Response, Usage, as_json
from ..model_files import model_file
from ..models import Model
from ..stopping import STOPPING, stopped
from . import CallError, Request
from .llama_cpp_answers import Answer, make_sampler, next_token
from .llama_cpp_library import llama_cpp, suppress_stdout_stderr
from .llama_cpp_models import Key, Loaded, Slot, Tokens, evaluate, load, model_key, models
from .llama_cpp_prefixes import clear, place_prompt
from .reading import split_thinking

SMALLEST_ANSWER = 32  # tokens that a prompt must leave for the answer


@dataclass(order=True)
class _Waiting:
    """A request that waits; those with a common prefix are neighbours in the order."""

    messages: tuple[str, ...]
    number: int
    request: Request = field(compare=False)
    future: Future[Response] = field(compare=False)


_arrived: deque[tuple[Key, _Waiting]] = deque()
_waiting: dict[Key, list[_Waiting]] = {}  # only the worker uses it
_number = count()

# One thread works for all callers: OpenMP keeps a team of threads for every calling thread, and two teams on the same
# processors run at half the speed of one. It also makes locks unnecessary.
_worker = ThreadPoolExecutor(1, thread_name_prefix="llama_cpp")


def complete(request: Request) -> Response:
    """Answer in this process. Raises a terminal `CallError` if the prompt does not fit into the model's context."""
    messages = tuple(message.content for message in request.messages)
    waiting = _Waiting(messages, next(_number), request, Future())
    _arrived.append((model_key(request.model), waiting))
    _worker.submit(_serve)
    return waiting.future.result()


def _serve() -> None:
    """Answer what has arrived, until nothing waits. Every request schedules a call; most find their work done."""
    active: Key | None = None
    while True:
        while _arrived:
            key, arrived = _arrived.popleft()
            insort(_waiting.setdefault(key, []), arrived)
        if STOPPING.is_set():
            for waiting in _waiting.values():
                for one in waiting:
                    one.future.set_exception(stopped())
            _waiting.clear()
        if active is None or not (active in _waiting or _busy(models.get(active))):
            active = _next_model()
            last: _Waiting | None = None
        if active is None:
            return
        try:
            last = _advance(active, last)
        except Exception as error:  # a model that cannot be loaded, or a fault of this module
            _fail(active, error)


def _busy(loaded: Loaded | None) -> bool:
    return loaded is not None and any(slot.answer for slot in loaded.slots)


def _next_model() -> Key | None:
    """A model in memory whose requests wait, or else the one with the request that waits for longest."""
    first = {key: min(one.number for one in waiting) for key, waiting in _waiting.items()}
    return min(first, key=lambda key: (key not in models, first[key]), default=None)


def _advance(key: Key, last: _Waiting | None) -> _Waiting | None:
    """Fill the free slots with waiting requests, the first after `last` in the order, and take one step."""
    waiting = _waiting.get(key, [])
    loaded = models[key] if key in models else load(key, waiting[0].request.model)
    models.move_to_end(key)
    while waiting and any(slot.answer is None for slot in loaded.slots):
        last = waiting.pop(bisect_left(waiting, last) % len(waiting) if last else 0)
        try:
            _begin(loaded, last)
        except Exception as error:
            last.future.set_exception(error)
    if not waiting:
        _waiting.pop(key, None)
    _step(loaded)
    return last


def _begin(loaded: Loaded, waiting: _Waiting) -> None:
    """Evaluate the prompt and draw the first token."""
    request = waiting.request
    tokens = _tokenize(loaded, request)
    room = loaded.room - len(tokens)
    limit = request.sampling["max_tokens"]
    if room < min(limit, SMALLEST_ANSWER):
        raise CallError(
            f"model {request.model.model_id}: the prompt has {len(tokens)} tokens, which leaves {max(room, 0)} of "
            f"context_length {loaded.room} for the answer; shorten the prompt or raise context_length",
            kind="request",
        )
    try:
        sampler = make_sampler(loaded, request)
        slot, cached = place_prompt(loaded, tokens)
    except (RuntimeError, ValueError) as error:
        raise CallError(f"model {request.model.model_id}: {error}", kind="request") from None
    stop = [text.encode() for text in request.sampling.get("stop", [])]
    slot.answer = Answer(request, waiting.future, sampler, len(tokens), cached, min(limit, room), stop)
    loaded.slots.remove(slot)
    loaded.slots.append(slot)
    next_token(loaded, slot.answer, -1)
    _finish(loaded, slot)


def _tokenize(loaded: Loaded, request: Request) -> Tokens:
    formatted = loaded.format_chat(messages=as_json(list(request.messages)))
    text = formatted.prompt.encode("utf-8")
    return np.array(loaded.model.tokenize(text, add_bos=not formatted.added_special, special=True), np.int32)


def _step(loaded: Loaded) -> None:
    """Decode the next token of every sequence that is in use, in the order of their places."""
    slots = sorted((slot for slot in loaded.slots if slot.answer), key=lambda slot: slot.place)
    if not slots:
        return
    evaluate(loaded, [(slot.answer.token, slot.answer.position, slot.place, True) for slot in slots])
    for row, slot in enumerate(slots):
        next_token(loaded, slot.answer, row)
        _finish(loaded, slot)


def _finish(loaded: Loaded, slot: Slot) -> None:
    """Free the slot if its answer is complete."""
    answer = slot.answer
    if not answer.finish_reason:
        return
    slot.answer = None
    answer.sampler.close()
    text = answer.text.decode("utf-8", errors="ignore")
    text, reasoning = split_thinking(text, "", answer.finish_reason)
    usage = Usage(answer.prompt_tokens, answer.cached, answer.count)
    answer.future.set_result(Response(text, answer.finish_reason, usage, loaded.name, reasoning=reasoning or UNSET))


def _fail(key: Key, error: Exception) -> None:
    """Give an error to all requests of a model: those that wait, if it is not in memory, or those in its slots."""
    loaded = models.get(key)
    if loaded is None:
        for waiting in _waiting.pop(key, []):
            waiting.future.set_exception(error)
        return
    for slot in loaded.slots:
        if slot.answer:
            answer, slot.answer = slot.answer, None
            answer.sampler.close()
            model_id = answer.request.model.model_id
            answer.future.set_exception(CallError(f"model {model_id}: {error}", kind="request"))
        clear(loaded, slot)


def written() -> dict[str, int]:
    """The tokens written so far of the answers in all slots, by generation. Any thread may ask."""
    answers = [slot.answer for loaded in list(models.values()) for slot in list(loaded.slots)]
    return {answer.request.gen_id: answer.count for answer in answers if answer is not None}


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
