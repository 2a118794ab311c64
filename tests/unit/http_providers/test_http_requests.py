"""What the HTTP providers send: the fields of a request."""

import json

import pytest
from asking import KEY, SCHEMA, asker, error_of, question
from dreamflow.generation.model import Message, as_json
from dreamflow.generation.providers import provider
from server import Server


def test_sampling_of_chat(ask_chat, server):
    ask_chat(temperature=0.3, top_p=0.9, seed=7, stop=["END"], top_k=None, sample=2)
    body = server.requests[0].body
    assert body.items() >= {"temperature": 0.3, "top_p": 0.9, "seed": 9, "stop": ["END"], "max_tokens": 50}.items()
    assert "top_k" not in body


def test_names_of_sampling(server):
    asker("openrouter", server)(top_k=5, min_p=0.1, repeat_penalty=1.1)
    asker("openai", server)(top_k=5, min_p=0.1, repeat_penalty=1.1)  # vLLM and llama-server
    router, compatible = (recorded.body for recorded in server.requests)
    assert router.items() >= {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}.items()
    assert "repeat_penalty" not in router
    assert compatible.items() >= {"top_k": 5, "repeat_penalty": 1.1, "repetition_penalty": 1.1}.items()


def sent_to_openai(name, **extra):
    """The fields besides the question that api.openai.com would get."""
    model = {"name": name, "base_url": "https://api.openai.com/v1", "extra_body": extra}
    request = question("openai", Server(), model=model, temperature=0.7, top_p=0.9, repeat_penalty=1.0, seed=1)
    body = provider("openai").body(request)
    return {key: value for key, value in body.items() if key not in ("model", "messages")}


@pytest.mark.parametrize("name", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-nano", "ft:o4-mini:x"])
def test_models_that_refuse_a_temperature(name):
    assert sent_to_openai(name) == {"max_completion_tokens": 50, "seed": 1}


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "omni"])
def test_models_that_take_a_temperature(name):
    assert sent_to_openai(name) == {"max_tokens": 50, "seed": 1, "temperature": 0.7, "top_p": 0.9}


def test_model_that_does_not_reason_takes_a_temperature():
    sent = sent_to_openai("gpt-5.1", reasoning_effort="none")
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.7, 50)


def test_no_seed_unless_given(ask, server):
    ask(sample=2)
    assert "seed" not in server.requests[0].body


def test_name_of_the_limit(ask_chat, server):
    ask_chat(model={"max_tokens_field": "max_completion_tokens"})
    assert server.requests[0].body["max_completion_tokens"] == 50
    assert "max_tokens" not in server.requests[0].body


def test_extra_body(ask, server):
    ask(model={"extra_body": {"provider": {"order": ["a"]}}})
    assert server.requests[0].body["provider"] == {"order": ["a"]}


def test_null_in_extra_body_leaves_a_field_out(ask, server):
    ask(model={"extra_body": {"temperature": None}}, temperature=0.5)
    assert "temperature" not in server.requests[0].body


def test_openrouter_is_told_who_asks(server):
    asker("openrouter", server)()
    headers = server.requests[0].headers
    assert headers["x-title"] == "Dreamflow"
    assert headers["http-referer"]


def test_anthropic_form(server):
    messages = [
        Message("system", "Be brief."),
        Message("user", "Why?"),
        Message("assistant", "Because"),
        Message("system", "Be kind."),
    ]
    asker("anthropic", server)(messages, temperature=0.2, top_p=0.5, seed=1, stop="END")
    recorded = server.requests[0]
    assert recorded.path == "/v1/messages"
    assert recorded.headers["x-api-key"] == KEY
    assert recorded.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in recorded.headers
    assert recorded.body == {
        "model": "vendor/m-1",
        "system": "Be brief.\n\nBe kind.",
        "messages": as_json(messages[1:3]),
        "max_tokens": 50,
        "temperature": 0.2,
        "top_p": 0.5,
        "stop_sequences": ["END"],
    }


def test_anthropic_base_url_without_version(server):
    asker("anthropic", server)(model={"base_url": server.url.removesuffix("/v1")})
    assert server.requests[0].path == "/v1/messages"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("claude-3-opus-20240229", {"temperature", "top_p", "top_k"}),
        ("claude-sonnet-4-20250514", {"temperature", "top_p", "top_k"}),
        ("claude-opus-4-1-20250805", {"temperature", "top_k"}),
        ("claude-haiku-4-5", {"temperature", "top_k"}),
        ("claude-opus-4-7", set()),
        ("claude-sonnet-5", set()),
    ],
)
def test_anthropic_sampling_by_model(server, name, sent):
    asker("anthropic", server)(model={"name": name}, temperature=0.7, top_p=0.9, top_k=5, min_p=0.1)
    assert server.requests[0].body.keys() - {"model", "messages", "max_tokens"} == sent


def test_anthropic_has_no_temperature_while_it_thinks(server):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    asker("anthropic", server)(
        model={"extra_body": thinking}, temperature=0.7, response_format={"type": "json_schema", "schema": SCHEMA}
    )
    body = server.requests[0].body
    assert "temperature" not in body
    assert body["thinking"] == thinking["thinking"]
    assert body["tool_choice"] == {"type": "auto"}


LONG = "word " * 1000


@pytest.mark.parametrize(
    ("system", "example", "marked"),
    [("", "short", []), (LONG, "short", [0, 1]), ("", LONG, [1]), (LONG[:3000], LONG[:3000], [1])],
)
def test_anthropic_caches_a_long_beginning(server, system, example, marked):
    messages = [Message("user", example), Message("assistant", "Because"), Message("user", LONG)]
    asker("anthropic", server)([Message("system", system)] * bool(system) + messages)
    body = server.requests[0].body
    places = [body.get("system"), body["messages"][1]["content"]]
    marks = [place[0].get("cache_control") if isinstance(place, list) else None for place in places]
    assert [place for place, mark in enumerate(marks) if mark == {"type": "ephemeral"}] == marked
    assert body["messages"][2] == {"role": "user", "content": LONG}  # what is asked is new every time


def test_base_url_may_end_in_a_slash(ask, server):
    ask(model={"base_url": server.url + "/"})
    assert server.requests[0].path in ("/v1/chat/completions", "/v1/messages")


def test_anthropic_needs_a_limit(server):
    error = error_of(asker("anthropic", server), max_tokens=None)
    assert not error.retryable
    assert "max_tokens" in str(error)
    assert server.calls == 0


def test_json_schema(ask, server):
    response = ask(response_format={"type": "json_schema", "schema": SCHEMA})
    assert json.loads(response.text)["answer"].endswith("Why do we dream?")
    assert response.finish_reason == "stop"
    body = server.requests[0].body
    if ask.provider == "anthropic":
        (tool,) = body["tools"]
        assert tool["input_schema"] == SCHEMA
        assert body["tool_choice"] == {"type": "tool", "name": tool["name"]}
    else:
        assert body["response_format"]["type"] == "json_schema"
        schema = body["response_format"]["json_schema"]
        assert (schema["schema"], schema["strict"], bool(schema["name"])) == (SCHEMA, True, True)


def test_grammar_goes_to_compatible_servers_only(ask, server):
    grammar = {"type": "grammar", "grammar": 'root ::= "a"'}
    if ask.provider == "openai":
        ask(response_format=grammar)
        assert server.requests[0].body["grammar"] == 'root ::= "a"'
    else:
        error = error_of(ask, response_format=grammar)
        assert not error.retryable
        assert "not supported by this provider" in str(error)
        assert server.calls == 0
