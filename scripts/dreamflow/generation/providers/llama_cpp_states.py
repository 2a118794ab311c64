"""Saved prefixes on disk, one file each: the tokens, then the state of llama.cpp. The name is their digest."""

import hashlib
import os
from array import array
from collections import OrderedDict
from pathlib import Path

from ...files import write_atomic

_TOKEN = array("i").itemsize  # bytes


def write_state(folder: Path, prefix: bytes, state: bytes, limit: float) -> None:
    """Save a state, and delete the files unused for longest in all models' folders beside it above `limit` bytes."""
    if len(prefix) + len(state) > limit:
        return
    write_atomic(_path(folder, prefix), prefix + state)
    files = sorted(((file.stat(), file) for file in folder.parent.glob("*/*.state")), key=lambda found: _used(found[0]))
    surplus = sum(status.st_size for status, _ in files) - limit
    for status, file in files:
        if surplus <= 0:
            break
        file.unlink(missing_ok=True)
        surplus -= status.st_size


def mark_used(folder: Path, prefix: bytes) -> None:
    """Note that a saved state was of use, so that it is not the next to be deleted."""
    path = _path(folder, prefix)
    if path.exists():
        path.touch()


def read_states(folder: Path, most: int) -> OrderedDict[bytes, bytearray]:
    """The last used of the saved prefixes, the newest last; a file whose content does not fit its name is skipped."""
    states: OrderedDict[bytes, bytearray] = OrderedDict()
    files = sorted(folder.glob("*.state"), key=lambda path: _used(path.stat()))
    for path in files[-most:] if most else []:
        data = path.read_bytes()
        prefix = data[: int(path.name.split("-")[0]) * _TOKEN]
        if 0 < len(prefix) < len(data) and _path(folder, prefix) == path:
            states[prefix] = bytearray(data[len(prefix) :])
    return states


def _used(status: os.stat_result) -> int:
    return status.st_mtime_ns


def _path(folder: Path, prefix: bytes) -> Path:
    return folder / f"{len(prefix) // _TOKEN}-{hashlib.sha256(prefix).hexdigest()[:32]}.state"
