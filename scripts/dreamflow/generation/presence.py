"""Which processes of a project are alive: each holds a lock on a file of its own until it ends.

The system releases the lock when a process ends in whatever way, so neither clocks nor process numbers matter. On
network file systems this needs the locks that the database needs too.
"""

import fcntl
import os
import uuid
from functools import cache
from pathlib import Path


@cache
def own_name(store: Path) -> str:
    """The name of this process at a store. The first call takes the lock. Raises `OSError`."""
    name = uuid.uuid4().hex
    folder = store / "processes"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)  # stays open as long as the process lives
    fcntl.lockf(handle, fcntl.LOCK_EX)
    return name


def is_alive(store: Path, name: str) -> bool:
    """Whether the process of this name is alive. The file of a dead process is removed. A batch, named
    `batch:<name>`, is alive as long as it has its file."""
    if name.startswith("batch:"):
        return (store / "batches" / f"{name.removeprefix('batch:')}.json").exists()
    if name == own_name(store):  # to open the own file and close it again would release the lock
        return True
    path = store / "processes" / name
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(handle)


def leave(store: Path) -> None:
    """Remove the file of this process, as it ends."""
    (store / "processes" / own_name(store)).unlink(missing_ok=True)
