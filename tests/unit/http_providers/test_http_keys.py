"""Where keys go, and where they do not."""

import os

import pytest
import server as say
from asking import ALL, KEY, asker, error_of
from server import Server


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
