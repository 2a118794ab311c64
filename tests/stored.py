"""Answers that a test puts into a store."""

from pathlib import Path

from dreamflow.generation.model import Record
from dreamflow.generation.store import database, put_answers


def save_response(store: Path, key: str, record: Record) -> None:
    """Store a record and book nothing."""
    database(store).write(lambda connection: put_answers(connection, [(key, record, b"")]))
