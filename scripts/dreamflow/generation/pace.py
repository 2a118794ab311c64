"""How fast a server answers without refusing: learned from its answers, by one process for itself.

Two levels are learned. Calls in flight: they begin with a few and grow by two per answer ("ramp") until the
server first refuses a call with 429 or everything that waits is in flight. At the first refusal of a burst the level
falls by a quarter of what was in flight; then it rises by one per 25 answers, to at most 10% above the refused level;
a level that was held counts as the new one. Calls a second: unlimited until the first refusal, then the calls that the
server accepted in the second before it. A pace that is refused falls; one that was not refused for a while rises, by
no more than 10% above the refused pace before that pace was held.

Nothing here reads a clock or waits: `now` is in seconds of a monotonic clock. A lock guards each `Pace` (`limits.py`).
"""

from collections import deque
from math import inf
from typing import NamedTuple

FIRST_IN_FLIGHT = 4
RAMP_PER_ANSWER = 2
RAMP_PER_S = 25  # calls a second that start in the ramp even if no answer has come yet: answers may take minutes
ANSWERS_PER_STEP = 25
TROUBLE_COSTS = 5  # answers whose growth an error of the server takes back
PROBE = 1.1  # how far above a refused level the next attempt goes
WINDOW_S = 1.0  # servers count calls a second
SAFE_WINDOW_S = 1.02  # as calls reach the server a little unevenly
HISTORY_S = 4.0
MARGIN = 0.975  # of the accepted pace
SHORTEST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 60.0  # if the server names no time
FIRST_PLATEAU_S = 45.0  # how long a pace is kept before a faster one is tried; doubled after each failed attempt
LONGEST_PLATEAU_S = 300.0
UNSURE_PLATEAU_S = 3.0
HOLD_S = 3.0  # a faster pace counts as accepted after this time
SLOWEST = 1 / 60  # calls a second


class Start(NamedTuple):
    """A call that has started. `is_probe`: the first after a pause."""

    at: float
    is_probe: bool


class Pace:
    """What one process has learned about one model's server."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.level = float(FIRST_IN_FLIGHT)  # calls that may be in flight
        self.refused_level = inf
        self.is_ramp = True
        self.rate = inf  # calls that may start in a second, before the margin
        self.refused_rate = inf
        self.paused_until = -inf
        self._credit = 0.0  # answers that count towards the next step of `level`
        self._free_at = -inf  # when the ramp lets a call start without an answer
        self._starts: deque[float] = deque()
        self._refusals: deque[float] = deque()
        self._next_start = -inf
        self._epoch: float | None = None  # the first start after the last recovery
        self._accepted = 0  # answers since then
        self._decreased_at = -inf
        self._failed_pauses = 0
        self._probe_next = False
        self._clear_at = -inf  # until then the probe may still be refused
        self._refusal_s = 0.0  # how long the server takes to refuse
        self._plateau_s = FIRST_PLATEAU_S
        self._grow_at = inf
        self._growth = 0.01

    def delay(self, now: float) -> float:
        """Seconds until a call may start; 0: now; infinite: after an answer."""
        at = max(self.paused_until, self._clear_at)
        if self.in_flight + 1 > self.level:
            if not self.is_ramp:
                return inf
            at = max(at, self._free_at)
        if self.rate != inf:
            at = max(at, self._next_start)
            most = max(1, int(self.rate * WINDOW_S))
            if len(self._starts) >= most:
                at = max(at, self._starts[-most] + SAFE_WINDOW_S)
        return max(0.0, at - now)

    def start(self, now: float) -> Start:
        """A call starts."""
        self.in_flight += 1
        if self.is_ramp:
            self.level = max(self.level, self.in_flight)
            self._free_at = now + 1 / RAMP_PER_S
        if self._epoch is None:
            self._epoch, self._accepted = now, 0
        starts = self._starts
        starts.append(now)
        while starts[0] < now - HISTORY_S:
            starts.popleft()
        if self.rate != inf:
            self._raise_rate(now)
            spacing = 1 / (MARGIN * self.rate)
            self._next_start = max(self._next_start, now - spacing) + spacing
        is_probe, self._probe_next = self._probe_next, False
        if is_probe:
            self._clear_at = now + min(1.5 * self._refusal_s + 0.02, 2.0)
        return Start(now, is_probe)

    def answered(self, start: Start, now: float) -> None:
        """The call has an answer."""
        used = self.in_flight
        self.in_flight -= 1
        self._accepted += 1
        if start.at > self._decreased_at and self._failed_pauses:
            self._recover(start.at)
        if used < 0.8 * self.level:  # the level was not needed, so it has not been tried
            return
        if self.is_ramp:
            self._credit += RAMP_PER_ANSWER
            if self._credit > 0:
                self.level += self._credit
                self._credit = 0.0
            return
        self._credit += 1
        if self._credit < ANSWERS_PER_STEP:
            return
        self._credit = 0.0
        top = max(self.refused_level * PROBE, self.refused_level + 1)
        if self.level + 1 <= top:
            self.level += 1
        else:
            self.refused_level = self.level

    def refused(self, start: Start, now: float, retry_after: float | None) -> float:
        """The server refused the call (429): the seconds of the pause that follows."""
        used = self.in_flight
        self.in_flight -= 1
        self._refusals.append(start.at)
        while self._refusals[0] < now - HISTORY_S:
            self._refusals.popleft()
        self._refusal_s = max(now - start.at, 0.7 * self._refusal_s)
        if start.at > self._decreased_at:
            if start.is_probe:
                self._failed_pauses += 1
            else:
                self._decrease(start.at, now, used)
                self._failed_pauses = 1
            self._decreased_at = now
        own = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2.0 ** max(0, self._failed_pauses - 1))
        pause = max(own, retry_after or 0.0)
        self.pause(now + pause)
        return pause

    def failed(self, now: float) -> None:
        """The call failed without a word about limits: nothing grows for a while."""
        self.in_flight -= 1
        cost = TROUBLE_COSTS * (RAMP_PER_ANSWER if self.is_ramp else 1)
        self._credit = max(-cost, self._credit - cost)
        self._grow_at = max(self._grow_at, now + 1)

    def withdrawn(self) -> None:
        """The call was not made after all."""
        self.in_flight -= 1

    def pause(self, until: float) -> None:
        """No call starts before `until`; then one goes ahead of the others."""
        self.paused_until = max(self.paused_until, until)
        self._probe_next = True

    def _decrease(self, started: float, now: float, used: int) -> None:
        """The first refusal of a burst."""
        self.level, self.refused_level, self.is_ramp, self._credit = max(1.0, int(0.75 * used)), used, False, 0.0
        since = started - WINDOW_S
        accepted = sum(since < at < started for at in self._starts) - sum(since < at < started for at in self._refusals)
        rate = max(1, accepted) / WINDOW_S
        plateau_s, growth = self._plateau_s, 0.01
        if self.rate == inf:
            if started - self._epoch < 0.6 * WINDOW_S:  # too short to know
                plateau_s, growth = UNSURE_PLATEAU_S, 0.1
        else:
            rate = min(rate, self.rate * (0.93 if now - self._decreased_at < 5 else 0.98))
            if now > self._grow_at:  # an attempt at a faster pace has failed
                self._plateau_s = min(LONGEST_PLATEAU_S, 2 * self._plateau_s)
        self.rate = self.refused_rate = max(SLOWEST, rate)
        self._grow_at, self._growth = now + plateau_s, growth

    def _recover(self, started: float) -> None:
        """The first answer after a pause. If several pauses were needed, the server counts in a longer time."""
        if self._failed_pauses > 1 and started - self._epoch > 2 * WINDOW_S:
            rate = max(1, self._accepted) / (started - self._epoch)
            self.rate = self.refused_rate = max(SLOWEST, min(self.rate, rate))
        self._epoch, self._accepted, self._failed_pauses = started, 0, 0

    def _raise_rate(self, now: float) -> None:
        if now < self._grow_at or now - self._next_start > WINDOW_S:  # not due, or the pace was not needed
            return
        top = self.refused_rate * PROBE
        if self.rate < top:
            self.rate = min(top, self.rate * (1 + self._growth))
            self._grow_at = now + (1 if self.rate < top else HOLD_S)
        else:
            self.refused_rate = self.rate
            self._growth = min(0.1, 2 * self._growth)
            self._plateau_s = FIRST_PLATEAU_S
            self._grow_at = now
