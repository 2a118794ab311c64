"""Running programs that nobody has read: no network, nothing to read or write, limits on all they may use.

Two ways: bubblewrap (`bwrap`), else `unshare` of util-linux; where neither works, nothing is run. Both give the program
new namespaces (processes, mounts, network, users, IPC, host name) and a root that holds only the system's libraries and
Python, read-only, besides a private /tmp of limited size. Then the guard (`inside/__main__.py`), which is the first
process in there, gives up all privileges and filters system calls, and runs each call in a child.

What is bounded: wall time of a call; processor time, address space, open files and file size of each process; the
number of processes and threads; the memory that all of them use together (measured 20 times a second); what is printed;
what is written, in bytes and in files. Nothing outlives its call, nor the sandbox. Not guarded against: a program that
forges the report of its own call, since both are one process; it can reach no other call's, nor the guard.
"""

import compileall
import contextlib
import json
import os
import platform
import selectors
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

TOOLS = ("bwrap", "unshare")

_INSIDE = Path(__file__).parent / "inside"
_MOST_ANSWERS = 64 << 20  # bytes
_START_SECONDS = 20.0
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
_ENVIRONMENT = {
    **{"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"},  # noqa: S108
    "MALLOC_ARENA_MAX": "1",  # each arena would take 64 MB of the address space that is limited
}


@dataclass(frozen=True)
class Limits:
    """`seconds` of wall time for one call; memory, processes (threads included) and disk of all that it starts."""

    seconds: float = 10
    memory_mb: int = 512
    processes: int = 32
    output_kb: int = 1024
    disk_mb: int = 64


@dataclass(frozen=True)
class Isolation:
    """A way to make a sandbox that has been tried on this machine: `tool` at `path`."""

    tool: str
    path: str
    version: str

    def __str__(self) -> str:
        return f"{self.tool} {self.version}"


@dataclass(frozen=True)
class Finished:
    """What a sandbox answered, how its tool ended, and why: "ok", "timeout" or "output" (too much of it)."""

    stdout: str
    stderr: str
    returncode: int
    ended: str


@cache
def isolation(tools: Sequence[str] = TOOLS) -> Isolation | str:
    """The first of `tools` by which a sound sandbox can be made here, or why there is none. Tried once a process."""
    if not sys.dont_write_bytecode:  # inside nothing can be written, and each sandbox would compile its guard anew
        compileall.compile_dir(_INSIDE, quiet=2)
    reasons = []
    for tool in tools:
        found = _try(tool)
        if isinstance(found, Isolation):
            return found
        reasons.append(f"{tool}: {found}")
    return "; ".join(reasons)


def run_isolated(job: Mapping[str, Any], limits: Limits, way: Isolation, seconds: float) -> Finished:
    """Give `job` (plain JSON) to the guard of a new sandbox; its answers are lines of JSON in `stdout`.

    `limits` bind each call of the job, `seconds` is for all of it. Nothing that was started remains.
    """
    with subprocess.Popen(  # noqa: S603  (a list of arguments, all ours)
        _command(way, limits),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**_ENVIRONMENT, "PYTHONPATH": "/sandbox" if way.tool == "bwrap" else str(_INSIDE.parent)},
        cwd="/",
        start_new_session=True,
    ) as process:
        try:
            texts, ended = _talk(process, json.dumps(job).encode() + b"\n", seconds + _START_SECONDS)
        finally:
            _end(process)
    out, err = (text.decode("utf-8", "replace") for text in texts)
    return Finished(out, err, process.returncode, ended)


def _talk(process: subprocess.Popen, job: bytes, seconds: float) -> tuple[list[bytes], str]:
    """Send the job, read until the end of both outputs, of the time, or of what is read at most."""
    deadline = monotonic() + seconds
    read = {process.stdout: bytearray(), process.stderr: bytearray()}
    rest = memoryview(job)
    ended = "ok"
    with selectors.DefaultSelector() as selector:
        for stream in read:
            selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while ended == "ok" and any(stream in selector.get_map() for stream in read):
            for key, _ in selector.select(max(0.0, deadline - monotonic())):
                if key.fileobj is process.stdin:
                    try:
                        rest = rest[os.write(key.fd, rest) :]
                    except BrokenPipeError:
                        rest = rest[:0]
                    if not rest:  # but it stays open: its end tells the guard that the host has gone
                        selector.unregister(process.stdin)
                    continue
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fileobj)
                read[key.fileobj].extend(data)
            if sum(map(len, read.values())) > _MOST_ANSWERS:
                ended = "output"
            elif monotonic() > deadline:
                ended = "timeout"
    return [bytes(text) for text in read.values()], ended


def _end(process: subprocess.Popen) -> None:
    """Let the guard end, which ends all in its namespace; by force where that does not help."""
    process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)  # the guard has asked the kernel to die with its parent


def _command(way: Isolation, limits: Limits) -> list[str]:
    root = _is_root()
    settings = {
        "limits": {**asdict(limits), "other_processes": 0 if root else _other_processes()},
        # Limits on processes do not bind root. Each sandbox gets a user of its own, lest they be counted together.
        "host_uid": 1_000_000_000 + threading.get_native_id() if root else None,
        "new_user": root or way.tool == "unshare",
        "root": None,
    }
    if way.tool == "unshare":
        mounts = str(Path("/proc/self/ns/mnt").readlink())
        settings["root"] = {"binds": _binds(), "links": _links(), "host_mounts": mounts}
    # This Python itself, not a virtual environment's, which cannot be seen inside.
    program = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    python = [program, "-P", "-S", "-s", "-B", "-m", "inside", json.dumps(settings)]
    return [*(_bwrap(way, limits, root) if way.tool == "bwrap" else _unshare(way, root)), *python]


def _bwrap(way: Isolation, limits: Limits, root: bool) -> list[str]:
    kinds = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    rights = ["--cap-drop", "ALL"]
    if root:  # the guard becomes another user, and only the host's root can
        rights += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        kinds += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    # Folders on the way to a mount would be for the user alone who makes the sandbox, and that is not who lives in it.
    ways = sorted({str(way) for _, target in _binds() for way in Path(target).parents if way != Path("/")})
    mounts = [part for folder in ways for part in ("--perms", "0755", "--dir", folder)]
    mounts += [part for source, target in _binds() for part in ("--ro-bind", source, target)]
    mounts += [part for link, target in _links().items() for part in ("--symlink", target, link)]
    mounts += ["--proc", "/proc", "--dev", "/dev"]
    for folder, size in (("/dev/shm", 1), ("/tmp", limits.disk_mb)):  # noqa: S108
        mounts += ["--perms", "1777", "--size", str(size << 20), "--tmpfs", folder]
    mounts += ["--remount-ro", "/dev", "--remount-ro", "/"]
    ends = ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--chdir", "/tmp"]  # noqa: S108
    return [way.path, *kinds, *rights, *mounts, *ends, "--"]


def _unshare(way: Isolation, root: bool) -> list[str]:
    user = [] if root else ["--user", "--map-root-user"]
    return [way.path, *user, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"]


def _binds() -> list[tuple[str, str]]:
    """What can be seen inside, read-only: [from, to]."""
    places = [place for place in _SYSTEM if Path(place).exists() and not Path(place).is_symlink()]
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        places.append(sys.base_prefix)
    return [
        *((place, place) for place in places),
        (sysconfig.get_path("purelib"), "/packages"),
        (str(_INSIDE), "/sandbox/inside"),
    ]


def _links() -> dict[str, str]:
    return {place: str(Path(place).readlink()) for place in _SYSTEM if Path(place).is_symlink()}


def _is_root() -> bool:
    """Whether we are the host's root, and not only that of a user namespace."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


def _other_processes() -> int:
    """Processes and threads that count together with those in a sandbox: all of this user's, before Linux 5.14."""
    if tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (5, 14):
        return 0
    count = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            if place.stat().st_uid == os.geteuid():
                count += len(list((place / "task").iterdir()))
    return count


def _try(tool: str) -> Isolation | str:
    """Make a sandbox by `tool` and look round in it."""
    path = shutil.which(tool)
    if path is None:
        return "not installed"
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split()  # noqa: S603
    way = Isolation(tool, path, version[-1] if version else "?")
    limits = replace(Limits(), processes=8, disk_mb=2)
    job = {"task": "probe", "calls": [""], "hidden": _hidden(), "limits": asdict(limits)}
    finished = run_isolated(job, limits, way, limits.seconds)
    try:
        findings = json.loads(finished.stdout)["report"]["findings"]
    except (ValueError, KeyError, TypeError):
        return (finished.stderr.strip().splitlines() or [f"it ended with status {finished.returncode}"])[-1]
    return "; ".join(findings) or way


def _hidden() -> list[str]:
    """Paths of this machine that must not be there inside: the person's, the project's and the system's own."""
    paths = [Path("/etc/passwd"), Path("/etc/shadow"), Path("/var"), Path("/run"), Path("/home"), Path(__file__)]
    for folder in (Path("~").expanduser(), Path.cwd()):
        paths += folder.iterdir() if folder.is_dir() else ()
    inside = [Path(target) for _, target in _binds()]
    own = {Path(place) for place in (*_SYSTEM, "/proc", "/dev", "/tmp")}  # noqa: S108
    return [str(path) for path in paths if path not in own and not any(place.is_relative_to(path) for place in inside)]
