"""Checkpoints of a training, in one file that is complete or absent; and errors of a full disk."""

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import DreamflowError
from ..generation.model import Json

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def room_for(what: str, folder: Path) -> Iterator[None]:
    """Turn a full disk, quota or file size limit into a `DreamflowError` that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise DreamflowError(
            f"{folder}: no room to write {what} ({error.strerror}); free some space and run again: "
            "the training resumes from its last checkpoint"
        ) from None


def save_checkpoint(folder: Path, key: str, state: dict[str, Json]) -> None:
    """Save `state` (tensors and plain values) as the checkpoint of the training with this `key`."""
    buffer = io.BytesIO()
    torch.save({"key": key, **state}, buffer)
    with room_for("a checkpoint", folder):
        write_whole(folder / "checkpoint.pt", buffer.getvalue())


def load_checkpoint(folder: Path, key: str) -> dict[str, Json] | None:
    """Return the state that `save_checkpoint` saved; None if it is missing, invalid or of another training."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # an invalid file can cause any error; the training then starts from the beginning
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None
