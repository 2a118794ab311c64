"""Circuits: when calls that would fail are not made, what they say, and when a model is called again."""

import threading
import time

import pytest
from dreamflow.generation import circuit, waiting_line
from dreamflow.generation.circuit import CONNECTION_FAILURES, PROBES, REQUEST_FAILURES, SERVER_FAILURES, Circuits
from dreamflow.generation.limits import Limits
from dreamflow.generation.models import Model
from dreamflow.generation.providers import CallError
from dreamflow.generation.stopping import STOPPING


def model(model_id="m", **more):
    return Model.model_validate(
        {"model_id": model_id, "provider": "openai", "name": "x", "base_url": "http://127.0.0.1:9/v1", **more}
    )


def failure(kind, status=None, text="it failed"):
    return CallError(text, kind=kind, status=status)


def call(circuits, of, error=None):
    """One call that fails with `error`, or succeeds."""
    circuits.enter(of)
    if error is None:
        circuits.succeeded(of)
    else:
        circuits.failed(of, error)


def in_threads(work, count):
    """The results of `work()` in many threads: values, or the errors that it raised."""
    results = []

    def run():
        try:
            results.append(work())
        except CallError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def drafts(limits, *what, **more):
    """200 drafts at one time whose every call fails: how many calls were made, and the errors."""
    of, tried = model(), []

    def draft():
        for _ in range(5):
            with limits.turn(of, 10) as turn:
                tried.append(1)
                error = failure(*what, **more)
                turn.failed(error)
        raise error

    threads, results = in_threads(draft, 200)
    for thread in threads:
        thread.join()
    return len(tried), results


@pytest.fixture
def clock(monkeypatch):
    """A clock of the circuits that a test moves: `clock[0] += 60`."""
    now = [time.monotonic()]
    monkeypatch.setattr(circuit.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("error", "more", "remedy"),
    [
        (failure("account", 401, "no"), {"api_key_env": "MY_KEY"}, "no; set MY_KEY to a valid key"),
        (failure("account", 401, "no"), {"provider": "openrouter"}, "set OPENROUTER_API_KEY to a valid key"),
        (failure("account", 402, "pay"), {}, "add credit at the provider"),
        (failure("account", 429, "insufficient_quota"), {}, "add credit at the provider"),
        (failure("account", 404, "none"), {}, "check `name` of model m in models.yaml"),
        (failure("account", 307, "change base_url"), {"api_key_env": "MY_KEY"}, "change base_url; then run again"),
    ],
    ids=["key", "default key", "402", "quota", "404", "redirect"],
)
def test_one_error_of_the_account_opens_and_says_what_to_do(error, more, remedy):
    circuits, broken, other = Circuits(), model(**more), model("other")
    call(circuits, broken, error)
    for _ in range(3):
        with pytest.raises(CallError, match=remedy) as caught:
            circuits.check(broken)
        assert (caught.value.kind, caught.value.status, caught.value.retryable) == ("account", error.status, False)
        assert remedy in caught.value.cause
    circuits.check(other)


def test_refused_questions_open_if_no_answer_is_between():
    circuits, of = Circuits(), model()
    for error in [*[failure("request", 400)] * (REQUEST_FAILURES - 1), None, *[failure("request", 400)] * 2]:
        call(circuits, of, error)
    circuits.check(of)
    call(circuits, of, failure("request", 400))
    with pytest.raises(CallError, match="3 questions were refused; check the settings of m"):
        circuits.check(of)


def test_an_open_circuit_lets_one_call_through_after_a_minute(clock):
    circuits, of = Circuits(), model()
    call(circuits, of, failure("account", 401))
    clock[0] += 61
    circuits.enter(of)  # the probe
    threads, results = in_threads(lambda: circuits.enter(of), 3)
    for thread in threads:
        thread.join()
    assert [error.kind for error in results] == ["account"] * 3
    circuits.failed(of, failure("account", 401))
    with pytest.raises(CallError):
        circuits.enter(of)
    clock[0] += 61
    call(circuits, of)
    circuits.enter(of)


def test_a_probe_that_never_called_leaves_its_place(clock):
    circuits, of = Circuits(), model()
    call(circuits, of, failure("account", 401))
    clock[0] += 61
    circuits.enter(of)
    circuits.withdrawn(of)
    threads, results = in_threads(lambda: call(circuits, of), 1)
    threads[0].join()
    assert results == [None]


def test_connection_failures_let_one_call_probe_and_the_rest_wait_for_it():
    circuits, of, beside = Circuits(), model(), model("beside")
    for _ in range(CONNECTION_FAILURES):
        call(circuits, of, failure("connection"))
    circuits.check(of)  # not open yet
    circuits.enter(beside)  # the probe, as the endpoint is the same
    threads, results = in_threads(lambda: circuits.enter(of), 5)
    assert circuits.is_blocked(of) is False  # this thread is the one that probes
    assert not results
    circuits.succeeded(beside)
    for thread in threads:
        thread.join()
    assert results == [None] * 5


def test_a_dead_host_gets_a_handful_of_connections(monkeypatch):
    monkeypatch.setattr(circuit, "FIRST_PROBE_WAIT_S", 0.01)
    tried, results = drafts(Limits(), "connection", text="connection refused")
    assert CONNECTION_FAILURES + PROBES <= tried <= 30
    told = [error for error in results if "start the server at 127.0.0.1:9 or correct base_url of m" in str(error)]
    assert len(told) >= 190
    assert not any(error.retryable for error in told)


def test_a_server_that_only_fails_gets_a_few_calls_and_other_models_go_on(monkeypatch):
    monkeypatch.setattr(circuit, "FIRST_PROBE_WAIT_S", 0.01)
    limits = Limits()
    tried, results = drafts(limits, "server", 502, "bad gateway")
    assert SERVER_FAILURES + PROBES <= tried <= 200
    assert sum("run again when it works" in str(error) for error in results) >= 190
    limits.circuits.enter(model("beside"))


def test_failures_of_the_server_are_not_those_of_questions():
    circuits, of = Circuits(), model()
    for _ in range(SERVER_FAILURES - 1):
        call(circuits, of, failure("server"))
    for _ in range(REQUEST_FAILURES - 1):
        call(circuits, of, failure("request", 400))
    circuits.enter(of)


def test_an_answer_of_any_kind_means_that_the_host_is_there():
    circuits, of = Circuits(), model()
    for kind in ["connection"] * 4 + ["busy"] + ["connection"] * 4 + ["server"] + ["connection"] * 4:
        call(circuits, of, failure(kind))
    assert circuits.is_blocked(of) is False


def test_a_stop_ends_the_wait_for_a_probe():
    circuits, of = Circuits(), model()
    for _ in range(CONNECTION_FAILURES):
        call(circuits, of, failure("connection"))
    circuits.enter(of)
    threads, results = in_threads(lambda: circuits.enter(of), 20)
    STOPPING.set()
    try:
        for thread in threads:
            thread.join(timeout=100 * waiting_line.LOOK_S)
    finally:
        STOPPING.clear()
    assert [error.kind for error in results] == ["stopped"] * 20
