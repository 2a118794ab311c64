"""When a call may start: against a server that refuses, by configured limits, by headers, and between processes."""

import threading
import time
from datetime import UTC, datetime

import pytest
from dreamflow.config import check
from dreamflow.errors import ConfigError
from dreamflow.generation import shares, waiting_line
from dreamflow.generation.limits import Bucket, Limits
from dreamflow.generation.model import Message
from dreamflow.generation.models import Model, load_models
from dreamflow.generation.providers import CallError, Request, provider
from dreamflow.generation.settings import ModelsFile
from dreamflow.generation.stopping import STOPPING
from dreamflow.generation.store import database
from service import Service


def model(model_id="m", **more):
    fields = {"model_id": model_id, "provider": "openai", "name": "x", "base_url": "http://127.0.0.1:9/v1"}
    return Model.model_validate({**fields, **more})


def wait(limits, of, tokens=10):
    """Seconds that a call would have to wait now, without waiting."""
    gates = limits.gates(of)
    for gate in gates:
        gate._look(time.monotonic())
    return max(gate._delay(tokens, time.monotonic()) for gate in gates)


def answered(limits, of, headers=None, tokens=10):
    with limits.turn(of, tokens) as turn:
        turn.succeeded(headers or {})


def in_threads(work, count):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture
def project(tmp_path):
    """A database, and a function that makes the limits of another process of it."""
    shared, made = database(tmp_path / "store"), []

    def process():
        made.append(Limits(shared))
        return made[-1]

    yield process
    for limits in made:
        limits.close()
    assert shared.read("SELECT * FROM limit_users") == []
    shared.close()


@pytest.mark.parametrize("retry_after", ["seconds", "none"])
def test_a_server_that_refuses_is_asked_at_its_pace(monkeypatch, retry_after):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    left, refused = list(range(150)), []
    script = {"latency_s": 0.1, "rate": {"requests": 50, "retry_after": retry_after, "headers": False}}
    with Service(script) as service:
        of, limits, openai = model(base_url=service.url), Limits(), provider("openai")

        def ask(question):
            request = Request(model=of, messages=[Message("user", f"question {question}")], sampling={"max_tokens": 9})
            with limits.turn(of, 10) as turn:
                try:
                    turn.succeeded(openai.send(request).headers)
                    return
                except CallError as error:
                    assert error.kind == "busy"
                    refused.append(question)
                    turn.failed(error)
            ask(question)

        def work():
            while left:
                try:
                    ask(left.pop())
                except IndexError:
                    return

        for thread in in_threads(work, 100):
            thread.join()
        assert service.counts()["answers"] == 150
    assert len(refused) <= 50  # far fewer than the 100 threads, although how they run decides the number
    assert (
        limits.gates(of)[0].pace.refused_rate <= 100
    )  # learned in three seconds; an attempt at a faster pace may go on


def test_a_model_in_this_process_has_no_gate():
    of = model(provider="replay")
    limits = Limits()
    answered(limits, of)
    assert limits.gates(of) == ()


def test_requests_are_spread_evenly():
    limits, of = Limits(), model(limits={"requests_per_minute": 60})
    answered(limits, of)
    assert 0.9 < wait(limits, of) <= 1


def test_tokens_count_when_a_call_starts_and_are_corrected_after_it():
    limits, of = Limits(), model(limits={"tokens_per_minute": 6000})
    with limits.turn(of, 600) as turn:
        assert wait(limits, of, 300) > 2
        turn.used(100)
        assert wait(limits, of, 300) == 0
        turn.succeeded({})


def test_a_call_larger_than_the_limit_of_a_minute_is_made():
    limits, of = Limits(), model(limits={"tokens_per_minute": 1000})
    answered(limits, of, tokens=20_000)
    assert 1100 < wait(limits, of, tokens=20_000) < 1300


def test_a_bucket_that_waits_is_full_no_fuller():
    bucket = Bucket(60, 0.1, now=0.0)
    assert bucket.delay(6, 1000.0) == 0
    bucket.level -= 6
    assert bucket.delay(6, 1000.0) == pytest.approx(6)


def test_requests_of_a_day_are_never_exceeded_by_all_processes_together(project):
    first, second, of = project(), project(), model(limits={"requests_per_day": 30})
    made = 0
    for limits in [first, second] * 30:
        try:
            answered(limits, of)
        except CallError as error:
            assert error.kind == "busy"
            assert not error.retryable
            assert "the 30 requests a day of m are used" in error.cause
        else:
            made += 1
    assert made == 30


def test_requests_that_were_taken_and_not_made_are_given_back(project):
    limits, of = project(), model(limits={"requests_per_day": 1000})
    answered(limits, of)
    limits.close()
    rows = limits.shares.database.read("SELECT subject, day, requests FROM limit_days")
    assert rows == [("m", datetime.now(UTC).date().isoformat(), 1)]


def test_calls_in_flight_never_exceed_the_limit():
    limits, of, now, most = Limits(), model(limits={"in_flight": 3}), [], []
    lock = threading.Lock()

    def call():
        for _ in range(5):
            with limits.turn(of, 10) as turn:
                with lock:
                    now.append(1)
                    most.append(len(now))
                time.sleep(0)  # others may go
                with lock:
                    now.pop()
                turn.succeeded({})

    for thread in in_threads(call, 50):
        thread.join()
    assert len(most) == 250
    assert max(most) <= 3


def test_models_of_a_provider_share_its_limit():
    limits = Limits()
    one, two = (model(name, provider_limits={"in_flight": 1}) for name in ("one", "two"))
    with limits.turn(one, 10) as turn:
        assert wait(limits, two) == float("inf")
        turn.succeeded({})
    assert wait(limits, two) == 0


def test_processes_divide_a_limit(project):
    of = model(limits={"requests_per_minute": 600, "in_flight": 5})
    processes = [project() for _ in range(2)]
    for limits in processes * 2:
        limits.gates(of)[0]._beat_at = 0
        wait(limits, of)
    gates = [limits.gates(of)[0] for limits in processes]
    assert sum(gate._most_in_flight for gate in gates) == 5
    assert [gate._requests.rate for gate in gates] == [5, 5]


def test_a_process_that_is_gone_leaves_its_share(project, monkeypatch):
    of = model(limits={"in_flight": 4})
    gone, here = project(), project()
    wait(gone, of)
    wait(here, of)
    assert here.gates(of)[0]._most_in_flight == 2
    start = time.monotonic()
    monkeypatch.setattr(shares.time, "monotonic", lambda: start + shares.GONE_S + 1)
    here.gates(of)[0]._beat_at = 0
    wait(here, of)
    assert here.gates(of)[0]._most_in_flight == 4


def test_a_pause_is_for_all_processes_and_clocks_do_not_lengthen_it(project, monkeypatch):
    of, first, second = model(), project(), project()
    answered(second, of)
    with first.turn(of, 10) as turn:
        turn.failed(CallError("slow down", kind="busy", status=429, retry_after=50.0))
    assert 45 < wait(second, of) <= 61
    now = time.time()
    monkeypatch.setattr(shares.time, "time", lambda: now - 10 * 3600)  # the clock is set back
    assert wait(second, of) <= 61
    assert wait(project(), of) <= 61  # a process that begins now
    monkeypatch.setattr(shares.time, "time", lambda: now + 10 * 3600)
    assert wait(project(), of) == 0


def test_a_longer_pause_than_ten_minutes_ends_the_calls():
    limits, of = Limits(), model()
    with limits.turn(of, 10) as turn:
        told = turn.failed(CallError("slow down", kind="busy", status=429, retry_after=7200.0))
    with pytest.raises(CallError, match=r"the server of m takes no calls before .* UTC\. Run again") as caught:
        limits.turn(of, 10).__enter__()
    assert not caught.value.retryable
    assert told.cause == caught.value.cause  # all calls that fail for it say the same


def test_nothing_left_in_the_headers_is_a_pause():
    limits, of = Limits(), model()
    names = ("limit", "remaining", "reset")
    headers = {f"x-ratelimit-{name}-requests": value for name, value in zip(names, ("500", "0", "30s"), strict=True)}
    answered(limits, of, headers)
    assert 25 < wait(limits, of) <= 33


@pytest.mark.parametrize(("reset", "rate"), [("6s", 10.0), ("700ms", None)], ids=["of a minute", "of a second"])
def test_a_reported_limit_of_a_minute_is_kept(reset, rate):
    limits, of = Limits(), model()
    names = ("limit", "remaining", "reset")
    headers = {f"x-ratelimit-{name}-requests": value for name, value in zip(names, ("600", "540", reset), strict=True)}
    answered(limits, of, headers)
    wait(limits, of)
    bucket = limits.gates(of)[0]._requests
    assert (bucket.rate if bucket else None) == rate


def test_a_call_that_was_not_made_leaves_its_place():
    limits, of = Limits(), model(limits={"in_flight": 1})
    with pytest.raises(ValueError, match="mine"), limits.turn(of, 10):
        raise ValueError("mine")
    assert wait(limits, of) == 0


def test_a_stop_ends_all_waits():
    limits, of, ended = Limits(), model(limits={"in_flight": 1}), []

    def call():
        try:
            limits.turn(of, 10).__enter__()
        except CallError as error:
            ended.append(error.kind)

    with limits.turn(of, 10) as turn:
        threads = in_threads(call, 100)
        STOPPING.set()
        try:
            for thread in threads:
                thread.join(timeout=100 * waiting_line.LOOK_S)
        finally:
            STOPPING.clear()
        turn.succeeded({})
    assert ended == ["stopped"] * 100


def test_limits_are_read_from_models_yaml(tmp_path):
    (tmp_path / "models.yaml").write_text(
        "models:\n"
        "  a: {provider: openrouter, name: x, limits: {requests_per_day: 50}}\n"
        "  b: {provider: openai, name: y}\n"
        "provider_limits:\n"
        "  openrouter: {requests_per_minute: 20, in_flight: 8}\n"
    )
    models = load_models(tmp_path / "models.yaml", None, {})
    assert models["a"].limits.requests_per_day == 50
    assert models["a"].provider_limits.requests_per_minute == 20
    assert models["b"].limits is None
    assert models["b"].provider_limits is None
    with pytest.raises(ConfigError, match="is below the minimum of 1"):
        check({"models": {}, "provider_limits": {"openai": {"in_flight": 0}}}, ModelsFile, "models.yaml")
