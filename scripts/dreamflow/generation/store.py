"""The response store: every answer that was ever given, under a digest of all that determined it.

Snakemake deletes the outputs of a job that it reruns or that failed; what was paid for must not go with them.
An answer is written here, durably and in one move, before anything looks at it. How a request was sent,
what it cost and who asked first is recorded with the answer and is no part of its key.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import canonical, pretty, sha256, write_atomic

SCHEMA_VERSION = 1


def request_key(question: Mapping[str, Any]) -> str:
    """The key of a question {model identity, messages, sampling, response_format, sample}: its SHA-256."""
    return sha256(canonical(question))


def response_path(store: Path, key: str) -> Path:
    """Where the answer to `key` lies: two levels, so that no folder grows too large."""
    return store / "responses" / key[:2] / f"{key}.json"


def load_response(store: Path, key: str) -> dict[str, Any] | None:
    """The record {request, response, asked} under `key`, or None if it was never answered."""
    try:
        return json.loads(response_path(store, key).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def save_response(store: Path, key: str, record: Mapping[str, Any]) -> None:
    """Keep an answer for good."""
    write_atomic(response_path(store, key), pretty({"schema_version": SCHEMA_VERSION, **record}), durable=True)
