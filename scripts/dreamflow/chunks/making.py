"""From answers to archives: what a run of the workflow does with a conversation, as pure functions.

A window whose generation gave no usable answer is chunked by rules, and its chunks say so: they have the quality
basic and the method rules, whichever tier was planned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ConfigError
from ..files import canonical, sha256
from ..generation.model import Json, Result
from .archive import build_archive, chunks_of
from .confidence import with_confidence
from .conversation import Archive, Chunk, Conversation, Unit, Window
from .rules import chunk_by_rules
from .stitch import boundaries_of, level_of, read_answer, stitch
from .upgrade import merge_upgrade


@dataclass(frozen=True)
class Answer:
    """What became of the generation of a window: its result, and what its parser read (unused unless it is ok)."""

    window: Window
    result: Result
    parsed: Mapping[str, Json]

    @property
    def is_usable(self) -> bool:
        """Whether the chunks of the window come from this answer."""
        return self.result.status == "ok"


def chunks_from(
    conversation: Conversation, units: Sequence[Unit], answers: Sequence[Answer], level: str
) -> list[Chunk]:
    """The chunks of the units that the windows of these answers cover, with their confidence; `level` is the quality
    of what models wrote."""
    return _between(
        conversation, units, answers, level, answers[0].window.first, max(answer.window.last for answer in answers)
    )


def _between(
    conversation: Conversation, units: Sequence[Unit], answers: Sequence[Answer], level: str, first: int, last: int
) -> list[Chunk]:
    """The chunks of units `first` to `last` (numbers, inclusive); without answers, those of the rules."""
    rules = chunk_by_rules(conversation, units, first, last)
    if not answers or not rules:
        return rules
    windows, readings, validity = [], [], {}
    for answer in answers:
        window = Window(answer.window.number, max(answer.window.first, first), min(answer.window.last, last))
        if window.first <= window.last:
            windows.append(window)
            readings.append(_cut(_read(conversation, units, answer, level), window))
            if answer.is_usable:
                validity[answer.result.gen_id] = answer.parsed["validity"]
    chunks = stitch(conversation, units, windows, readings)
    return with_confidence(chunks, windows, readings, boundaries_of(rules), validity)


def _read(conversation: Conversation, units: Sequence[Unit], answer: Answer, level: str) -> list[Chunk]:
    if not answer.is_usable:
        return chunk_by_rules(conversation, units, answer.window.first, answer.window.last)
    result = answer.result
    made_by = {"model_id": result.model_id, "provider": result.provider, "gen_id": result.gen_id}
    return read_answer(answer.parsed, {"method": "llm", "quality_level": level, **made_by})


def _cut(chunks: Sequence[Chunk], window: Window) -> list[Chunk]:
    return [
        replace(chunk, first=max(chunk.first, window.first), last=min(chunk.last, window.last))
        for chunk in chunks
        if chunk.first <= window.last and chunk.last >= window.first
    ]


def basic_archive(
    conversation: Conversation, units: Sequence[Unit], answers: Sequence[Answer], latest: Archive | None
) -> Archive:
    """The archive of the tier that always runs, by rules where there are no answers.

    Where `latest` (the current archive) has better chunks of the same text, they stay: chunking again never undoes an
    upgrade. Returns `latest` itself if its content would not change.
    """

    def make(first: int, last: int) -> list[Chunk]:
        return _between(conversation, units, answers, "basic", first, last) if first <= last else []

    chunks = _with_better(make(1, len(units)), _better(latest, conversation, units), make, len(units))
    archive = build_archive(conversation, units, chunks, [answer.result for answer in answers])
    return latest if latest is not None and _content(latest) == _content(archive) else archive


def _better(latest: Archive | None, conversation: Conversation, units: Sequence[Unit]) -> list[list[Chunk]]:
    """Runs of neighbouring chunks of the latest archive that are better than basic, if its text is this one's."""
    if latest is None or latest["metadata"]["text_sha256"] != sha256(conversation.text):
        return []
    runs: list[list[Chunk]] = []
    for chunk in _renumbered(latest, units):
        if chunk is None or level_of(chunk) == 0:
            continue
        if runs and runs[-1][-1].last + 1 == chunk.first:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs


def _renumbered(archive: Archive, units: Sequence[Unit]) -> list[Chunk | None]:
    """The chunks of an archive of the same text by the numbers that units have now; None for one that cuts a unit."""
    starts, ends = ({getattr(unit, side): unit.number for unit in units} for side in ("start", "end"))
    chunks = []
    for chunk, described in zip(chunks_of(archive), archive["b_chunks"], strict=True):
        first, last = (side.get(place) for side, place in zip((starts, ends), described["char_range"], strict=True))
        chunks.append(replace(chunk, first=first, last=last) if first and last else None)
    return chunks


def _with_better(
    chunks: list[Chunk], runs: Sequence[list[Chunk]], make: Callable[[int, int], list[Chunk]], last: int
) -> list[Chunk]:
    begins = {chunk.first for chunk in chunks} | {last + 1}
    if all(run[0].first in begins and run[-1].last + 1 in begins for run in runs):
        for run in runs:
            chunks = merge_upgrade(chunks, (run[0].first, run[-1].last), run)
        return chunks
    result, start = [], 1  # the chunks in between are cut again, so that they have the right sizes
    for run in runs:
        result += [*make(start, run[0].first - 1), *run]
        start = run[-1].last + 1
    return [*result, *make(start, last)]


def _content(archive: Archive) -> str:
    """An archive as text, without its costs and its place among the versions."""
    metadata = {key: archive["metadata"][key] for key in ("title", "source", "text_sha256", "turns")}
    return canonical([metadata, archive["b_chunks"]])


def upgraded_archive(
    conversation: Conversation,
    units: Sequence[Unit],
    base: Archive,
    regions: Sequence[tuple[tuple[int, int], Sequence[Answer]]],
    level: str,
) -> Archive:
    """The archive `base` with its regions (first and last unit) re-chunked from answers; `base` itself where no answer
    was better. Raises a `ConfigError` if the conversation has changed since `base` was made."""
    chunks = _renumbered(base, units)
    if base["metadata"]["text_sha256"] != sha256(conversation.text) or None in chunks:
        raise ConfigError(
            f"conversation {conversation.conversation_id} is another one than its archive holds; "
            "`snakemake chunks` brings the archive up to date"
        )
    before = chunks
    for region, answers in regions:
        chunks = merge_upgrade(chunks, region, chunks_from(conversation, units, answers, level))
    if chunks == before:
        return base
    return build_archive(conversation, units, chunks, [a.result for _, answers in regions for a in answers])
