"""Search of chunks by meaning: for a question in one's own words, which may share no word with its answer.

    data/dreamflow.meaning.sqlite   beside the database: of each chunk its vector and an index of its terms

A chunk is scored by the cosine of its vector and the question's and by BM25 over terms (Robertson and Zaragoza, "The
probabilistic relevance framework", 2009; k1 = 1.2, b = 0.75), each as a share of the range from the worst to the best
chunk, and both count the same. The year and month of a chunk are among its terms. The best chunks are divided into
pieces of a few lines, which are scored in the same way. A piece counts half by itself and half by its chunk, which
knows what the piece is about. Measured with tests/benchmarks/retrieval.py: names and numbers are found by terms, other
words of the same meaning by vectors.

The vectors take 13 ms of CPU time a chunk and 1 KB. They are made once: only chunks with a new text are read again.
"""

import math
import re
import sqlite3
from calendar import month_name
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..database.search import Hit
from ..errors import DreamflowError
from ..files import sha256
from ..generation.tokens import estimate_tokens
from .terms import terms

if TYPE_CHECKING:
    from numpy import ndarray

FORMAT = 1  # raise it when texts are divided or encoded in another way
CANDIDATES = 10  # chunks that are divided, or as many as are asked for
PIECE = (40, 80)  # tokens: shorter lines are joined, longer ones divided at sentences
K1, B = 1.2, 0.75
BATCH = 500  # chunks between commits, so that a killed run goes on where it was
_MOST_FOUND = 2000  # chunks by terms
_MONTH = re.compile(r"(?<!\d)(1[0-2]|0?[1-9])\s?月")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。!?！？])\s*")
_TABLES = """
CREATE TABLE about (format INTEGER);
CREATE TABLE texts (id INTEGER PRIMARY KEY, chunk TEXT UNIQUE, digest TEXT, terms TEXT);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB);
CREATE VIRTUAL TABLE words USING fts5(terms, content='texts', content_rowid='id');
CREATE VIRTUAL TABLE spread USING fts5vocab('words', 'row');
"""
Show = Callable[[str], None]


class Passage(NamedTuple):
    """A part of a chunk that may answer a question: `content[start:end]` of the chunk; a higher score is better."""

    chunk: str
    start: int
    end: int
    text: str
    score: float


def place_beside(database: Path) -> Path:
    """The file of the vectors of a database."""
    return database.with_suffix(".meaning.sqlite")


def update_meaning(database: Path, show: Show = lambda line: None) -> str:
    """Bring the vectors up to date with the chunks of the database; returns a line for the screen, "" if they were."""
    path = place_beside(database)
    texts = _texts(database)
    if not texts and not path.exists():
        return ""
    digests = {chunk: f"{_digest(content)} {date}" for chunk, (content, date) in texts.items()}
    try:
        with closing(_writable(path)) as connection:
            known = dict(connection.execute("SELECT chunk, digest FROM texts"))
            gone = [chunk for chunk, digest in known.items() if digests.get(chunk) != digest]
            new = [chunk for chunk, digest in digests.items() if known.get(chunk) != digest]
            _forget(connection, gone)
            for start in range(0, len(new), BATCH):
                if start or len(new) > BATCH:
                    show(f"{path}: {start:,} of {len(new):,} chunks have vectors")
                _add(connection, {chunk: texts[chunk] for chunk in new[start : start + BATCH]}, digests)
    except (sqlite3.Error, OSError) as error:
        raise DreamflowError(f"{path} cannot be written: {error}. Delete it, and run again") from None
    return f"vectors of {len(new):,} chunks made, of {len(gone):,} removed: {path}" if new or gone else ""


def _texts(database: Path) -> dict[str, tuple[str, str]]:
    """The text of each chunk, and when it was."""
    with closing(_readable(database)) as connection:
        rows = connection.execute("SELECT id, content, coalesce(time, '') FROM chunks ORDER BY id")
        return {chunk: (content, _date(time)) for chunk, content, time in rows}


def _digest(text: str) -> str:
    return sha256(text)[:16]


def embed_known(database: Path) -> "Callable[[Sequence[str]], ndarray]":
    """The vectors of texts, of which those that a database's chunks have are read and not made again."""

    def embed_texts(texts: Sequence[str]) -> "ndarray":
        import numpy

        from ..embedding import DIMENSIONS, embed

        known = _known(place_beside(database))
        new = list(dict.fromkeys(text for text in texts if _digest(text) not in known))
        made = dict(zip(map(_digest, new), embed(new).astype(numpy.float16), strict=True))
        found = [made[digest] if digest in made else known[digest] for digest in map(_digest, texts)]
        return numpy.array(found, numpy.float32).reshape(len(found), DIMENSIONS)

    return embed_texts


def _known(path: Path) -> "dict[str, ndarray]":
    import numpy

    try:
        with closing(_readable(path)) as connection:
            rows = connection.execute("SELECT digest, vector FROM texts JOIN vectors USING (id)").fetchall()
    except (DreamflowError, sqlite3.Error):  # there is none, or it is damaged
        return {}
    return {digest.partition(" ")[0]: numpy.frombuffer(vector, numpy.float16) for digest, vector in rows}


def _terms(text: str) -> Counter[str]:
    """The terms of a text; a month is the same one in all scripts."""
    return terms(_MONTH.sub(lambda match: f" {month_name[int(match[1])]} ", text))


def _date(time: str) -> str:
    """The year and month of an ISO time as people write them; "" for other times."""
    found = re.match(r"(\d{4})-(0[1-9]|1[0-2])-", time)
    return f"{found[1]} {month_name[int(found[2])]}" if found else ""


def _writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        is_known = connection.execute("SELECT format FROM about").fetchall() == [(FORMAT,)]
    except sqlite3.DatabaseError:  # new, of another format, or damaged
        is_known = False
    if not is_known:
        connection.close()
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(_TABLES)
        connection.execute("INSERT INTO about VALUES (?)", (FORMAT,))
    return connection


def _forget(connection: sqlite3.Connection, chunks: Sequence[str]) -> None:
    connection.execute("BEGIN")
    for chunk in chunks:
        number, words = connection.execute("SELECT id, terms FROM texts WHERE chunk = ?", (chunk,)).fetchone()
        connection.execute("INSERT INTO words(words, rowid, terms) VALUES ('delete', ?, ?)", (number, words))
        connection.execute("DELETE FROM vectors WHERE id = ?", (number,))
        connection.execute("DELETE FROM texts WHERE id = ?", (number,))
    connection.execute("COMMIT")


def _add(connection: sqlite3.Connection, texts: Mapping[str, tuple[str, str]], digests: Mapping[str, str]) -> None:
    from ..embedding import embed

    vectors = embed([content for content, _ in texts.values()]).astype("float16")
    connection.execute("BEGIN")
    for (chunk, text), vector in zip(texts.items(), vectors, strict=True):
        words = " ".join(term for term, count in sorted(_terms(" ".join(text)).items()) for _ in range(count))
        cursor = connection.execute(
            "INSERT INTO texts (chunk, digest, terms) VALUES (?, ?, ?)", (chunk, digests[chunk], words)
        )
        connection.execute("INSERT INTO words(rowid, terms) VALUES (?, ?)", (cursor.lastrowid, words))
        connection.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, vector.tobytes()))
    connection.execute("COMMIT")


def ask(database: Path, question: str, limit: int = 10) -> list[Hit]:
    """The chunks that may answer a question, best first; the snippet of each is its best passage.

    Raises a `DreamflowError` if there is no database, or no vectors beside it.
    """
    best: dict[str, Passage] = {}
    for passage in passages(database, question, limit):
        best.setdefault(passage.chunk, passage)
    with closing(_readable(database)) as connection:
        sql = "SELECT title, path, coalesce(time, '') FROM chunks WHERE id = ?"
        rows = {chunk: connection.execute(sql, (chunk,)).fetchone() for chunk in list(best)[:limit]}
    return [
        Hit("chunks", chunk, title or chunk, _line(best[chunk].text), path, best[chunk].score, time)
        for chunk, (title, path, time) in rows.items()
    ]


def passages(database: Path, question: str, limit: int = 10) -> list[Passage]:
    """The passages of the chunks that are best for a question, in the order of their scores."""
    from ..embedding import embed

    vector = embed([question])[0]
    words = _terms(question)
    with closing(_readable(place_beside(database))) as connection:
        scores = _best_chunks(connection, vector, words, max(CANDIDATES, limit))
        names = {
            number: connection.execute("SELECT chunk FROM texts WHERE id = ?", (number,)).fetchone()[0]
            for number in scores
        }
        rarity = _rarity(connection, words)
    with closing(_readable(database)) as connection:
        sql = "SELECT content, coalesce(time, '') FROM chunks WHERE id = ?"
        rows = {number: connection.execute(sql, (name,)).fetchone() for number, name in names.items()}
    found = [
        (Passage(names[number], start, end, content[start:end], scores[number]), _date(time))
        for number, (content, time) in ((number, row) for number, row in rows.items() if row)  # it may be gone by now
        for start, end in pieces(content)
    ]
    if not found:
        return []
    own = _piece_scores([passage.text for passage, _ in found], [date for _, date in found], vector, words, rarity)
    made = [
        passage._replace(score=0.5 * passage.score + 0.5 * score)
        for (passage, _), score in zip(found, own, strict=True)
    ]
    return sorted(made, key=lambda passage: -passage.score)


def _best_chunks(connection: sqlite3.Connection, vector: "ndarray", words: Counter[str], most: int) -> dict[int, float]:
    """The scores of the best chunks, by number."""
    import numpy

    rows = connection.execute("SELECT id, vector FROM vectors ORDER BY id").fetchall()
    if not rows:
        return {}
    numbers, blobs = zip(*rows, strict=True)
    vectors = numpy.frombuffer(b"".join(blobs), numpy.float16).reshape(len(numbers), -1)
    cosines = numpy.concatenate(
        [vectors[start : start + 4096].astype(numpy.float32) @ vector for start in range(0, len(numbers), 4096)]
    )
    lexical = numpy.zeros(len(numbers))
    if words:
        query = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
        sql = "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        found = connection.execute(sql, (query, _MOST_FOUND)).fetchall()
        places = numpy.searchsorted(numbers, [number for number, _ in found])  # rows come in order of their numbers
        lexical[places] = [score for _, score in found]
    scores = _both(cosines, lexical)
    best = numpy.argsort(-scores, kind="stable")[:most]
    return {numbers[place]: float(scores[place]) for place in best}


def _both(cosines: "ndarray", lexical: "ndarray") -> "ndarray":
    """The mean of two kinds of scores, each as a share of its range."""

    def share(scores: "ndarray") -> "ndarray":
        span = scores.max() - scores.min()
        return (scores - scores.min()) / span if span else scores * 0

    return 0.5 * share(cosines) + 0.5 * share(lexical)


def _rarity(connection: sqlite3.Connection, words: Counter[str]) -> dict[str, float]:
    """The weight of each term in BM25, by the number of chunks with it."""
    (total,) = connection.execute("SELECT count(*) FROM texts").fetchone()
    sql = "SELECT doc FROM spread WHERE term = ?"
    counts = {word: (connection.execute(sql, (word,)).fetchone() or (0,))[0] for word in words}
    return {word: math.log(1 + (total - count + 0.5) / (count + 0.5)) for word, count in counts.items() if count}


def _piece_scores(
    texts: Sequence[str], dates: Sequence[str], vector: "ndarray", words: Counter[str], rarity: Mapping[str, float]
) -> list[float]:
    import numpy

    from ..embedding import embed

    counts = [_terms(f"{text} {date}") for text, date in zip(texts, dates, strict=True)]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / len(lengths) or 1
    lexical = numpy.array(
        [
            sum(
                rarity[word] * count[word] * (K1 + 1) / (count[word] + K1 * (1 - B + B * length / mean))
                for word in words
                if word in rarity and count[word]
            )
            for count, length in zip(counts, lengths, strict=True)
        ],
        dtype=float,
    )
    return _both(embed(texts) @ vector, lexical).tolist()


def pieces(text: str) -> list[tuple[int, int]]:
    """Where the pieces of a text begin and end; they partition it: whole lines, joined while they are short, and the
    sentences of long lines."""
    few, many = PIECE
    found: list[tuple[int, int]] = []
    size = 0
    for start, end in _sentences(text, many):
        tokens = estimate_tokens(text[start:end])
        if found and size < few and size + tokens <= many:
            found[-1] = (found[-1][0], end)
            size += tokens
        else:
            found.append((start, end))
            size = tokens
    return found


def _sentences(text: str, many: int) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        if estimate_tokens(line) > many:
            for match in _SENTENCE_END.finditer(line):
                place = end - len(line) + match.end()
                if start < place < end:
                    yield start, place
                    start = place
        yield start, end
        start = end


def _readable(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        problem = "there is no such file yet" if not path.exists() else f"it cannot be read ({error})"
        raise DreamflowError(f"{path}: {problem}. Run `snakemake database` to make it from the results") from None
    return connection


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
