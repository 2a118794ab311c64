"""Methods that the benchmark of segmentation compares: a conversation in, the numbers of the turns that begin a chunk.

A cut inside a turn counts at that turn; inside the first one, as none.
"""

import json
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

import chonkie
import nltk
import semchunk
from dreamflow.chunks.conversation import Conversation
from dreamflow.chunks.rules import chunk_by_rules
from dreamflow.chunks.terms import STOP_WORDS, words
from dreamflow.chunks.units import split_units
from dreamflow.generation.tokens import estimate_tokens

Method = Callable[[Conversation], set[int]]


def never(conversation: Conversation) -> set[int]:
    """One chunk."""
    return set()


def every(n: int, conversation: Conversation) -> set[int]:
    """A chunk of `n` turns after another."""
    return set(range(n + 1, len(conversation.turns) + 1, n))


def evenly(topics: int, conversation: Conversation) -> set[int]:
    """As many chunks as there are subjects, of equal length: what knowing their number alone is worth."""
    turns = len(conversation.turns)
    return {round(i * turns / topics) + 1 for i in range(1, topics)} - {1, turns + 1}


def ours(limits: bool, conversation: Conversation) -> set[int]:
    """What the tier "basic" cuts, with or without the cuts that only keep a chunk below its largest size."""
    return {turn for turn, limit in _ours(conversation) if limits or not limit} - {1}


@cache
def _ours(conversation: Conversation) -> list[tuple[int, bool]]:
    units = split_units(conversation)
    chunks = chunk_by_rules(conversation, units, 1, len(units))
    return [(units[chunk.first - 1].turn, chunk.limit) for chunk in chunks[1:]]


def text_tiling(w: int, k: int, conversation: Conversation) -> set[int]:
    """TextTiling as nltk has it, each turn a paragraph.

    It knows only the letters a-z. So for texts in other scripts it is given the terms that the rules count, spelled
    in letters.
    """
    turns, text = conversation.turns, conversation.text
    said = [text[turn.content_start : turn.end].strip() for turn in turns]
    if sum(map(str.isascii, text)) < 0.98 * len(text):
        said = [" ".join(_letters(term) for term, _ in words(part)) for part in said]
    paragraphs, starts = "", []
    for part in said:
        starts.append(len(paragraphs))
        paragraphs += "\n".join(line for line in part.splitlines() if line.strip()) + "\n\n"
    try:
        tiles = nltk.TextTilingTokenizer(w=w, k=k, stopwords=STOP_WORDS).tokenize(paragraphs)
    except (ValueError, IndexError):  # too little text for such blocks
        return set()
    found, place = set(), 0
    for tile in tiles[:-1]:
        place += len(tile)  # the end of a paragraph; its blank line is part of the next tile
        found.add(min(range(len(turns)), key=lambda i: abs(starts[i] - place)) + 1)
    return found - {1}


def _letters(term: str) -> str:
    return "".join(c if "a" <= c <= "z" else "".join(chr(97 + int(digit)) for digit in str(ord(c))) for c in term)


def by_semchunk(size: int, conversation: Conversation) -> set[int]:
    """semchunk, a splitter at the deepest separator that fits."""
    _, offsets = semchunk.chunk(conversation.text, size, estimate_tokens, offsets=True)
    return _turns(conversation, (start for start, _ in offsets))


def by_chonkie(size: int, conversation: Conversation) -> set[int]:
    """chonkie's sentence chunker; its semantic ones need a downloaded network, its recursive one its own tokenizer."""
    return _turns(conversation, (chunk.start_index for chunk in _chonkie(size)(conversation.text)))


@cache
def _chonkie(size: int) -> chonkie.BaseChunker:
    return chonkie.SentenceChunker(estimate_tokens, chunk_size=size, delim=[". ", "! ", "? ", "\n", "。", "！", "？"])


def _turns(conversation: Conversation, starts: Iterable[int]) -> set[int]:
    """The numbers of the turns in which chunks start at these characters."""
    places = sorted(starts)
    found, i = set(), 0
    for turn in conversation.turns:
        while i < len(places) and places[i] < turn.end:
            found.add(turn.number)
            i += 1
    return found - {1}


def archived(folder: Path, conversation: Conversation) -> set[int]:
    """The newest archive of a conversation, made by the workflow from what --write wrote."""
    home = folder / conversation.conversation_id
    if not (home / "manifest.json").exists():
        raise SystemExit(f"{home}: no manifest.json; chunk what --write wrote for this part, and name its data/chunks")
    version = json.loads((home / "manifest.json").read_text(encoding="utf-8"))["latest_version"]
    chunks = json.loads((home / f"archive_v{version}.json").read_text(encoding="utf-8"))["b_chunks"]
    spans = [tuple(chunk["char_range"]) for chunk in chunks]
    if any(conversation.text[start:end] != chunk["content"] for (start, end), chunk in zip(spans, chunks, strict=True)):
        raise SystemExit(f"{home}: made from another conversation than the benchmark's; run --write and chunk again")
    return _turns(conversation, (start for start, _ in spans))


def choices() -> dict[str, list[Method]]:
    """The rivals, and the settings of each among which the development part chooses."""
    sizes = (100, 250, 500, 800)
    return {
        "never cut": [never],
        "every N turns": [partial(every, n) for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 60)],
        "TextTiling": [partial(text_tiling, 20, 10)],  # its defaults; slow, and other values did not help it
        "semchunk": [partial(by_semchunk, size) for size in sizes],
        "chonkie": [partial(by_chonkie, size) for size in sizes],
    }
