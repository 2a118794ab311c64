"""The response store: every answer that was ever given, under a digest of all that determined it.

Snakemake deletes the outputs of a job that it reruns or that failed; what was paid for must not go with them.
An answer is written here, durably and in one move, before anything looks at it. How a request was sent,
what it cost and who asked first is recorded with the answer and is no part of its key.
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
    """The file of the answer to `key`: two levels, so that no folder grows too large."""
    return store / "responses" / key[:2] / f"{key}.json"


def load_response(store: Path, question: Question, key: str) -> Record | None:
    """The answer to a question, whose key is `key`; None if it was never answered.

    Answers of earlier versions have keys that do not name the service. The first service that asks for such an answer
    takes it over: the file moves to the key that names that service, so that no other one is credited with it.
    """
    record = read_record(response_path(store, key))
    if record is None and question.model.service is not UNSET:
        nameless = replace(question, model=replace(question.model, service=UNSET))
        old, new = response_path(store, request_key(nameless)), response_path(store, key)
        record = read_record(old)
        if record is not None:
            new.parent.mkdir(parents=True, exist_ok=True)
            old.replace(new)
    return record


def read_record(path: Path) -> Record | None:
    """The record in a file of the store; None if there is no such file."""
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DreamflowError(f"{path}: damaged: {error}. Delete it: the question is then asked again") from None


def save_response(store: Path, key: str, record: Record) -> None:
    """Keep an answer for good."""
    write_atomic(response_path(store, key), pretty(as_json(record)), durable=True)
