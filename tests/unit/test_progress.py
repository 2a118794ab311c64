"""Progress and totals on the screen."""

import io
from collections import Counter
from random import Random

import pytest
from dreamflow.generation.budget_use import BudgetUse
from dreamflow.generation.flights import Flights, Work
from dreamflow.generation.model import Attempt, Call, ModelIdentity, Question, Record, Response, Result, Usage
from dreamflow.generation.progress import BUDGETS_S, PLAIN_S, Display, duration, left_text, line_parts
from dreamflow.generation.providers import provider
from dreamflow.generation.screen import Screen, fitting
from msgspec import UNSET
from msgspec.structs import replace

DRAFT, EVALUATION = ("draft", "writer"), ("evaluation", "judge")


def record(gen_id="d_1", cost=0.25, **usage):
    model = ModelIdentity(model_id="schreiber-ü", provider="openai", name="x", revision="")
    at = "2026-01-01T00:00:00+00:00"
    call = Call(gen_id=gen_id, stage="draft", cohort_id="trial", at=at, latency_s=1.5, cost_usd=cost)
    question, response = Question(model, [], {}, None, 3), Response("", usage=Usage(**usage))
    return Record(schema_version=1, request=question, response=response, call=call)


def test_an_unknown_cost_is_nothing_in_the_total():
    display = Display()
    display.record_answer(record(cost=None))
    display.record_answer(record(cost=0.5, prompt_tokens=1200, completion_tokens=34))
    assert display.totals() == "2 calls · 1,234 tokens · $0.5000"


class Clock:
    """A clock that goes when it is told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream=None):
    """A display without its thread, its clock, and what it writes to."""
    stream, clock = stream or io.StringIO(), Clock()
    display = Display(Screen(stream), clock)
    display.flights = Flights(clock)
    display.planned, display.stored = Counter(draft=3, evaluation=3), Counter()
    display.to_call = Counter({DRAFT: 3, EVALUATION: 3})
    return display, clock, stream


def made(display, gen_id, kind, *, call=True, **fields):
    """A generation, made by a call or with an answer of the store; if skipped, without either."""
    if call:
        display.record_answer(record(gen_id, cost=None, completion_tokens=10))
    tried = [] if fields.get("status") == "skipped" else [Attempt(sample=0, response_key="k", error=None)]
    display.count_generation(Result(gen_id=gen_id, stage=kind[0], attempts=tried, **fields), kind)


def called(display, clock, gen_id, kind, seconds):
    """A call that takes some seconds, alone, and its generation."""
    with display.flights.flight(gen_id, kind, kind[1], "replay", is_local=True):
        clock.now += seconds
    made(display, gen_id, kind)


def line(display):
    return " · ".join(text for _, text in line_parts(display.state()))


def test_stored_answers_do_not_make_the_calls_that_remain_look_fast():
    display, clock, _ = shown()
    display.planned, display.to_call = Counter(draft=100), Counter({DRAFT: 100})
    display.stored = Counter({DRAFT: 50})
    for number in range(50):
        clock.now += 0.01
        made(display, f"d_{number}", DRAFT, call=False)
    assert display.calls_left() == {DRAFT: 50}
    assert line(display) == "50/100 made · 50 from store"  # nobody can know yet how long a call takes
    for number in range(50, 59):
        called(display, clock, f"d_{number}", DRAFT, 10)
    least, most = display.state()["left_s"]
    assert least < 41 * 10 < most < 2 * 41 * 10
    assert "from store" in line(display) and line(display).endswith("min left")


def test_a_slow_judge_after_fast_drafts_is_no_estimate_until_its_speed_is_known():
    display, clock, _ = shown()
    for number in range(3):
        called(display, clock, f"d_{number}", DRAFT, 1)
    assert display.state()["left_s"] is None
    called(display, clock, "v_0", EVALUATION, 100)
    least, most = display.state()["left_s"]
    assert least <= 200 <= most


def test_generations_that_no_call_makes_any_more_are_not_waited_for():
    display, clock, _ = shown()
    called(display, clock, "d_0", DRAFT, 10)
    called(display, clock, "v_0", EVALUATION, 10)
    made(display, "d_1", DRAFT, status="failed")
    made(display, "v_1", EVALUATION, call=False, status="skipped")
    display.count_not_made("draft", DRAFT)
    display.count_out_of_reach(EVALUATION)
    assert display.calls_left() == {}
    assert display.state()["left_s"] is None
    assert line(display).startswith("4/6 made · 2 failed")


def test_without_calls_the_time_follows_from_what_was_made_lately():
    display, clock, _ = shown()
    display.planned, display.to_call = Counter(essay=100), Counter()
    display.state()
    for number in range(20):
        clock.now += 0.5
        display.count_generation(Result(gen_id=f"e_{number}", stage="essay"))
    assert display.state()["left_s"] == [40.0, 40.0]


def test_unknown_stored_answers_are_no_estimate():
    display, clock, _ = shown()
    called(display, clock, "d_0", DRAFT, 10)
    called(display, clock, "v_0", EVALUATION, 10)
    display.stored = None
    assert display.state()["left_s"] is None


def test_calls_in_flight_are_shown_with_their_age_and_their_tokens(monkeypatch):
    display, clock, _ = shown()
    monkeypatch.setattr(
        type(provider("replay")), "written", lambda self: {"d_1": 60 if flight.sent else 0}, raising=False
    )
    with display.flights.flight("d_1", DRAFT, "writer", "replay", is_local=True) as flight:
        assert line(display) == "0/6 made · 1 wait"
        flight.sent = clock.now
        clock.now += 20
        assert line(display) == "0/6 made · 1 in flight, 20 s · 3.0 tokens/s"
        assert display.state()["in_flight"] == [
            {"gen_id": "d_1", "stage": "draft", "model": "writer", "seconds": 20.0, "waits": False, "tokens": 60}
        ]
    assert "in flight" not in line(display)


def test_the_tightest_budget_is_shown_beside_the_cost():
    display, clock, _ = shown()
    clock.now += BUDGETS_S
    display.budgets = lambda: [
        BudgetUse("budgets.day", "day", "usd", 100, 5),
        BudgetUse("budgets.run", "run:x", "usd", 2, 0.5, 0.1),
    ]
    display.record_answer(record(cost=0.5))
    assert "$0.50 of $2.00" in line(display)
    display.budgets = lambda: [BudgetUse("budgets.day", "day", "tokens", 1000, 900)]
    clock.now += BUDGETS_S
    assert "$0.5000 (day: 900 tokens of 1,000 tokens)" in line(display)


def test_where_there_is_no_terminal_a_line_comes_now_and_then():
    display, clock, stream = shown()
    for _ in range(int(2.5 * PLAIN_S)):
        clock.now += 1
        display.tick()
    assert stream.getvalue() == "0/6 made\n" * 2


def test_on_a_terminal_messages_stay_above_the_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    display, _, stream = shown(Terminal())
    display.tick()
    display.screen.write("half a ")
    display.show("a problem")
    display.screen.write("line\nand")
    display.stop()
    clear = "\r\x1b[K"
    assert stream.getvalue() == (
        f"0/6 made{clear}\x1b[31ma problem\x1b[39m\n0/6 made{clear}half a line\n0/6 made{clear}"
    )


def test_what_does_not_fit_is_left_out_by_importance():
    parts = [(0, "1/2 made"), (5, "1 from store"), (2, "1 failed"), (1, "under 5 s left")]
    assert fitting(parts, 60) == "1/2 made · 1 from store · 1 failed · under 5 s left"
    assert fitting(parts, 40) == "1/2 made · 1 failed · under 5 s left"
    assert fitting(parts, 12) == "1/2 made"


@pytest.mark.parametrize(
    ("left", "later", "said"),
    [([20, 80], False, "under 1:20 min left"), ([130, 300], False, "2:10 to 5:00 min left"),
     ([3000, 7200], False, "50:00 min to 2:00 h left"), ([100, 500], False, ""), (None, False, ""),
     ([120, 120.2], False, "about 2:00 min left"), ([130, 300], True, "at least 2:10 min left")],
)  # fmt: skip
def test_the_time_left_is_a_range_or_nothing(left, later, said):
    assert left_text({"left_s": left, "has_later": later}) == said


@pytest.mark.parametrize(("slots", "is_local"), [(1, True), (16, True), (8, False), (64, False)])
def test_the_range_holds_the_truth_for_chains_of_calls(slots, is_local):
    """40 chains of calls of 10, 20 and 60 s, each half to one and a half times as long, in so many slots. Calls in this
    process share its processors, on which 16 together are 1.7 times as fast as one."""
    random, work = Random(7), Work()
    kinds = [(stage, "m") for stage in ("draft", "essay", "evaluation")]
    left, done, now, running, ready, marks = Counter(dict.fromkeys(kinds, 40)), Counter(), 0.0, [], [], []
    ready = [(0, chain) for chain in range(40)]
    while ready or running:
        while ready and len(running) < slots:
            step, chain = ready.pop(0)
            running.append([(10, 20, 60)[step] * random.uniform(0.5, 1.5), step, chain, now])
            work.begin(kinds[step], now, is_local=is_local)
        speed = (1.7 if len(running) > 1 else 1) / len(running) if is_local else 1
        marks.append((now, work.seconds_left(left, done, now)))
        first = min(running)
        passed = first[0] / speed
        for call in running:
            call[0] -= passed * speed
        now += passed
        running.remove(first)
        _, step, chain, wanted = first
        work.end(kinds[step], now, wanted)
        done[kinds[step]] += 1
        left[kinds[step]] -= 1
        ready = sorted([*ready, *([(step + 1, chain)] if step < 2 else [])], key=lambda call: call[1])
    known = [(now - at, *seconds) for at, seconds in marks if seconds]
    right = [least <= true <= most for true, least, most in known]
    assert len(known) > len(marks) / 4
    assert sum(right) > 0.8 * len(right)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (45.4, "45 s"), (59.6, "1:00 min"), (185, "3:05 min"), (3599.7, "1:00 h"), (7800, "2:10 h"),
     (360_000, "100:00 h")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds, said):
    assert duration(seconds) == said


def test_what_was_odd_about_answers_is_counted_in_the_summary():
    display = Display()
    for text in ("another model answered: x-mini, asked was x", "", "another model answered: x-mini, asked was x"):
        odd = record()
        response = Response("", warnings=[text] if text else UNSET)
        display.record_answer(replace(odd, response=response))
    (line,) = [line for line in display.summary([]) if line.strip()]
    assert line == "model schreiber-ü: another model answered: x-mini, asked was x (2 times)"
