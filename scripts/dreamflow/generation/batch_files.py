"""The files of batches, in `store/batches/`, and the lock of the process that works on them.

A batch is a file `<name>.json` from before it is submitted until all its answers are in the store; then the file moves
to `collected/`, without the questions. The file is also the claim on its questions: no process asks a question that is
in such a file. Its states:

- "prepared": nothing that costs was sent, so a later run deletes the file and asks again;
- "creating": the request that costs may have arrived. A later run looks for the batch at the provider (see
  `batches.Batches`) before it asks anything again;
- "submitted": the provider has it, under `id`;
- "collected".

One process at a time works on the files, with a lock that ends with the process. So a file in the state "creating"
that the holder of the lock finds belongs to a process that is gone, or that got no answer.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..errors import DreamflowError
from ..files import write_atomic
from .model import Question


class QuestionIds(Struct, kw_only=True):
    """The ids of a question."""

    key: str
    gen_id: str


class Item(QuestionIds, kw_only=True):
    """A question, the generation that needs its answer, and what the ledger and the budgets have to know."""

    stage: str
    family: str
    spec: str
    tier: str
    scopes: list[str]
    question: Question


T = TypeVar("T", bound=QuestionIds)


class Batch(Struct, Generic[T], kw_only=True):
    """The file of a batch. `items` are by custom_id; times are in ISO 8601; `id` is the provider's."""

    name: str
    model_id: str
    provider: str
    created: str
    items: dict[str, T]
    state: str = "prepared"
    asked_at: str = ""  # when the provider was asked to create it
    id: str = ""


WITHOUT_QUESTIONS = msgspec.json.Decoder(Batch[QuestionIds])
WITH_QUESTIONS = msgspec.json.Decoder(Batch[Item])


def open_batches(store: Path) -> list[Batch[QuestionIds]]:
    """The batches that were not collected yet, without their questions. Raises `DreamflowError` for a damaged file."""
    return [batch for path in sorted(folder_of(store).glob("*.json")) if (batch := read_batch(path, WITHOUT_QUESTIONS))]


def read_batch(path: Path, decoder: msgspec.json.Decoder) -> Batch | None:
    """A batch file; None if another process has collected it."""
    try:
        return decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(
            f"{path}: damaged: {error}. Restore the file: it says which answers the provider has for you. Without it, "
            "delete it and run again: its questions are then asked, and paid, again"
        ) from None


def folder_of(store: Path) -> Path:
    """The folder of a store's batches that were not collected yet."""
    return store / "batches"


def batch_path(store: Path, name: str) -> Path:
    """The file of a batch that was not collected yet."""
    return folder_of(store) / f"{name}.json"


def write_batch(store: Path, batch: Batch) -> None:
    """Write the file of a batch durably."""
    _write(batch_path(store, batch.name), batch)


def move_collected(store: Path, batch: Batch[Item]) -> None:
    """Keep what is known of a batch that was collected, without the questions."""
    ids = {name: QuestionIds(key=item.key, gen_id=item.gen_id) for name, item in batch.items.items()}
    path = folder_of(store) / "collected" / f"{batch.name}.json"
    _write(path, replace(batch, state="collected", items=ids))
    batch_path(store, batch.name).unlink()


def collected_ids(store: Path) -> set[str]:
    """The providers' ids of all batches that were collected."""
    paths = folder_of(store).glob("collected/*.json")
    return {batch.id for path in paths if (batch := read_batch(path, WITHOUT_QUESTIONS))}


@contextmanager
def batch_lock(store: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock with which one process at a time submits or collects; it ends with the process."""
    folder = folder_of(store)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            show("another process submits or collects batches: waiting for it")
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, batch: Batch) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(batch), indent=2), durable=True)
