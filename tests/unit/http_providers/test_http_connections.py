"""Connections: which are made, and what comes of those that break."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import server as say
from asking import KEY, error_of
from dreamflow.generation.model import Message


def torn_chunks(handler, _body):
    """A body of unknown length that ends within a part."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"2\r\n{}\r\n9\r\nhalf")
    handler.hang_up()


@pytest.mark.parametrize("step", [say.closed(), say.torn(), torn_chunks])
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
    assert str(error).endswith(": no answer: Connection refused")


def test_name_that_nobody_has(ask, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    error = error_of(ask, model={"base_url": f"http://{ask.provider}.name.invalid/v1"})
    assert (error.kind, error.may_be_billed) == ("connection", False)
    assert f"no answer: the name {ask.provider}.name.invalid cannot be resolved" in str(error)


def test_proxy_that_does_not_answer(ask):
    error = error_of(ask, model={"base_url": f"http://{ask.provider}.noproxy.test/v1"})
    assert (error.kind, error.may_be_billed) == ("connection", False)
    assert str(error).endswith("no answer: the proxy of the environment: Connection refused")


def test_certificates_that_are_not_there(ask, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    error = error_of(ask, model={"base_url": f"https://{ask.provider}.ca.invalid/v1"})
    assert (error.kind, error.may_be_billed) == ("account", False)
    assert "/no/such/file" in str(error)


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
