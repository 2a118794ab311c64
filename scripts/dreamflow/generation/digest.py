"""The digest of everything that decides a generation, and whether the files of a generation still have that digest.

metadata.json contains the digest, so an edit is noticed even if Snakemake's own records (`.snakemake/metadata`) are
lost, copied or incomplete.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from ..files import canonical, read_json, sha256
from .layout import Layout
from .model import Evidence, Generation, Json, as_json
from .providers.human import answer_path
from .summary import Summary

_ENCODER = msgspec.json.Encoder(order="sorted")


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What decides whether a generation is stale. In the file of its shard it also has a digest of its parsed file, and
    its summary; else the digest is empty."""

    inputs_sha256: str
    status: str
    parsed_sha256: str = ""
    response_key: str | None = None
    summary: Summary | None = None


class _Head(msgspec.Struct):
    """The fields of metadata.json that are read for every generation of a plan."""

    inputs_sha256: str = ""
    status: str = "ok"
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

    What is read is cached until `forget`. The methods may be called from any thread.
    """

    def __init__(
        self,
        find: Callable[[str], Generation | None],
        layout: Layout,
        kept: Mapping[str, str],
        is_waiting: Callable[[str | None], bool] = lambda key: False,
        recorded: Callable[[str, str], Entry | None] = lambda stage, gen_id: None,
    ) -> None:
        """`find(gen_id)` returns a planned generation, or None; `kept` has the stages of unplanned parents;
        `is_waiting(key)` tells whether a batch has a question; `recorded(stage, gen_id)` returns what the file of a
        shard says of a generation whose files have not changed since, or None."""
        self.find, self.layout, self.kept = find, layout, kept
        self.is_waiting, self.recorded = is_waiting, recorded
        self.forget()

    def forget(self) -> None:
        """Replace the caches, since files have changed. A thread that is still reading fills the old caches."""
        self._stale: dict[str, bool] = {}
        self._entries: dict[str, Entry | None] = {}
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
        parents = [self.result(parent) for parent in generation.parents]
        return None in parents or not self.is_kept(generation, parents, late_input(generation, self.layout))

    def is_kept(self, generation: Generation, parents: Sequence[tuple[str, str]], late: str) -> bool:
        """Whether the files of a generation are those of its row and these inputs; arguments as in `inputs_digest`."""
        entry = self.entry(generation.stage, generation.gen_id)
        if entry is None or not (entry.parsed_sha256 or self.layout.is_whole(generation.stage, generation.gen_id)):
            return False
        if entry.status == "pending" and generation.mode == "llm" and not self.is_waiting(entry.response_key):
            return False
        return entry.inputs_sha256 == inputs_digest(generation, parents, late)

    def entry(self, stage: str, gen_id: str) -> Entry | None:
        """What the file of its shard or its metadata.json says of a generation; None if it cannot be read."""
        cache = self._entries
        if gen_id not in cache:
            entry = self.recorded(stage, gen_id)
            if entry is None:
                with suppress(OSError, msgspec.DecodeError):
                    head = _HEAD.decode(Path(self.layout.metadata(stage, gen_id)).read_bytes())
                    entry = Entry(head.inputs_sha256, head.status, response_key=head.response_key)
            cache[gen_id] = entry
        return cache[gen_id]

    def result(self, gen_id: str) -> tuple[str, str] | None:
        """(status, SHA-256 of the parsed file) of a parent; None if it cannot be read."""
        cache = self._results
        if gen_id not in cache:
            generation = self.find(gen_id)
            stage = generation.stage if generation else self.kept[gen_id]
            if (entry := self.entry(stage, gen_id)) is None:
                return None
            digest = entry.parsed_sha256
            if not digest:
                try:
                    parsed = (self.layout.generation(stage, gen_id) / self.layout.parsed_name(stage)).read_bytes()
                except OSError:
                    return None
                digest = hashlib.sha256(parsed).hexdigest()
            cache[gen_id] = (entry.status, digest)
        return cache[gen_id]
