"""Run the phases of a night: each is a process of its own, so that it plans with what earlier phases have made, frees
the memory of its models when it ends, and cannot stop the others by failing.

Ctrl-C and the limit of time interrupt the process of a phase in order (SIGINT to its process group, a second one after
`GRACE_S`, at last SIGKILL). Money, tokens and ATP are limited by budgets in those processes.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import msgspec

from ..cycles import NIGHT
from ..errors import DreamflowError
from .state import INTERRUPTED, Night, Phase

GRACE_S = 60.0  # for calls in flight
POLL_S = 0.1
LAST_S = 30.0  # of the time of a night are kept for what always runs, at most a tenth
_WHY_LINES = 2  # of the output of a phase that could not say why it failed
# Programs that a script puts into the background ignore SIGINT, and so would the phases.
_HEED_INTERRUPTS = (
    "import os,signal,sys;signal.signal(signal.SIGINT,signal.SIG_DFL);os.execvp(sys.argv[1],sys.argv[1:])"
)


@dataclass(frozen=True)
class Step:
    """A phase to run. `skip()` returns why it is left out, "" if it is not; `is_last`: it runs even if the time is
    over."""

    phase: str
    target: str
    skip: Callable[[], str] = lambda: ""
    is_last: bool = False


class Totals(msgspec.Struct):
    """What the calls of a night took so far, and the generations that it made, by stage; how many of its runs came to
    their end, and the problems of the last one."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    atp: float = 0.0
    made: Mapping[str, int] = {}
    runs: int = 0
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a night needs to know of the outside: the `command` for a target and the `directory` to run it in, the
    `totals` of its calls, whether the whole night is `stopping`, where to `show` text, the descriptor of the `lock`,
    which phases inherit; and `blocked(output)`: why a phase could not even begin, which is not its fault ("" if it
    could). Lines of the output that begin with `chatter` are neither shown nor a reason."""

    command: Callable[[str], Sequence[str]]
    totals: Callable[[], Totals]
    stopping: Event
    show: Callable[[str], None]
    lock: int | None = None
    blocked: Callable[[str], str] = lambda output: ""
    chatter: tuple[str, ...] = ()
    directory: str | None = None


def run_phases(night: Night, steps: Sequence[Step], around: Surroundings) -> None:
    """Run the phases that have not ended yet, in order.

    Raises a `DreamflowError` if the night is interrupted, or if a phase cannot begin; it then goes on in the next run.
    """
    for step in steps:
        if step.phase in night.phases:
            continue
        if around.stopping.is_set():
            raise DreamflowError(f"night {night.number} was interrupted before {step.phase}: {_GO_ON}")
        left = _seconds_left(night)
        is_over = left is not None and left <= 0 and not step.is_last
        started = datetime.now(UTC).isoformat(timespec="seconds")
        phase = Phase(phase=step.phase, target=step.target, started=started, status="stopped", why=_over(night))
        if not is_over:
            phase.status, phase.why = "skipped", _reason(step)
            if not phase.why:
                _run(night, step, phase, None if step.is_last else left, around)
        night.add(phase)
        around.show(_line(phase))
        if phase.status == INTERRUPTED:
            raise DreamflowError(f"night {night.number} was interrupted during {step.phase}: {_GO_ON}")


def run_after(night: Night, step: Step, around: Surroundings) -> None:
    """Run what shows the night. It is no phase: the night has its journal and is over, whatever becomes of this."""
    if around.stopping.is_set() or _reason(step):
        return
    phase = Phase(phase=step.phase, target=step.target, started="", status="failed")
    with suppress(DreamflowError):  # it cannot begin
        _run(night, step, phase, None, around)
    around.show(_line(phase))


_GO_ON = "'snakemake night' goes on with it"


def _seconds_left(night: Night) -> float | None:
    """The seconds until the last phases should begin; None without a limit."""
    if night.limits.minutes is None:
        return None
    seconds = 60 * night.limits.minutes
    return seconds - min(LAST_S, seconds / 10) - night.spent_s


def _over(night: Night) -> str:
    return f"the night's {night.limits.minutes:g} minutes are over" if night.limits.minutes is not None else ""


def _reason(step: Step) -> str:
    """Why a phase is left out; a problem with finding out is one that the phase itself will tell."""
    try:
        return step.skip()
    except Exception:
        return ""


def _run(night: Night, step: Step, phase: Phase, seconds: float | None, around: Surroundings) -> None:
    """Run the process of a phase, and note in `phase` how it ended."""
    log = night.folder / "logs" / f"{step.phase}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    around.show(f"night {night.number}, {step.phase}: snakemake {step.target}")
    before, begin = around.totals(), time.monotonic()
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", _HEED_INTERRUPTS, *around.command(step.target)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=around.directory,
            env={**os.environ, NIGHT: str(night.number)},
            start_new_session=True,
            pass_fds=() if around.lock is None else (around.lock,),
        )
    ended_by = _wait(process, _Follower(log, start, around), None if seconds is None else begin + seconds, around)
    phase.seconds = round(time.monotonic() - begin, 1)
    text = log.read_bytes()[start:].decode("utf-8", "replace")
    if process.returncode and not ended_by and (problem := around.blocked(text)):
        raise DreamflowError(f"night {night.number} could not begin its phase {step.phase}: {problem}")
    totals = around.totals()
    for name in ("calls", "tokens", "usd", "atp"):
        known = sum(getattr(each, name) for each in night.lines)
        setattr(phase, name, round(max(getattr(totals, name) - known, 0), 9))
    counted: dict[str, int] = {}
    for each in night.lines:
        for stage, count in each.made.items():
            counted[stage] = counted.get(stage, 0) + count
    phase.made = {stage: more for stage, n in totals.made.items() if (more := n - counted.get(stage, 0)) > 0}
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(around.chatter)]
    problems = totals.problems if totals.runs > before.runs else ()
    phase.status, phase.why = _ending(process.returncode, ended_by, lines, problems, night)


def _ending(code: int, ended_by: str, lines: Sequence[str], problems: Sequence[str], night: Night) -> tuple[str, str]:
    if code == 0:
        return "done", ""
    if ended_by == "time":
        return "stopped", _over(night)
    if ended_by == "interrupt":
        return INTERRUPTED, "interrupted"
    why = "; ".join(problems) or " ".join(lines[-_WHY_LINES:])
    if code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else str(-code)
        why = f"its process was killed ({name})" + (f"; {why}" if why else "")
    status = "stopped" if any("the budget night does not allow" in line for line in lines) else "failed"
    return status, why or f"exit status {code}"


class _Follower:
    """Shows what is added to a file. A phase writes to a file, so it does not depend on who reads it."""

    def __init__(self, path: Path, start: int, around: Surroundings) -> None:
        self.path, self.at, self.around, self.rest = path, start, around, b""

    def follow(self) -> None:
        with self.path.open("rb") as stream:
            stream.seek(self.at)
            new = stream.read()
        self.at += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        for line in (line.decode("utf-8", "replace") for line in lines):
            if not line.startswith(self.around.chatter):
                self.around.show(line)


def _wait(process: subprocess.Popen[bytes], follower: _Follower, deadline: float | None, around: Surroundings) -> str:
    """Wait for a process; returns "time" or "interrupt" if it was ended for that reason, else ""."""
    ended_by, signals = "", [signal.SIGINT, signal.SIGINT]
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
        follower.follow()
        if process.returncode is not None:
            return ended_by
        now = time.monotonic()
        if not ended_by and around.stopping.is_set():
            ended_by, deadline = "interrupt", now
        elif not ended_by and deadline is not None and now >= deadline:
            ended_by = "time"
        if ended_by and now >= deadline:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signals.pop(0) if signals else signal.SIGKILL)
            deadline = now + GRACE_S


def _line(phase: Phase) -> str:
    return f"{phase.phase}: {phase.status}" + (f" ({phase.why})" if phase.why else "")
