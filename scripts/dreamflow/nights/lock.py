"""One night at a time: a lock that ends with the processes that hold it, and says who they are."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ..errors import DreamflowError


class NightRuns(DreamflowError):
    """Another process holds the lock."""


@contextmanager
def night_lock(folder: Path, now: datetime) -> Iterator[int]:
    """Hold `folder`/lock (flock) and give its file descriptor. Raises `NightRuns` if another process holds it.

    A process that inherits the descriptor holds the lock too, so a phase that outlives its night keeps other nights
    away until it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NightRuns(f"{_holder(path)}. Nothing was done") from None
        holder = {"process": os.getpid(), "host": platform.node(), "since": now.isoformat(timespec="seconds")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(holder) + "\n").encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        number, host, since = (holder[name] for name in ("process", "host", "since"))
    except (ValueError, TypeError, KeyError):  # it has just taken the lock
        return f"another night runs (it holds {path})"
    if host == platform.node() and not Path(f"/proc/{number}").exists() and Path("/proc/self").exists():
        return f"a phase of the night that process {number} began at {since} still runs, although that process has died"
    return f"another night runs since {since} (process {number} on {host})"
