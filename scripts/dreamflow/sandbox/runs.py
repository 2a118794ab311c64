"""What a program did on one call, as the guard of its sandbox tells it, and in what two such runs differ."""

import json
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import DreamflowError
from .isolation import Isolation, Limits, run_isolated

OUTCOMES = (  # the worst first: a variant that has several is said to have the first of them
    *("untested", "flaky original", "syntax", "forbidden", "resource", "timeout", "runtime", "type", "differs"),
    "equivalent",
)

FAILED = ("syntax", "runtime", "type", "timeout", "resource", "forbidden")  # outcomes of a program that is wrong
COMPARED = ("equivalent", "differs")  # outcomes of a program that answered
UNTESTED = ("untested", "flaky original")

STUCK = ("timeout", "resource")  # how runs end that meet a limit

_ASPECTS = ("result", "arguments", "calls", "files", "printed")

Run = Mapping[str, Any]


class Difference(NamedTuple):
    """In which aspect (of `_ASPECTS`, or "exception", or "outcome") two runs differ, and how that is judged."""

    outcome: str
    aspect: str
    original: str
    variant: str


def compare(original: Run, variant: Run) -> Difference | None:
    """The first thing in which a variant's run departs from the original's."""
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
    """Whether the call was made and came to an end, so that others can be compared with it."""
    return run["ended"] in ("returned", "raised") and run["phase"] == "call"


def _run(ended: str, says: str, **rest: Any) -> Run:
    """A run: how it ended (returned, raised, timeout, resource), that in words, and what was seen of it."""
    empty = {**dict.fromkeys(_ASPECTS, ""), "phase": "call", "error": "", "kind": "", "attempts": [], "seconds": None}
    return {**empty, "ended": ended, "says": says, **rest}


def run_calls(job: Mapping[str, Any], calls: Sequence[str], limits: Limits, way: Isolation) -> list[Run]:
    """What comes of each call of `job` (as the guard reads it, less its calls) in a sandbox of its own, in their order.

    The list is shorter where a call met a limit or the sandbox ended early, but never empty: where the sandbox itself
    died, the last run is of the call that it died of. Raises a `DreamflowError` where no sandbox could be made.
    """
    whole_job = {**job, "task": "calls", "calls": list(calls)}
    finished = run_isolated(whole_job, limits, way, (limits.seconds + 1) * len(calls))
    if finished.stderr:  # programs cannot write there
        raise DreamflowError(f"a sandbox by {way} could not be made: {finished.stderr.strip()[-500:]}")
    whole = finished.stdout[: finished.stdout.rfind("\n") + 1]
    runs = [_read(json.loads(line), limits) for line in whole.splitlines()]
    return runs or [_run("resource", "ends the sandbox without an answer")]


def _read(answer: Mapping[str, Any], limits: Limits) -> Run:
    """A run as the guard tells it."""
    seen = {"attempts": answer["attempts"], "printed": answer["stdout"]}
    if answer["stderr"]:
        seen["printed"] += f"[printed as error]\n{answer['stderr']}"
    limit = {
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
    if seen["kind"] == "resource":  # which of the two limits on memory a program meets first is chance
        memory = seen["error"].startswith("MemoryError")
        return _run("resource", limit["memory"][1] if memory else f"raises {seen['error']}", **seen)
    if error:
        return _run("raised", f"raises {seen['error']}", **seen)
    return _run("returned", f"returns {seen['result']}", **seen)


def _died(status: int | None, seen: Mapping[str, Any]) -> Run:
    """The run of a process that has ended without a report."""
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        if -status in (signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ):
            return _run("resource", f"is ended by {name}", **seen)
        says = f"is ended by {name}"
    else:
        says = f"ends its process with status {status}"
    return _run("raised", says, error=says, kind="runtime", **seen)
