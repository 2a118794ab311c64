"""What a server answered is read as far as it can be, whatever it is, and never raises."""

import json
import math

import pytest
from dreamflow.generation.model import Message, Response, Usage, as_json
from dreamflow.generation.models import Model
from dreamflow.generation.providers import Request, provider
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec import json as fast_json

ALL = ["openai", "openrouter", "anthropic"]
CHAT = ["openai", "openrouter"]


def request(provider_name: str, **model) -> Request:
    row = {"model_id": "m1", "provider": provider_name, "name": "m", "base_url": "http://127.0.0.1:1/v1"} | model
    return Request(Model.model_construct(**row), [Message("user", "Why do we dream?")], {"max_tokens": 50})


def read(provider_name: str, body: object, **model) -> Response:
    """What a provider reads in a body: bytes, or a value to be written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = provider(provider_name).read(request(provider_name, **model), content)
    stored = fast_json.decode(fast_json.encode(response), type=Response)  # the store can hold it
    assert stored == response
    return response


def chat(message: object = None, **choice) -> dict:
    """A chat completion."""
    message = {"content": "yes"} if message is None else message
    return {"model": "m", "choices": [{"message": message, "finish_reason": "stop", **choice}]}


def usage(of_answer: dict, name: str = "openai") -> tuple[dict, list[str]]:
    """(counts, warnings) of a usage."""
    body = chat() if name != "anthropic" else {"content": [{"type": "text", "text": "yes"}], "stop_reason": "end_turn"}
    response = read(name, {**body, "usage": of_answer})
    assert (response.text, response.finish_reason) == ("yes", "stop")
    return as_json(response.usage), response.warnings or []


# Any body at all.

KEYS = [
    *(
        "choices",
        "message",
        "content",
        "text",
        "type",
        "finish_reason",
        "native_finish_reason",
        "usage",
        "model",
        "error",
    ),
    *(
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "logprobs",
        "logprob",
    ),
    *(
        "cost",
        "is_byok",
        "cost_details",
        "upstream_inference_cost",
        "reasoning",
        "reasoning_details",
        "thinking",
        "refusal",
    ),
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "stop_reason", "input", "code", "metadata", "detail"),
]
WORDS = [
    "stop",
    "length",
    "end_turn",
    "tool_use",
    "text",
    "<think>",
    "</think>",
    "1",
    "nan",
    "\ud800",
    "content_filter",
]
LEAVES = (
    st.none() | st.booleans() | st.integers(-10, 10**25) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
)


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)


@pytest.mark.parametrize("name", ALL)
@given(body=st.recursive(LEAVES, nested, max_leaves=30))
def test_no_json_raises(name, body):
    assert isinstance(read(name, body), Response)


@pytest.mark.parametrize("name", CHAT)
@given(
    choice=st.dictionaries(st.sampled_from(KEYS), st.recursive(LEAVES, nested, max_leaves=10)),
    rest=st.dictionaries(st.sampled_from(KEYS), st.recursive(LEAVES, nested, max_leaves=10)),
)
def test_no_choice_raises(name, choice, rest):
    assert isinstance(read(name, {**rest, "choices": [choice]}), Response)


@pytest.mark.parametrize("name", ALL)
@given(body=st.binary())
def test_no_bytes_raise(name, body):
    assert read(name, body).finish_reason == "unreadable"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"text"',
        b"[]",
        b"{}",
        b"\xff\xff",
        b'{"choices": [{"message": {"content": "ye',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"choices": "x", "content": 3, "usage": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "null", "text", "list", "object", "bytes", "torn", "deep list", "deep objects", "long number"],
)
def test_body_without_an_answer_says_why(name, body):
    response = read(name, body)
    if response.finish_reason != "unreadable":  # Anthropic's content, read as a number
        assert (name, response.text) == ("anthropic", "3")
    else:
        assert response.text.startswith("it ")
        assert response.usage == Usage()


@pytest.mark.parametrize("choices", [None, [], {}, "x", [None], ["x"], [[]], 3])
def test_answer_without_a_choice_keeps_its_price(choices):
    body = {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.5}, "model": "m"}
    response = read("openrouter", body)
    assert (response.finish_reason, response.text) == ("unreadable", "it has no choices")
    assert (as_json(response.usage), response.cost_usd) == ({"prompt_tokens": 3, "completion_tokens": 4}, 0.5)


def test_missing_choices_are_unreadable():
    assert read("openai", {"id": "x", "usage": {}}).finish_reason == "unreadable"


@pytest.mark.parametrize("name", CHAT)
def test_one_invalid_byte_costs_one_letter(name):
    body = json.dumps(chat({"content": "good day"})).encode().replace(b"good", b"go\xffd")
    response = read(name, body)
    assert (response.text, response.finish_reason) == ("go\ufffdd day", "stop")
    assert response.warnings == ["the body has bytes that are not UTF-8"]


def test_lone_surrogate_becomes_a_question_mark():
    assert read("openai", chat({"content": "a\ud800b"})).text == "a?b"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ({"text": "inner"}, "inner"),
        ({"answer": 1}, '{"answer": 1}'),
        (["a", {"type": "text", "text": "b"}, {"text": "c"}], "abc"),
        ([{"type": "image_url"}, None, 3, {"type": "text", "text": None}, {"type": "text", "text": "b"}], "b"),
        (3, "3"),
        (True, "true"),
        ([], ""),
    ],
)
def test_odd_content(content, text):
    response = read("openai", chat({"content": content}))
    assert (response.text, response.finish_reason) == (text, "stop")
    plain = content is None or content == [] or (isinstance(content, list) and text == "abc")
    assert bool(response.warnings) is not plain


@pytest.mark.parametrize(("message", "text"), [("just text", "just text"), (3, ""), ([], "")])
def test_odd_message(message, text):
    assert read("openai", chat(message)).text == text


def test_model_that_is_no_name_is_told():
    response = read("openai", {**chat(), "model": ["a", 1]})
    assert response.text == "yes"
    assert "the model is not a text" in response.warnings[0]


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}])
def test_no_log_probabilities(logprobs):
    response = read("openai", chat(logprobs=logprobs))
    assert (response.usage.logprob, response.warnings) == (UNSET, UNSET)


@pytest.mark.parametrize(
    "logprobs", [[1], {"content": [None]}, {"content": [{"logprob": -1}, {"logprob": None}]}, {"content": "x"},
                 {"content": [{"logprob": math.nan}]}, {"content": [{"logprob": "-1"}]}]
)  # fmt: skip
def test_odd_log_probabilities_are_unknown(logprobs):
    response = read("openai", chat(logprobs=logprobs))
    assert (response.text, response.usage.logprob) == ("yes", UNSET)
    assert response.warnings


# Tokens and cost.


@pytest.mark.parametrize(
    ("value", "counted", "is_odd"),
    [
        (7, 7, False),
        ("7", 7, True),
        (7.0, 7, True),
        (6.2, 7, True),
        (None, None, False),
        (-7, None, True),
        (math.nan, None, True),
        (math.inf, None, True),
        ("many", None, True),
        ("nan", None, True),
        (True, None, True),
        ([7], None, True),
        ({}, None, True),
        (10**30, None, True),
        (0, None, True),
    ],
)
@pytest.mark.parametrize(("name", "field"), [("openai", "completion_tokens"), ("anthropic", "output_tokens")])
def test_odd_counts(value, counted, is_odd, name, field):
    counts, warnings = usage({field: value}, name)
    assert counts.get("completion_tokens") == counted
    assert bool(warnings) is is_odd


@pytest.mark.parametrize("odd", [[], "none", 3, [{"prompt_tokens": 3}]])
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_usage_that_is_no_object(odd, name):
    counts, warnings = usage(odd, name)
    assert counts == {}
    assert "the usage is not an object" in warnings[0]


def test_all_counts_of_chat():
    counts, warnings = usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 20},
        }
    )
    assert warnings == []
    assert counts == {
        "prompt_tokens": 100,
        "cached_tokens": 60,
        "cache_write_tokens": 30,
        "completion_tokens": 50,
        "reasoning_tokens": 20,
    }


def test_cached_tokens_of_deepseek():
    assert usage({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4})[0] == {"prompt_tokens": 9, "cached_tokens": 4}


def test_reasoning_that_is_counted_apart_is_a_part_of_the_completion():
    details = {"completion_tokens_details": {"reasoning_tokens": 30}}
    counts, _ = usage({"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 45, **details})
    assert (counts["completion_tokens"], counts["reasoning_tokens"]) == (40, 30)


def test_impossible_parts_are_unknown():
    details = {"prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 9}}
    counts, warnings = usage({"prompt_tokens": 5, "completion_tokens": 8, **details})
    assert counts == {"prompt_tokens": 5, "completion_tokens": 8}
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("fields", "cost", "is_odd"),
    [
        ({}, UNSET, False),
        ({"cost": None}, UNSET, False),
        ({"cost": 0}, 0.0, False),
        ({"cost": 0.25}, 0.25, False),
        ({"cost": "0.25"}, 0.25, False),
        ({"cost": "free"}, UNSET, True),
        ({"cost": -1}, UNSET, True),
        ({"cost": math.nan}, UNSET, True),
        ({"cost": {}}, UNSET, True),
        ({"cost": 0.25, "is_byok": False, "cost_details": {"upstream_inference_cost": 9}}, 0.25, False),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 4}}, 4.25, False),
        ({"cost": 0.25, "is_byok": True, "cost_details": {}}, UNSET, False),
        ({"cost": 0.25, "is_byok": True, "cost_details": None}, UNSET, False),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": "x"}}, UNSET, True),
    ],
)
def test_cost(fields, cost, is_odd):
    response = read("openrouter", {**chat(), "usage": fields})
    assert response.cost_usd == cost
    assert bool(response.warnings) is is_odd


# Why the answer ended.


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "refusal"),
        ("SAFETY", "SAFETY"),
        ("abort", "abort"),
        ("model_length", "model_length"),
        ("insufficient_system_resource", "insufficient_system_resource"),
        ("tool_calls", "tool_calls"),
        ("unreadable", "other: unreadable"),
        ("context", "other: context"),
        (None, ""),
        (3, "3"),
    ],
)
def test_finish_reasons_of_chat(said, reason):
    assert read("openai", chat({"content": "half a"}, finish_reason=said)).finish_reason == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
        ("tool_use", "tool_use"),
        ("stop", "other: stop"),
        (None, ""),
    ],
)
def test_finish_reasons_of_anthropic(said, reason):
    body = {"content": [{"type": "text", "text": "half a"}], "stop_reason": said}
    assert read("anthropic", body).finish_reason == reason


def test_native_reason_counts_if_there_is_no_other():
    assert read("openrouter", chat(finish_reason=None, native_finish_reason="SAFETY")).finish_reason == "SAFETY"


def test_answer_of_a_tool_is_complete_only_if_it_was_not_cut():
    call = {"content": [{"type": "tool_use", "name": "answer", "input": {"a": 1}}]}
    assert read("anthropic", {**call, "stop_reason": "tool_use"}).finish_reason == "stop"
    assert read("anthropic", {**call, "stop_reason": "max_tokens"}).finish_reason == "length"
    assert read("anthropic", {**call, "stop_reason": "tool_use"}).text == '{"a": 1}'


# Reasoning.


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": None, "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}, {"type": "reasoning.encrypted"}]},
    ],
)
def test_reasoning_is_kept(message):
    response = read("openai", chat({"content": "yes", **message}))
    assert (response.text, response.reasoning) == ("yes", "hm")


@pytest.mark.parametrize("inner", ["hm", [{"type": "text", "text": "hm"}]])  # Anthropic, Mistral
def test_blocks_of_thinking_are_kept(inner):
    blocks = [
        {"type": "thinking", "thinking": inner},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "yes"},
    ]
    for response in (
        read("anthropic", {"content": blocks, "stop_reason": "end_turn"}),
        read("openai", chat({"content": blocks})),
    ):
        assert (response.text, response.reasoning, response.warnings) == ("yes", "hm", UNSET)


@pytest.mark.parametrize(
    ("text", "finish_reason", "left", "reasoning"),
    [
        ("<think>\nhm\n</think>\n\nyes", "stop", "yes", "hm"),
        (" \n<think>a</think>yes <think>b</think>", "stop", "yes <think>b</think>", "a"),
        ("<think></think>\n\nyes", "stop", "yes", UNSET),
        ("<think>hm, that is", "length", "", "hm, that is"),
        ("<think>hm, that is", "stop", "<think>hm, that is", UNSET),
        ("Tell me: <think>a</think>", "stop", "Tell me: <think>a</think>", UNSET),
    ],
)
def test_think_blocks_at_the_beginning_are_reasoning(text, finish_reason, left, reasoning):
    response = read("openai", chat({"content": text}, finish_reason=finish_reason))
    assert (response.text, response.reasoning, response.finish_reason) == (left, reasoning, finish_reason)


def test_answer_that_was_cut_while_the_model_thought():
    response = read("openai", chat({"content": None, "reasoning_content": "hm, that"}, finish_reason="length"))
    assert (response.text, response.reasoning, response.finish_reason) == ("", "hm, that", "length")


# Which model answered.


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("vendor/m", "m"),
        ("m", "vendor/m"),
        ("vendor/m:free", "vendor/m"),
        ("vendor/m", "vendor/m:free"),
        ("claude-sonnet-4", "claude-sonnet-4-20250514"),
        ("mistral-large-latest", "mistral-large-2411"),
        ("deepseek/deepseek-r1-0528:free", "deepseek/deepseek-r1"),
        ("Qwen/Qwen2.5-7B", "/models/qwen2.5-7b/"),
        ("m", ""),
        ("m", None),
    ],
)
def test_same_model_under_another_name(asked, answered):
    assert read("openrouter", {**chat(), "model": answered}, name=asked).warnings is UNSET


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18"),
        ("claude-3-5-sonnet", "claude-3-7-sonnet"),
        ("qwen2.5:7b", "qwen2.5:72b"),
        ("a/large", "b/small"),
    ],
)
def test_another_model_is_told(asked, answered):
    response = read("openrouter", {**chat(), "model": answered}, name=asked)
    assert (response.text, response.model_name) == ("yes", answered)
    assert response.warnings == [f"another model answered: {answered!r}, asked was {asked!r}"]
