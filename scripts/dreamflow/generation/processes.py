"""Which processes of a project are alive: each holds a lock on a file of its own until it ends.

The system releases the lock when a process ends in whatever way, so neither clocks nor process numbers matter. On
network file systems this needs the locks that the database needs too.
"""

import atexit
import fcntl
import os
import uuid
from functools import cache
from os.path import abspath
from pathlib import Path

_BATCH = "batch:"


def batch_name(batch: str) -> str:
    """The name under which a provider's batch owns claims, as a process does."""
    return _BATCH + batch


def is_batch_name(name: str) -> bool:
    """Whether a name is that of a batch."""
    return name.startswith(_BATCH)


def own_name(store: Path) -> str:
    """The name of this process at a store. The first call takes the lock. Raises `OSError`."""
    return _own_name(abspath(store))  # noqa: PTH100  (as in store.py)


@cache
def _own_name(store: str) -> str:
    folder = Path(store, "processes")
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        path = folder / uuid.uuid4().hex
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # stays open as long as the process lives
        fcntl.lockf(handle, fcntl.LOCK_EX)
        if path.exists():  # else another process has found the file before it was locked, and removed it
            atexit.register(path.unlink, missing_ok=True)
            return path.name
        os.close(handle)


def remove_dead(store: Path) -> None:
    """Remove the files of processes that were killed."""
    for path in (store / "processes").iterdir():
        is_alive(store, path.name)


def is_alive(store: Path, name: str) -> bool:
    """Whether the process of this name is alive. The file of a dead process is removed. A batch (see
    `batch_name`) is alive as long as it has its file."""
    if is_batch_name(name):
        return (store / "batches" / f"{name.removeprefix(_BATCH)}.json").exists()
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
