"""Retry a call after the time that the server requests, else after exponentially growing times.

This does not use tenacity: hooks for the server's time, the record of waits and the stop took twice as many lines.
"""

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from .model import Wait
from .providers import CallError
from .stopping import stopped

T = TypeVar("T")
LONGEST_WAIT_S = 60.0  # if the server requests no time
LONGEST_RETRY_AFTER_S = 600.0  # if the server requests a longer time, the call fails and the next run repeats it


def call_with_retries(call: Callable[[], T], attempts: int, stopping: threading.Event) -> tuple[T, list[Wait]]:
    """The result of `call`, which is called at most `attempts` times, and the waits before it.

    Raises the last `CallError`. If `stopping` is set, the current wait ends and a `CallError` is raised.
    """
    waits: list[Wait] = []
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
            waits.append(Wait("retryable", error.status, round(wait, 3)))
            stopping.wait(timeout=wait)
    raise stopped()
