"""Calls are repeated when the server requests it, up to the limit, and not after a stop."""

import threading

import pytest
from dreamflow.generation.backoff import LONGEST_RETRY_AFTER_S, call_with_retries
from dreamflow.generation.model import Wait
from dreamflow.generation.providers import CallError, Response


def busy(**more):
    return CallError("busy", **{"kind": "busy", "status": 429, "retry_after": 0.0, **more})


def calls(*results):
    """A call that gives or raises `results` in their order, and the list of those that are left."""
    left = list(results)

    def call():
        result = left.pop(0)
        if isinstance(result, CallError):
            raise result
        return result

    return call, left


def test_waits_are_recorded_and_those_of_the_server_kept():
    call, _ = calls(busy(), busy(status=503, retry_after=0.01), Response("yes"))
    assert call_with_retries(call, 3, threading.Event()) == (
        Response("yes"),
        [
            Wait("retryable", 429, 0.0),
            Wait("retryable", 503, 0.01),
        ],
    )


@pytest.mark.parametrize(
    ("errors", "made"),
    [
        ([busy(kind="request")], 1),
        ([busy(retry_after=LONGEST_RETRY_AFTER_S + 1)], 1),
        ([busy(), busy(status=500), busy(status=502)], 3),
    ],
    ids=["terminal", "the server wants too long a wait", "as often as allowed"],
)
def test_the_last_error_is_raised(errors, made):
    call, left = calls(*errors, Response("never"), Response("never"))
    with pytest.raises(CallError) as caught:
        call_with_retries(call, 3, threading.Event())
    assert caught.value is errors[-1]
    assert len(left) == len(errors) + 2 - made


def test_our_own_waits_grow_to_a_limit():
    stopping = threading.Event()
    stopping.wait = lambda timeout: None  # no test sleeps
    call, _ = calls(*[busy(retry_after=None)] * 9, Response("yes"))
    _, waits = call_with_retries(call, 10, stopping)
    for number, wait in enumerate(waits):
        longest = min(60.0, 2.0**number)
        assert longest / 2 <= wait.wait_s <= longest


def test_a_stop_ends_the_wait_and_no_call_follows():
    stopping = threading.Event()

    def call():
        stopping.set()
        raise busy(retry_after=500.0)

    with pytest.raises(CallError, match="the run was stopped"):
        call_with_retries(call, 3, stopping)
