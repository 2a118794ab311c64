"""What a generation is known by: a digest of all that decides it, and whether the files that lie there still have it.

Snakemake's own notes (`.snakemake/metadata`) can be lost, copied or half there; metadata.json carries the digest, so an
edit is noticed whatever became of the notes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from ..files import canonical, read_json, sha256
from .layout import Layout
from .model import Evidence, Generation, Json, as_json
from .providers.human import answer_path

_ENCODER = msgspec.json.Encoder(order="sorted")


class _Head(msgspec.Struct):
    """The part of metadata.json that is read for every generation of a plan."""

    inputs_sha256: str = ""
    status: str = "ok"


_HEAD = msgspec.json.Decoder(_Head)


def row_digest(generation: Generation) -> str:
    """SHA-256 of a plan row."""
    try:
        return hashlib.sha256(_ENCODER.encode(generation)).hexdigest()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON files can hold and UTF-8 cannot
        return sha256(canonical(as_json(generation)))


def inputs_digest(generation: Generation, parents: Sequence[tuple[str, str]], late: str = "") -> str:
    """SHA-256 of all that decides a generation. `parents` are (status, SHA-256 of the parsed file) of each, `late` is
    what is known only when it is made: the evidence, or a person's answer."""
    lines = [row_digest(generation), *(f"{status} {text}" for status, text in parents), sha256(late) if late else ""]
    return sha256("\n".join(lines))


def late_input(generation: Generation, layout: Layout) -> str:
    """The evidence of a generation, or the answer that a person gave; empty where there is none (yet)."""
    if generation.evidence:
        return evidence_text(layout.root, generation.evidence)
    if generation.mode == "human":
        path = answer_path(layout.inbox, generation.gen_id)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return ""


def evidence_text(root: Path, evidence: Evidence) -> str:
    """The entry of an evidence file as JSON text; empty where the file is not there yet."""
    entries = _entries(root / evidence.file)
    return canonical(entries[evidence.entry]) if evidence.entry in entries else ""


def _entries(path: Path) -> Mapping[str, Json]:
    try:
        return _decoded(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}


@lru_cache(maxsize=64)
def _decoded(path: Path, _changed: int) -> Mapping[str, Json]:
    return read_json(path)


class Freshness:
    """Which generations of a plan have to be made: those whose files are missing or have another digest, and all that
    descend from them. Answers are remembered until `forget`."""

    def __init__(self, find: Callable[[str], Generation | None], layout: Layout, stages: Mapping[str, str]) -> None:
        """`find(gen_id)` is a planned generation, None for one that is only read; `stages` has the stage of those."""
        self.find, self.layout, self.stages = find, layout, stages
        self.stale: dict[str, bool] = {}
        self.results: dict[str, tuple[str, str]] = {}

    def is_stale(self, gen_id: str) -> bool:
        """Whether a planned generation has to be made."""
        if gen_id not in self.stale:
            generation = self.find(gen_id)
            self.stale[gen_id] = generation is not None and self._is_stale(generation)
        return self.stale[gen_id]

    def _is_stale(self, generation: Generation) -> bool:
        if any(map(self.is_stale, generation.parents)):
            return True
        stage, gen_id = generation.stage, generation.gen_id
        if not self.layout.is_whole(stage, gen_id):
            return True
        head = self._head(stage, gen_id)
        if head is None:
            return True
        parents = [self._result(parent) for parent in generation.parents]
        late = late_input(generation, self.layout)
        return None in parents or head.inputs_sha256 != inputs_digest(generation, parents, late)

    def _head(self, stage: str, gen_id: str) -> _Head | None:
        try:
            return _HEAD.decode(Path(self.layout.metadata(stage, gen_id)).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def _result(self, gen_id: str) -> tuple[str, str] | None:
        """What the children of a generation see of it; None if it cannot be read."""
        if gen_id not in self.results:
            stage = self._stage(gen_id)
            head = self._head(stage, gen_id)
            if head is None:
                return None
            text = (self.layout.generation(stage, gen_id) / self.layout.parsed_name(stage)).read_bytes()
            self.results[gen_id] = (head.status, hashlib.sha256(text).hexdigest())
        return self.results[gen_id]

    def _stage(self, gen_id: str) -> str:
        generation = self.find(gen_id)
        return generation.stage if generation else self.stages[gen_id]

    def forget(self) -> None:
        """Look at the files again when next asked: some have been written."""
        self.stale.clear()
        self.results.clear()
