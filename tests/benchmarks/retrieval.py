"""How well what was said is found again: Dreamflow's chunks and search against the usual passages and rankings.

Run: python tests/benchmarks/retrieval.py [--questions FILE ...] [--conversations FOLDER] [--json FILE]

Without --questions: 60 questions of our own on the conversations of the demo (retrieval.yaml says what they are worth).
FILE is LoCoMo's locomo10.json, which you have to get from its authors, or a file in the shape of retrieval.yaml;
--conversations is the folder that the latter speaks of. Questions of one sample are searched in that sample alone.

Passages: Dreamflow's chunks; windows of sentences with the mean size of these chunks, also with half of each in the
next; every turn; whole conversations (LoCoMo: sessions). Each is ranked by `words`, the trigrams of the database's
index (any word of the question); `BM25` over terms; `vectors`, cosines of embeddings; and `fused`, the last two by
reciprocal ranks (k = 60, Cormack et al. 2009). "Dreamflow" is the search itself (`search.py --meaning`), from archives
to passages; "windows, same search" gives it the windows for chunks, to show what is due to chunks alone.

All get the same number of tokens: what five chunks of mean size have. A ranking is read until they are used up, the
last passage in part. A turn of the evidence is found if half of its characters are there; recall is the share of the
turns of a question. Intervals (95%, and those of differences) are bootstrap intervals over questions. Adversarial
questions of LoCoMo, whose evidence is no answer, are counted apart.
"""

import argparse
import json
import math
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow import embedding
from dreamflow.chunks import recall
from dreamflow.chunks.archive import build_archive, write_archive
from dreamflow.chunks.conversation import Chunk, Conversation, Unit
from dreamflow.chunks.making import basic_archive
from dreamflow.chunks.sources import chunk_sources
from dreamflow.chunks.terms import HAN, KATAKANA, STOP_WORDS, terms
from dreamflow.chunks.units import split_units
from dreamflow.database.build import update_database
from dreamflow.files import sha256
from dreamflow.generation.tokens import estimate_tokens
from retrieval_data import ADVERSARIAL, Place, Question, Sample, read_samples

OWN = Path(__file__).with_suffix(".yaml")
DEMO = Path(__file__).parents[2] / "data/1_raw/conversations"
FIRST, BUDGETS, RESAMPLES = 5, (500, 1000, 2000), 4000
SAME = "windows, same search"

Span = tuple[int, int]  # characters
Scores = Callable[[str], np.ndarray]  # of all passages, for a question
Ranking = Callable[[str], Sequence["Passage"]]


@dataclass(frozen=True)
class Passage:
    """A part of a conversation (characters)."""

    conversation: str
    start: int
    end: int
    text: str
    tokens: int


@dataclass
class Outcome:
    """What a method found, a number for each question: recall at equal tokens and at each budget, and 1 / rank."""

    equal: list[float]
    budgets: dict[int, list[float]]
    reciprocal: list[float]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, nargs="+", default=[OWN], metavar="FILE")
    parser.add_argument("--conversations", type=Path, default=DEMO, metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args()
    for path in options.questions:
        samples = read_samples(path, options.conversations)
        start = time.process_time()
        outcomes, questions, facts = run(samples)
        print(f"\n{path.name}: {facts}, {time.process_time() - start:.0f} CPU s")
        report(outcomes, [question.kind != ADVERSARIAL for question in questions])
        if options.json:
            kinds = [question.kind for question in questions]
            figures = {"kinds": kinds, **{name: vars(outcome) for name, outcome in outcomes.items()}}
            options.json.write_text(json.dumps(figures), encoding="utf-8")


def run(samples: Sequence[Sample]) -> tuple[dict[str, Outcome], list[Question], str]:
    """The outcome of each method on all questions, the questions, and what they are about in words."""
    outcomes: dict[str, Outcome] = {}
    questions: list[Question] = []
    conversations = chunks = tokens = 0
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        for number, sample in enumerate(samples):
            methods, mean, count = methods_of(sample, Path(folder) / str(number))
            for name, ranking in methods.items():
                add_outcome(outcomes.setdefault(name, Outcome([], {}, [])), sample, ranking, FIRST * mean)
            questions += sample.questions
            conversations += len(sample.conversations)
            chunks += count
            tokens += count * mean
    size = round(tokens / chunks)
    return outcomes, questions, f"{len(questions)} questions on {conversations} conversations, chunks of {size} tokens"


def methods_of(sample: Sample, root: Path) -> tuple[dict[str, Ranking], float, int]:
    """The ranking of each method, the mean tokens of a chunk, and the number of chunks."""
    conversations = sample.conversations
    own = {}
    for name, conversation in conversations.items():
        archive = basic_archive(conversation, split_units(conversation), [], None)
        own[name] = [tuple(chunk["char_range"]) for chunk in archive["b_chunks"]]
    cut = cutter(conversations)
    chunks = [cut(name, *span) for name, spans in own.items() for span in spans]
    mean = sum(chunk.tokens for chunk in chunks) / len(chunks)
    spans = {
        "chunks": own,
        "windows": {name: windows(conversation, mean) for name, conversation in conversations.items()},
        "windows, overlapping": {
            name: windows(conversation, mean, 0.5) for name, conversation in conversations.items()
        },
        "turns": {name: [(t.start, t.end) for t in conversation.turns] for name, conversation in conversations.items()},
        "conversations": {name: [(0, len(conversation.text))] for name, conversation in conversations.items()},
    }
    methods: dict[str, Ranking] = {"Dreamflow": searched(root / "chunks", conversations, own, cut)}
    for name, parts in spans.items():
        made = [cut(conversation, *span) for conversation, each in parts.items() for span in each]
        methods |= {f"{name} by {how}": ranking for how, ranking in rankings(made).items()}
    methods[SAME] = searched(root / "windows", conversations, spans["windows"], cut)
    return methods, mean, len(chunks)


def cutter(conversations: Mapping[str, Conversation]) -> Callable[[str, int, int], Passage]:
    """A function that cuts a passage from a conversation."""

    def cut(name: str, start: int, end: int) -> Passage:
        text = conversations[name].text[start:end]
        return Passage(name, start, end, text, max(estimate_tokens(text), 1))

    return cut


def windows(conversation: Conversation, size: float, overlap: float = 0.0) -> list[Span]:
    """Passages of whole sentences as near to `size` tokens as they can be; each has the end of the one before it, up
    to a share `overlap`."""
    units, spans, first = split_units(conversation), [], 0
    while first < len(units):
        tokens, last = 0, first
        while last < len(units) and (last == first or tokens + units[last].tokens / 2 <= size):
            tokens += units[last].tokens
            last += 1
        spans.append((units[first].start, units[last - 1].end))
        if last == len(units):
            break
        back, after = 0, last
        while last - 1 > first and back + units[last - 1].tokens <= size * overlap:
            last -= 1
            back += units[last].tokens
        first = last if last < after or not overlap else after
    return spans


# --- rankings ----------------------------------------------------------------------------------------------


def searched(
    root: Path,
    conversations: Mapping[str, Conversation],
    spans: Mapping[str, Sequence[Span]],
    cut: Callable[[str, int, int], Passage],
) -> Ranking:
    """The project's own search on archives whose chunks are these spans."""
    names = {}
    for number, (name, conversation) in enumerate(conversations.items()):
        names[f"talk-{number}"] = name
        units = split_units(conversation)
        chunks = chunks_of(spans[name], units)
        archive = build_archive(replace(conversation, conversation_id=f"talk-{number}"), units, chunks)
        write_archive(root / "chunks" / f"talk-{number}", archive)
    database = root / "dreamflow.sqlite"
    update_database(database, chunk_sources(root))
    recall.update_meaning(database)
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT id, conversation_id, char_start FROM chunks").fetchall()
    starts = {chunk: (names[talk], start) for chunk, talk, start in rows}

    def ranked(question: str) -> list[Passage]:
        found = recall.passages(database, question)
        places = [(*starts[passage.chunk], passage.start, passage.end) for passage in found]
        return [cut(name, at + start, at + end) for name, at, start, end in places]

    return ranked


def chunks_of(spans: Sequence[Span], units: Sequence[Unit]) -> list[Chunk]:
    """Chunks for an archive, without descriptions."""
    by_start = {unit.start: unit.number for unit in units}
    by_end = {unit.end: unit.number for unit in units}
    made_by = {"method": "rules", "quality_level": "basic"}
    return [Chunk(by_start[a], by_end[b], (), (), "", "", None, made_by) for a, b in spans]


def rankings(passages: Sequence[Passage]) -> dict[str, Ranking]:
    """The passages in the order of each usual kind of scores."""
    texts = [passage.text for passage in passages]
    lexical, vectors = bm25(texts), cosines(texts)

    def by(scores: Scores) -> Ranking:
        return lambda question: [passages[i] for i in np.argsort(-scores(question), kind="stable")]

    return {
        "words": by(trigrams(texts)),
        "BM25": by(lexical),
        "vectors": by(vectors),
        "fused": by(lambda question: fused(lexical(question), vectors(question))),
    }


def bm25(texts: Sequence[str]) -> Scores:
    """BM25 over words without endings, and over pairs of Han characters."""
    counts = [terms(text) for text in texts]
    lengths = np.array([count.total() for count in counts])
    spread = Counter(term for count in counts for term in count)
    scale = recall.K1 * (1 - recall.B + recall.B * lengths / max(lengths.mean(), 1))

    def scores(question: str) -> np.ndarray:
        total = np.zeros(len(texts))
        for term in terms(question):
            often = np.array([count[term] for count in counts])
            rarity = math.log(1 + (len(texts) - spread[term] + 0.5) / (spread[term] + 0.5))
            total += rarity * often * (recall.K1 + 1) / (often + scale)
        return total

    return scores


def trigrams(texts: Sequence[str]) -> Scores:
    """BM25 of FTS5 with the index that the database has (tokenizer trigram), for any word of a question; of texts
    without spaces every three characters are a word."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='trigram')")
    connection.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", enumerate(texts))

    def scores(question: str) -> np.ndarray:
        total, words = np.zeros(len(texts)), {}
        for word in re.findall(r"\w+", question):
            unspaced = re.search(f"[{HAN}{KATAKANA}\u3041-\u309f]", word)
            parts = [word[i : i + 3] for i in range(len(word) - 2)] if unspaced else [word]
            words |= dict.fromkeys(part for part in parts if len(part) > 2 and part.lower() not in STOP_WORDS)
        if words:
            query = " OR ".join(f'"{word}"' for word in words)
            for number, rank in connection.execute("SELECT rowid, rank FROM texts WHERE texts MATCH ?", (query,)):
                total[number] = -rank
        return total

    return scores


_VECTORS: dict[str, np.ndarray] = {}
_embed = embedding.embed


def vectors_of(texts: Sequence[str]) -> np.ndarray:
    """The vectors of texts, which are made once."""
    new = [text for text in dict.fromkeys(texts) if sha256(text) not in _VECTORS]
    _VECTORS.update(zip(map(sha256, new), _embed(new), strict=True))
    return np.array([_VECTORS[sha256(text)] for text in texts])


embedding.embed = vectors_of  # of the search as well: it makes those of pieces for each question


def cosines(texts: Sequence[str]) -> Scores:
    """Cosines of embeddings."""
    matrix = vectors_of(texts)
    return lambda question: matrix @ vectors_of([question])[0]


def fused(*parts: np.ndarray) -> np.ndarray:
    """The sum of reciprocal ranks."""
    total = np.zeros(len(parts[0]))
    for scores in parts:
        ranks = np.empty(len(scores))
        ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
        total += np.where(scores > 0, 1 / (61 + ranks), 0)
    return total


# --- measures ----------------------------------------------------------------------------------------------


def add_outcome(outcome: Outcome, sample: Sample, ranking: Ranking, tokens: float) -> None:
    """Add what a method finds for the questions of a sample."""
    for question in sample.questions:
        ranked = ranking(question.text)
        outcome.equal.append(found(sample, ranked, question.evidence, tokens))
        for budget in BUDGETS:
            outcome.budgets.setdefault(budget, []).append(found(sample, ranked, question.evidence, budget))
        hits = (rank for rank, passage in enumerate(ranked, 1) if found(sample, [passage], question.evidence, math.inf))
        outcome.reciprocal.append(1 / next(hits, math.inf))


def found(sample: Sample, ranked: Iterable[Passage], evidence: Iterable[Place], tokens: float) -> float:
    """The share of the turns of which half is in the first so many tokens."""
    covered: dict[Place, set[int]] = {place: set() for place in evidence}
    for passage in ranked:
        if tokens <= 0:
            break
        length = passage.end - passage.start
        end = passage.start + (length if passage.tokens <= tokens else int(length * tokens / passage.tokens))
        tokens -= passage.tokens
        for (name, number), characters in covered.items():
            if name == passage.conversation:
                turn = sample.conversations[name].turns[number - 1]
                characters.update(range(max(passage.start, turn.start), min(end, turn.end)))
    turns = {(name, number): sample.conversations[name].turns[number - 1] for name, number in covered}
    return sum(2 * len(covered[at]) >= turn.end - turn.start for at, turn in turns.items()) / len(turns)


def report(outcomes: Mapping[str, Outcome], answered: Sequence[bool]) -> None:
    """Print a table: the questions with an answer, and the adversarial ones in the last column."""
    keep = np.array(answered)
    random = np.random.default_rng(0)
    picks = random.integers(0, keep.sum(), (RESAMPLES, keep.sum()))
    own = outcomes["Dreamflow"]
    head = "".join(f"{budget:>7}" for budget in BUDGETS)
    last = "" if keep.all() else "  adversarial"
    print(f"{'':32} recall, equal tokens   Dreamflow is better by    and with {BUDGETS[1]:,} tokens{head}    MRR{last}")
    for name, outcome in outcomes.items():
        equal = np.array(outcome.equal)
        low, high = np.quantile(equal[keep][picks].mean(1), (0.025, 0.975))
        pairs = ((own.equal, outcome.equal), (own.budgets[BUDGETS[1]], outcome.budgets[BUDGETS[1]]))
        better = "".join(f"{difference(*pair, keep, picks) if outcome is not own else '':25}" for pair in pairs)
        others = "".join(f"{np.array(outcome.budgets[budget])[keep].mean():7.3f}" for budget in BUDGETS)
        rank = f"{np.array(outcome.reciprocal)[keep].mean():7.3f}"
        apart = f"{equal[~keep].mean():13.3f}" if not keep.all() else ""
        print(f"{name:32} {equal[keep].mean():.3f} [{low:.3f}, {high:.3f}]  {better}{others}{rank}{apart}")


def difference(own: Sequence[float], other: Sequence[float], keep: np.ndarray, picks: np.ndarray) -> str:
    """How much better the first is on the questions that are kept, with its interval."""
    by = (np.array(own) - np.array(other))[keep]
    low, high = np.quantile(by[picks].mean(1), (0.025, 0.975))
    return f"{by.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
