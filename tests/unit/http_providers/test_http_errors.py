"""The errors that servers report: their kinds, and which of them are answers."""

import gzip
import json
import time
import zlib

import pytest
import server as say
from asking import KEY, asker, error_of, question
from dreamflow.generation.model import Usage
from dreamflow.generation.providers import provider
from msgspec import UNSET


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
