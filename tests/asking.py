"""Questions to the HTTP providers."""

import pytest
from dreamflow.generation.model import Message
from dreamflow.generation.models import Model
from dreamflow.generation.providers import CallError, Request, provider

KEY = "sk-test/a+b=0123456789"
ALL = ["openai", "openrouter", "anthropic"]
CHAT = ["openai", "openrouter"]
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


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
