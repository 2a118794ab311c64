"""Where a training stands, in one file that is whole or absent; and what is done where there is no room for it."""

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

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes so that `path` is never seen half-written, and lasts."""
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
    """Turns a full disk, quota or file size limit into an error that says what could not be written, and where."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DreamflowError(
            f"{folder}: no room to write {what} ({error.strerror}); free some space and run again: "
            "the training goes on from its last checkpoint"
        ) from None


def save_checkpoint(folder: Path, key: str, state: dict[str, Json]) -> None:
    """Keep `state` (tensors, numbers, texts, lists and dicts of them) as what a training of this `key` came to."""
    buffer = io.BytesIO()
    torch.save({"key": key, **state}, buffer)
    with room_for("a checkpoint", folder):
        write_whole(folder / "checkpoint.pt", buffer.getvalue())


def load_checkpoint(folder: Path, key: str) -> dict[str, Json] | None:
    """What `save_checkpoint` kept; None where nothing was, or it is of another training, or is no checkpoint."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is wrong with a foreign or damaged file, the training begins anew
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None
