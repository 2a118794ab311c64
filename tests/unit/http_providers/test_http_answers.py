"""What the HTTP providers make of answers."""

import pytest
import server as say
from asking import asker
from dreamflow.generation.model import Message, Usage
from msgspec import UNSET


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
