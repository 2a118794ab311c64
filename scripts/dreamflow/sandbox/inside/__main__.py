"""The guard: the first process of the sandbox. It makes the calls, each in a child, and writes what came of them.

As the first process of its namespace it cannot be killed from inside, and what it kills is all there is besides it.
Started with settings (JSON) as its argument; reads one job (JSON, one line) from stdin and writes one line for each
call to stdout. It ends after the last call, after one that met a limit or left something that cannot be wiped out (the
host then goes on in a new sandbox), or as soon as the host closes stdin.
"""

import contextlib
import importlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from . import lock
from .call import Report, prepare, run_call
from .canonical import shorten

_PRIVATE = ("/tmp", "/dev/shm")  # noqa: S108
_TICK = 0.05  # seconds between looks at memory, disk and time
_REPORT_KB = 4096
_INODES = 20_000  # files and folders that a program may make
_PLACE = re.compile(r'^ *File "(?:/tmp/work/)?procedure\.py", line \d+, in .*\n', re.M)


def main() -> None:
    if os.getpid() != 1:
        sys.exit(
            "this is the guard of a sandbox: it ends every process around it, so it runs only as the first of its own"
        )
    settings = json.loads(sys.argv[1])
    if settings["root"] is not None:
        if str(Path("/proc/self/ns/mnt").readlink()) == settings["root"]["host_mounts"]:
            sys.exit("no mount namespace of its own: the host's mounts would be changed")
        lock.build_root(settings["root"]["binds"], settings["root"]["links"], settings["limits"]["disk_mb"])
    for folder in _PRIVATE:  # which are wiped out after each call
        if not Path(folder).is_mount() or any(Path(folder).iterdir()):
            sys.exit(f"{folder} is not the sandbox's own")
    lock.lock(settings["host_uid"], settings["new_user"])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a first process gets only signals that it handles
    job = json.loads(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    sys.path.remove(os.environ.pop("PYTHONPATH"))
    os.environ.pop("PWD", None)  # bubblewrap's; the environment is the same in both ways
    sys.path.append("/packages")
    sys.modules["inside"].__path__[:] = ["/sandbox/inside"]
    Guard(settings["limits"], answers).run(job)


def _task(name: str) -> Callable:
    """What is done for each call of a job; modules that only some jobs need are loaded for them alone."""
    if name == "inputs":
        from .inputs import send_inputs as task
    elif name == "probe":
        from .probe import send_findings as task
    else:
        task = run_call
    return task


class Guard:
    """Runs the calls of a job one after the other, each within `limits`; ends after one that met a limit."""

    def __init__(self, limits: Mapping[str, Any], answers: Any) -> None:
        self.limits, self.answers = limits, answers

    def run(self, job: Mapping[str, Any]) -> None:
        for name in job.get("preload", ()):
            with contextlib.suppress(BaseException):  # what cannot be imported fails in the program, which is told
                importlib.import_module(name)
        work = _task(job["task"])
        for call in job["calls"]:
            answer, clean = self.watch(lambda send, call=call: work(job, call, send), job)
            print(json.dumps(answer), file=self.answers, flush=True)
            if not clean:
                return

    def watch(self, work: Callable, job: Mapping[str, Any]) -> tuple[Report, bool]:
        """What `work` reports from a child, and whether the sandbox is as it was before."""
        pipes = [os.pipe() for _ in range(3)]  # printed, printed as error, report
        child = os.fork()
        if not child:
            self.be_child(work, job, pipes)
        for _, end in pipes:
            os.close(end)
        watched = _Watched(child, [end for end, _ in pipes], self.limits)
        ended = watched.until_end()
        _kill_all()
        watched.drain()
        answer = watched.answer(ended)
        for end, _ in pipes:
            os.close(end)
        return answer, ended == "ended" and all(map(_wiped, _PRIVATE))

    def be_child(self, work: Callable, job: Mapping[str, Any], pipes: list[tuple[int, int]]) -> None:
        """Set this process up as a program's, do the work, end."""
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            lock.set_dumpable(True)  # else its memory cannot be measured
            nothing = os.open("/dev/null", os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(pipes[0][1], 1)
            os.dup2(pipes[1][1], 2)
            report = os.dup(pipes[2][1])
            os.closerange(3, report)
            prepare(job, self.limits)
            work(lambda line: _write(report, line))
            os._exit(0)
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)
        except BaseException:
            traceback.print_exc()  # to the host, as what was printed
        finally:
            os._exit(1)


class _Watched:
    """A child that is watched: what it prints and reports, its time, the memory and files of all its processes."""

    def __init__(self, child: int, ends: list[int], limits: Mapping[str, Any]) -> None:
        self.child, self.limits, self.status = child, limits, None
        self.printed = {ends[0]: bytearray(), ends[1]: bytearray()}
        self.report_end, self.report = ends[2], bytearray()
        self.poll = select.poll()
        for end in ends:
            os.set_blocking(end, False)
            self.poll.register(end, select.POLLIN)
        self.poll.register(0, 0)  # hang-ups alone
        self.deadline = monotonic() + limits["seconds"]

    def until_end(self) -> str:
        """Wait for the report; "ended" if it came or the child is gone, else the limit that was met."""
        looked = monotonic()
        while True:
            for end, _ in self.poll.poll(_TICK * 1000):
                if end == 0:
                    os._exit(1)  # the host has gone; so does everything in here
                self.read(end)
            if sum(map(len, self.printed.values())) > self.limits["output_kb"] << 10:
                return "output"
            if len(self.report) > _REPORT_KB << 10:
                return "report"
            if b'{"report":' in self.report and self.report.endswith(b"\n"):
                return "ended"
            self.reap()
            if self.status is not None:
                return "ended"
            if monotonic() > self.deadline:
                return "timeout"
            if monotonic() - looked > _TICK:
                looked = monotonic()
                if _memory() > self.limits["memory_mb"] << 20:
                    return "memory"
                if sum(place.f_files - place.f_ffree for place in map(os.statvfs, _PRIVATE)) > _INODES:
                    return "files"

    def read(self, end: int) -> bool:
        try:
            data = os.read(end, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self.poll.unregister(end)
        self.printed.get(end, self.report).extend(data)
        return bool(data)

    def reap(self) -> None:
        """Take note of the processes that have ended: a first process inherits all orphans."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.child:
                    self.status = os.waitstatus_to_exitcode(ended[1])

    def drain(self) -> None:
        """Read what is left in the pipes, as far as the limit on output allows."""
        for end in (*self.printed, self.report_end):
            most = 0 if end == self.report_end else self.limits["output_kb"] << 10
            with contextlib.suppress(KeyError):
                while len(self.printed.get(end, self.report)) <= (most or _REPORT_KB << 10) and self.read(end):
                    pass

    def answer(self, ended: str) -> Report:
        """What is told of the call: how it ended, the child's report, what was printed, what was tried."""
        lines = []
        for line in self.report.split(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                lines.append(json.loads(line))
        lines = [line for line in lines if isinstance(line, dict)]
        report = next((line["report"] for line in lines if "report" in line), None)
        tried = [str(line["attempt"]) for line in lines if "attempt" in line]
        texts = [_told(bytes(text)) for text in self.printed.values()]
        if sum(map(len, self.printed.values())) > self.limits["output_kb"] << 10:
            ended = "output"
        answer = {"ended": ended, "attempts": tried, "report": report if ended == "ended" else None}
        return {**answer, "status": self.status, "stdout": texts[0], "stderr": texts[1]}


def _told(printed: bytes) -> str:
    """Printed text without the lines by which tracebacks name places in the program: variants have other places."""
    return shorten(_PLACE.sub("", printed.decode("utf-8", "backslashreplace")))


def _write(end: int, line: Mapping[str, Any], write: Callable = os.write, dumps: Callable = json.dumps) -> None:
    data = memoryview(dumps(line).encode() + b"\n")
    while data:
        data = data[write(end, data) :]


def _kill_all() -> None:
    """End every other process of the sandbox."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


def _wiped(folder: str) -> bool:
    """Empty `folder`; whether that was possible."""
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
    except (OSError, RecursionError):
        return False
    return True


def _memory() -> int:
    """Bytes of memory of all processes but this one; what they share is counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == "1":
            continue
        try:
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except OSError:  # it has ended, or it hides: then all that it has counts
            with contextlib.suppress(OSError):
                total += int((process / "statm").read_text().split()[1]) * resource.getpagesize()
    return total


if __name__ == "__main__":
    main()
