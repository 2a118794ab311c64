"""The guard: the first process of the sandbox. It makes each call in a child, and writes the result.

As the first process of its namespace, it cannot be killed from inside, and it can kill all other processes. Its
argument is the settings (JSON); it reads one job (a line of JSON) from stdin and writes a line for each call to stdout.
It ends after the last call, after a call that met a limit or left files that cannot be deleted (the host then continues
in a new sandbox), or when the host closes stdin.
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
from typing import TextIO

from . import lock
from .call import Json, Report, prepare, run_call
from .canonical import shorten

_PRIVATE = ("/tmp", "/dev/shm")  # noqa: S108
_TICK = 0.05  # seconds between checks of memory, disk and time
_REPORT_KB = 4096
_INODES = 20_000  # files and folders that a program may create
_PLACE = re.compile(r'^ *File "(?:/tmp/work/)?procedure\.py", line \d+, in .*\n', re.M)


def main() -> None:
    if os.getpid() != 1:
        sys.exit("this guard ends all other processes: it must be the first process of its own namespace")
    settings = json.loads(sys.argv[1])
    if settings["root"] is not None:
        if str(Path("/proc/self/ns/mnt").readlink()) == settings["root"]["host_mounts"]:
            sys.exit("the guard has no mount namespace of its own and would change the host's mounts")
        lock.build_root(settings["root"]["binds"], settings["root"]["links"], settings["limits"]["disk_mb"])
    for folder in _PRIVATE:  # emptied after each call
        if not Path(folder).is_mount() or any(Path(folder).iterdir()):
            sys.exit(f"{folder} is not private to the sandbox")
    lock.lock(settings["host_uid"], settings["new_user"])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a first process gets only the signals that it handles
    job = json.loads(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    sys.path.remove(os.environ.pop("PYTHONPATH"))
    os.environ.pop("PWD", None)  # set by bubblewrap; both tools must give the same environment
    sys.path.append("/packages")
    sys.modules["inside"].__path__[:] = ["/sandbox/inside"]
    Guard(settings["limits"], answers).run(job)


def _task(name: str) -> Callable:
    """The function for each call of a job; modules that only some jobs need are loaded only for these."""
    if name == "inputs":
        from .inputs import send_inputs as task
    elif name == "probe":
        from .probe import send_findings as task
    else:
        task = run_call
    return task


class Guard:
    """Runs the calls of a job in order, each within `limits`; ends after a call that met a limit."""

    def __init__(self, limits: Mapping[str, Json], answers: TextIO) -> None:
        self.limits, self.answers = limits, answers

    def run(self, job: Mapping[str, Json]) -> None:
        at = sys.path.index("/packages")
        sys.path[at:at] = (job.get("place") or {}).get("path", ())
        for name in job.get("preload", ()):
            with contextlib.suppress(BaseException):  # a failing import is reported by the program
                importlib.import_module(name)
        work = _task(job["task"])
        for call in job["calls"]:
            answer, clean = self.watch(lambda send, call=call: work(job, call, send), job)
            print(json.dumps(answer), file=self.answers, flush=True)
            if not clean:
                return

    def watch(self, work: Callable, job: Mapping[str, Json]) -> tuple[Report, bool]:
        """The report of `work` in a child, and whether the sandbox is clean again."""
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
        return answer, ended == "ended" and all(map(_emptied, _PRIVATE))

    def be_child(self, work: Callable, job: Mapping[str, Json], pipes: list[tuple[int, int]]) -> None:
        """Prepare this process for the program, do the work, and end."""
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
            traceback.print_exc()  # the host gets it as printed text
        finally:
            os._exit(1)


class _Watched:
    """A watched child: its output and report, its time, the memory and files of all processes."""

    def __init__(self, child: int, ends: list[int], limits: Mapping[str, Json]) -> None:
        self.child, self.limits, self.status = child, limits, None
        self.printed = {ends[0]: bytearray(), ends[1]: bytearray()}
        self.report_end, self.report = ends[2], bytearray()
        self.poll = select.poll()
        for end in ends:
            os.set_blocking(end, False)
            self.poll.register(end, select.POLLIN)
        self.poll.register(0, 0)  # hang-ups only
        self.deadline = monotonic() + limits["seconds"]

    def until_end(self) -> str:
        """Wait for the report; "ended" with a report or the end of the child, else the limit that was met."""
        checked = monotonic()
        while True:
            for end, _ in self.poll.poll(_TICK * 1000):
                if end == 0:
                    os._exit(1)  # the host is gone, which ends the sandbox
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
            if monotonic() - checked > _TICK:
                checked = monotonic()
                if _memory() > self.limits["memory_mb"] << 20:
                    return "memory"
                if sum(disk.f_files - disk.f_ffree for disk in map(os.statvfs, _PRIVATE)) > _INODES:
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
        """Collect the processes that have ended: a first process inherits all orphans."""
        with contextlib.suppress(ChildProcessError):
            while (process := os.waitpid(-1, os.WNOHANG))[0]:
                if process[0] == self.child:
                    self.status = os.waitstatus_to_exitcode(process[1])

    def drain(self) -> None:
        """Read the rest of the pipes, within the limits on output."""
        for end in (*self.printed, self.report_end):
            most = (_REPORT_KB if end == self.report_end else self.limits["output_kb"]) << 10
            with contextlib.suppress(KeyError):
                while len(self.printed.get(end, self.report)) <= most and self.read(end):
                    pass

    def answer(self, ended: str) -> Report:
        """The answer to a call: its ending, the child's report, the printed text, and the forbidden attempts."""
        lines = []
        for line in self.report.split(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                lines.append(json.loads(line))
        lines = [line for line in lines if isinstance(line, dict)]
        report = next((line["report"] for line in lines if "report" in line), None)
        attempts = [str(line["attempt"]) for line in lines if "attempt" in line]
        # Tracebacks without the lines that name places in the program: variants have other places.
        texts = [_PLACE.sub("", text.decode("utf-8", "backslashreplace")) for text in self.printed.values()]
        if sum(map(len, self.printed.values())) > self.limits["output_kb"] << 10:
            ended = "output"
        answer = {"ended": ended, "attempts": attempts, "report": report if ended == "ended" else None}
        return {**answer, "status": self.status, "stdout": shorten(texts[0]), "stderr": shorten(texts[1])}


def _write(end: int, line: Mapping[str, Json], write: Callable = os.write, dumps: Callable = json.dumps) -> None:
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


def _emptied(folder: str) -> bool:
    """Empty `folder`; returns whether that succeeded."""
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
    """Memory of all other processes in bytes; shared memory counts once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == "1":
            continue
        try:
            for line in (process / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except OSError:  # the process has ended, or is not readable: then all its memory counts
            with contextlib.suppress(OSError):
                total += int((process / "statm").read_text().split()[1]) * resource.getpagesize()
    return total


if __name__ == "__main__":
    main()
