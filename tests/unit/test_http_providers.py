"""The HTTP providers, asked through `complete`, against a real server that misbehaves on demand."""

import gzip
import json
import os
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import server as say
from dreamflow.generation.model import Message, Usage, as_json
from dreamflow.generation.models import Model
from dreamflow.generation.providers import CallError, Request, provider
from msgspec import UNSET
from server import Server

KEY = "sk-test/a+b=0123456789"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
ALL = ["openai", "openrouter", "anthropic"]
CHAT = ["openai", "openrouter"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # whoever takes the proxy gets no answer


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture(params=ALL)
def ask(request, server):
    """Asks each provider in turn: ask(sampling..., model={...})."""
    return asker(request.param, server)


@pytest.fixture(params=CHAT)
def ask_chat(request, server):
    return asker(request.param, server)


def question(name, server, messages=None, *, model=None, sample=0, response_format=None, **sampling):
    row = {"model_id": "m1", "provider": name, "name": "vendor/m-1", "base_url": server.url}
    if name == "openai":
        row["api_key_env"] = "OPENAI_API_KEY"
    return Request(
        model=Model.model_construct(**row | (model or {})),  # unchecked
        messages=messages or [Message("user", "Why do we dream?")],
        sampling={"max_tokens": 50} | sampling,
        sample=sample,
        response_format=response_format,
    )


def asker(name, server):
    def ask(*arguments, **keywords):
        return provider(name).complete(question(name, server, *arguments, **keywords))

    ask.provider = name
    return ask


def error_of(ask, *arguments, **keywords) -> CallError:
    with pytest.raises(CallError) as caught:
        ask(*arguments, **keywords)
    text = f"{caught.value} {caught.value!r} {caught.value.args}"
    assert KEY not in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# Answers


def test_answer(ask, server):
    response = ask()
    assert response.text.endswith("to: Why do we dream?")
    assert response.finish_reason == "stop"
    assert response.model_name == "vendor/m-1"
    assert server.calls == 1
    assert server.requests[0].body["model"] == "vendor/m-1"
    assert ask().text == response.text


def test_usage_of_chat(ask_chat):
    assert ask_chat().usage == Usage(prompt_tokens=4, completion_tokens=7, cached_tokens=2)


def test_usage_of_anthropic_counts_the_whole_prompt(server):
    usage = asker("anthropic", server)().usage
    assert usage == Usage(prompt_tokens=4 + 8 + 12, completion_tokens=7, cached_tokens=8, cache_write_tokens=12)


@pytest.mark.parametrize("usage", [None, {}])
def test_no_usage_is_not_zero_usage(ask, server, usage):
    server.script = [say.changed(usage=usage)]
    assert ask().usage == Usage()


def test_only_openrouter_says_what_an_answer_cost(server):
    assert asker("openrouter", server)().cost_usd == 4e-6
    assert server.requests[0].body["usage"] == {"include": True}
    assert asker("openai", server)().cost_usd is UNSET
    assert "usage" not in server.requests[1].body


def test_cut_answer(ask, server):
    server.script = [say.cut()]
    response = ask()
    assert response.finish_reason == "length"
    assert response.text.startswith("answer ")


def test_anthropic_context_window_is_a_limit_too(server):
    server.script = [say.changed(stop_reason="model_context_window_exceeded")]
    assert asker("anthropic", server)().finish_reason == "length"


def test_refusal(ask, server):
    server.script = [say.refused("No.")]
    response = ask()
    assert (response.finish_reason, response.text) == ("refusal", "No.")


def test_content_filter_is_a_refusal(ask_chat, server):
    server.script = [say.changed(finish_reason="content_filter", content=None)]
    response = ask_chat()
    assert (response.finish_reason, response.text) == ("refusal", "")


def test_log_probabilities_of_the_answer_are_summed(ask_chat, server):
    tokens = [{"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -1.5}]
    choice = {"message": {"content": "ab"}, "finish_reason": "stop", "logprobs": {"content": tokens}}
    server.script = [say.reply(200, {"choices": [choice]}), say.reply(200, {"choices": [choice | {"logprobs": None}]})]
    assert ask_chat().usage == Usage(logprob=-1.75)
    assert ask_chat().usage == Usage()


def test_parts_of_content_are_joined(ask_chat, server):
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    server.script = [say.changed(content=parts)]
    assert ask_chat().text == "ab"


def test_anthropic_joins_its_text_blocks(server):
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    server.script = [say.changed(content=blocks)]
    assert asker("anthropic", server)().text == "ab"


@pytest.mark.parametrize("text", ["Träume — 夢 🌙", "", "  blank\n\n"])
def test_text_comes_back_as_it_is(ask, server, text):
    server.answer = lambda _body: text
    assert ask([Message("user", text)]).text == text
    assert server.requests[0].body["messages"] == [{"role": "user", "content": text}]


# Requests


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


# Keys


def test_key_is_a_bearer_token(ask_chat, server):
    ask_chat()
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_key_from_the_variable_that_the_model_names(ask, server, monkeypatch):
    monkeypatch.setenv("MY_KEY", " other-key\n")  # as `export MY_KEY="$(cat file)"` may leave it
    ask(model={"api_key_env": "MY_KEY"})
    headers = server.requests[0].headers
    assert "other-key" in (headers.get("authorization", "").removeprefix("Bearer "), headers.get("x-api-key"))


@pytest.mark.parametrize("name", ALL)
def test_missing_key(name, server, monkeypatch):
    variable = f"{name.upper()}_API_KEY"
    monkeypatch.delenv(variable)
    model = {"base_url": None, "api_key_env": None}  # the provider's own endpoint, which is never reached
    error = error_of(asker(name, server), model=model)
    assert not error.retryable
    assert variable in str(error)


def test_openai_key_stays_with_openai(server):
    asker("openai", server)(model={"api_key_env": None})
    assert "authorization" not in server.requests[0].headers


def test_compatible_server_needs_no_key(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert asker("openai", server)().text
    assert "authorization" not in server.requests[0].headers


def test_netrc_does_not_replace_the_key(ask, server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    ask()
    assert KEY in " ".join(server.requests[0].headers.values())


def test_no_cookie_is_kept(ask, server):
    server.script = [say.reply(200, {}, Set_Cookie="session=1; Path=/")]
    ask()
    ask()
    assert "cookie" not in server.requests[1].headers


def test_password_in_base_url_is_not_sent(ask, server):
    ask(model={"base_url": server.url.replace("//", "//me:hunter2@")})
    assert KEY in " ".join(server.requests[0].headers.values())
    assert "hunter2" not in str(server.requests[0])


@pytest.mark.parametrize("bad", ["sk-bad\nX-Injected: 1", "sk-bad\u2026secret", "sk-bad\x00secret"])
def test_unusable_key_is_not_quoted(ask, server, monkeypatch, bad):
    if "\x00" in bad:
        monkeypatch.setattr(os, "environ", os.environ | {"MY_KEY": bad})
    else:
        monkeypatch.setenv("MY_KEY", bad)
    error = error_of(ask, model={"api_key_env": "MY_KEY"})
    assert not error.retryable
    assert "MY_KEY" in str(error)
    assert "bad" not in str(error)
    assert server.calls == 0


def test_echoed_key_is_redacted(ask, server):
    server.script = [say.echoed_key(401)]
    error = error_of(ask)
    assert (error.kind, error.status) == ("account", 401)
    assert "not a key" in str(error)
    assert "[key]" in str(error)


@pytest.mark.parametrize("code", [200, 500])
def test_echoed_key_is_redacted_wherever_it_is(ask, server, code):
    server.script = [
        say.reply(code, {"error": {"message": "x" * 290 + KEY, "code": 500}}),  # where the text is cut
        say.reply(code, {"error": KEY}),
        say.reply(500, f"<html>{KEY}</html>".encode()),
        say.reply(500, {"unusual": [KEY]}),
    ]
    for _ in range(4):
        assert "sk-test" not in str(error_of(ask))


def test_redirect_is_not_followed(ask, server):
    with Server() as other:
        server.script = [say.redirect(f"{other.url}/chat/completions")]
        error = error_of(ask)
        assert not error.retryable
        assert other.url.split("/")[2] in str(error)
        assert other.calls == 0


# Errors


def test_message_says_which_call_failed(ask, server):
    server.script = [say.status(400, "top_k is not known here")]
    error = error_of(ask)
    assert str(error) == (f"{ask.provider}: m1 at {server.url.split('/')[2]}: error 400: top_k is not known here")
    assert (error.kind, error.status, error.retry_after) == ("request", 400, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, "busy") for code in (429, 529)),
        *((code, "server") for code in (408, 409, 425, 500, 502, 503, 504)),
        *((code, "account") for code in (401, 402, 403, 404)),
        *((code, "request") for code in (400, 413, 422)),
    ],
)
def test_kind_of_a_status(ask, server, code, kind):
    server.script = [say.status(code)]
    error = error_of(ask)
    assert (error.kind, error.status) == (kind, code)
    assert error.retryable is (kind in ("busy", "server"))
    assert error.may_be_billed is (code in (408, 504))
    assert ask().text  # the connection is still good


def test_503_that_says_when_to_come_back_is_busy(ask, server):
    server.script = [say.status(503, retry_after="7")]
    assert error_of(ask).kind == "busy"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (429, {"message": "pay", "code": "insufficient_quota"}),
        (429, {"message": "pay", "type": "insufficient_quota"}),
        (
            400,
            {"message": "Your credit balance is too low to access the Anthropic API."},
        ),
        (400, {"message": "nobody/m is not a valid model ID", "code": 400}),
        (400, {"message": "x", "code": "model_not_found"}),
    ],
)
def test_account_that_cannot_ask_this_model(ask, server, code, error):
    server.script = [say.reply(code, {"error": error})]
    assert error_of(ask).kind == "account"


# Questions that a server declines.


@pytest.mark.parametrize(
    ("code", "error", "finish_reason"),
    [
        (400, {"message": "The response was filtered", "code": "content_filter", "param": "prompt"}, "refusal"),
        (400, {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "refusal"),
        (403, {"message": "flagged", "code": 403, "metadata": {"reasons": ["a"], "flagged_input": "b"}}, "refusal"),
        (400, {"message": "x", "code": "context_length_exceeded"}, "context"),
        (400, {"message": "This model's maximum context length is 4096 tokens. However, you ..."}, "context"),
        (400, {"message": "the request exceeds the available context size (4096 tokens)", "code": 400}, "context"),
        (400, {"message": "prompt is too long: 208310 tokens > 200000 maximum"}, "context"),
        (400, {"message": "input length and `max_tokens` exceed context limit: 1 + 2 > 3"}, "context"),
        (413, {"message": "maximum context length"}, "context"),
        (200, {"message": "maximum context length", "code": 400}, "context"),
    ],
)
def test_declined_question_is_an_answer(ask, server, code, error, finish_reason):
    server.script = [say.reply(code, {"error": error})]
    response = ask()
    assert (response.finish_reason, response.text) == (finish_reason, error["message"])
    assert response.usage == (Usage(0, 0, 0) if finish_reason == "context" else Usage())
    assert response.warnings is UNSET


def test_context_of_vllm_which_has_no_field_error(ask_chat, server):
    said = "This model's maximum context length is 16 tokens."
    server.script = [say.reply(400, {"object": "error", "message": said, "type": "BadRequestError", "code": 400})]
    assert (ask_chat().finish_reason, server.calls) == ("context", 1)


def test_azure_bills_a_prompt_that_is_too_long(server):
    body = json.dumps({"error": {"message": "x", "code": "context_length_exceeded"}}).encode()
    request = question("openai", server, model={"base_url": "https://me.openai.azure.com/openai/v1"})
    response = provider("openai").read(request, body)
    assert (response.finish_reason, response.usage) == ("context", Usage())


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, '{"choices": "%s"}'), (200, "%s"), (400, '{"error": {"message": "prompt is too long: %s"}}')],
)
def test_no_key_in_a_body(ask, server, status, body):
    quoted = [KEY, KEY.replace("/", "\\/"), "sk-test%2Fa%2Bb%3D0123456789"]
    server.script = [say.reply(status, (body % " ".join(quoted)).encode())]
    sent = provider(ask.provider).send(question(ask.provider, server)).body
    assert sent.decode() == body % "[key] [key] [key]"


def test_key_that_is_a_word_is_left_in_answers(ask, server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "EMPTY")
    server.answer = lambda _body: "The set is EMPTY."
    assert ask(model={"api_key_env": "MY_KEY"}).text == "The set is EMPTY."


def test_body_comes_back_as_it_was_sent(ask, server):
    for body in (b"", b"{not json", b"\xff\x00", b'{"error": null}', b'"error"', b"x" * 300_000):
        server.script = [say.reply(200, body)]
        assert provider(ask.provider).send(question(ask.provider, server)).body == body


def test_compressed_body_is_opened(ask, server):
    body = json.dumps({"choices": [{"message": {"content": "yes"}}], "content": "yes"}).encode()
    server.script = [
        say.reply(200, gzip.compress(body), Content_Encoding="gzip"),
        say.reply(200, zlib.compress(body), Content_Encoding="deflate"),
        say.reply(200, b"not gzip", Content_Encoding="gzip"),
    ]
    assert [ask().text for _ in range(2)] == ["yes", "yes"]
    assert ask().finish_reason == "unreadable"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("inf", None),
        ("1e999", 86400.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 86400.0),
        (None, None),
    ],
)
def test_retry_after(ask, server, value, seconds):
    server.script = [say.status(429, retry_after=value)]
    assert error_of(ask).retry_after == seconds


@pytest.mark.parametrize(("value", "seconds"), [("1500", 1.5), ("nan", 0.0), ("x", None)])
def test_retry_after_in_milliseconds(ask, server, value, seconds):
    server.script = [say.reply(429, {"error": {"message": "slow"}}, retry_after_ms=value, Retry_After="9")]
    assert error_of(ask).retry_after == seconds


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (429, "busy", 429),
        ("502", "server", 502),
        (400, "request", 400),
        (402, "account", 402),
        ("overloaded", "server", 200),
        (None, "server", 200),
        (-1, "server", 200),
    ],
)
def test_error_with_http_200(ask, server, code, kind, status):
    server.script = [say.error_200(code, "told so")]
    error = error_of(ask)
    assert (error.kind, error.status) == (kind, status)
    assert "told so" in str(error)


def test_openrouter_says_when_the_free_requests_of_a_day_are_back(server):
    reset = str(int(time.time() + 5000) * 1000)
    headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    error = {"message": "Rate limit exceeded: free-models-per-day", "code": 429, "metadata": {"headers": headers}}
    server.script = [say.reply(429, {"error": error}, X_RateLimit_Remaining="19")]  # of this minute
    caught = error_of(asker("openrouter", server))
    assert caught.kind == "busy"
    assert 4000 < caught.retry_after < 5001
    assert provider("openrouter").limits_from(caught.headers)["requests_left"] == 0


def test_error_in_a_choice_without_an_answer(ask_chat, server):
    server.script = [
        say.reply(200, {"choices": [{"error": {"code": 502, "message": "broke off"}, "finish_reason": "error"}]}),
        say.reply(200, {"choices": [{"error": {"code": 402, "message": "pay"}, "message": {"content": ""}}]}),
    ]
    errors = [error_of(ask_chat) for _ in range(2)]
    assert [error.kind for error in errors] == ["server", "account"]
    assert "broke off" in str(errors[0])


@pytest.mark.parametrize("where", ["answer", "choice"])
def test_answer_that_broke_off_is_kept(ask_chat, server, where):
    error = {"error": {"code": 502, "message": "broke off"}}
    choice = {"message": {"content": "half"}, "finish_reason": "stop", **(error if where == "choice" else {})}
    server.script = [say.reply(200, {"choices": [choice], **(error if where == "answer" else {})})]
    response = ask_chat()
    assert (response.text, response.finish_reason) == ("half", "error")
    assert "broke off" in response.warnings[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "model not found"}, "model not found"),  # Ollama
        ({"object": "error", "message": "too long", "code": 400}, "too long"),  # vLLM
        ({"detail": "not here"}, "not here"),  # FastAPI
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "busy"}}},
            "busy",
        ),  # OpenRouter
        (b"<html>\n  <h1>Bad</h1>\n</html>", "<html> <h1>Bad</h1> </html>"),
        (b"\xff\xfe", "error 404"),
        (b"", "error 404"),
        ([], "error 404"),
    ],
)
def test_servers_own_words(ask, server, body, said):
    server.script = [say.reply(404, body)]
    error = error_of(ask)
    assert said in str(error)
    assert not error.retryable


def test_long_message_is_shortened(ask, server):
    server.script = [say.status(400, "word " * 1000)]
    assert len(str(error_of(ask))) < 400


@pytest.mark.parametrize("step", [say.closed(), say.torn()])
def test_broken_connection(ask, server, step):
    server.script = [step]
    error = error_of(ask)
    assert (error.kind, error.status, error.may_be_billed) == ("connection", None, True)
    assert ask().text


def test_nobody_listens(ask):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        error = error_of(ask, model={"base_url": f"http://127.0.0.1:{unused.getsockname()[1]}/v1"})
    assert (error.kind, error.may_be_billed) == ("connection", False)


@pytest.mark.parametrize("url", ["nowhere", "ftp://me:hunter2@127.0.0.1/v1", "http://", "http://me:hunter2@[::1/v1"])
def test_base_url_that_is_none(ask, url):
    error = error_of(ask, model={"base_url": url})
    assert (error.kind, error.may_be_billed) == ("account", False)
    assert "hunter2" not in str(error)


def test_request_that_is_not_json(ask, server):
    assert error_of(ask, model={"extra_body": {"top_a": float("nan")}}).kind == "request"
    assert server.calls == 0


def test_answer_that_contradicts_itself(ask, server):
    server.script = [say.reply(200, {}, **{"content-length": "999"})]  # a second one
    assert error_of(ask).retryable


@pytest.mark.parametrize("location", ["/elsewhere", "http://[::1/x", "", "mailto:me"])
def test_redirect_to_nowhere(ask, server, location):
    server.script = [say.redirect(location)]
    error_of(ask)
    assert server.calls == 1


def test_password_in_base_url_is_not_quoted(ask, server):
    server.script = [say.status(400)]
    url = server.url.replace("//", "//me:hunter2@")
    assert "hunter2" not in str(error_of(ask, model={"base_url": url}))


@pytest.mark.parametrize("step", [say.held, say.dripping])
def test_timeout(ask, server, step):
    go = threading.Event()
    server.script = [step(go)]
    error = error_of(ask, model={"timeout_s": 0.2})
    assert (error.kind, error.may_be_billed) == ("connection", True)
    go.set()
    assert ask().text


def test_late_answer_is_an_answer(ask, server):
    go, arrived = threading.Event(), threading.Event()
    server.script = [say.held(go, arrived)]
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask)
        assert arrived.wait(say.PATIENCE_S)
        assert not answer.done()
        go.set()
        assert answer.result().text


# Connections


def test_connection_is_used_again(ask, server):
    for _ in range(5):
        ask()
    assert len({recorded.port for recorded in server.requests}) == 1


def test_many_threads_ask_at_once(ask, server):
    together = threading.Barrier(32, timeout=say.PATIENCE_S)  # no answer before all 32 have asked

    def answer(body):
        together.wait()
        return body["messages"][0]["content"]

    server.answer = answer
    with ThreadPoolExecutor(32) as pool:
        for _ in range(2):
            texts = pool.map(lambda n: ask([Message("user", str(n))]).text, range(32))
            assert list(texts) == [str(n) for n in range(32)]
    assert len({recorded.port for recorded in server.requests}) == 32


@pytest.mark.parametrize("login", ["", "me:hunter%402@"])
def test_proxy_of_the_environment(ask, server, monkeypatch, login):
    place = server.url.removesuffix("/v1").replace("//", f"//{login}")
    monkeypatch.setenv("http_proxy", place)
    base_url = f"http://{ask.provider}{len(login)}.test/v1"  # a name that only the proxy could look up
    assert ask(model={"base_url": base_url}).text
    recorded = server.requests[0]
    assert recorded.path.startswith(base_url)
    assert KEY in " ".join(recorded.headers.values())
    assert recorded.headers.get("proxy-authorization") == ("Basic bWU6aHVudGVyQDI=" if login else None)


def test_proxy_is_not_used_for_hosts_that_need_none(ask, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", ".test")
    error = error_of(ask, model={"base_url": f"http://{ask.provider}.direct.test/v1"})
    assert (error.kind, error.may_be_billed, server.calls) == ("connection", False, 0)
