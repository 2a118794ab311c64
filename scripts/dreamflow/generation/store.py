"""The response store: every answer, under a digest of everything that determined it.

Snakemake deletes the outputs of jobs that failed or run again, but answers that were paid for must stay. So an answer
is written here, durably and atomically, before anything else reads it. The record also has the details of the call, its
cost and the generation that needed it first; these are not part of the key.
"""

from pathlib import Path

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from ..errors import DreamflowError
from ..files import canonical, pretty, sha256, write_atomic
from .model import Question, Record, as_json

SCHEMA_VERSION = 1
_DECODER = msgspec.json.Decoder(Record)


def request_key(question: Question) -> str:
    """The key of a question: the SHA-256 of its canonical JSON."""
    return sha256(canonical(as_json(question)))


def response_path(store: Path, key: str) -> Path:
    """The file of the answer under `key`, in one of 256 subfolders, so that no folder grows too large."""
    return store / "responses" / key[:2] / f"{key}.json"


def load_response(store: Path, question: Question, key: str, *, read_only: bool = False) -> Record | None:
    """The answer to a question with the key `key`; None if the store has no answer.

    Earlier versions left the service out of the key, and their records note none. (Now a record notes "" if it is from
    the provider's own endpoint or a private server.) Such an answer belongs to the first service that looks it up: it
    is copied to the key with that service, and the old record notes the service, so that no other service gets it. With
    `read_only` nothing is written.
    """
    service = question.model.service
    record = read_record(response_path(store, key))
    if record is not None and not record.service:
        return record
    if service is UNSET:
        return None
    old_key = request_key(replace(question, model=replace(question.model, service=UNSET)))
    record = read_record(response_path(store, old_key))
    if record is None or record.service not in (UNSET, service):
        return None
    own = replace(record, service=UNSET)
    if not read_only:
        save_response(store, old_key, replace(record, service=service))
        save_response(store, key, own)
    return own


def read_record(path: Path) -> Record | None:
    """The record in a file of the store; None if the file does not exist. Raises `DreamflowError` if it is damaged."""
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(
            f"{path}: this record of the response store is damaged ({error}). Restore the file, or delete it and run "
            "again: the model is then called again"
        ) from None


def save_response(store: Path, key: str, record: Record) -> None:
    """Write a record durably."""
    write_atomic(response_path(store, key), pretty(as_json(record)), durable=True)
