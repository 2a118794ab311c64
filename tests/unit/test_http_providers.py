"""The HTTP providers, asked through `complete`, against a real server that misbehaves on demand."""

import json
import os
import socket
import threading
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


def asker(name, server):
    def ask(messages=None, *, model=None, sample=0, response_format=None, **sampling):
        row = {"model_id": "m1", "provider": name, "name": "vendor/m-1", "base_url": server.url}
        if name == "openai":
            row["api_key_env"] = "OPENAI_API_KEY"
        return provider(name).complete(
            Request(
                model=Model.model_construct(**row | (model or {})),  # unchecked
                messages=messages or [Message("user", "Why do we dream?")],
                sampling={"max_tokens": 50} | sampling,
                sample=sample,
                response_format=response_format,
            )
        )

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
    assert (error.retryable, error.status) == (False, 401)
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
    assert (error.retryable, error.status, error.retry_after) == (False, 400, None)


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_retryable_status(ask, server, code):
    server.script = [say.status(code)]
    error = error_of(ask)
    assert (error.retryable, error.status) == (True, code)
    assert ask().text  # the connection is still good


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 413, 422])
def test_terminal_status(ask, server, code):
    server.script = [say.status(code)]
    error = error_of(ask)
    assert (error.retryable, error.status) == (False, code)


def test_empty_account_is_terminal(ask_chat, server):
    server.script = [say.reply(429, {"error": {"message": "pay", "code": "insufficient_quota"}})]
    assert not error_of(ask_chat).retryable


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
    ("code", "retryable", "status"),
    [(429, True, 429), ("502", True, 502), (400, False, 400), (402, False, 402), ("overloaded", True, 200)],
)
def test_error_with_http_200(ask, server, code, retryable, status):
    server.script = [say.error_200(code, "told so")]
    error = error_of(ask)
    assert (error.retryable, error.status) == (retryable, status)
    assert "told so" in str(error)


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
    assert (error.retryable, error.status) == (True, None)
    assert ask().text


def test_nobody_listens(ask):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        error = error_of(ask, model={"base_url": f"http://127.0.0.1:{unused.getsockname()[1]}/v1"})
    assert error.retryable


@pytest.mark.parametrize("url", ["nowhere", "ftp://me:hunter2@127.0.0.1/v1", "http://", "http://me:hunter2@[::1/v1"])
def test_base_url_that_is_none(ask, url):
    error = error_of(ask, model={"base_url": url})
    assert not error.retryable
    assert "hunter2" not in str(error)


def test_request_that_is_not_json(ask, server):
    assert not error_of(ask, temperature=float("nan")).retryable
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
    assert error.retryable
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
