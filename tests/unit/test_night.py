"""The driver of a night, with small programs as its phases: order, limits, crashes, damaged files, the lock."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dreamflow.cycles import current_cycle, last_cycles, open_night
from dreamflow.errors import DreamflowError
from dreamflow.generation.store import add_spent, database
from dreamflow.nights import driver
from dreamflow.nights.driver import Step, Surroundings, Totals, run_after, run_phases
from dreamflow.nights.lock import NightRuns, night_lock
from dreamflow.nights.state import Limits, begin
from dreamflow.nights.totals import last_night

NOW = datetime(2026, 3, 1, 22, tzinfo=UTC)
SCRIPTS = str(Path(driver.__file__).parents[2])

# A phase that writes its name, then does what the file of its name in the folder `do` says.
PROGRAM = """
import os, pathlib, sys
name = sys.argv[1]
with open("ran", "a") as stream:
    stream.write(f"{name} {os.environ['DREAMFLOW_NIGHT']}\\n")
path = pathlib.Path("do", name)
exec(path.read_text() if path.exists() else "")
"""
WAIT_FOR_INTERRUPT = """
import signal
print("waiting", flush=True)
try:
    signal.pause()
except KeyboardInterrupt:
    print("kept everything", flush=True)
    sys.exit(1)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "do").mkdir()
    return tmp_path / "data"


def command(target):
    return [sys.executable, "-c", PROGRAM, target]


def do(name, code):
    Path("do", name).write_text(code)


def ran():
    path = Path("ran")
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def around(**changes):
    shown = changes.pop("shown", [])
    values = {"command": command, "totals": Totals, "stopping": threading.Event(), "show": shown.append}
    return Surroundings(**{**values, **changes})


def night(root, limits=None, cycles=None, now=NOW):
    return begin(root, limits or Limits(), cycles or {}, now)


STEPS = [Step("chunks", "chunks"), Step("dreams", "dreams"), Step("trust", "trust", is_last=True)]


def statuses(one):
    return {name: phase.status for name, phase in one.phases.items()}


def test_phases_run_in_order_and_a_failed_one_does_not_stop_the_next(root):
    do("dreams", "print('a reason\\nUsing a profile', flush=True); sys.exit(3)")
    one, shown = night(root), []
    run_phases(one, STEPS, around(shown=shown, chatter=("Using ",)))
    assert ran() == ["chunks", "dreams", "trust"]
    assert Path("ran").read_text().splitlines()[0] == "chunks 1"
    assert statuses(one) == {"chunks": "done", "dreams": "failed", "trust": "done"}
    assert one.phases["dreams"].why == "a reason"
    assert "a reason" in shown and "Using a profile" not in shown
    assert (one.folder / "logs/dreams.log").read_text() == "a reason\nUsing a profile\n"
    again = night(root)
    assert again.number == 1 and statuses(again) == statuses(one)


def test_what_shows_a_night_is_no_phase_and_may_fail(root):
    do("site", "print('made', flush=True); sys.exit(3)")
    one, shown = night(root), []
    run_after(one, Step("site", "site"), around(shown=shown))
    run_after(one, Step("site", "site", lambda: "there is no site"), around())
    assert ran() == ["site"] and "made" in shown
    assert statuses(one) == statuses(night(root)) == {}


def test_a_phase_that_is_left_out_says_why(root):
    one = night(root)
    run_phases(one, [Step("upgrade", "upgrade", lambda: "no tier above basic has a model")], around())
    assert ran() == []
    assert (one.phases["upgrade"].status, one.phases["upgrade"].why) == ("skipped", "no tier above basic has a model")


def test_when_the_time_is_over_the_phase_ends_in_order_and_only_the_last_phases_follow(root):
    do("chunks", WAIT_FOR_INTERRUPT)
    one = night(root, Limits(minutes=0.01))
    run_phases(one, STEPS, around())
    assert ran() == ["chunks", "trust"]
    assert statuses(one) == {"chunks": "stopped", "dreams": "stopped", "trust": "done"}
    assert one.phases["dreams"].why == "the night's 0.01 minutes are over"
    assert "kept everything" in (one.folder / "logs/chunks.log").read_text()


def test_a_phase_that_does_not_end_in_order_is_killed(root, monkeypatch):
    monkeypatch.setattr(driver, "GRACE_S", 0.05)
    do("chunks", "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\nwhile True: signal.pause()")
    one = night(root, Limits(minutes=0.01))
    run_phases(one, STEPS[:1], around())
    assert statuses(one) == {"chunks": "stopped"}


def test_an_interrupted_night_stays_open_and_goes_on_with_the_phase(root):
    stopping = threading.Event()
    do("dreams", WAIT_FOR_INTERRUPT)

    def show(line):
        if line == "waiting":
            stopping.set()

    one = night(root, cycles={"procedures/demo": 2})
    with pytest.raises(DreamflowError, match=r"interrupted during dreams.*goes on"):
        run_phases(one, STEPS, around(show=show, stopping=stopping))
    assert open_night(root) == 1
    do("dreams", "")
    again = night(root, cycles={"procedures/demo": 3})
    assert again.cycles == {"procedures/demo": 2}  # as pinned when the night began
    run_phases(again, STEPS, around())
    assert ran() == ["chunks", "dreams", "dreams", "trust"]
    assert [line.status for line in again.lines] == ["done", "interrupted", "done", "done"]


def test_a_killed_night_goes_on_and_counts_what_the_killed_phase_took(root):
    one = night(root)
    run_phases(one, STEPS[:1], around(totals=lambda: Totals(calls=2, tokens=10, made={"chunk": 2})))
    with (one.folder / "phases.jsonl").open("a") as stream:
        stream.write('{"phase": "dreams", "target": "dre')  # it was killed while it wrote
    again = night(root)
    assert len(again.notes) == 1 and "phases.jsonl:2" in again.notes[0]
    run_phases(again, STEPS[:2], around(totals=lambda: Totals(calls=7, tokens=50, made={"chunk": 2, "variant": 5})))
    assert ran() == ["chunks", "dreams"]
    dreams = night(root).phases["dreams"]
    assert (dreams.calls, dreams.tokens, dreams.made) == (5, 40, {"variant": 5})


def test_a_phase_that_cannot_begin_leaves_the_night_open(root):
    do("chunks", "print('it is locked', flush=True); sys.exit(1)")
    one = night(root)
    with pytest.raises(DreamflowError, match="could not begin its phase chunks: unlock it"):
        run_phases(one, STEPS, around(blocked=lambda text: "unlock it" if "locked" in text else ""))
    assert night(root).phases == {} and ran() == ["chunks"]


def test_a_budget_of_the_night_stops_a_phase(root):
    do("chunks", "print('the budget night does not allow this call', flush=True); sys.exit(1)")
    one = night(root)
    runs = iter([Totals(), Totals(runs=1, problems=["the budget is used up"])])
    run_phases(one, STEPS[:1], around(totals=lambda: next(runs)))
    assert (one.phases["chunks"].status, one.phases["chunks"].why) == ("stopped", "the budget is used up")


def test_a_phase_that_cannot_start_does_not_have_the_problems_of_another(root):
    do("chunks", "print('no such rule', flush=True); sys.exit(1)")
    one = night(root)
    run_phases(one, STEPS[:1], around(totals=lambda: Totals(runs=1, problems=["of an earlier phase"])))
    assert one.phases["chunks"].why == "no such rule"


def test_a_program_in_the_background_ends_in_order_too(root):
    """Such a program ignores SIGINT; its phases must not."""
    do("chunks", WAIT_FOR_INTERRUPT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        one = night(root, Limits(minutes=0.01))
        run_phases(one, STEPS[:1], around())
    finally:
        signal.signal(signal.SIGINT, before)
    assert "kept everything" in (one.folder / "logs/chunks.log").read_text()


def test_after_its_journal_a_night_is_over_and_the_next_begins(root):
    one = night(root, cycles={"trust": 1})
    (one.folder / "journal.md").write_text("done")
    assert open_night(root) is None
    two = night(root, cycles={"trust": 2})
    assert (two.number, two.cycles, two.phases) == (2, {"trust": 2}, {})


def test_a_damaged_night_is_named_and_nothing_is_lost(root):
    path = night(root).folder / "night.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(DreamflowError, match=r"nights/1/night\.json: damaged: .*Restore it, or delete it"):
        night(root)
    with pytest.raises(DreamflowError, match=r"night\.json"):
        current_cycle(root, "trust", 1, 1)
    path.unlink()
    assert night(root).number == 2


def test_a_clock_that_went_back_is_noted(root):
    one = night(root)
    (one.folder / "journal.md").write_text("done")
    two = night(root, now=datetime(2026, 2, 1, tzinfo=UTC))
    assert two.number == 2 and "the clock went back: night 1 began at 2026-03-01" in two.notes[0]


def test_the_cycle_is_the_pinned_one_in_a_night_and_the_last_begun_by_day(root):
    assert current_cycle(root, "procedures/demo", 0, 0) == 1
    for number in (1, 2):
        (root / f"dreams/demo/cycle-{number}").mkdir(parents=True)
    (root / "dreams/demo/cycle-1/journal.md").write_text("done")
    cycles = last_cycles(root / "dreams/demo", "journal.md")
    assert cycles == (2, 1)
    assert current_cycle(root, "procedures/demo", *cycles) == 2
    one = night(root, cycles={"procedures/demo": 5})
    assert current_cycle(root, "procedures/demo", *cycles) == 5
    assert current_cycle(root, "procedures/other", 3, 3) == 3
    (one.folder / "journal.md").write_text("done")
    assert current_cycle(root, "procedures/demo", *cycles) == 2


def test_a_night_does_not_share_its_budget_with_one_whose_folder_was_deleted(root):
    database(root / "store").write(lambda connection: add_spent(connection, {"night:7": (1.0, 10, 2.0)}))
    one = begin(root, Limits(), {}, NOW, last_night(root / "store"))
    assert one.number == 8 and "lacks night 7" in one.notes[0]


def test_in_the_state_crisis_the_limit_of_atp_does_not_hold(root):
    (root / "trust/cycle-3").mkdir(parents=True)
    (root / "trust/cycle-3/state.json").write_text(json.dumps({"name": "crisis"}))
    one = night(root, Limits(usd=1, atp=5))
    assert one.limits == Limits(usd=1) and "crisis" in one.notes[0]


def test_a_second_night_says_who_holds_the_lock(root):
    with night_lock(root / "nights", NOW):
        held = pytest.raises(NightRuns, match=f"since 2026-03-01T22:00:00.*process {os.getpid()}")
        with held, night_lock(root / "nights", NOW):
            pass
    with night_lock(root / "nights", NOW):  # free again
        pass


HOLD = """
import os, signal, subprocess, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {scripts!r})
from dreamflow.nights.lock import night_lock
with night_lock(Path("data/nights"), datetime.now(UTC)) as lock:
    child = [sys.executable, "-c", "import signal; print('phase', flush=True); signal.pause()"]
    print(subprocess.Popen(child, pass_fds=(lock,) if {passes} else ()).pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("passes", [False, True])
def test_a_killed_night_frees_the_lock_unless_its_phase_still_runs(root, passes):
    code = HOLD.format(scripts=SCRIPTS, passes=passes)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        phase = int((lines - {"phase"}).pop())
        process.kill()
        process.wait()
        try:
            held = pytest.raises(NightRuns, match="still runs, although that process has died")
            with held if passes else nullcontext(), night_lock(root / "nights", NOW):
                pass
        finally:
            os.kill(phase, signal.SIGKILL)
