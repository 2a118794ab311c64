"""How fast a server answers without refusing: learned from its answers, by one process for itself.

Two levels are learned. Calls in flight: they begin with a few and grow by two per answer ("ramp") until a burst of
refusals (429) or until everything that waits is in flight. A burst takes a quarter of what was in flight; then the
level rises by one per 25 answers, to at most 10% above the refused level; a level that was held counts as the new one
(additive increase, multiplicative decrease: Chiu and Jain 1989, as in TCP). Calls a second: unlimited until the first
burst, then what the server accepted in the second before it. A pace that was not refused for a while rises, by no more
than 10% above the refused pace before that pace was held.

Some servers refuse calls for other reasons than the pace. Such stray refusals come alone, and a slower pace does not
make them rarer. So most of six calls in a row must be refused to make a burst, and each decrease is a trial: if the
share of refused calls does not clearly fall, a second, larger decrease follows, and if that does not help either, both
are taken back. Where many calls are refused without bursts, a trial is made too; what it teaches is soon questioned.
A stray refusal delays its own call only. One exception: if a burst has limited the pace and nearly nothing is refused
at it, a single refusal pauses all and lowers the pace a little. The constants were tuned on simulated servers.

Nothing here reads a clock or waits: `now` is in seconds of a monotonic clock. A lock guards each `Pace` (`limits.py`).
"""

from collections import deque
from math import ceil, inf, sqrt
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
UNSURE_PLATEAU_S = 6.0
HOLD_S = 3.0  # a faster pace counts as accepted after this time
SLOWEST = 1 / 60  # calls a second
FEW = 6  # calls that show a burst
BURST = 0.6  # of them are refused, and besides twice the stray ones
MANY = 300  # calls that show the share of stray refusals
SINGLE = 3  # refusals in them that may still be about the pace
ENOUGH = 12  # refusals that a trial expects, if they are stray
DOUBTED = 0.03  # the share of refusals that is worth a trial
STRAY = 0.3  # larger shares are about the pace
TRIAL_AGAIN_S = 60.0  # doubled after each trial that was taken back
EASED = 0.85  # of the learned pace is the least that single refusals leave


class Start(NamedTuple):
    """A call that has started. `number`: they are counted. `is_probe`: the first after a pause."""

    at: float
    number: int
    is_probe: bool


class Trial(NamedTuple):
    """A decrease that is taken back if it does not help. The other fields are what it changed."""

    refused: int  # of `calls` calls before it
    calls: int
    level: float
    refused_level: float
    is_ramp: bool
    rate: float
    refused_rate: float
    is_second: bool

    @property
    def share(self) -> float:
        """The share of refusals before it."""
        return self.refused / self.calls


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
        self._learned = inf  # the pace that single refusals ease
        self._number = 0  # of starts
        self._first = 0  # number of the first start after the last decrease
        self._refused: deque[int] = deque()  # starts since then, of the last `MANY`, that were refused
        self._is_pause = False  # whether that decrease began a pause
        self._trial: Trial | None = None
        self._trial_ends = inf  # when all refusals of its calls have come
        self._stray = 0.0  # the share of refusals at a pace that was not too fast
        self._doubt_at = -inf  # no doubts before
        self._doubt_s = TRIAL_AGAIN_S
        self._unsure_s = UNSURE_PLATEAU_S

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
        self._number += 1
        if self._trial:
            self._judge(self._trial, now)
        if self.rate != inf:
            self._raise_rate(now)
            spacing = 1 / (MARGIN * self.rate)
            self._next_start = max(self._next_start, now - spacing) + spacing
        is_probe, self._probe_next = self._probe_next, False
        if is_probe:
            self._clear_at = now + min(1.5 * self._refusal_s + 0.02, 2.0)
        return Start(now, self._number, is_probe)

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
        """The server refused the call (429): the seconds of the pause of all calls that follows, 0 if there is none."""
        used = self.in_flight
        self.in_flight -= 1
        self._refusals.append(start.at)
        while self._refusals[0] < now - HISTORY_S:
            self._refusals.popleft()
        self._refusal_s = max(now - start.at, 0.7 * self._refusal_s)
        if start.is_probe:
            self._failed_pauses += 1
        elif start.number < self._first:  # it started before the decrease
            if self._trial:
                self._trial = self._trial._replace(refused=self._trial.refused + 1)
            if not self._is_pause:
                return 0.0
        else:
            self._refused.append(start.number)
            while self._refused[0] <= self._number - MANY:
                self._refused.popleft()
            if self._is_burst(start):
                self._decrease(start.at, now, used)
            elif self.refused_rate != inf and (self._is_pause or not self._trial) and self._is_single():
                if start.at > self._decreased_at:
                    self._ease(now, used)
            else:
                self._doubt(start.at, now)
                return 0.0
        own = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2.0 ** max(0, self._failed_pauses - 1))
        pause = max(own, retry_after or 0.0)
        self.pause(now + pause)
        return pause

    def failed(self, now: float) -> None:
        """The call failed without a word about limits: nothing grows for a while."""
        self.in_flight -= 1
        cost = TROUBLE_COSTS * (RAMP_PER_ANSWER if self.is_ramp else 1)
        self._credit = max(-cost, self._credit - cost)
        self._grow_at = max(self._grow_at, now + min(1.0, TROUBLE_COSTS / self.rate))

    def withdrawn(self) -> None:
        """The call was not made after all."""
        self.in_flight -= 1

    def pause(self, until: float) -> None:
        """No call starts before `until`; then one goes ahead of the others."""
        self.paused_until = max(self.paused_until, until)
        self._probe_next = True

    def _is_burst(self, start: Start) -> bool:
        """Whether most of a few calls in a row, with this one, were refused. Refusals come in another order."""
        calls = min(FEW, len(self._starts))
        stray = max(self._stray, 0.5 * self._trial.share if self._trial else 0.0)
        needed = ceil(min(0.8, BURST + 2 * stray) * calls)
        near = sorted(number for number in self._refused if abs(number - start.number) < calls)
        return any(near[end] - near[end - needed + 1] < calls for end in range(needed - 1, len(near)))

    def _is_single(self) -> bool:
        """Whether refusals are so rare that this one may be about the pace."""
        return len(self._refused) + MANY * self._stray <= SINGLE

    def _decrease(self, started: float, now: float, used: int) -> None:
        """A burst of refusals."""
        is_needed = used >= 0.8 * self.level or self.rate == inf
        if self._number >= 10:  # else too little is known
            self._try()
            rate, plateau_s, growth = self._accepted_rate(started), self._plateau_s, 0.01
            if self.rate == inf:
                if started - self._epoch < 0.6 * WINDOW_S:  # too short to know
                    plateau_s, growth = UNSURE_PLATEAU_S, 0.1
            else:
                rate = min(rate, self.rate * (0.93 if now - self._decreased_at < 5 else 0.98))
                if self.rate > self.refused_rate:  # an attempt at a faster pace has failed
                    self._plateau_s = min(LONGEST_PLATEAU_S, 2 * self._plateau_s)
            self.rate = self.refused_rate = self._learned = max(SLOWEST, rate)
            self._grow_at, self._growth = now + plateau_s, growth
            self.refused_level = used
        self.level = max(1.0, int(0.75 * (used if is_needed else self.level)))
        self.is_ramp, self._credit = self.rate == inf, 0.0
        self._begin(is_pause=True)
        self._decreased_at, self._failed_pauses = now, 1

    def _ease(self, now: float, used: int) -> None:
        """A single refusal at a pace that the server seemed to accept."""
        if self.rate > self.refused_rate:  # an attempt at a faster pace has failed
            self._end_attempt(now)
        else:
            rate = self.rate * (0.93 if now - self._decreased_at < 5 else 0.98)
            self.rate = self.refused_rate = max(SLOWEST, EASED * self._learned, rate)
        if used >= self.level:
            self.level, self.refused_level, self._credit = max(1.0, used - 1.0), used, 0.0
        self._decreased_at, self._failed_pauses = now, 1

    def _end_attempt(self, now: float) -> None:
        """A faster pace was refused."""
        self.rate = self.refused_rate
        self._plateau_s = min(LONGEST_PLATEAU_S, 2 * self._plateau_s)
        self._grow_at = now + self._plateau_s

    def _doubt(self, started: float, now: float) -> None:
        """Single refusals. If there are many, see whether they are fewer at the pace that was accepted."""
        calls = min(MANY, self._number - self._first)
        share = len(self._refused) / max(1, calls)
        is_attempt = self.rate > self.refused_rate
        stray = self._stray if now < self._doubt_at else 0.0
        least = DOUBTED + stray + 3 * sqrt(stray / max(1, calls))  # three standard deviations
        if self._trial or len(self._refused) < 0.75 * ENOUGH or calls < 50 or share < least:
            return
        if is_attempt:
            self._end_attempt(now)
            self._begin(is_pause=False)
            return
        self._lower(now, self._accepted_rate(started) if self.rate == inf else self.rate * (1 - share))

    def _lower(self, now: float, rate: float, *, is_second: bool = False) -> None:
        """Try a slower pace."""
        self._try(is_second=is_second)
        self.rate = self._learned = max(SLOWEST, rate)
        if self.refused_rate != inf:
            self.refused_rate = self.rate
        self._grow_at, self._growth = now + self._plateau_s, 0.01
        self._begin(is_pause=False)

    def _try(self, *, is_second: bool = False) -> None:
        """What is changed now is a trial; if there is one, it goes on from here."""
        calls = max(1, min(MANY, self._number - self._first))
        kept = self._trial or self
        own = (kept.level, kept.refused_level, kept.is_ramp, kept.rate, kept.refused_rate)
        self._trial = Trial(len(self._refused), calls, *own, is_second)
        self._trial_ends = inf

    def _begin(self, *, is_pause: bool) -> None:
        """From now on refusals are counted anew."""
        self._first, self._is_pause = self._number + 1, is_pause
        self._refused.clear()

    def _judge(self, trial: Trial, now: float) -> None:
        """Take the decrease back if as many calls are refused as before it."""
        calls = self._number - self._first
        needed = min(MANY, ENOUGH / max(0.01, trial.share)) if len(self._refused) < ENOUGH else 0
        if calls < max(20, needed):
            return
        if self._trial_ends == inf:
            self._trial_ends = now + 2 * self._refusal_s
        if now < self._trial_ends:
            return
        share = len(self._refused) / min(MANY, calls)
        is_better = share < 0.5 * trial.share and (share < 0.5 * DOUBTED or share < 0.25 * trial.share)
        if not is_better and (share > STRAY or share < 0.5 * trial.share or not trial.is_second):  # not clear
            self._lower(now, self.rate * max(0.5, 1 - DOUBTED - 2 * share), is_second=True)
            return
        self._trial, self._stray = None, max(0, len(self._refused) - 1) / min(MANY, calls)  # one may be by chance
        if not is_better:
            self.level, self.refused_level = max(self.level, trial.level), trial.refused_level
            self.is_ramp, self.rate, self.refused_rate = trial.is_ramp, trial.rate, trial.refused_rate
            self._learned = trial.rate
            self._doubt_at, self._doubt_s = now + self._doubt_s, 2 * self._doubt_s
            self._grow_soon(now)  # an earlier decrease may have been wrong
        elif share >= DOUBTED:
            self._lower(now, self.rate * (1 - share))
        elif self.refused_rate == inf:
            if trial.share < STRAY:  # there was no burst
                self._grow_soon(now)
            else:
                self.refused_rate = self.rate

    def _grow_soon(self, now: float) -> None:
        """The pace may be too slow."""
        self._plateau_s = self._unsure_s
        self._grow_at, self._growth = (
            now + self._unsure_s,
            0.5 * UNSURE_PLATEAU_S / self._unsure_s if self.refused_rate == inf else 0.1,
        )
        self._unsure_s = min(LONGEST_PLATEAU_S, 2 * self._unsure_s)

    def _accepted_rate(self, until: float) -> float:
        """Calls that the server accepted in the last second, or in a second of the last few if those were more."""
        rates = []
        for seconds in (WINDOW_S, max(WINDOW_S, until - self._starts[0])):
            since = until - seconds
            calls = sum(since <= at < until for at in self._starts) - sum(since <= at < until for at in self._refusals)
            rates.append(max(1, calls) / seconds)
        return max(rates)

    def _recover(self, started: float) -> None:
        """The first answer after a pause. If several pauses were needed, the server counts in a longer time."""
        if self._failed_pauses > 1 and started - self._epoch > 2 * WINDOW_S:
            rate = max(1, self._accepted) / (started - self._epoch)
            self.rate = self.refused_rate = max(SLOWEST, min(self.rate, rate))
        self._epoch, self._accepted, self._failed_pauses = started, 0, 0

    def _raise_rate(self, now: float) -> None:
        was_needed = now - self._next_start <= WINDOW_S
        if self._trial or now < self._grow_at or not was_needed:
            return
        top = self.refused_rate * PROBE
        if self.rate < top:
            if self.rate <= self.refused_rate:
                self._begin(is_pause=False)
            self.rate = min(top, self.rate * (1 + self._growth))
            self._grow_at = now + (1 if self.rate < top else HOLD_S)
        else:
            self.refused_rate = self.rate
            self._growth = min(0.1, 2 * self._growth)
            self._plateau_s = FIRST_PLATEAU_S
            self._grow_at = now
