"""The HTTP providers, asked through `complete`, against a real server that misbehaves on demand."""

import pytest
from asking import ALL, CHAT, KEY, asker
from server import Server


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
