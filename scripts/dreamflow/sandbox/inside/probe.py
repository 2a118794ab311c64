"""Check from inside whether a sandbox is sound, before its tool is used."""

import importlib.util
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import lock
from .call import Json


def send_findings(job: Mapping[str, Json], call: str, send: Callable) -> None:
    """Report each broken promise of the sandbox as a text; none if the sandbox is sound."""
    send({"report": {"findings": list(_findings(job["hidden"], job["limits"]))}})


def _findings(hidden: list[str], limits: Mapping[str, Json]) -> Iterator[str]:
    yield from (f"{path} can be seen" for path in hidden if os.path.lexists(path))
    yield from (f"{folder} can be written to" for folder in _writable(("/", "/usr", "/dev", "/packages", "/sandbox")))
    for name in ("wave", "hypothesis"):  # modules that are not imported yet
        if importlib.util.find_spec(name) is None:
            yield f"Python's module {name} cannot be read"
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    if interfaces != ["lo"]:
        yield f"network interfaces {', '.join(interfaces)}"
    if os.getppid() != 1:
        yield "no process namespace of its own"
    if lock.try_new_user():
        yield "new user namespaces can be made"
    disk = os.statvfs("/tmp")  # noqa: S108  (the sandbox's own)
    if disk.f_blocks * disk.f_frsize > limits["disk_mb"] << 20:
        yield "the size of /tmp is not limited"
    if resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY:
        yield "memory is not limited"
    count = _processes(limits["processes"] + 8)
    if count != limits["processes"]:
        yield f"a limit of {limits['processes']} processes lets {count} be made"


def _writable(folders: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        try:
            (Path(folder) / "probe").mkdir()
        except OSError:
            continue
        yield folder


def _processes(most: int) -> int:
    """The possible number of processes at a time, with this one; tries `most`."""
    count = 1
    while count < most:
        try:
            child = os.fork()
        except BlockingIOError:
            break
        if not child:
            time.sleep(60)  # the guard ends it
            os._exit(0)
        count += 1
    return count
