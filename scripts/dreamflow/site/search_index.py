"""The index of the site's search: files of JavaScript that `static/search.js` loads as it needs them, without a server.

Words are folded (case, accents, a plural s) and texts without spaces between words (Chinese, Japanese, Korean, Thai
and others) are cut into pairs of characters. Postings are grouped by ranges of terms, so that a word and all words that
begin with it are in few files. Answers are ranked with BM25 (Robertson and Zaragoza 2009, "The Probabilistic
Relevance Framework"), for which a word of the title counts as `TITLE` words of the text.

- `index.js`: counts, kinds, the first term of each file of terms, the first document of each file of texts
- `docs-<n>.js`: for each document its length, kind and day
- `terms-<n>.js`: for each term its documents, as differences of their numbers with how often they have it
- `texts-<n>.js`: title, page, anchor and text of each document, for the answers that are shown
"""

import json
import math
import re
import unicodedata
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

from .page import Page

SHARD = 150_000  # bytes of a file
MOST = 30_000  # documents of a kind
TEXT_MOST = 40_000  # bytes of a text that the answers can show
TERM_MOST = 40  # characters of a term
TITLE = 4
COMMON = 0.5  # a term of more than this share of many documents tells nothing
MANY = 1000
DOCS_IN_FILE = 25_000
_LEVELS = (1, 2, 3, 4, 6, 9, 14, 20)  # how often a document has a term, in three bits
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ASCII = re.compile("[a-z0-9]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
# Scripts without spaces between words, as in static/search.js.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)


def folded(text: str) -> str:
    """A text in the form in which it is searched: small letters without accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).lower())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", plain))


def count_terms(text: str) -> Counter[str]:
    """How often a text has each term: folded words, and pairs of characters (with the last one alone) of the scripts
    without spaces."""
    text = folded(text)
    found: Counter[str] = Counter()
    for word, count in Counter((_ASCII if text.isascii() else _words()).findall(text)).items():
        if word.isascii() or not _unspaced().match(word):
            found[stem(word)] += count
        else:
            for place in range(len(word)):
                found[word[place : place + 2]] += count
    return found


def stem(word: str) -> str:
    """A word without a plural s, cut at `TERM_MOST` characters."""
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui":
        word = word[:-1]
    return word[:TERM_MOST]


@cache
def _words() -> re.Pattern[str]:
    # Letters, digits and the marks that \w lacks (vowels of Indian scripts), but no underscore: it joins words of code.
    marks = "".join(char for char in map(chr, range(0x370, 0x10000)) if unicodedata.category(char)[0] == "M")
    marks = re.sub(f"[{UNSPACED}]", "", marks)
    return re.compile(rf"(?:[^\W_{UNSPACED}]+|[{marks}]+)+|[{UNSPACED}]+")


@cache
def _unspaced() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}]")


class Index:
    """An index that grows by the documents of pages."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}  # documents by kind, those above `MOST` too
        self.sections: Counter[str] = Counter()  # documents by section
        self.newest: list[tuple[str, str, str, str]] = []  # date, kind, title, place: of documents with a date
        self._kind_places: dict[str, int] = {}
        self._lengths: list[str] = []
        self._kinds: list[str] = []
        self._days: list[int] = []
        self._postings: dict[str, array[int]] = {}
        self._texts: list[list[Any]] = []
        self._text_size = 0
        self._text_firsts: list[int] = []
        self._text_files: list[str] = []

    def add(self, page: Page) -> None:
        """Add the documents of a page."""
        self.sections[page.section] += len(page.documents)
        for document in page.documents:
            known = self.kinds[document.kind] = self.kinds.get(document.kind, 0) + 1
            place = f"{page.path}#{document.anchor}" if document.anchor else page.path
            if document.date:
                self.newest.append((document.date, document.kind, document.title, place))
            if known > MOST:
                continue
            number = len(self._lengths)
            counts = count_terms(document.text)
            length = counts.total()
            for term, count in count_terms(document.title).items():
                counts[term] += TITLE * count
            postings = self._postings
            for term, count in counts.items():
                posting = number << 3 | _level(count)
                if term in postings:
                    postings[term].append(posting)
                else:
                    postings[term] = array("I", (posting,))
            kind = self._kind_places.setdefault(document.kind, len(self._kind_places))
            self._kinds.append(_DIGITS[kind % 64])
            self._lengths.append(_DIGITS[min(63, round(4 * math.log2(1 + length)))])
            self._days.append(_day(document.date))
            self._add_text(number, [document.title, place, page.section, document.date[:10], document.text])

    def facts(self) -> dict[str, Any]:
        """What the page of the search says: counts by kind, and what is left out."""
        left_out = {kind: count - MOST for kind, count in self.kinds.items() if count > MOST}
        return {"kinds": self.kinds, "left_out": left_out, "most": MOST}

    def files(self) -> Iterator[tuple[str, str]]:
        """The files of the index by name."""
        self._close_texts()
        total = len(self._lengths)
        for place in range(0, total, DOCS_IN_FILE):
            part = slice(place, place + DOCS_IN_FILE)
            days = "".join(_numbers(self._days[part]))
            yield f"docs-{place // DOCS_IN_FILE}.js", _call("docs", place // DOCS_IN_FILE, [
                "".join(self._lengths[part]), "".join(self._kinds[part]), days
            ])  # fmt: skip
        firsts: list[str] = []
        common: list[str] = []
        lines: list[str] = []
        size = 0
        for term in sorted(self._postings, key=lambda term: term.encode("utf-16-be")):  # as JavaScript compares
            postings = self._postings[term]
            if total > MANY and len(postings) > COMMON * total:
                common.append(term)
                continue
            text = _encoded(postings)
            line = f"{term} {len(postings)} {text}"
            if lines and size + len(line.encode()) > SHARD:
                yield f"terms-{len(firsts) - 1}.js", _call("terms", len(firsts) - 1, "\n".join(lines))
                lines, size = [], 0
            if not lines:
                firsts.append(term)
            lines.append(line)
            size += len(line.encode()) + 2
        if lines:
            yield f"terms-{len(firsts) - 1}.js", _call("terms", len(firsts) - 1, "\n".join(lines))
        for number, text in enumerate(self._text_files):
            yield f"texts-{number}.js", text
        yield "index.js", _call("index", 0, {
            "total": total,
            "kinds": list(self._kind_places),
            "terms": firsts,
            "texts": self._text_firsts,
            "common": common,
            "docs": math.ceil(total / DOCS_IN_FILE),
            "unspaced": UNSPACED,
        })  # fmt: skip

    def _add_text(self, number: int, line: list[Any]) -> None:
        size = len(line[-1].encode("utf-8", "replace"))
        if size > TEXT_MOST:
            line[-1] = line[-1].encode("utf-8", "replace")[:TEXT_MOST].decode("utf-8", "ignore") + " …"
            size = TEXT_MOST
        if self._texts and self._text_size + size > SHARD:
            self._close_texts()
        if not self._texts:
            self._text_firsts.append(number)
        self._texts.append(line)
        self._text_size += size + 200

    def _close_texts(self) -> None:
        if self._texts:
            self._text_files.append(_call("texts", len(self._text_files), self._texts))
            self._texts, self._text_size = [], 0


def _level(count: int) -> int:
    return bisect(_LEVELS, count) - 1


def _day(text: str) -> int:
    """The day of a date in ISO 8601, as a number; 0 if there is none."""
    try:
        return date.fromisoformat(text[:10]).toordinal() - 719_162  # days since 1970
    except ValueError:
        return 0


def _call(what: str, number: int, value: Any) -> str:
    return (
        f"dreamflowShard({json.dumps(what)},{number},{json.dumps(value, ensure_ascii=False, separators=(',', ':'))});\n"
    )


def _encoded(postings: "array[int]") -> str:
    """Postings as differences of documents with a level, each in digits of 6 bits; a bit says that more follow."""
    last, values = 0, []
    for posting in postings:
        number = posting >> 3
        values.append((number - last) << 3 | posting & 7)
        last = number
    return "".join(_numbers(values))


def _numbers(values: list[int]) -> Iterator[str]:
    return map(_digits, values)


@cache
def _small() -> list[str]:
    return [_slow_digits(value) for value in range(32_768)]


def _digits(value: int) -> str:
    return _small()[value] if 0 <= value < 32_768 else _slow_digits(value)


def _slow_digits(value: int) -> str:
    text, value = "", max(value, 0)
    while value > 31:
        text += _DIGITS[value & 31 | 32]
        value >>= 5
    return text + _DIGITS[value]
