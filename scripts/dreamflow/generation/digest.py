"""The digest of everything that decides a generation, and whether the files of a generation still have that digest.

metadata.json contains the digest, so an edit is noticed even if Snakemake's own records (`.snakemake/metadata`) are
lost, copied or incomplete.
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
    """The fields of metadata.json that are read for every generation of a plan."""

    inputs_sha256: str = ""
    status: str = "ok"
    mode: str = ""
    response_key: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


def row_digest(generation: Generation) -> str:
    """SHA-256 of a plan row."""
    try:
        return hashlib.sha256(_ENCODER.encode(generation)).hexdigest()
    except UnicodeEncodeError:  # a lone surrogate: JSON files can hold it, UTF-8 cannot
        return sha256(canonical(as_json(generation)))


def inputs_digest(generation: Generation, parents: Sequence[tuple[str, str]], late: str = "") -> str:
    """SHA-256 of everything that decides a generation. `parents` has (status, SHA-256 of the parsed file) of each
    parent; `late` is the result of `late_input`."""
    lines = [row_digest(generation), *(f"{status} {text}" for status, text in parents), sha256(late) if late else ""]
    return sha256("\n".join(lines))


def late_input(generation: Generation, layout: Layout) -> str:
    """The input that appears during a run: evidence, or a person's answer. Empty if the generation needs none, or if it
    does not exist yet."""
    if generation.evidence:
        return evidence_text(layout.root, generation.evidence)
    if generation.mode == "human":
        path = answer_path(layout.inbox, generation.gen_id)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return ""


def evidence_text(root: Path, evidence: Evidence) -> str:
    """The entry of an evidence file as JSON text; empty while the file does not exist."""
    path = root / evidence.file
    try:
        entries = _decoded(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return ""
    is_there = isinstance(entries, dict) and evidence.entry in entries
    return canonical(entries[evidence.entry]) if is_there else ""


@lru_cache(maxsize=64)
def _decoded(path: Path, _changed: int) -> Json:
    return read_json(path)


class Freshness:
    """Finds the stale generations of a plan: their files are missing or have another digest, or a parent is stale, or
    they are pending and no batch has their question any more.

    File contents are cached until `forget`. The methods may be called from any thread.
    """

    def __init__(
        self,
        find: Callable[[str], Generation | None],
        layout: Layout,
        kept: Mapping[str, str],
        is_waiting: Callable[[str | None], bool] = lambda key: False,
    ) -> None:
        """`find(gen_id)` returns a planned generation, or None; `kept` has the stages of unplanned parents;
        `is_waiting(key)` tells whether a batch has a question."""
        self.find, self.layout, self.kept, self.is_waiting = find, layout, kept, is_waiting
        self.forget()

    def forget(self) -> None:
        """Replace the caches, since files have changed. A thread that is still reading fills the old caches."""
        self._stale: dict[str, bool] = {}
        self._heads: dict[str, _Head | None] = {}
        self._results: dict[str, tuple[str, str]] = {}

    def is_stale(self, gen_id: str) -> bool:
        """Whether a generation has to be made; always false for an unplanned parent."""
        cache = self._stale
        if gen_id not in cache:
            generation = self.find(gen_id)
            cache[gen_id] = generation is not None and self._is_stale(generation)
        return cache[gen_id]

    def _is_stale(self, generation: Generation) -> bool:
        if any(map(self.is_stale, generation.parents)):
            return True
        stage, gen_id = generation.stage, generation.gen_id
        if not self.layout.is_whole(stage, gen_id) or (head := self._head(stage, gen_id)) is None:
            return True
        if head.status == "pending" and head.mode == "llm" and not self.is_waiting(head.response_key):
            return True
        parents = [self._result(parent) for parent in generation.parents]
        late = late_input(generation, self.layout)
        return None in parents or head.inputs_sha256 != inputs_digest(generation, parents, late)

    def _head(self, stage: str, gen_id: str) -> _Head | None:
        cache = self._heads
        if gen_id not in cache:
            try:
                cache[gen_id] = _HEAD.decode(Path(self.layout.metadata(stage, gen_id)).read_bytes())
            except (OSError, msgspec.DecodeError):
                cache[gen_id] = None
        return cache[gen_id]

    def _result(self, gen_id: str) -> tuple[str, str] | None:
        """(status, SHA-256 of the parsed file) of a parent; None if it cannot be read."""
        cache = self._results
        if gen_id not in cache:
            generation = self.find(gen_id)
            stage = generation.stage if generation else self.kept[gen_id]
            try:
                parsed = (self.layout.generation(stage, gen_id) / self.layout.parsed_name(stage)).read_bytes()
            except OSError:
                return None
            if (head := self._head(stage, gen_id)) is None:
                return None
            cache[gen_id] = (head.status, hashlib.sha256(parsed).hexdigest())
        return cache[gen_id]
