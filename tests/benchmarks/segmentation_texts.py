"""Conversations with known changes of subject, composed of texts that nobody of this project wrote.

`cases(part)` gives those of "train", "dev" or "test", always the same for the same fetched texts (`python
tests/benchmarks/segmentation_fetch.py` fetches them; segmentation_sources.py and segmentation_documents.py read and
divide them). `python tests/benchmarks/segmentation_texts.py` prints a table of the cases.

A case joins topics of one source, in one of several ways, so that no density of boundaries can be learnt: whole
topics; excerpts of 4 to 6, 4 to 15, 18 to 60, or anything from 2 to 60 turns, which begin anywhere; sections or scenes
that follow each other in one work; whole chapters; and a single topic, which is to be left whole. In the parts train
and dev there are more of each.
"""

import math
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import segmentation_documents as documents
import segmentation_sources as sources
from dreamflow.chunks.conversation import Conversation, Turn
from segmentation_fetch import PARTS, Said, Topic

MANY = {"train": 4, "dev": 2, "test": 1}  # cases of a kind, relative to the test part
LONGEST = 120  # turns of a whole topic


@dataclass(frozen=True)
class Case:
    """Turns, and the numbers (from 1, as in boundary_metrics) of those at which a new subject begins."""

    name: str
    source: str
    group: str
    language: str
    part: str
    turns: tuple[Said, ...]
    known: tuple[int, ...]


Join = Callable[[list[Topic], random.Random], list[tuple[Said, ...]]]


# --- ways to join topics ----------------------------------------------------------------------------------


def excerpts(low: int, high: int, topics: list[Topic], rng: random.Random, aligned: int = 1) -> list[tuple[Said, ...]]:
    """3 to 10 excerpts of `low` to `high` turns (log-uniform), of different documents, neighbours by other speakers."""
    pieces: list[tuple[Said, ...]] = []
    used: list[Topic] = []
    for _ in range(rng.randint(3, 10 if high <= 20 else 6)):
        size = min(round(math.exp(rng.uniform(math.log(low - 0.49), math.log(high + 0.49)))), high)
        fit = _unused([topic for topic in topics if len(topic.turns) >= size], used)
        fit = fit or _unused([topic for topic in topics if len(topic.turns) >= low], used)
        if not fit:
            break
        topic = rng.choice(fit)
        size = min(size, len(topic.turns))
        start = 0 if rng.random() < 0.4 else rng.randint(0, len(topic.turns) - size) // aligned * aligned
        pieces.append(topic.turns[start : start + size])
        used.append(topic)
    return pieces


def whole(least: int, topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """3 to 8 topics of `least` turns or more, whole."""
    fit = [topic for topic in topics if least <= len(topic.turns) <= LONGEST]
    return [topic.turns for topic in _different(fit, rng.randint(3, 8), rng)]


def mixed(topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """Whole topics in random order, some of them a single exchange."""
    short = [topic for topic in topics if len(topic.turns) < 4]
    pieces = whole(4, topics, rng) + [topic.turns for topic in _different(short, rng.randint(1, 4), rng)]
    return rng.sample(pieces, len(pieces))


def following(most: int, topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """3 to `most` topics that follow each other in one document."""
    documents = [topics for topics in _documents(topics) if len(topics) >= 3]
    document = rng.choice(documents)
    size = min(rng.randint(3, most), len(document))
    start = rng.randint(0, len(document) - size)
    return [topic.turns[:LONGEST] for topic in document[start : start + size]]


def chapters(topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """3 to 5 pieces of 15 to 60 turns from documents: what is about one thing at large, in many sections."""
    merged = [
        replace(document[0], turns=tuple(turn for topic in document for turn in topic.turns))
        for document in _documents(topics)
    ]
    return excerpts(15, 60, merged, rng)[:5]


def alone(topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """One topic of 6 turns or more."""
    return [rng.choice([topic for topic in topics if 6 <= len(topic.turns) <= LONGEST]).turns]


def _documents(topics: Iterable[Topic]) -> list[list[Topic]]:
    documents = defaultdict(list)
    for topic in topics:
        documents[topic.document].append(topic)
    return list(documents.values())


def _different(topics: list[Topic], wanted: int, rng: random.Random) -> list[Topic]:
    """Up to `wanted` of the topics, of different documents."""
    chosen: list[Topic] = []
    while len(chosen) < wanted and (left := _unused(topics, chosen)):
        chosen.append(rng.choice(left))
    return chosen


def _unused(topics: list[Topic], used: list[Topic]) -> list[Topic]:
    """The topics of documents that are not used, and not by speakers of the last one used."""
    documents = {topic.document for topic in used}
    speakers = used[-1].speakers if used else frozenset()
    return [topic for topic in topics if topic.document not in documents and not topic.speakers & speakers]


def by_paragraphs(join: Join, topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """The same of topics whose paragraphs are turns of their own."""
    split = [
        replace(topic, turns=tuple((role, part) for role, said in topic.turns for part in said.split("\n\n")))
        for topic in topics
    ]
    return join(split, rng)


def by_messages(join: Join, topics: list[Topic], rng: random.Random) -> list[tuple[Said, ...]]:
    """The same, where each message (line) is a turn of its own, as chat programs export it."""
    return [tuple((role, line) for role, said in piece for line in said.split("\n")) for piece in join(topics, rng)]


# --- the table of sources ---------------------------------------------------------------------------------


@cache
def _topics(source: str, part: str) -> list[Topic]:
    kind, _, language = source.partition(" ")
    if kind == "documents":
        return documents.sections(language, part)
    loaders = {
        "human": sources.human_chats,
        "assistant": partial(sources.assistant_chats, language),
        "tools": sources.tool_requests,
        "sessions": sources.sessions,
        "questions": partial(sources.questions, language),
        "mail": sources.discussions,
        "plays": sources.scenes,
    }
    return [topic for topic in loaders[kind]() if topic.part == part]


_EXCHANGES = partial(excerpts, 4, 12, aligned=2)
# name: (group, source, how topics are joined, cases in the test part)
KINDS: dict[str, tuple[str, str, Join, int]] = {
    "human, whole": ("human chats", "human en", partial(whole, 6), 16),
    "human, 4-6 turns": ("human chats", "human en", partial(excerpts, 4, 6), 16),
    "human, 4-15 turns": ("human chats", "human en", partial(excerpts, 4, 15), 16),
    "human, 2-60 turns": ("human chats", "human en", partial(excerpts, 2, 60), 16),
    "human, messages": ("human chats", "human en", partial(by_messages, partial(excerpts, 3, 20)), 16),
    "human, 18-60 turns": ("long topics", "human en", partial(excerpts, 18, 60), 12),
    "assistant, whole": ("assistant chats", "assistant en", partial(whole, 4), 20),
    "assistant, short and whole": ("assistant chats", "assistant en", mixed, 16),
    "assistant zh, whole": ("assistant chats", "assistant zh", partial(whole, 4), 16),
    "assistant zh, short and whole": ("assistant chats", "assistant zh", mixed, 12),
    "tools": ("assistant chats", "tools en", partial(whole, 4), 10),
    "mail, threads": ("discussions", "mail en", partial(excerpts, 3, 60), 16),
    "mail, 3-8 mails": ("discussions", "mail en", partial(excerpts, 3, 8), 16),
    "mail, 15-60 paragraphs": ("long topics", "mail en", partial(by_paragraphs, partial(excerpts, 15, 60)), 16),
    "sessions": ("long topics", "sessions en", partial(following, 6), 3),
    "questions en": ("questions", "questions en", _EXCHANGES, 8),
    "questions zh": ("questions", "questions zh", _EXCHANGES, 8),
    "questions ja": ("questions", "questions ja", _EXCHANGES, 8),
    "plays, scenes in order": ("long topics", "plays en", partial(following, 6), 16),
    "plays, 4-15 speeches": ("plays", "plays en", partial(excerpts, 4, 15), 8),
} | {
    f"documents {language}, {name}": (f"documents {language}", f"documents {language}", join, number)
    for language in ("en", "zh", "ja")
    for name, join, number in (
        ("sections", partial(whole, 2), 12),
        ("2-20 paragraphs", partial(excerpts, 2, 20), 12),
        ("sections in order", partial(following, 8), 12),
        ("chapters", chapters, 6),
    )
}
ALONE = {"human en": 4, "assistant en": 4, "assistant zh": 2, "plays en": 2}
ALONE |= {f"documents {language}": 2 for language in ("en", "zh", "ja")}
KINDS |= {f"{source}, one subject": ("one subject", source, alone, number) for source, number in ALONE.items()}


def cases(part: str, kinds: Iterable[str] = KINDS) -> list[Case]:
    """The cases of a part, of all kinds or of those named; SystemExit where their texts are not fetched."""
    if part not in PARTS:
        raise ValueError(f"a part {part!r}, which is none of {', '.join(PARTS)}")
    made = []
    for kind in kinds:
        group, source, join, number = KINDS[kind]
        for i in range(1, number * MANY[part] + 1):
            pieces = join(_topics(source, part), random.Random(f"{part} {kind} {i}"))
            turns = tuple(turn for piece in pieces for turn in piece)
            starts = [sum(len(piece) for piece in pieces[:k]) + 1 for k in range(1, len(pieces))]
            made.append(Case(f"{kind} {i}", kind, group, source[-2:], part, turns, tuple(starts)))
    return made


def conversation(case: Case, roles: bool = True) -> Conversation:
    """A case as the workflow reads it; without roles nothing says who speaks. Documents alternate where roles show."""
    text, turns = "", []
    for i, (role, said) in enumerate(case.turns):
        shown = (role or ("user", "assistant")[i % 2]) if roles else "text"
        header = f"{shown}: " if roles else ""
        start = len(text)
        text += f"{header}{said}\n" if roles else f"{said}\n\n"
        turns.append(Turn(i + 1, shown, start, len(text), start + len(header)))
    return Conversation(case.name.replace(" ", "-").replace(",", ""), text, tuple(turns))


if __name__ == "__main__":
    print("| kind | group | train | dev | test | turns in test | turns to a topic (min, median, max) |")
    print("|---|---|---|---|---|---|---|")
    made = {part: cases(part) for part in PARTS}
    for kind, (group, *_) in KINDS.items():
        ours = {part: [case for case in made[part] if case.source == kind] for part in PARTS}
        ends = [[1, *case.known, len(case.turns) + 1] for case in ours["test"]]
        sizes = [b - a for marks in ends for a, b in pairwise(marks)]
        numbers = " | ".join(str(len(ours[part])) for part in PARTS)
        spread = f"{min(sizes)}, {statistics.median(sizes):.0f}, {max(sizes)}"
        print(f"| {kind} | {group} | {numbers} | {sum(len(case.turns) for case in ours['test'])} | {spread} |")
