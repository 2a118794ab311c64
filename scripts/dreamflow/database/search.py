"""Full-text search in the database, in any language. It imports little, since every search starts a process.

Texts are indexed by their trigrams (FTS5, tokenizer trigram), so a word is found wherever its letters are, also in
languages without spaces. A word of one or two characters has no trigram; it is found by the trigrams that begin with
it, which the index lists (fts5vocab), and every text ends with two characters of padding in the index, so that they are
complete. Such a word counts only as a whole word, if its script has words: "AI" does not find "said".
"""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..errors import DreamflowError

TRIGRAM = 3
MOST_TRIGRAMS = 300  # that stand for a short word
WITHIN_OTHERS, FREQUENT = 5, 50_000  # characters of a word that is often within others; texts
RARE = 20_000  # texts: a short word that is more frequent only filters what the other words find
MOST_FILTERED = 5_000  # texts that are looked at for short words
MOST_RANKED = 5_000  # texts; if more match, as for "the", the first of them are ranked
REORDERED, WHOLE = 3, 2.0  # so many times the limit are ordered again, with such a factor for beginnings of words
AROUND = 60  # characters of a snippet before and after the first match
MARKS = ("[", "]")
# Of the data folder: what changes when there is a result, without a look at each generation.
CHANGING = (
    "gens/*",
    "chunks/result.json",
    "chunks/notes.json",
    "dreams/*/*",
    "probes/*",
    "nights/*",
    "trust/*",
    "experiences",
    "distill/*/*",
)
_LAST = "\U0010ffff"
# Scripts that are written without spaces between words: Thai to Burmese, Khmer, Chinese, Japanese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
_UNSPACED += "\U00020000-\U0003ffff"
_SPACED = f"[^\\W_{_UNSPACED}]"  # a letter or digit of a script with spaces
_WORDS = re.compile(r'"([^"]*)"?|([^\s"]+)')


class Hit(NamedTuple):
    """A text that was found. `kind` is a name that `search` takes, `path` a file below the data folder ("" if the text
    has none of its own), `score` the rank (higher is better), `date` in ISO 8601 or "". The matches in `snippet` are
    between `MARKS`."""

    kind: str
    id: str
    title: str
    snippet: str
    path: str
    score: float
    date: str


class _Place(NamedTuple):
    """A searchable table: SQL expressions over its columns, and the weights of the columns."""

    table: str
    kind: str
    id: str
    title: str
    date: str
    path: str
    columns: Mapping[str, float]


class _Word(NamedTuple):
    """A word of a query, or a phrase between quotes."""

    text: str

    @property
    def is_short(self) -> bool:
        return len(self.text) < TRIGRAM

    @property
    def pattern(self) -> str:
        """A regular expression; a short word is whole if its script has words."""
        before = f"(?<!{_SPACED})" if self.is_short and re.match(_SPACED, self.text) else ""
        after = f"(?!{_SPACED})" if self.is_short and re.search(f"{_SPACED}$", self.text) else ""
        return before + re.escape(self.text) + after


class Query:
    """The words of a query. Quotes make a phrase; there are no operators, and `*` is left out: a word is found within
    longer ones anyway."""

    def __init__(self, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        found = ((match[1] or match[2] or "").replace("*", " ").replace("\0", " ") for match in _WORDS.finditer(text))
        self.words = [_Word(word) for word in dict.fromkeys(" ".join(part.split()) for part in found) if word]

    @cached_property
    def matches(self) -> re.Pattern[str]:
        """Any of the words, for marks."""
        longest = sorted(self.words, key=lambda word: -len(word.text))
        return re.compile("|".join(word.pattern for word in longest), re.IGNORECASE)

    @cached_property
    def _short(self) -> list[re.Pattern[str]]:
        return [re.compile(word.pattern, re.IGNORECASE) for word in self.words if word.is_short]

    @cached_property
    def _beginnings(self) -> list[re.Pattern[str]]:
        return [re.compile(f"(?<!{_SPACED}){re.escape(word.text)}", re.IGNORECASE) for word in self.words]

    def has_short(self, texts: Sequence[str]) -> bool:
        """Whether each short word is in one of the texts."""
        return all(any(pattern.search(text) for text in texts) for pattern in self._short)

    def begins_words(self, texts: Sequence[str]) -> bool:
        """Whether each word is the beginning of a word in one of the texts, and not only a part of others."""
        return all(any(pattern.search(text) for text in texts) for pattern in self._beginnings)


def search(path: Path | str, query: str, kind: str | None = None, limit: int = 20) -> list[Hit]:
    """The texts in a database that have all words of a query, best first (BM25; titles and beginnings count more).

    `kind` is one of `kinds()`, also without the s; None or "all" for all. Raises a `DreamflowError` if there is no
    database, or no such kind.
    """
    words = Query(query)
    with closing(_open(Path(path))) as connection:
        tables = _tables(connection, None if kind == "all" else kind)
        hits: list[Hit] = []
        for place in _places(connection):
            if words.words and place.table in tables:
                hits += islice(_search(connection, place, words, tables[place.table], limit), REORDERED * limit)
    hits.sort(key=lambda hit: -hit.score)
    return hits[:limit]


def kinds(path: Path | str) -> dict[str, int]:
    """How many texts of each kind a database has. Raises a `DreamflowError` if there is no database."""
    with closing(_open(Path(path))) as connection:
        return dict(connection.execute("SELECT kind, sum(number) FROM search_kinds GROUP BY kind ORDER BY kind"))


def is_outdated(path: Path | str) -> bool:
    """Whether results were made after the last look of `snakemake database`, as the times of folders say; a text that
    was edited by hand does not change them."""
    path = Path(path)
    looked = path.stat().st_mtime_ns
    changing = (place for pattern in CHANGING for place in path.parent.glob(pattern))
    return any(place.stat().st_mtime_ns > looked for place in changing)


def _open(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        connection.execute("SELECT 1 FROM search_kinds").fetchone()
    except sqlite3.Error as error:
        problem = "there is no database yet" if not path.exists() else f"it cannot be read ({error})"
        raise DreamflowError(f"{path}: {problem}. Run `snakemake database` to make it from the results") from None
    return connection


def _tables(connection: sqlite3.Connection, kind: str | None) -> dict[str, str | None]:
    """The tables to search; the kind is the value if a table has others too."""
    rows = connection.execute("SELECT table_name, kind FROM search_kinds ORDER BY kind").fetchall()
    if kind is None:
        return {table: None for table, _ in rows}
    shared = Counter(table for table, _ in rows)
    found = {table: other if shared[table] > 1 else None for table, other in rows if other in (kind, f"{kind}s")}
    if not found:
        known = ", ".join(dict.fromkeys(other for _, other in rows))
        known = f"there are: {known}" if known else "the database has no texts yet"
        raise DreamflowError(f"no texts of the kind {kind!r}; {known}")
    return found


def _places(connection: sqlite3.Connection) -> list[_Place]:
    rows = connection.execute("SELECT table_name, kind, id, title, date, path, columns FROM searchable")
    return [_Place(*row[:6], json.loads(row[6])) for row in rows]


def _search(connection: sqlite3.Connection, place: _Place, query: Query, kind: str | None, limit: int) -> Iterator[Hit]:
    match, filtered = _match(connection, place.table, query)
    if not match:
        return
    index = f"{place.table}_fts"
    weights = ", ".join(map(str, place.columns.values()))
    texts = ", ".join(f"t.[{name}]" for name in place.columns)
    own = f"JOIN [{place.table}] AS t ON t.rowid = f.rowid AND {place.kind} = ?" if kind else ""
    rows = connection.execute(
        f"SELECT {place.kind}, {place.id}, {place.title}, {place.date}, {place.path}, hit_rank, {texts} "  # noqa: S608
        f"FROM (SELECT f.rowid AS hit_row, f.rank AS hit_rank FROM [{index}] AS f {own} WHERE f.[{index}] MATCH ? "
        f"AND f.rank MATCH 'bm25({weights})' LIMIT {MOST_RANKED}) "
        f"CROSS JOIN [{place.table}] AS t ON t.rowid = hit_row ORDER BY hit_rank LIMIT ?",
        (*([kind] if kind else []), match, MOST_FILTERED if filtered else REORDERED * limit),
    )
    for found, gen_id, title, date, path, rank, *columns in rows:
        texts = [text or "" for text in columns]
        if filtered and not query.has_short(texts):
            continue
        snippets = filter(None, (_snippet(text, query) for text in reversed(texts) if text != title))
        snippet = next(snippets, _line(texts[-1][: 2 * AROUND]))
        score = -rank * (WHOLE if query.begins_words(texts) else 1)
        yield Hit(found, gen_id, _line(title or gen_id), snippet, path or "", score, date or "")


def _match(connection: sqlite3.Connection, table: str, query: Query) -> tuple[str, bool]:
    """The query for FTS5 ("" if nothing can match), and whether short words have to be looked for in what it finds.

    Of short words only the rare ones are part of it, or else the rarest, with its most frequent trigrams.
    """
    connection.execute(
        f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.[{table}_trigrams] USING fts5vocab(main, [{table}_fts], row)"
    )
    parts = [_long(connection, table, word.text) for word in query.words if not word.is_short]
    short = [_trigrams(connection, table, word) for word in query.words if word.is_short]
    if not all(short):
        return "", False
    short.sort(key=lambda trigrams: sum(trigrams.values()))
    for trigrams in short:
        if not parts or sum(trigrams.values()) <= RARE:
            parts.append(f"({' OR '.join(map(_quoted, _most_frequent(trigrams)))})")
    return " AND ".join(parts), bool(short)


def _long(connection: sqlite3.Connection, table: str, text: str) -> str:
    """The query for a word that has trigrams. If it is often within other words, as "rat" is, it counts more at the
    beginning of a word, unless it is so frequent that this takes too long."""
    if len(text) > WITHIN_OTHERS or not re.match(_SPACED, text):
        return _quoted(text)
    parts = [text.lower()[start : start + TRIGRAM] for start in range(len(text) - TRIGRAM + 1)]
    sql = f"SELECT doc FROM temp.[{table}_trigrams] WHERE term = ?"  # noqa: S608
    counts = [count for part in parts for (count,) in connection.execute(sql, (part,))]
    if min(counts, default=0) > FREQUENT:
        return _quoted(text)
    return f"({_quoted(text)} OR {_quoted(f' {text}')})"


def _most_frequent(trigrams: Mapping[str, int]) -> Iterator[str]:
    """Trigrams in order of frequency, until there are so many, or so many texts, that FTS5 becomes slow."""
    texts = 0
    for trigram in sorted(trigrams, key=lambda text: -trigrams[text])[:MOST_TRIGRAMS]:
        yield trigram
        texts += trigrams[trigram]
        if texts > RARE:
            return


def _trigrams(connection: sqlite3.Connection, table: str, word: _Word) -> dict[str, int]:
    """The trigrams in the index that begin with a short word: in how many texts each is."""
    text = word.text.lower()
    rows = connection.execute(
        f"SELECT term, doc FROM temp.[{table}_trigrams] WHERE term >= ? AND term < ?",  # noqa: S608
        (text, text + _LAST),
    )
    whole = re.compile(word.pattern, re.IGNORECASE)
    return {term: count for term, count in rows if whole.match(term)}


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _snippet(text: str, query: Query) -> str:
    """The text around the first match, on one line, with all matches in it marked; "" if there is none."""
    first = query.matches.search(text)
    if first is None:
        return ""
    start, end = max(first.start() - AROUND, 0), first.end() + 2 * AROUND
    if start:  # not within a word, if the script has words
        start = max(start, text.find(" ", start, first.start() - AROUND // 2) + 1)
    marked = query.matches.sub(lambda match: f"{MARKS[0]}{match[0]}{MARKS[1]}", text[start:end])
    return f"{'…' if start else ''}{_line(marked)}{'…' if end < len(text) else ''}"


def _line(text: str) -> str:
    """A text on one line; a terminal obeys nothing in it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
