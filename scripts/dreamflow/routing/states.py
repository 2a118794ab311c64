"""Metabolic states: how much a question may cost after what was measured in the last cycle.

Each state has an ATP budget for a question and a multiplier of the value of a success. In `crisis` the most capable
model answers and the budget does not hold. `rest` unloads models: a phase of a night is a process of its own, so the
memory of its models is freed when it ends.

| from   | to     | when (first match wins)                     | in the original               |
|--------|--------|---------------------------------------------|-------------------------------|
| wake   | crisis | frustration > .7, or 3 consecutive failures | the same                      |
|        | focus  | highest salience >= .7                      | salience >= .7                |
|        | rest   | 100 cycles without rest; load > .8 by day   | every 100 cycles; energy < 20 |
|        | dream  | load > .8 at night; it is night             | fatigue > 80 if safe; nothing |
| focus  | crisis | as in wake                                  | nothing                       |
|        | rest   | 300 s of work since it began                | after 300 s                   |
|        | wake   | mean salience < .35, or nothing new         | salience < .35                |
| rest   | crisis | highest salience > .9                       | salience > .9                 |
|        | dream  | it is night                                 | nothing                       |
|        | wake   | 10 cycles                                   | 10 cycles                     |
| dream  | crisis | as in wake                                  | nothing                       |
|        | wake   | the night is over, or 20 cycles             | 20 cycles                     |
| crisis | focus  | frustration < .5 after 5 cycles             | the same                      |

What is measured (`measure`): *frustration* is the share of failures among the outcomes that were expected to succeed:
a weak model that fails, as it always did, is no crisis; a trusted one that fails is. *Failures* are calls and phases
that failed, one after the other. *Salience* is that of the cycle's new experiences. *Load* is the share of the time or
budget of a cycle that was used: 100 x load is the original's fatigue, and 100 x (1 - load) its energy. *Night*: this
cycle is one of `snakemake night`, when nobody waits for an answer. A cycle is one of trust.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import NamedTuple

from ..generation.model import Json


class State(NamedTuple):
    """What a state allows: ATP a question, and what a success is worth compared with `wake`."""

    budget_atp: float
    multiplier: float


STATES: Mapping[str, State] = {
    "wake": State(100, 1.0),
    "focus": State(120, 1.5),
    "rest": State(60, 0.6),
    "dream": State(80, 0.8),
    "crisis": State(150, 2.0),
}
FIRST = "wake"

FRUSTRATED, CALM, CRISIS_CYCLES, FAILURES = 0.7, 0.5, 5, 3
SALIENT, DULL, ALARMING = 0.7, 0.35, 0.9
FOCUS_S = 300
CYCLES_WITHOUT_REST, REST_CYCLES, DREAM_CYCLES = 100, 10, 20
EXHAUSTED = 0.8
FEWEST_EXPECTED = 3  # outcomes that were expected to succeed, below which frustration is unknown
SUCCESS = 0.5  # the lowest outcome, and the lowest expectation, that counts as a success


def measure(
    cycle: int,
    *,
    night: bool = False,
    outcomes: Iterable[tuple[float, float | None]] = (),
    succeeded: Iterable[bool] = (),
    saliences: Iterable[float] = (),
    busy_s: float = 0.0,
    load: float | None = None,
) -> dict[str, Json]:
    """Return what was measured in a cycle, for `next_state`.

    `outcomes` are (outcome, expected outcome before it or None), both 0-1. `succeeded` says for each call or phase, in
    the order of time, whether it did. `busy_s` are the seconds of all calls, `load` the used share of the cycle's time
    or budget (None: no limit). Unknown measures are None: frustration with fewer than `FEWEST_EXPECTED` outcomes that
    were expected to succeed, salience without new experiences.
    """
    expected = [outcome for outcome, mean in outcomes if mean is not None and mean >= SUCCESS]
    wrong = sum(outcome < SUCCESS for outcome in expected)
    failures = longest = 0
    for success in succeeded:
        failures = 0 if success else failures + 1
        longest = max(longest, failures)
    new = list(saliences)
    return {
        "cycle": cycle,
        "night": night,
        "frustration": wrong / len(expected) if len(expected) >= FEWEST_EXPECTED else None,
        "expected": len(expected),
        "failures": longest,
        "salience_mean": fmean(new) if new else None,
        "salience_max": max(new, default=None),
        "busy_s": busy_s,
        "load": load,
    }


def next_state(previous: Mapping[str, Json] | None, measured: Mapping[str, Json]) -> dict[str, Json]:
    """Return the state after a cycle: name, budget_atp, multiplier, entered_cycle, reasons in words, and what was
    measured; also, for the next cycle, rested_cycle (the last in rest or dream) and focused_s (work in this focus).

    `previous` is the state of the cycle before, as returned then; None for the first. A damaged one counts as none. A
    transition is taken at most once a cycle. Unknown measures trigger nothing.
    """
    cycle = int(_known(measured, "cycle") or 0)
    problem = _problem(previous, cycle)
    if previous is None or problem:
        return _state(FIRST, cycle, cycle, 0.0, [problem or "no earlier state: it begins as wake"], measured)
    name, entered = previous["name"], previous["entered_cycle"]
    rested = cycle if name in ("rest", "dream") else _known(previous, "rested_cycle")
    focused_s = (_known(previous, "focused_s") or 0.0) + (_known(measured, "busy_s") or 0.0) if name == "focus" else 0.0
    since = _Since(cycle - entered, cycle - (entered if rested is None else int(rested)), focused_s)
    for target, check in _TRANSITIONS[name]:
        if reason := check(measured, since):
            reasons = [f"{name} -> {target}: {reason}"]
            return _state(target, cycle, rested, 0.0, reasons, measured)
    return _state(name, entered, rested, focused_s, [f"still {name}: no transition applies"], measured)


class _Since(NamedTuple):
    """Cycles in the state and without rest, and seconds of work in the state."""

    cycles: int
    rest: int
    focused_s: float


_Check = Callable[[Mapping[str, Json], _Since], str]  # the reason for a transition; empty if there is none


def _frustrated(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "frustration")
    return f"frustration {value:.2f} > {FRUSTRATED}" if value is not None and value > FRUSTRATED else ""


def _failing(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "failures")
    return f"{value:.0f} consecutive failures >= {FAILURES}" if value is not None and value >= FAILURES else ""


def _salient(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "salience_max")
    return f"highest salience {value:.2f} >= {SALIENT}" if value is not None and value >= SALIENT else ""


def _alarming(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "salience_max")
    return f"highest salience {value:.2f} > {ALARMING}" if value is not None and value > ALARMING else ""


def _dull(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "salience_mean")
    if value is None:
        return "no new experiences"
    return f"mean salience {value:.2f} < {DULL}" if value < DULL else ""


def _restless(measured: Mapping[str, Json], since: _Since) -> str:
    return f"{since.rest} cycles without rest >= {CYCLES_WITHOUT_REST}" if since.rest >= CYCLES_WITHOUT_REST else ""


def _exhausted(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "load")
    return f"load {value:.2f} > {EXHAUSTED}" if value is not None and value > EXHAUSTED else ""


def _exhausted_at_night(measured: Mapping[str, Json], since: _Since) -> str:
    reason = _exhausted(measured, since)
    return f"{reason}, and it is night" if reason and measured.get("night") else ""


def _at_night(measured: Mapping[str, Json], since: _Since) -> str:
    return "it is night: nobody waits" if measured.get("night") else ""


def _by_day(measured: Mapping[str, Json], since: _Since) -> str:
    return "" if measured.get("night") else "the night is over"


def _focused(measured: Mapping[str, Json], since: _Since) -> str:
    return f"{since.focused_s:.0f} s of work in focus >= {FOCUS_S}" if since.focused_s >= FOCUS_S else ""


def _calm(measured: Mapping[str, Json], since: _Since) -> str:
    value = _known(measured, "frustration")
    is_calm = value is not None and value < CALM and since.cycles >= CRISIS_CYCLES
    return f"frustration {value:.2f} < {CALM} after {since.cycles} cycles" if is_calm else ""


def _after(cycles: int) -> _Check:
    return lambda _, since: f"{since.cycles} cycles >= {cycles}" if since.cycles >= cycles else ""


_CRISIS: Sequence[tuple[str, _Check]] = (("crisis", _frustrated), ("crisis", _failing))
_TRANSITIONS: Mapping[str, Sequence[tuple[str, _Check]]] = {
    "wake": (
        *(*_CRISIS, ("focus", _salient), ("rest", _restless)),
        *(("dream", _exhausted_at_night), ("rest", _exhausted), ("dream", _at_night)),
    ),
    "focus": (*_CRISIS, ("rest", _focused), ("wake", _dull)),
    "rest": (("crisis", _alarming), ("dream", _at_night), ("wake", _after(REST_CYCLES))),
    "dream": (*_CRISIS, ("wake", _by_day), ("wake", _after(DREAM_CYCLES))),
    "crisis": (("focus", _calm),),
}


def _state(
    name: str, entered: int, rested: Json, focused_s: float, reasons: list[str], measured: Mapping[str, Json]
) -> dict[str, Json]:
    return {
        "name": name,
        **STATES[name]._asdict(),
        "entered_cycle": entered,
        "rested_cycle": rested,
        "focused_s": focused_s,
        "reasons": reasons,
        "measured": dict(measured),
    }


def _known(values: Mapping[str, Json], key: str) -> float | None:
    """Return a number; None for anything else, and for NaN."""
    value = values.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return value if is_number else None


def _problem(previous: Json, cycle: int) -> str:
    """Return why an earlier state cannot be used; "" if it can."""
    if previous is None:
        return ""
    if not isinstance(previous, Mapping) or not isinstance(previous.get("name"), str):
        return "the earlier state is damaged: it has no name; it begins as wake"
    if previous["name"] not in STATES:
        return f"the earlier state {previous['name']!r} is unknown (known: {', '.join(STATES)}); it begins as wake"
    entered = previous.get("entered_cycle")
    if not isinstance(entered, int) or isinstance(entered, bool) or entered < 0:
        return f"the earlier state is damaged: entered_cycle is {entered!r}; it begins as wake"
    if entered > cycle:
        return f"the earlier state was entered in cycle {entered}, after this one ({cycle}); it begins as wake"
    return ""
