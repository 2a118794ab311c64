"""The classes of faults of the matrix: functions that make a trial go through one of them.

`tests/workflow/test_faults.py` runs them with few chains, `tests/benchmarks/faults.py` with as many as one wants.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from dreamflow.files import write_atomic
from faults import ODD, SAID_NO, TRANSIENT, shares
from matrix import KEYS, Trial
from project import Project

STAGES = {"draft": "Join", "essay": "Write", "evaluation": "Rate"}  # the first words of their prompts
LATENCY_S = 0.05
CALM = {"latency_s": LATENCY_S}


def transient(trial: Trial) -> None:
    """A dozen kinds of faults that pass, at a tenth of all calls, or more if there are few calls."""
    trial.service.change(CALM | {"faults": shares(TRANSIENT, max(0.1, 6 / trial.chains))})
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()
    trial.check_lost(trial.now(), kills=0)
    trial.check_once()


def odd_bodies(trial: Trial) -> None:
    """Answers in odd forms, a third of all: each is read, or is a failed attempt with its reason."""
    trial.service.change(CALM | {"faults": shares(ODD, 0.34)})
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete(failures=True)


def refused_questions(trial: Trial) -> None:
    """Questions that are refused for what they say, as Azure and others do with status 400."""
    trial.service.change(CALM | {"faults": shares(SAID_NO, 0.2), "faults_per_question": 9})
    trial.run()
    trial.check_ledger()
    trial.check_complete(failures=True)


def killed(trial: Trial) -> None:
    """kill -9 in every stage."""
    trial.service.change({"latency_s": 4 * LATENCY_S})
    for share, kind in enumerate(STAGES.values(), 2):
        process = trial.start()
        trial.service.wait(kind, max(1, trial.chains // share))
        trial.end(process, signal.SIGKILL)
        trial.service.wait("quiet")
    trial.service.change(CALM)
    before = trial.now()
    trial.run_at_last()
    trial.check_lost(before, kills=len(STAGES))
    trial.check_ledger(before)
    trial.check_complete()


def interrupted(trial: Trial) -> None:
    """Ctrl-C: the calls in flight are finished and stored, and no other is made."""
    process = trial.start()
    trial.service.wait(STAGES["essay"], trial.chains // 2)
    status = trial.end(process, signal.SIGINT)
    trial.expect(status != 0, "a run that was stopped has exit status 0")
    trial.check_told("Run the same command again to continue")
    trial.check_ledger()
    calls = trial.service.counts()["calls"]
    trial.expect(calls <= 3 * trial.chains - 1, "the run went on to its end")
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


def interrupted_twice(trial: Trial) -> None:
    """Ctrl-C twice, while the server keeps the run waiting: it ends, and the next run goes on."""
    trial.service.change(CALM | {"hold_after": trial.chains})
    process = trial.start()
    trial.service.wait("answers", trial.chains)
    trial.end(process, signal.SIGINT, signal.SIGINT)
    trial.service.change(CALM)
    before = trial.now()
    trial.run_at_last()
    trial.check_lost(before, kills=1)
    trial.check_ledger(before)
    trial.check_complete()


def full_disk(trial: Trial) -> None:
    """A disk that fills in the middle of the run: what cannot be stored is not asked."""
    process, data = trial.start_on_small_disk(30_000_000 + 100_000 * trial.chains)
    trial.service.wait(STAGES["essay"], trial.chains // 2)
    fill(data / "filler")
    trial.end(process)
    trial.keep_small_disk()
    before = trial.now()
    trial.expect(before.answers < 3 * trial.chains, f"the run went on to its end: {before.answers} answers")
    trial.check_told("(?i)the disk is|is full|no space")
    trial.run_at_last()
    trial.check_lost(before, kills=1)
    trial.check_ledger(before)
    trial.check_complete()


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def read_only(trial: Trial) -> None:
    """A store that cannot be written: nothing is asked."""
    store = trial.project.root / "data" / "store"
    store.mkdir(parents=True)
    trial.end(trial.start_in_sandbox("--ro-bind", str(store), str(store)))
    calls = trial.service.counts()["calls"]
    trial.expect(calls == 0, f"{calls} questions were asked although no answer can be stored")
    trial.check_told("Make the folder and its files writable")
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()


def two_processes(trial: Trial) -> None:
    """Two runs of the same plan on one data folder, at the same time."""
    twin = Project.at(trial.project.root.with_name("twin"))
    shutil.copytree(trial.project.root / "config", twin.root / "config")
    data = trial.project.root / "data"
    twin.edit("config/config.yaml", data_root=str(data), raw_root=str(data / "1_raw"))
    runs = [trial.start(), twin.start(**KEYS)]
    for process in runs:
        trial.end(process)
    trial.check_ledger()
    trial.run_at_last()  # each Snakemake removes files before it makes them, maybe while the other reads them
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


def clock_jump(trial: Trial) -> None:
    """The clock goes an hour forward, then two days back, where Snakemake refuses what is older than its input."""
    clock = trial.project.root.with_name("clock")
    clock.write_text("+0\n")
    faked = {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",  # the file is read at every look at the clock
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    process = trial.start(**faked)
    for third, shift in ((1, "+1h\n"), (2, "-2d\n")):
        trial.service.wait(STAGES["draft"], third * trial.chains // 3)
        write_atomic(clock, shift)
    trial.end(process)
    trial.check_ledger()
    for path in trial.project.root.rglob("*"):  # Snakemake refuses files of the future
        os.utime(path)
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


def faketime() -> Path | None:
    """The library that fakes the time, if it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def wrong_key(trial: Trial) -> None:
    """One model's key is refused: it is not asked further, all others go on, and a line says what to do."""
    trial.service.change(CALM | {"models": {"judge": [("401", 1.0)]}, "faults_per_question": 9})
    status = trial.run()
    trial.expect(status == 1, f"the exit status is {status}")
    asked = trial.service.counts()["kinds"].get("Rate", 0)
    trial.expect(asked < trial.chains, f"{asked} of {trial.chains} questions met the wrong key")
    trial.check_told(r"\d+ generations? were not made")
    done = {stage: counts.get("ok") for stage, counts in trial.statuses().items()}
    trial.expect(done == {"draft": trial.chains, "essay": trial.chains, "evaluation": None}, f"made: {done}")
    trial.check_ledger()
    trial.service.change(CALM)
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


def small_budget(trial: Trial) -> None:
    """A budget for the day that is used up in the middle: not a cent more is spent, and a larger one goes on."""
    worst = 0.0046  # of an evaluation: three attempts, the last with four times the limit
    cap = worst + trial.chains * 0.00001  # a chain costs $0.00017
    trial.project.edit("config/config.yaml", budgets={"day": {"usd": cap}})
    trial.run()
    spent = trial.service.counts()["cost_usd"]
    trial.expect(spent <= cap, f"${spent} were spent of ${cap}")
    trial.expect(spent > cap - 1.1 * worst, f"only ${spent} were spent of ${cap}")
    trial.check_told("generations were not made")
    trial.check_ledger()
    trial.project.edit("config/config.yaml", budgets={"day": {"usd": 100 * cap}})
    trial.run_at_last()
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


def batches(trial: Trial) -> None:
    """Batches of two providers: items expire, and the answer to the creation of a batch is lost."""
    outcomes = ["ok", "expired", "ok", "canceled"] * (trial.chains // 8)
    trial.project.edit("config/config.yaml", batch=list(STAGES), call_attempts=1)
    trial.service.change(CALM | {"batch_outcomes": outcomes, "batch_replies_lost": 1})
    for _ in range(8):  # three stages, and again for what expired
        trial.run()
        if all(counts == {"ok": trial.chains} for counts in trial.statuses().values()):
            break
    trial.check_ledger()
    trial.check_complete()
    trial.check_once()


CLASSES: dict[str, Callable[[Trial], None]] = {
    one.__name__: one
    for one in (
        transient,
        odd_bodies,
        refused_questions,
        killed,
        interrupted,
        interrupted_twice,
        full_disk,
        read_only,
        two_processes,
        clock_jump,
        wrong_key,
        small_budget,
        batches,
    )
}
