"""Answers that are code, graded in the real sandbox: right ones, wrong ones, and hostile ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from dreamflow.errors import DreamflowError
from dreamflow.sandbox import runs
from dreamflow.sandbox.isolation import Finished, isolation
from dreamflow.tasks.generators import generate
from dreamflow.tasks.graders import Grade, grade
from dreamflow.tasks.running import LIMITS, sandbox
from dreamflow.tasks.tasks import load_tasks

ROOT = Path(__file__).parents[2]
NO_SANDBOX = isolation() if isinstance(isolation(), str) else None
needs_sandbox = pytest.mark.skipif(NO_SANDBOX is not None, reason=f"no sandbox here: {NO_SANDBOX}")

TASK = {
    "task_id": "code-1",
    "kind": "code",
    "grader": {
        "name": "code",
        "entry": "twice",
        "tests": [{"call": "twice(4)", "returns": "8"}, {"call": "twice('a')", "returns": "'aa'"}],
    },
}


@needs_sandbox
def test_every_reference_answer_passes_in_the_sandbox():
    run = sandbox()
    tasks = [task for task in load_tasks(ROOT / "data" / "1_raw" / "probe") if task["kind"] == "code"]
    for task in [*tasks, *generate("code", 24, 5)]:
        graded = grade(task, task["answer"], run)
        assert graded.passed, (task["prompt"], graded)


@needs_sandbox
def test_what_a_wrong_answer_did_is_told():
    run = sandbox()
    assert grade(TASK, "def twice(n):\n    return n + n", run).passed
    graded = grade(TASK, "def twice(n):\n    return n << 1", run)
    assert (graded.score, graded.passed) == (0.5, False)
    assert "twice('a') failed (\"TypeError: unsupported operand" in graded.why
    graded = grade(TASK, "import missing_package\ndef twice(n):\n    return n * 2", run)
    assert graded.score == 0.0
    assert "No module named 'missing_package'" in graded.why


@needs_sandbox
def test_calls_do_not_see_each_other():
    graded = grade(TASK, "seen = []\ndef twice(n):\n    seen.append(n)\n    return n * 2 * len(seen)", sandbox())
    assert graded.passed


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("while True:\n        pass", "gives no answer within 1 s"),
        ("return [0] * 10**9", "uses more than 256 MB of memory"),
        ("import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)", "is ended by SIGKILL"),
        ("import os\n    os._exit(0)", "ends its process with status 0"),
        ("raise SystemExit", "SystemExit"),
        ("return open('/etc/passwd').read()", "FileNotFoundError"),
        ("return open({path!r}, 'w').write('x')", "FileNotFoundError"),  # the host's folders are not there
        ("return open('/usr/touched', 'w').write('x')", "Read-only file system"),
        ("import socket\n    return socket.create_connection(('127.0.0.1', 9), 1)", "Error"),
    ],
    ids=[
        "loops",
        "memory",
        "kills itself",
        "exits",
        "SystemExit",
        "reads",
        "writes",
        "writes to the system",
        "network",
    ],
)
def test_hostile_answers_are_contained_and_wrong(tmp_path, body, why):
    path = tmp_path / "touched"
    limits = replace(LIMITS, seconds=1 if "within 1 s" in why else 60)
    graded = grade(TASK, f"def twice(n):\n    {body.replace('{path!r}', repr(str(path)))}", sandbox(limits))
    assert (graded.score, graded.passed) == (0.0, False)
    assert why in graded.why
    assert not path.exists()


@needs_sandbox
def test_a_fork_bomb_ends_with_its_answer():
    bomb = (
        "import os\ndef twice(n):\n    while True:\n"
        "        try:\n            os.fork()\n        except OSError:\n            pass"
    )
    told = grade(TASK, bomb, sandbox(replace(LIMITS, seconds=1)))
    assert (told.score, told.passed) == (0.0, False)
    after = grade(TASK, "def twice(n):\n    return n * 2", sandbox(replace(LIMITS, seconds=60)))
    assert after.passed  # the next one has the machine


def test_without_a_sandbox_code_is_ungraded_and_never_run():
    reason = sandbox(tools=("no-such-tool",))
    assert reason == "code cannot be run safely here (no-such-tool: not installed)"
    graded = grade(TASK, "def twice(n):\n    return n * 2", reason)
    assert graded == Grade(None, None, f"ungraded: {reason}")
    assert grade(TASK, "no code", reason).passed is False  # which needs no sandbox to be told


@needs_sandbox
def test_a_sandbox_that_breaks_is_an_error_and_no_wrong_answer(monkeypatch):
    run = sandbox()
    monkeypatch.setattr(runs, "run_isolated", lambda *given: Finished("", "no space\n", 1, "ok"))
    with pytest.raises(DreamflowError, match="could not be started: no space"):
        grade(TASK, "def twice(n):\n    return n * 2", run)
