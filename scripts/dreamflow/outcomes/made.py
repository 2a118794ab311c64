"""Generations as outcomes see them: their metadata, each file read once, and their prompts."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import DreamflowError
from ..generation.make import with_total_cost
from ..generation.model import Attempt, Json, Message, Number, Usage


class NoOutcome(Exception):
    """Raised for something without an outcome; the message is the reason."""


class Made(Struct, frozen=True, kw_only=True):
    """What outcomes need of a metadata.json. All of it must be there: metadata of other programs lack most of it."""

    gen_id: str
    stage: str
    mode: str
    status: str
    reason: str
    parents: tuple[str, ...]
    wildcards: dict[str, Json]
    template_id: str
    model_id: str | None
    model_revision: str | None = None
    attempts: list[Attempt]
    turns: list[Message] | UnsetType = UNSET
    prompt_sha256: str | None
    response_key: str | None
    usage: Usage
    cost_usd: Number | None
    latency_s: Number | None
    parsed: dict[str, Json]
    parser_options: dict[str, Json]
    created_at: str | None
    choice: dict[str, Json] | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(Made)


class Generations:
    """The generations below a data folder; each metadata.json is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ids: dict[str, set[str]] = {}
        self._read: dict[tuple[str, str], Made | str] = {}

    def ids(self, stage: str) -> set[str]:
        """The ids of a stage's folders."""
        if stage not in self._ids:
            try:
                with os.scandir(self.root / "gens" / stage) as entries:
                    self._ids[stage] = {entry.name for entry in entries if entry.is_dir()}
            except (FileNotFoundError, NotADirectoryError):
                self._ids[stage] = set()
        return self._ids[stage]

    def stages(self) -> list[str]:
        """The stages with a folder, by name."""
        folder = self.root / "gens"
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []

    def __call__(self, stage: str, gen_id: str) -> Made:
        """A finished generation. Raises `NoOutcome` for others."""
        key = (stage, gen_id)
        if key not in self._read:
            try:
                self._read[key] = self._finished(stage, gen_id)
            except NoOutcome as reason:
                self._read[key] = str(reason)
        found = self._read[key]
        if isinstance(found, str):
            raise NoOutcome(found)
        return found

    def _finished(self, stage: str, gen_id: str) -> Made:
        try:
            with open(f"{self.root}/gens/{stage}/{gen_id}/metadata.json", "rb") as stream:  # noqa: PTH123
                made = _DECODER.decode(stream.read())
        except msgspec.ValidationError:
            made = None
        except (OSError, msgspec.DecodeError, ValueError):
            raise NoOutcome(f"{stage}: no readable metadata.json") from None
        if made is None or made.gen_id != gen_id or not _is_time(made.created_at):
            raise NoOutcome(f"{stage}: made by another program")
        if made.status not in ("ok", "failed"):
            raise NoOutcome(f"{stage}: {made.status}")
        return made


def _is_time(text: str | None) -> bool:
    try:
        return text is None or bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def prompt_of(root: Path, stage: str, gen_id: str) -> str:
    """The prompt of a generation; empty if it has none or its file is missing."""
    try:
        with open(f"{root}/gens/{stage}/{gen_id}/prompt.txt", encoding="utf-8") as stream:  # noqa: PTH123
            return stream.read()
    except (OSError, ValueError):
        return ""


def costs_of(made: Made, root: Path) -> dict[str, Json]:
    """{tokens, cost_usd, latency_s} of all samples of a generation, or of the last one if the store has lost some; an
    unknown number is None."""
    with suppress(OSError, DreamflowError):
        made = with_total_cost(made, root)
    usage = made.usage
    tokens = usage.prompt + usage.completion if usage.is_known else None
    latency = made.latency_s if made.latency_s is None or made.latency_s >= 0 else None  # the clock went back
    return {"tokens": tokens, "cost_usd": made.cost_usd, "latency_s": latency}


def metadata_file(made: Made) -> str:
    """The metadata.json of a generation, below the data folder."""
    return f"gens/{made.stage}/{made.gen_id}/metadata.json"


def of_generation(made: Made) -> Mapping[str, Json]:
    """The fields of an outcome that follow from its generation."""
    return {
        "model_id": made.model_id,
        "revision": made.model_revision or "",
        "columns": made.wildcards,
        "made": made,
        **{name: getattr(made, name) for name in ("stage", "gen_id", "created_at")},
    }
