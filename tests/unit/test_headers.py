"""Limits that providers report in headers."""

import pytest
from dreamflow.generation.providers import provider

NOW = {"Date": "Fri, 27 Nov 2026 12:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, {}),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            {
                "requests_per_minute": 60,
                "tokens_per_minute": 150000,
                "requests_left": 59,
                "tokens_left": 149984,
                "reset_s": 360,
            },
        ),
        (  # Groq: the requests are those of a day
            {
                "x-ratelimit-limit-requests": "14400",
                "x-ratelimit-remaining-requests": "14370",
                "x-ratelimit-reset-requests": "2m59.56s",
            },
            {"requests_left": 14370, "reset_s": 179.56},
        ),
        (  # the limit that is used up tells when to come back
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-remaining-tokens": "5",
                "x-ratelimit-reset-tokens": "50s",
            },
            {"requests_left": 0, "tokens_left": 5, "reset_s": 0.12},
        ),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-27T12:00:02Z",
                "anthropic-ratelimit-tokens-limit": "30000",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-11-27T12:00:30Z",
            },
            {
                "requests_per_minute": 50,
                "requests_left": 49,
                "tokens_per_minute": 30000,
                "tokens_left": 0,
                "reset_s": 30,
            },
        ),
        (  # OpenRouter: milliseconds since 1970; the period is not said
            {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795824000000"},
            {"requests_left": 0, "reset_s": 43200},
        ),
        (
            {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "7"},
            {"requests_per_minute": 60, "requests_left": 7},
        ),
        (
            {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset": "soon"},
            {},
        ),
        ({"x-ratelimit-limit-requests": "nan", "x-ratelimit-remaining-requests": "inf"}, {}),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "later"}, {"requests_left": 3}),
        (
            {"anthropic-ratelimit-requests-remaining": "3", "anthropic-ratelimit-requests-reset": ""},
            {"requests_left": 3},
        ),
    ],
)
@pytest.mark.parametrize("name", ["openai", "openrouter", "anthropic"])
def test_limits(name, headers, limits):
    assert provider(name).limits_from({**NOW, **headers}) == pytest.approx(limits)
    upper = {header.upper(): value for header, value in headers.items()}
    assert provider(name).limits_from({**NOW, **upper}) == pytest.approx(limits)


@pytest.mark.parametrize("name", ["llama_cpp", "human", "replay"])
def test_others_have_no_limits(name):
    assert provider(name).limits_from({"x-ratelimit-remaining": "3"}) == {}
