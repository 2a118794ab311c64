"""Calls that are tried again: after the wait that the server names, else after a growing one of our own.

Without tenacity: its hooks for the server's wait, the record of waits and the stop took twice as many lines.
"""

import random
import threading
from collections.abc import Callable
from typing import Any

from .providers import CallError, Response

LONGEST_WAIT_S = 60.0  # of our own back-off
LONGEST_RETRY_AFTER_S = 600.0  # a server that wants more than this is tried again by the next run


def call_with_retries(
    call: Callable[[], Response], attempts: int, stopping: threading.Event
) -> tuple[Response, list[dict[str, Any]]]:
    """The answer of `call`, made at most `attempts` times, and the waits {error, status, wait_s} before it.

    Raises the last `CallError`, and one as soon as `stopping` is set: that ends a wait, and no call begins after it.
    """
    waits: list[dict[str, Any]] = []
    while not stopping.is_set():
        try:
            return call(), waits
        except CallError as error:
            too_long = (error.retry_after or 0) > LONGEST_RETRY_AFTER_S
            if not error.retryable or too_long or len(waits) + 1 >= attempts:
                raise
            wait = error.retry_after
            if wait is None:
                wait = min(LONGEST_WAIT_S, 2.0 ** len(waits)) * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)
            waits.append({"error": "retryable", "status": error.status, "wait_s": round(wait, 3)})
            stopping.wait(timeout=wait)
    raise CallError("the run was stopped before this call", retryable=False)
