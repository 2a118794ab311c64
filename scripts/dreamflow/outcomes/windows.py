"""Outcomes of chunkings: how far overlapping windows of a conversation agree on its boundaries.

Archives record which generations read one text: those of all its versions with the same text. For each pair of their
windows that overlap, the boundaries inside the overlap are compared; the outcome of an answer is the share of them that
both have. It weighs half, since two windows may make the same mistake.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from .made import Generations, NoOutcome, of_generation, prompt_of
from .outcome import Outcome

WEIGHT = 0.5


class _Chunk(msgspec.Struct):
    first: int


class _Parsed(msgspec.Struct):
    chunks: list[_Chunk]


class _Metadata(msgspec.Struct):
    text_sha256: str
    generations: list[str] = []


class _Archive(msgspec.Struct):
    metadata: _Metadata


class _Reading(NamedTuple):
    """An answer's window (units, inclusive) and the units at which it begins a chunk."""

    first: int
    last: int
    gen_id: str
    boundaries: frozenset[int]


_PARSED = msgspec.json.Decoder(_Parsed)
_ARCHIVE = msgspec.json.Decoder(_Archive)


def window_outcomes(generations: Generations, left_out: Counter[str]) -> list[Outcome]:
    """The boundary agreement of each usable chunk answer that overlaps another one with a boundary in the overlap."""
    outcomes = []
    for (name, _), archives in _archived(generations, left_out).items():
        readings = sorted(filter(None, (_reading(generations, gen_id) for gen_id in archives)))
        for gen_id, (both, either, others) in _agreements(readings).items():
            made = generations("chunk", gen_id)
            outcomes.append(
                Outcome(
                    **of_generation(made),
                    prompt=prompt_of(generations.root, "chunk", gen_id),
                    **{"kind": "chunk", "context": str(made.wildcards.get("quality_level", ""))},
                    **{"evidence_class": "exact", "verified_by": "windows", "weight": WEIGHT},
                    outcome=both / either,
                    passed=None,
                    why=f"{both} of {either} boundaries agree with {others} overlapping window(s)",
                    evidence=(f"chunks/{name}/{archives[gen_id]}",),
                )
            )
    return outcomes


def _archived(generations: Generations, left_out: Counter[str]) -> Mapping[tuple[str, str], dict[str, str]]:
    """For each conversation and text: the generations that read it, with the first archive that names each."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    files = generations.root.glob("chunks/*/archive_v*.json")
    for path in sorted(files, key=lambda path: (path.parent.name, len(path.name), path.name)):
        try:
            metadata = _ARCHIVE.decode(path.read_bytes()).metadata
        except (OSError, msgspec.DecodeError, ValueError):
            left_out["chunk: unreadable archive"] += 1
            continue
        of_text = found[path.parent.name, metadata.text_sha256]
        for gen_id in metadata.generations:
            of_text.setdefault(gen_id, path.name)
    return found


def _reading(generations: Generations, gen_id: str) -> _Reading | None:
    try:
        made = generations("chunk", gen_id)
        first, last = (made.parser_options[key] for key in ("first", "last"))
        if made.status != "ok" or not isinstance(first, int) or not isinstance(last, int):
            return None
        folder = generations.root / "gens" / "chunk" / gen_id
        chunks = _PARSED.decode((folder / "parsed.json").read_bytes()).chunks
    except (NoOutcome, KeyError, OSError, ValueError, msgspec.DecodeError):
        return None
    return _Reading(first, last, gen_id, frozenset(chunk.first for chunk in chunks))


def _agreements(readings: Sequence[_Reading]) -> dict[str, tuple[int, int, int]]:
    """(boundaries that both have, that either has, overlapping windows) of each reading with any; sorted by window."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for place, left in enumerate(readings):
        for right in readings[place + 1 :]:
            if right.first > left.last:
                break  # so does every later window
            # The first unit of a window always begins a chunk in it.
            inside = range(max(left.first, right.first) + 1, min(left.last, right.last) + 1)
            ours, theirs = ({unit for unit in reading.boundaries if unit in inside} for reading in (left, right))
            if ours | theirs:
                for reading in (left, right):
                    for index, add in enumerate((len(ours & theirs), len(ours | theirs), 1)):
                        counts[reading.gen_id][index] += add
    return {gen_id: tuple(count) for gen_id, count in counts.items()}
