"""From answers to archives, as pure functions.

Rules chunk each window whose generation gave no usable answer. These chunks have the quality level basic and the
method rules, whichever level was planned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ConfigError
from ..files import canonical, sha256
from ..generation.model import Json, Result
from .archive import build_archive, chunks_of
from .confidence import with_confidence
from .conversation import Archive, Chunk, Conversation, Unit, Window
from .rules import boundaries_by_rules, chunk_by_rules
from .stitch import clip, level_of, read_answer, stitch
from .upgrade import merge_upgrade


@dataclass(frozen=True)
class Answer:
    """The result of a window's generation, and what the parser read from it (only if its status is ok)."""

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
    """The chunks of the units in the windows of these answers, with their confidence; `level` is the quality level of
    a model's chunks."""
    last = max(answer.window.last for answer in answers)
    return _chunks_between(conversation, units, answers, level, answers[0].window.first, last)


def _chunks_between(
    conversation: Conversation, units: Sequence[Unit], answers: Sequence[Answer], level: str, first: int, last: int
) -> list[Chunk]:
    """The chunks of units `first` to `last` (numbers, inclusive); without answers, those of the rules."""
    if not answers or first > last:
        return chunk_by_rules(conversation, units, first, last)
    windows, readings, validity = [], [], {}
    for answer in answers:
        window = Window(max(answer.window.first, first), min(answer.window.last, last))
        if window.first <= window.last:
            windows.append(window)
            readings.append(clip(_read(conversation, units, answer, level), window.first, window.last))
            if answer.is_usable:
                validity[answer.result.gen_id] = answer.parsed["validity"]
    chunks = stitch(conversation, units, windows, readings)
    rules = boundaries_by_rules(conversation, units, first, last)
    return with_confidence(chunks, windows, readings, rules, validity)


def _read(conversation: Conversation, units: Sequence[Unit], answer: Answer, level: str) -> list[Chunk]:
    if not answer.is_usable:
        return chunk_by_rules(conversation, units, answer.window.first, answer.window.last)
    origin = {key: getattr(answer.result, key) for key in ("model_id", "provider", "gen_id")}
    return read_answer(answer.parsed, {"method": "llm", "quality_level": level, **origin})


def basic_archive(
    conversation: Conversation, units: Sequence[Unit], answers: Sequence[Answer], latest: Archive | None
) -> Archive:
    """The archive of the level basic, by rules where there are no answers.

    Better chunks of the same text in `latest` (the current archive) stay, so chunking again never undoes an upgrade.
    Returns `latest` itself if its content would not change.
    """

    def make(first: int, last: int) -> list[Chunk]:
        return _chunks_between(conversation, units, answers, "basic", first, last) if first <= last else []

    chunks = _with_better(make(1, len(units)), _better_runs(latest, conversation, units), make, len(units))
    archive = build_archive(conversation, units, chunks, [answer.result for answer in answers])
    return latest if latest is not None and _content(latest) == _content(archive) else archive


def _better_runs(latest: Archive | None, conversation: Conversation, units: Sequence[Unit]) -> list[list[Chunk]]:
    """Runs of neighbouring chunks of the latest archive above basic; none if the text has changed."""
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
    """The chunks of an archive of the same text with current unit numbers; None for a chunk that splits a unit."""
    starts, ends = {unit.start: unit.number for unit in units}, {unit.end: unit.number for unit in units}
    chunks = []
    for chunk, archived in zip(chunks_of(archive), archive["b_chunks"], strict=True):
        start, end = archived["char_range"]
        first, last = starts.get(start), ends.get(end)
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
    result, start = [], 1  # re-chunk the text between the runs, so that its chunks have the right sizes
    for run in runs:
        result += [*make(start, run[0].first - 1), *run]
        start = run[-1].last + 1
    return [*result, *make(start, last)]


def _content(archive: Archive) -> str:
    """An archive as text, without its usage and its version."""
    metadata = {key: archive["metadata"][key] for key in ("title", "source", "text_sha256", "turns")}
    return canonical([metadata, archive["b_chunks"]])


def upgraded_archive(
    conversation: Conversation,
    units: Sequence[Unit],
    base: Archive,
    regions: Sequence[tuple[tuple[int, int], Sequence[Answer]]],
    level: str,
) -> Archive:
    """The archive `base` with its regions (first and last unit) re-chunked from answers; `base` itself if no answer was
    better. Raises a `ConfigError` if the conversation has changed since `base` was made."""
    before = chunks = _renumbered(base, units)
    if base["metadata"]["text_sha256"] != sha256(conversation.text) or None in chunks:
        raise ConfigError(
            f"conversation {conversation.conversation_id} has changed since its archive was made; "
            "run `snakemake chunks` to update the archive"
        )
    for region, answers in regions:
        chunks = merge_upgrade(chunks, region, chunks_from(conversation, units, answers, level))
    if chunks == before:
        return base
    return build_archive(conversation, units, chunks, [a.result for _, answers in regions for a in answers])
