"""The result of one call of a program, as the guard of its sandbox reports it, and the difference of two results."""

import json
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import DreamflowError
from ..generation.model import Json
from .isolation import Binds, Isolation, Limits, run_isolated

OUTCOMES = (  # the worst first: a variant with several outcomes gets the first
    *("untested", "flaky original", "syntax", "forbidden", "resource", "timeout", "runtime", "type", "differs"),
    "equivalent",
)

FAILED = ("syntax", "runtime", "type", "timeout", "resource", "forbidden")  # outcomes of a wrong program
COMPARED = ("equivalent", "differs")  # outcomes of a program that answered
UNTESTED = ("untested", "flaky original")

STUCK = ("timeout", "resource")  # endings of runs that meet a limit

_ASPECTS = ("result", "arguments", "calls", "files", "printed")

Run = Mapping[str, Json]


class Difference(NamedTuple):
    """The aspect (of `_ASPECTS`, or "exception", or "outcome") in which two runs differ, and the outcome."""

    outcome: str
    aspect: str
    original: str
    variant: str


def compare(original: Run, variant: Run) -> Difference | None:
    """The first difference between a variant's run and the original's; None if they agree."""
    endings = (original["says"], variant["says"])
    if variant["phase"] == "syntax":
        return Difference("syntax", "outcome", *endings)
    tried = [attempt for attempt in variant["attempts"] if attempt not in original["attempts"]]
    if tried:
        return Difference("forbidden", "outcome", original["says"], f"tries what it must not: {tried[0]}")
    if variant["ended"] in STUCK:
        return Difference(variant["ended"], "outcome", *endings)
    if variant["error"] != original["error"]:
        outcome = "differs"
        if variant["phase"] in ("load", "input"):
            outcome = "runtime"
        elif not original["error"]:
            outcome = variant["kind"] if variant["kind"] in OUTCOMES else "runtime"
        return Difference(outcome, "exception", *endings)
    for aspect in _ASPECTS:
        if variant[aspect] != original[aspect]:
            return Difference("differs", aspect, original[aspect], variant[aspect])
    return None


def is_usable(run: Run) -> bool:
    """Whether the call was made and ended, so that other runs can be compared with it."""
    return run["ended"] in ("returned", "raised") and run["phase"] == "call"


def _run(ended: str, says: str, **rest: Json) -> Run:
    """A run: its ending (returned, raised, timeout, resource), the ending in words, and the observations."""
    empty = {**dict.fromkeys(_ASPECTS, ""), "phase": "call", "error": "", "kind": "", "attempts": [], "seconds": None}
    return {**empty, "ended": ended, "says": says, **rest}


def run_calls(
    job: Mapping[str, Json], calls: Sequence[str], limits: Limits, way: Isolation, binds: Binds = ()
) -> list[Run]:
    """The runs of the calls of `job` (a job for the guard, without its calls) in a new sandbox, in order; `binds` are
    more files and folders that it shows.

    The list is shorter if a call met a limit or the sandbox ended early, but never empty: if the sandbox itself ended,
    the last run belongs to the call that ended it. Raises a `DreamflowError` if no sandbox could be started.
    """
    whole_job = {**job, "task": "calls", "calls": list(calls)}
    finished = run_isolated(whole_job, limits, way, (limits.seconds + 1) * len(calls), binds)
    if finished.stderr:  # programs cannot write there
        raise DreamflowError(f"the sandbox ({way}) could not be started: {finished.stderr.strip()[-500:]}")
    whole = finished.stdout[: finished.stdout.rfind("\n") + 1]
    runs = [_read(json.loads(line), limits) for line in whole.splitlines()]
    return runs or [_run("resource", "ends the sandbox without an answer")]


def _read(answer: Mapping[str, Json], limits: Limits) -> Run:
    """The run in an answer of the guard."""
    printed = answer["stdout"] + (f"[printed as error]\n{answer['stderr']}" if answer["stderr"] else "")
    seen = {"attempts": answer["attempts"], "printed": printed}
    limit = {  # these words are in prompts of verdicts
        "timeout": ("timeout", f"gives no answer within {limits.seconds:g} s"),
        "memory": ("resource", f"uses more than {limits.memory_mb} MB of memory"),
        "output": ("resource", f"prints more than {limits.output_kb} KB"),
        "files": ("resource", "makes too many files"),
        "report": ("resource", "makes too many calls that cannot be told"),
    }
    if answer["ended"] in limit:
        return _run(*limit[answer["ended"]], **seen)
    report = answer["report"]
    if not isinstance(report, dict):
        return _died(answer["status"], seen)
    error = report.get("error") if isinstance(report.get("error"), dict) else {}
    seen |= {name: str(report.get(name, "")) for name in ("result", "arguments", "calls", "files", "phase")}
    seen |= {"error": str(error.get("text", "")), "kind": str(error.get("kind", ""))}
    seconds = report.get("seconds")
    seen["seconds"] = seconds if isinstance(seconds, float) else None
    if seen["kind"] == "resource":  # which of the two memory limits a program meets first is random
        memory = seen["error"].startswith("MemoryError")
        return _run("resource", limit["memory"][1] if memory else f"raises {seen['error']}", **seen)
    if error:
        return _run("raised", f"raises {seen['error']}", **seen)
    return _run("returned", f"returns {seen['result']}", **seen)


def _died(status: int | None, seen: Mapping[str, Json]) -> Run:
    """The run of a process that ended without a report."""
    if status is None or status >= 0:
        says = f"ends its process with status {status}"
    else:
        says = f"is ended by {signal.Signals(-status).name}"
        if -status in (signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ):
            return _run("resource", says, **seen)
    return _run("raised", says, error=says, kind="runtime", **seen)
