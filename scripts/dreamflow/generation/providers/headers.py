"""What the headers of an answer say of the provider's limits, and when to call again.

Sources: OpenAI's "Rate limits" (Azure and Groq have the same names), OpenRouter's "API Credits and Limits", the headers
of Mistral and Together, Anthropic's "Rate limits: Response headers", and RFC 9110, section 10.2.3 (Retry-After).
"""

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86400.0
LONGEST_MINUTE_S = 600.0  # where the numbers say that a limit's period is longer, it is not one of a minute
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
# Names of the limit, of what is left, and of the time when it is back; the first that are there count. A limit without
# a name has an unknown period.
_REQUESTS = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", ""),
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    ("", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
_TOKENS = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", ""),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
)


def limits(headers: Mapping[str, str]) -> dict[str, float]:
    """Any of requests_per_minute, tokens_per_minute, requests_left, tokens_left and reset_s (see `Provider`)."""
    lower = {name.lower(): value for name, value in headers.items()}
    now = _now(lower)
    found: dict[str, float] = {}
    resets: dict[float, float] = {}
    for what, names in (("requests", _REQUESTS), ("tokens", _TOKENS)):
        for limit_name, left_name, reset_name in names:
            limit, left = _number(lower.get(limit_name)), _number(lower.get(left_name))
            if limit is None and left is None:
                continue
            reset = _seconds_until(lower.get(reset_name, ""), now)
            if limit and not (what == "requests" and _is_of_a_longer_time(limit, left, reset)):
                found[f"{what}_per_minute"] = limit
            if left is not None:
                found[f"{what}_left"] = left
            if reset is not None:
                resets[reset] = math.inf if left is None else left
            break
    if resets:  # of the limit that is used up; else the later one
        spent = [reset for reset, left in resets.items() if left < 1]
        found["reset_s"] = max(spent or resets)
    return found


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, at most a day: `retry-after-ms` (OpenAI, Azure), Retry-After (a number or a date), or the
    time of the limit that is used up (OpenRouter's requests of a day)."""
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in lower:
            seconds = float(lower["retry-after-ms"]) / 1000
        elif lower.get("retry-after", "")[:1].isdigit():
            seconds = float(lower["retry-after"])
        else:
            seconds = parsedate_to_datetime(lower.get("retry-after", "")).timestamp() - _now(lower)
    except ValueError:
        reported = limits(headers)
        if reported.get("requests_left", 1) >= 1 or "reset_s" not in reported:
            return None
        seconds = reported["reset_s"]
    return min(max(0.0, seconds), LONGEST_WAIT_S)


def _is_of_a_longer_time(limit: float, left: float | None, reset: float | None) -> bool:
    """Whether a limit of requests is one of a day, for instance, which its name does not say (Groq): what is used up
    comes back evenly, so the time until all is back tells the period."""
    used = limit - (limit if left is None else left)
    return bool(reset and used > 0 and reset * limit / used > LONGEST_MINUTE_S)


def _number(text: str | None) -> float | None:
    """A number that is not negative, else None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _seconds_until(text: str, now: float) -> float | None:
    """Seconds until a time: a span such as 6m0s or 120ms, seconds, seconds or milliseconds since 1970, or a date."""
    spans = _SPAN.findall(text)
    if spans and "".join(map("".join, spans)) == text:
        return sum(float(number) * _UNITS_S[unit] for number, unit in spans)
    number = _number(text)
    if number is None:
        try:
            number = datetime.fromisoformat(text).timestamp()
        except ValueError:
            return None
    if number > 1e11:
        number /= 1000
    return max(0.0, number - now) if number > 1e8 else number


def _now(lower: Mapping[str, str]) -> float:
    """The server's clock where it tells the time, as ours may be wrong."""
    try:
        return parsedate_to_datetime(lower.get("date", "")).timestamp()
    except ValueError:
        return time.time()
