"""What tokens cost: where a price is from, and what is done with it."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from dreamflow.config import check
from dreamflow.errors import ConfigError
from dreamflow.generation.model import Response, Usage
from dreamflow.generation.models import Model
from dreamflow.generation.prices import CATALOGS, answer_cost, check_priced, cost, most_cost, price_row
from dreamflow.generation.settings import Price
from genai_prices import Usage as ListedUsage
from genai_prices import __version__, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from project import REPOSITORY

PRICE = {"prompt": 2.0, "cached_prompt": 0.5, "cache_write": 3.0, "completion": 10.0}
LISTED = f"genai-prices {__version__}"


def model(provider, name, **settings):
    return Model(model_id="m", provider=provider, name=name, **settings)


@pytest.mark.parametrize(
    ("usage", "batch", "price", "expected"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100}, False, PRICE, 0.003),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, True, PRICE, 0.0015),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, True, {**PRICE, "batch": 0.25}, 0.00075),
        ({"prompt_tokens": 1000, "cached_tokens": 800, "completion_tokens": 100}, False, PRICE, 0.0018),
        ({"prompt_tokens": 1000, "cache_write_tokens": 600, "completion_tokens": 0}, False, PRICE, 0.0026),
        ({"prompt_tokens": 1000, "cached_tokens": 300, "cache_write_tokens": 600, "completion_tokens": 0}, False, PRICE,
         0.00215),
        ({"prompt_tokens": 1000, "cached_tokens": 800, "completion_tokens": 0}, False,
         {"prompt": 2, "completion": 1}, 0.002),
        ({"prompt_tokens": 1000, "cache_write_tokens": 1000, "completion_tokens": 0}, False,
         {"prompt": 2, "completion": 1}, 0.0025),
        # Reasoning is in the completion already.
        ({"prompt_tokens": 0, "completion_tokens": 100, "reasoning_tokens": 90}, False, PRICE, 0.001),
        # A provider that counts the cached tokens beside the prompt, and not in it, does not make a cost negative.
        ({"prompt_tokens": 10, "cached_tokens": 800, "completion_tokens": 0}, False, PRICE, 0.000005),
        # Unknown is not zero.
        ({"prompt_tokens": 1000}, False, PRICE, None),
        ({"completion_tokens": 1000}, False, PRICE, None),
        ({}, False, PRICE, None),
        ({"prompt_tokens": 1000, "completion_tokens": 100}, False, None, None),
        ({}, False, {"prompt": 0, "completion": 0, "source": "free"}, 0.0),
    ],
)  # fmt: skip
def test_the_cost_of_tokens(usage, batch, price, expected):
    assert cost(Usage(**usage), price, batch) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("reported", [0.0, 0.5])
def test_the_cost_that_a_provider_reports_counts(reported):
    assert answer_cost(Response("", usage=Usage(prompt_tokens=9), cost_usd=reported), PRICE) == reported
    assert answer_cost(Response("", cost_usd=reported), None) == reported


@pytest.mark.parametrize("reported", [float("nan"), -1.0, float("inf"), True, None, UNSET])
def test_an_impossible_cost_is_no_cost(reported):
    usage = Usage(prompt_tokens=1000, completion_tokens=100)
    assert answer_cost(Response("", usage=usage, cost_usd=reported), PRICE) == pytest.approx(0.003)
    assert answer_cost(Response("", cost_usd=reported), PRICE) is None


@pytest.mark.parametrize("figure", ["-1", ".nan", ".inf"])
@pytest.mark.parametrize("key", ["prompt", "cached_prompt", "cache_write", "completion", "batch"])
def test_an_impossible_price_is_refused(tmp_path, key, figure):
    number = float(figure.replace(".", "", 1))
    with pytest.raises(ConfigError):
        check({"prompt": 1, "completion": 1, key: number}, Price, tmp_path / "models.yaml")


def test_a_price_in_models_yaml_wins():
    price = {"prompt": 7.0, "completion": 9.0, "batch": 1.0}
    assert price_row(model("openai", "gpt-4o-mini", price=price)) == {**price, "source": "models.yaml"}


@pytest.mark.parametrize(
    ("provider", "name", "base_url"),
    [
        ("openai", "gpt-4o-mini", None),
        ("openai", "gpt-4o-mini", "https://api.openai.com/v1"),
        ("anthropic", "claude-sonnet-4-20250514", None),
        ("openrouter", "deepseek/deepseek-chat", None),
        ("openrouter", "deepseek/deepseek-chat", "https://openrouter.ai/api/v1"),
    ],
)
def test_listed_prices_are_found_by_provider_and_name(provider, name, base_url):
    settings = {"base_url": base_url} if base_url else {}
    row = price_row(model(provider, name, **settings))
    assert row["source"] == LISTED
    assert 0 < row["prompt"] < row["completion"]


@pytest.mark.parametrize(
    ("provider", "name", "settings"),
    [
        ("openai", "gpt-4", {"base_url": "http://127.0.0.1:8000/v1"}),
        ("openai", "gpt-4", {"base_url": "https://models.example.org/v1"}),
        ("openai", "gpt-4", {"base_url": "https://api.openai.com.example.org/v1"}),
        ("openai", "no-such-model", {}),
        ("openrouter", "nobody/no-such-model", {}),
    ],
)
def test_nobody_says_the_price_of_a_private_server_or_an_unknown_model(provider, name, settings):
    assert price_row(model(provider, name, **settings)) is None


def test_what_is_free():
    free = {"prompt": 0, "completion": 0}
    assert price_row(model("llama_cpp", "x.gguf")) == {**free, "source": "free"}
    assert price_row(model("openrouter", "deepseek/deepseek-r1:free")) == {**free, "source": LISTED}


def test_a_request_field_selects_the_price_of_its_service_tier():
    usual, flex = (price_row(model("openai", "gpt-5", extra_body=body)) for body in ({}, {"service_tier": "flex"}))
    assert 0 < flex["prompt"] < usual["prompt"]


def listed_models():
    """(provider, model) of every listed model that text goes into and comes out of. Some ids are no names of models."""
    for provider in get_snapshot().providers:
        for one in provider.models if provider.id in CATALOGS else ():
            prices = one.get_prices(datetime.now(UTC))
            if one.is_match(one.id) and prices.input_mtok is not None and prices.output_mtok is not None:
                yield provider.id, one.id


LISTED_MODELS = list(listed_models())


@given(
    listed=st.sampled_from(LISTED_MODELS),
    prompt=st.integers(0, 1_000_000),
    cached=st.integers(0, 500_000),
    completion=st.integers(0, 100_000),
)
def test_our_calculation_is_that_of_the_library_also_for_long_prompts(listed, prompt, cached, completion):
    provider, name = listed
    cached = min(cached, prompt)
    row = price_row(model(provider, name), prompt)
    theirs = calc_price(
        ListedUsage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion), name, provider_id=provider
    )
    if theirs.model_price.output_reasoning_mtok is not None:
        return  # the library has a price of reasoning beside that of the answer
    ours = cost(Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion), row)
    assert ours == pytest.approx(float(theirs.total_price), abs=2e-9)


@given(
    listed=st.sampled_from(LISTED_MODELS),
    prompt=st.integers(0, 600_000),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_call_costs_more_than_the_bound(listed, prompt, share):
    one, used = model(*listed), int(prompt * share[0])
    usage = Usage(
        prompt_tokens=used,
        cached_tokens=int(used * share[1]),
        cache_write_tokens=int(used * share[2]),
        completion_tokens=int(5000 * share[3]),
    )
    assert cost(usage, price_row(one, used)) <= most_cost(one, prompt, 5000)


def test_the_bound_is_that_of_the_most_expensive_model_that_may_answer():
    cheap, expensive = "deepseek/deepseek-chat", "anthropic/claude-sonnet-4"
    bounds = [most_cost(model("openrouter", name), 1000, 1000) for name in (cheap, expensive)]
    assert bounds[0] < bounds[1]
    assert most_cost(model("openrouter", cheap, extra_body={"models": [expensive]}), 1000, 1000) == bounds[1]
    assert most_cost(model("openrouter", cheap, extra_body={"models": ["nobody/no-such-model"]}), 1000, 1000) is None


@pytest.mark.parametrize("name", ["deepseek/deepseek-chat", "nobody/no-such-model"])
def test_a_limit_of_the_price_is_the_bound(name):
    limited = model("openrouter", name, extra_body={"provider": {"max_price": {"prompt": 1, "completion": 2}}})
    assert most_cost(limited, 1000, 1000) == pytest.approx(0.003)
    check_priced([limited], [Cap("run", 5.0)])


def test_the_bound_of_an_unknown_price_is_unknown():
    assert most_cost(model("openai", "no-such-model"), 9, 9) is None


@dataclass
class Cap:
    scope: str
    usd: float | None
    key: str = "budgets.run"


def test_a_budget_in_dollars_needs_prices():
    priced, unknown = model("openai", "gpt-4o-mini"), model("openai", "no-such-model")
    with pytest.raises(ConfigError, match=r"budgets\.run is in dollars.* of model m is unknown\. Write it"):
        check_priced([priced, unknown], [Cap("day", None), Cap("run", 5.0)])
    check_priced([priced], [Cap("run", 5.0)])
    check_priced([unknown], [Cap("run", None)])


def test_the_list_of_prices_is_loaded_only_for_a_remote_model_without_a_price():
    code = (
        "import sys; from dreamflow.generation.models import Model; from dreamflow.generation.prices import price_row\n"
        "price_row(Model(model_id='m', provider='replay', name='x'))\n"
        "price_row(Model(model_id='m', provider='openai', name='x', price={'prompt': 1, 'completion': 1}))\n"
        "assert 'genai_prices' not in sys.modules\n"
        "import socket; socket.socket.connect = None\n"  # no network is needed
        "assert price_row(Model(model_id='m', provider='openai', name='gpt-4o-mini'))['prompt'] > 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY / "scripts")
