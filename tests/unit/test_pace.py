"""What a process learns of a server's limits, on servers that are simulated: no thread and no clock takes part."""

import heapq
import random
from collections import deque
from itertools import count
from math import inf

import pytest
from dreamflow.generation.pace import ANSWERS_PER_STEP, TROUBLE_COSTS, Pace


class SlidingWindow:
    """A server that takes `most` calls in any second."""

    def __init__(self, most):
        self.most, self.taken = most, deque()

    def takes(self, now):
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) < self.most:
            self.taken.append(now)
            return True
        return False


class FixedWindow:
    """A server that takes `most` calls in each second of its clock."""

    def __init__(self, most, window_s=1.0, phase=0.3):
        self.most, self.window_s, self.phase, self.number, self.used = most, window_s, phase, None, 0

    def takes(self, now):
        number = (now + self.phase) // self.window_s
        if number != self.number:
            self.number, self.used = number, 0
        self.used += 1
        return self.used <= self.most


class Bucket:
    """A server whose `most` calls a second come back evenly, as of a token bucket."""

    def __init__(self, most):
        self.most, self.left, self.at = most, most, 0.0

    def takes(self, now):
        self.left, self.at = min(self.most, self.left + (now - self.at) * self.most), now
        taken = self.left >= 1
        self.left -= taken
        return taken


class AnyNumber:
    def takes(self, _now):
        return True


class Stray:
    """A server that besides refuses a share of calls at random."""

    def __init__(self, share, server=None, seed=1):
        self.share, self.server, self.draw = share, server or AnyNumber(), random.Random(seed)

    def takes(self, now):
        return self.draw.random() >= self.share and self.server.takes(now)


class Run:
    """`calls` calls by `threads` threads: `seconds`, `refused`, when all were in flight (`full_at`), and when each call
    was answered (`answers`). A refused call is repeated after its wait."""

    def __init__(self, server, calls=2000, threads=200, latency_s=0.2, retry_after=None, seed=0):
        draw, order, events = random.Random(seed), count(), []
        self.pace, self.refused, self.full_at, self.answers = Pace(), 0, inf, []
        waiting, left, wake = min(threads, calls), max(0, calls - threads), 0.0

        def later(at, what, start=None):
            heapq.heappush(events, (at, next(order), what, start))

        later(0.0, "look")
        while len(self.answers) < calls:
            now, _, what, start = heapq.heappop(events)
            if what == "arrives":
                taken = server.takes(now)
                after = latency_s * draw.uniform(0.8, 1.2) if taken else draw.expovariate(500)
                later(now + after, "answer" if taken else "refusal", start)
                continue
            if what == "answer":
                self.pace.answered(start, now)
                self.answers.append(now)
                waiting, left = waiting + (left > 0), left - (left > 0)
            elif what == "refusal":
                self.pace.refused(start, now, retry_after)
                self.refused += 1
                later(now + (draw.uniform(0.5, 1.0) if retry_after is None else retry_after), "again")
            elif what == "again":
                waiting += 1
            elif now < wake:
                continue
            else:
                wake = inf
            delay = inf
            while waiting and (delay := self.pace.delay(now)) <= 0:
                start, waiting = self.pace.start(now), waiting - 1
                later(now + draw.expovariate(250), "arrives", start)
                if self.pace.in_flight == threads:
                    self.full_at = min(self.full_at, now)
            if waiting and now + delay < wake:
                wake = now + delay
                later(wake, "look")
        self.seconds = now


@pytest.mark.parametrize("retry_after", [1.0, 0.0, None])
@pytest.mark.parametrize("latency_s", [0.02, 0.2])
@pytest.mark.parametrize("server", [SlidingWindow, FixedWindow])
def test_a_limit_a_second_costs_few_refusals_and_little_time(server, latency_s, retry_after):
    run = Run(server(50), latency_s=latency_s, retry_after=retry_after)
    assert run.refused <= 40  # 2%
    assert run.seconds <= 1.15 * 2000 / 50


@pytest.mark.parametrize("server", [SlidingWindow, FixedWindow, Bucket])
@pytest.mark.parametrize("most", [5, 20, 100, 500])
def test_other_limits_are_learned_too(most, server):
    run = Run(server(most), calls=max(2000, 20 * most), seed=1)
    assert run.refused <= (0.05 if server is Bucket else 0.04) * max(2000, 20 * most)
    assert run.seconds <= 1.3 * max(2000, 20 * most) / most


@pytest.mark.parametrize("retry_after", [1.0, 0.0, None])
@pytest.mark.parametrize("latency_s", [0.2, 1.0])
@pytest.mark.parametrize(("share", "most", "least"), [(0.01, 0.6, 0.25), (0.03, 0.4, 0.15), (0.1, 0.2, 0.08)])
def test_stray_refusals_do_not_lower_the_pace_for_long(share, most, least, latency_s, retry_after):
    calm = Run(AnyNumber(), 10_000, latency_s=latency_s)
    run = Run(Stray(share), 10_000, latency_s=latency_s, retry_after=retry_after)
    kept = least if retry_after else most
    assert calm.seconds / run.seconds >= kept
    assert run.answers[9500] - run.answers[7500] <= 2000 * calm.seconds / 10_000 / kept  # at the end as well


@pytest.mark.parametrize("retry_after", [0.0, None])
@pytest.mark.parametrize("server", [SlidingWindow, FixedWindow])
def test_a_limit_is_learned_among_stray_refusals(server, retry_after):
    run = Run(Stray(0.03, server(50)), 3000, retry_after=retry_after)
    assert run.seconds <= 3000 / 50 / 0.6
    assert run.refused <= 0.06 * 3000


def test_a_stray_refusal_delays_no_other_call():
    pace = Pace()
    starts = [pace.start(0.1 * number) for number in range(20)]
    assert pace.refused(starts[10], 2.0, 30.0) == 0.0
    assert pace.delay(2.0) == 0.0
    assert pace.rate == inf


def test_a_longer_wait_for_answers_is_no_limit():
    run = Run(SlidingWindow(50), latency_s=1.0)
    assert run.refused <= 40
    assert run.seconds <= 1.2 * (2000 / 50 + 1.0)


def test_a_limit_a_minute_is_learned_too():
    run = Run(FixedWindow(60, window_s=60.0, phase=0.0), calls=300)
    assert run.refused <= 60
    assert run.seconds <= 480  # four full windows at least


@pytest.mark.parametrize(("latency_s", "full_s"), [(0.2, 1.0), (20.0, 9.0)])
def test_a_server_without_limits_soon_has_all_calls_in_flight(latency_s, full_s):
    run = Run(AnyNumber(), calls=600, latency_s=latency_s)
    assert run.full_at <= full_s
    assert run.refused == 0


def busy_at(in_flight):
    """A pace that was refused with so many calls in flight, and the starts of those that have no answer yet."""
    pace = Pace()
    pace.level = in_flight
    starts = [pace.start(0.0) for _ in range(in_flight + 3)]
    for _ in range(4):  # the fourth shows that it is a burst
        pace.refused(starts.pop(), 0.1, 0.0)
    return pace, starts


def test_a_burst_of_refusals_takes_a_quarter_once():
    pace, starts = busy_at(100)
    assert pace.level == 75
    for start in starts[:50]:
        pace.refused(start, 0.2, 0.0)
    assert pace.level == 75
    pace.answered(pace.start(5.0), 5.1)
    late = [pace.start(6.0) for _ in range(4)]
    for start in late:
        pace.refused(start, 6.1, 0.0)
    assert pace.level == int(0.75 * 75)


def answer_full(pace, answers, now=5.0):
    """So many answers, with as many calls in flight as allowed."""
    pace.rate = inf
    for _ in range(answers):
        while pace.in_flight + 1 <= pace.level:
            start = pace.start(now)
            now += 0.05
        pace.answered(start, now)
        now += 0.05
    return now


def test_the_level_rises_by_one_in_25_answers_and_tries_a_tenth_more():
    pace, starts = busy_at(20)
    for _ in starts:
        pace.withdrawn()
    now = answer_full(pace, ANSWERS_PER_STEP)
    assert pace.level == 16
    highest = 0
    for _ in range(6 * ANSWERS_PER_STEP):
        now = answer_full(pace, 1, now)
        highest = max(highest, pace.level)
    assert highest == 22


def test_errors_of_the_server_only_stop_the_growth():
    pace, starts = busy_at(20)
    for _ in starts:
        pace.withdrawn()
    now = answer_full(pace, ANSWERS_PER_STEP - 1)
    pace.start(now)
    pace.failed(now)
    now = answer_full(pace, TROUBLE_COSTS, now + 1)
    assert pace.level == 15
    answer_full(pace, 1, now)
    assert pace.level == 16


def test_pauses_grow_while_one_call_at_a_time_is_refused():
    pace, _ = busy_at(10)
    now, pauses = 1.0, []
    for _ in range(5):
        start = pace.start(now)
        assert pace.delay(now) > 0  # the others wait for what happens to this one
        pauses.append(pace.refused(start, now + 0.01, None))
        now = pace.paused_until
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8 * pauses[0]


def test_the_server_decides_how_long_a_pause_is():
    pace, starts = busy_at(10)
    for _ in starts:
        pace.withdrawn()
    pace.refused(pace.start(5.0), 5.0, 7.0)
    assert pace.delay(5.0) == 7.0
