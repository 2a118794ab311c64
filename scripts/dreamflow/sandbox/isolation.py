"""Run programs that nobody has reviewed: without network or access to files, and with limits on all resources.

Two tools: bubblewrap (`bwrap`), else `unshare` of util-linux; without them, nothing is run. Both give the program new
namespaces (processes, mounts, network, users, IPC, host name) and a root with only the system's libraries and Python,
read-only, and a private /tmp of limited size. The guard (`inside/__main__.py`) is the first process inside. It gives up
all privileges, filters system calls, and runs each call in a child.

Limits: wall time of a call; processor time, address space, open files and file size of each process; the number of
processes and threads; their total memory (measured 20 times a second); printed output; written bytes and files. Nothing
outlives its call or the sandbox. A program can forge the report of its own call, since both are one process; it cannot
reach the report of another call, nor the guard.
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

from ..generation.model import Json

TOOLS = ("bwrap", "unshare")
Binds = Sequence[tuple[str, str]]  # what a sandbox shows, read-only: [from, to]
_INSIDE = Path(__file__).parent / "inside"
_MOST_ANSWERS = 64 << 20  # bytes
_START_SECONDS = 20.0
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
_ENVIRONMENT = {
    **{"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"},  # noqa: S108
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},  # numpy would start a thread for each core
    "MALLOC_ARENA_MAX": "1",  # each arena would take 64 MB of the limited address space
}


@dataclass(frozen=True)
class Limits:
    """`seconds` of wall time for one call; memory, processes (with threads) and disk for all that it starts."""

    seconds: float = 10
    memory_mb: int = 512
    processes: int = 32
    output_kb: int = 1024
    disk_mb: int = 64


@dataclass(frozen=True)
class Isolation:
    """A tested tool of this machine for sandboxes: `tool` at `path`."""

    tool: str
    path: str
    version: str

    def __str__(self) -> str:
        return f"{self.tool} {self.version}"


@dataclass(frozen=True)
class Finished:
    """The output of a sandbox, the exit status of its tool, and the ending: "ok", "timeout" or "output" (too much)."""

    stdout: str
    stderr: str
    returncode: int
    ended: str


@cache
def isolation(tools: Sequence[str] = TOOLS) -> Isolation | str:
    """The first of `tools` with a sound sandbox on this machine, or why none works. Tried once per process."""
    if not sys.dont_write_bytecode:  # the sandbox is read-only: without this, each would compile its guard again
        compileall.compile_dir(_INSIDE, quiet=2)
    reasons = []
    for tool in tools:
        way = _try(tool)
        if isinstance(way, Isolation):
            return way
        reasons.append(f"{tool}: {way}")
    return "; ".join(reasons)


def run_isolated(
    job: Mapping[str, Json], limits: Limits, way: Isolation, seconds: float, binds: Binds = ()
) -> Finished:
    """Give `job` (plain JSON) to the guard of a new sandbox; its answers are lines of JSON in `stdout`.

    `limits` apply to each call of the job, `seconds` to the whole job. `binds` are files and folders that the sandbox
    shows besides the system's. No process of it remains.
    """
    with subprocess.Popen(  # noqa: S603  (a list of our own arguments)
        _command(way, limits, [*_binds(), *binds]),
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
    """Send the job, and read until both outputs end, the time is over, or the output is too large."""
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
                    if not rest:  # stdin stays open: its end tells the guard that the host is gone
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
    """Let the guard end, which ends its whole namespace; kill it if it does not."""
    process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)  # the guard dies with its parent


def _command(way: Isolation, limits: Limits, binds: Binds) -> list[str]:
    # The host's root, not only the root of a user namespace.
    root = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    settings = {
        "limits": {**asdict(limits), "other_processes": 0 if root else _other_processes()},
        # Limits on processes do not apply to root. Each sandbox has its own user, so that each counts alone.
        "host_uid": 1_000_000_000 + threading.get_native_id() if root else None,
        "new_user": root or way.tool == "unshare",
        "root": None,
    }
    if way.tool == "unshare":
        mounts = str(Path("/proc/self/ns/mnt").readlink())
        settings["root"] = {"binds": binds, "links": _links(), "host_mounts": mounts}
    # Python itself, not the one of a virtual environment, which is not visible inside.
    python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    guard = [python, "-P", "-S", "-s", "-B", "-m", "inside", json.dumps(settings)]
    if way.tool == "bwrap":
        return [*_bwrap(way, limits, binds, root), *guard]
    user = [] if root else ["--user", "--map-root-user"]
    return [way.path, *user, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--", *guard]


def _bwrap(way: Isolation, limits: Limits, binds: Binds, root: bool) -> list[str]:
    kinds = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    rights = ["--cap-drop", "ALL"]
    if root:  # the guard changes its user, which only the host's root can
        rights += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        kinds += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    # Parent folders of mounts would belong to the user who starts the sandbox, not to the user inside.
    parents = sorted({str(way) for _, target in binds for way in Path(target).parents if way != Path("/")})
    mounts = [part for folder in parents for part in ("--perms", "0755", "--dir", folder)]
    mounts += [part for source, target in binds for part in ("--ro-bind", source, target)]
    mounts += [part for link, target in _links().items() for part in ("--symlink", target, link)]
    mounts += ["--proc", "/proc", "--dev", "/dev"]
    for folder, size in (("/dev/shm", 1), ("/tmp", limits.disk_mb)):  # noqa: S108
        mounts += ["--perms", "1777", "--size", str(size << 20), "--tmpfs", folder]
    mounts += ["--remount-ro", "/dev", "--remount-ro", "/"]
    ends = ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--chdir", "/tmp"]  # noqa: S108
    return [way.path, *kinds, *rights, *mounts, *ends, "--"]


def _binds() -> list[tuple[str, str]]:
    """The visible files and folders, read-only: [from, to]."""
    places = [place for place in _SYSTEM if Path(place).exists() and not Path(place).is_symlink()]
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        places.append(sys.base_prefix)
    return [
        *((place, place) for place in places),
        (str(Path(sysconfig.get_path("purelib")).resolve()), "/packages"),
        (str(_INSIDE), "/sandbox/inside"),
    ]


def _links() -> dict[str, str]:
    return {place: str(Path(place).readlink()) for place in _SYSTEM if Path(place).is_symlink()}


def _other_processes() -> int:
    """Processes and threads that count together with those of a sandbox: before Linux 5.14, all of this user's."""
    if tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (5, 14):
        return 0
    count = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended
            if place.stat().st_uid == os.geteuid():
                count += len(list((place / "task").iterdir()))
    return count


def _try(tool: str) -> Isolation | str:
    """Start a sandbox by `tool` and check it from inside; the reason if it is not sound."""
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
    """Paths of this machine that must be invisible inside: the user's, the project's and the system's own."""
    paths = [Path("/etc/passwd"), Path("/etc/shadow"), Path("/var"), Path("/run"), Path("/home"), Path(__file__)]
    for folder in (Path("~").expanduser(), Path.cwd()):
        paths += folder.iterdir() if folder.is_dir() else ()
    inside = [Path(target) for _, target in _binds()]
    own = {Path(place) for place in (*_SYSTEM, "/proc", "/dev", "/tmp")}  # noqa: S108
    return [str(path) for path in paths if path not in own and not any(place.is_relative_to(path) for place in inside)]
