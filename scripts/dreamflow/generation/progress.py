"""The progress and the cost of this run: one line that is true, and what other terminals may read of it."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from .budget_use import BudgetUse, amount
from .flights import Flights, Kind
from .model import Json, Record, Result
from .providers import provider
from .providers.reading import OTHER_MODEL
from .screen import Screen

TICK_S = 1.0  # between two looks at what goes on
PLAIN_S = 20.0  # between two lines where standard error is not a terminal
STOP_S = 2.0  # to wait for the thread when a run ends
BUDGETS_S = 5.0  # between two looks at what budgets have left
WINDOW_S = 30.0  # in which tokens a second are counted
SHOWN_OTHERS = 5  # models that answered in place of those that were asked
SHOWN_FLIGHTS = 20  # calls in flight that are named
ROUGH_S = 90  # below it, the most is said, not a range
WIDEST = 4.0  # a longer range than from 1 to so many is no estimate
NOT_OK = ("failed", "skipped", "pending")


class Display:
    """Counts what a run makes, and shows it with its messages. Its methods may be called from any thread.

    On a terminal, progress is one line that is renewed; elsewhere, a new line is printed every `PLAIN_S`. Both are the
    work of one thread, so they move while answers are being written. `on_tick(state)` gets the state about once a
    second; `budgets()` says what is spent of the budgets of the run, `find_stored()` how many generations of each stage
    and model have their answers in the store (None: unknown).
    """

    def __init__(self, screen: Screen | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.screen, self.clock = screen or Screen(), clock
        self.flights = Flights()
        self.on_tick: Callable[[dict[str, Json]], None] = lambda state: None
        self.budgets: Callable[[], Sequence[BudgetUse]] = tuple
        self.guard = threading.Lock()
        self.planned: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.status: Counter[str] = Counter()
        self.counts: dict[str, Counter[str]] = {}  # by stage: from_store, failed, skipped, pending, not_made
        self.others: Counter[str] = Counter()  # answers of other models than were asked, by what was odd
        self.odd = 0  # other answers of which something was odd
        self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.cost_usd = 0.0
        self.to_call: Counter[Kind] = Counter()  # planned generations of models, by stage and model
        self.stored: Counter[Kind] | None = None  # of them, those whose answers are in the store; None: unknown
        self.has_later = False  # the run may plan more than is known now
        self.by_calls: Counter[Kind] = Counter()  # made with calls of this run
        self.without: Counter[Kind] = Counter()  # made from the store
        self.gone: Counter[Kind] = Counter()  # that need no call any more: skipped, not made, pending
        self.out_of_reach = 0  # generations that need one that could not be made
        self.jobs: dict[int, tuple[str, float]] = {}  # other jobs that run: rule, since when
        self.speaking: set[int] = set()  # of them, those that write to the terminal by themselves
        self._asked: set[str] = set()  # generations that a call of this run has answered
        self.started = self._plain_at = self._budgets_at = clock()
        self._window: deque[tuple[float, int, int]] = deque()  # time, tokens written, generations done
        self._uses: Sequence[BudgetUse] = ()
        self.find_stored: Callable[[], Counter[Kind] | None] = Counter
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def start(self, planned: Mapping[str, int], to_call: Mapping[Kind, int] | None = None) -> None:
        """Start a run; `planned` has the number of generations to make in each stage, `to_call` those that models
        answer, by stage and model."""
        self.planned, self.to_call = Counter(planned), Counter(to_call or {})
        self.started = self._plain_at = self.clock()
        self._budgets_at = self.started - BUDGETS_S
        self._ticker = threading.Thread(target=self._tick_on, name="progress", daemon=True)
        self._ticker.start()

    def _tick_on(self) -> None:
        self.tick()
        self.stored = self.find_stored()  # which takes time, if there are many
        while not self._stop.wait(TICK_S):
            self.tick()

    def tick(self) -> None:
        """Look at what goes on, show it, and tell others."""
        state = self.state()
        self.on_tick(state)
        if self._stop.is_set():
            return
        if self.screen.isatty():
            others_speak = self.speaking and not state["calls_in_flight"]
            self.screen.live(() if others_speak else line_parts(state))
        elif self.clock() - self._plain_at >= PLAIN_S:
            self._plain_at = self.clock()
            if line := " · ".join(text for _, text in line_parts(state)):
                self.screen.lines(line)

    def record_answer(self, record: Record) -> None:
        """Add a new answer to the totals."""
        usage = record.response.usage
        warnings = record.response.warnings or []
        others = [warning for warning in warnings if warning.startswith(OTHER_MODEL)]
        with self.guard:
            self._asked.add(record.call.gen_id)
            self.others.update(f"model {record.request.model.model_id}: {warning}" for warning in others)
            self.odd += bool(warnings and not others)
            self._count(1, usage.prompt, usage.cached, usage.completion, record.call.cost_usd)

    def _count(self, calls: int, prompt: int, cached: int, completion: int, cost_usd: float | None) -> None:
        self.calls += calls
        self.prompt_tokens += prompt
        self.cached_tokens += cached
        self.completion_tokens += completion
        self.cost_usd += cost_usd or 0.0

    def count_all(self, totals: Sequence[float]) -> None:
        """Set the totals: calls, prompt, cached and completion tokens, cost; those of all processes of the run."""
        with self.guard:
            self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
            self.cost_usd = 0.0
            self._count(*totals)

    def expect_more(self, due: Mapping[str, int], to_call: Mapping[Kind, int]) -> None:
        """Plan further generations, which the run has learned of: all that are due now, as in `start`."""
        with self.guard:
            for stage, count in due.items():
                self.planned[stage] = max(self.planned[stage], self.done[stage] + count)
            for kind, count in to_call.items():
                ended = self.by_calls[kind] + self.without[kind] + self.gone[kind]
                self.to_call[kind] = max(self.to_call[kind], ended + count)

    def expect_less(self, stage: str, kind: Kind | None = None) -> None:
        """Count a planned generation that turned out to be up to date: its parents were made again, and are alike."""
        with self.guard:
            self.planned[stage] -= 1
            if kind:
                self.gone[kind] += 1

    def count_made(self, by_stage: Counter[str], by_status: Counter[str]) -> None:
        """Count generations that other processes have made."""
        with self.guard:
            self.done += by_stage
            self.status += by_status

    def count_generation(self, result: Result, kind: Kind | None = None) -> None:
        """Count a written generation; `kind` has its stage and model if a model answers."""
        stage, status = result.stage, result.status
        with self.guard:
            self.done[stage] += 1
            self.status[status] += 1
            asked = result.gen_id in self._asked
            self._asked.discard(result.gen_id)
            is_stored = kind is not None and not asked and bool(result.attempts)
            if is_stored or status in NOT_OK:
                counts = self.counts.setdefault(stage, Counter())
                counts.update([*["from_store"] * is_stored, *[status] * (status in NOT_OK)])
            if kind is not None:
                (self.by_calls if asked else self.without if is_stored else self.gone)[kind] += 1

    def count_not_made(self, stage: str, kind: Kind | None) -> None:
        """Count a generation that could not be made."""
        with self.guard:
            self.counts.setdefault(stage, Counter())["not_made"] += 1
            if kind is not None:
                self.gone[kind] += 1

    def count_out_of_reach(self, kind: Kind | None) -> None:
        """Count a generation that this run does not make, since it needs one that could not be made."""
        with self.guard:
            self.out_of_reach += 1
            if kind is not None:
                self.gone[kind] += 1

    def job_began(self, number: int, rule: str, *, speaks: bool = False) -> None:
        """Note a job that is no generation; `speaks`: its process writes to the terminal by itself."""
        self.jobs[number] = (rule, self.clock())
        if speaks:
            self.speaking.add(number)

    def job_ended(self, number: int) -> None:
        """Note the end of a job."""
        self.jobs.pop(number, None)
        self.speaking.discard(number)

    def show(self, message: str) -> None:
        """Show a message beside the progress."""
        self.screen.lines(message, is_problem=True)

    def stop(self) -> None:
        """End the progress display."""
        self._stop.set()
        if self._ticker is not None and self._ticker is not threading.current_thread():
            self._ticker.join(STOP_S)  # it may be looking up many answers
        self.screen.live(())

    def state(self) -> dict[str, Json]:
        """What goes on now: counts by stage, calls in flight, tokens, cost, budgets, and the seconds that are left."""
        now = self.clock()
        flights = self.flights.now()
        written = _written(flight.provider for flight in flights)
        if now - self._budgets_at >= BUDGETS_S:
            self._budgets_at, self._uses = now, self.budgets()
        with self.guard:
            stages = {
                stage: {"planned": self.planned[stage], "made": self.done[stage], **self.counts.get(stage, {})}
                for stage in self.planned | self.done
            }
            done, tokens = self.done.total(), self.completion_tokens
            totals = (self.calls, self.prompt_tokens, self.cached_tokens, self.completion_tokens, self.cost_usd)
        speed, made_a_second = self._speeds(now, tokens + sum(written.values()), done)
        names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd")
        return {
            "seconds": round(now - self.started, 1),
            "stages": stages,
            "in_flight": [
                {
                    "gen_id": flight.gen_id,
                    "stage": flight.kind[0],
                    "model": flight.model_id,
                    "seconds": round(now - (flight.sent or flight.wanted), 1),
                    "waits": flight.sent is None,
                    "tokens": written.get(flight.gen_id),
                }
                for flight in flights[:SHOWN_FLIGHTS]
            ],
            "calls_in_flight": sum(flight.sent is not None for flight in flights),
            "calls_waiting": sum(flight.sent is None for flight in flights),
            "jobs": [{"rule": rule, "seconds": round(now - since, 1)} for rule, since in list(self.jobs.values())],
            **dict(zip(names, totals, strict=True)),
            "tokens_per_s": speed,
            "budgets": [
                {"name": use.name, "unit": use.unit, "cap": use.cap, "spent": use.spent, "reserved": use.reserved}
                for use in self._uses
            ],
            "calls_left": None if (left := self.calls_left()) is None else left.total(),
            "left_s": self._seconds_left(left, made_a_second),
            "has_later": self.has_later,
        }

    def _speeds(self, now: float, tokens: int, done: int) -> tuple[float | None, float]:
        """Tokens written and generations done a second, in the last seconds."""
        window = self._window
        while window and now - window[0][0] > WINDOW_S:
            window.popleft()
        speeds: tuple[float | None, float] = (None, 0.0)
        if window and now > window[0][0]:
            passed = now - window[0][0]
            speeds = round(max(tokens - window[0][1], 0) / passed, 1) or None, (done - window[0][2]) / passed
        window.append((now, tokens, done))
        return speeds

    def calls_left(self) -> Counter[Kind] | None:
        """The generations that still need calls, by stage and model; None while that is unknown."""
        with self.guard:
            if self.stored is None:
                return None
            left = Counter()
            for kind, count in self.to_call.items():
                stored = max(self.stored[kind], self.without[kind])
                left[kind] = max(count - stored - self.by_calls[kind] - self.gone[kind], 0)
            return +left

    def _seconds_left(self, left: Counter[Kind] | None, made_a_second: float) -> list[float] | None:
        """The least and the most seconds that are left; None if unknown."""
        if left is None:
            return None
        if left:
            with self.guard:
                made = Counter(self.by_calls)
            seconds = self.flights.seconds_left(left, made)
            return [round(each, 1) for each in seconds] if seconds else None
        rest = self.planned.total() - self.done.total() - sum(each["not_made"] for each in self.counts.values())
        rest -= self.out_of_reach
        if rest <= 0 or not made_a_second:
            return None
        return [round(rest / made_a_second, 1)] * 2  # no call is left, so what was made lately says how long it takes

    def summary(self, tables: Iterable[str]) -> list[str]:
        """The last lines of a run: its tables, then its totals."""
        lines = ["", *(table + "\n" for table in tables)]
        if self.planned:
            stored = sum(counts["from_store"] for counts in self.counts.values())
            more = f" ({stored:,} from the store)" if stored else ""
            made = f"{self.done.total():,} of {self.planned.total():,} generations made{more}"
            lines.append(f"{made} · {self.totals()}")
        lines += [f"{what} ({count:,} times)" for what, count in self.others.most_common(SHOWN_OTHERS)]
        if len(self.others) > SHOWN_OTHERS:
            lines.append(
                f"and {len(self.others) - SHOWN_OTHERS:,} more: see the warnings under parsed in metadata.json"
            )
        if self.odd:
            lines.append(f"{self.odd:,} answers had odd fields: see the warnings under parsed in their metadata.json")
        if counts := [f"{self.status[s]:,} {s}" for s in NOT_OK if self.status[s]]:
            lines.append(
                f"{', '.join(counts)}: see status and reason in their metadata.json; "
                "'snakemake retry_failed' draws new samples for the failed generations"
            )
        return lines

    def totals(self) -> str:
        """Calls, tokens and cost of this run."""
        tokens = f"{self.prompt_tokens + self.completion_tokens:,} tokens"
        if self.cached_tokens:
            tokens += f" ({self.cached_tokens:,} cached)"
        cost = f" · ${self.cost_usd:.4f}" if self.cost_usd else ""
        return f"{self.calls:,} calls · {tokens}{cost}"


def _written(providers: Iterable[str]) -> dict[str, int]:
    """The tokens of the answers that are being written, by generation, as far as the providers know."""
    return {gen_id: n for name in set(providers) for gen_id, n in provider(name).written().items()}


def line_parts(state: Mapping[str, Json]) -> list[tuple[int, str]]:
    """The line of progress, in parts with their importance (0 is the most important)."""
    stages = state["stages"].values()
    made, planned = (sum(stage[name] for stage in stages) for name in ("made", "planned"))
    stored, failed, not_made = (
        sum(stage.get(name, 0) for stage in stages) for name in ("from_store", "failed", "not_made")
    )
    parts = [(0, f"{made:,}/{planned:,} made")] if planned else []
    if stored:
        parts.append((5, f"{stored:,} from store"))
    if failed + not_made:
        parts.append((2, f"{failed + not_made:,} failed"))
    if state["calls_in_flight"]:
        oldest = max(flight["seconds"] for flight in state["in_flight"] if not flight["waits"])
        parts.append((4, f"{state['calls_in_flight']:,} in flight, {duration(oldest)}"))
    if state["calls_waiting"] and not state["calls_in_flight"]:
        parts.append((4, f"{state['calls_waiting']:,} wait"))
    if not state["calls_in_flight"] and state["jobs"]:
        job = max(state["jobs"], key=lambda job: job["seconds"])
        parts.append((4, f"{job['rule']} {duration(job['seconds'])}"))
    if money := money_text(state):
        parts.append((3, money))
    if state["tokens_per_s"]:
        speed = state["tokens_per_s"]
        parts.append((6, f"{speed:,.{0 if speed >= 10 else 1}f} tokens/s"))
    if left := left_text(state):
        parts.append((1, left))
    return parts


def money_text(state: Mapping[str, Json]) -> str:
    """The cost of the run and the tightest of its budgets, "" if it costs nothing and has none."""
    cost = f"${state['cost_usd']:.4f}" if state["cost_usd"] else ""
    if not state["budgets"]:
        return cost

    def share_left(use: Mapping[str, Json]) -> float:
        return (use["cap"] - use["spent"] - use["reserved"]) / use["cap"] if use["cap"] else 0.0

    use = min(state["budgets"], key=share_left)
    spent, cap = amount(use["spent"], use["unit"]), amount(use["cap"], use["unit"])
    if use["name"] == "run" and use["unit"] == "usd":
        return f"{spent} of {cap}"
    return " ".join(part for part in (cost, f"({use['name']}: {spent} of {cap})") if part)


def left_text(state: Mapping[str, Json]) -> str:
    """The time that is left, "" while nobody can know it. If the run may plan more, it is the least."""
    if state["left_s"] is None:
        return ""
    least, most = state["left_s"]
    if state["has_later"]:
        return f"at least {duration(least)} left" if least else ""
    if most <= ROUGH_S:
        return f"under {duration(max(most, 1))} left"
    if most > WIDEST * least:
        return ""
    low, high = duration(least), duration(most)
    (low_number, _, low_unit), (high_number, _, high_unit) = low.partition(" "), high.partition(" ")
    if (low_number, low_unit) == (high_number, high_unit):
        return f"about {high} left"
    return f"{low_number if low_unit == high_unit else low} to {high} left"


def duration(seconds: float) -> str:
    """Seconds as text: 45 s, 3:05 min, 2:10 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
