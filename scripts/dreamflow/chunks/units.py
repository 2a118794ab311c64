"""Units: sentences with exact offsets, and pieces of code, which partition a conversation.

sentencex (Wikimedia, MIT, compiled; about 300 languages) splits sentences: of the libraries that support Chinese and
Japanese, only it is maintained, gives offsets and is fast (pysbd, blingfire and syntok are unmaintained; wtpsplit needs
a download). This module adds code fences, lists, headings, tables and line breaks that end a sentence, and it limits
the length of sentences.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from threading import Lock

import sentencex

from ..generation.parsers.fences import fence_end, fence_opening
from ..generation.tokens import estimate_tokens
from .conversation import Conversation, Turn, Unit

Count = Callable[[str], int]
Span = tuple[int, int]

LONGEST = 200  # tokens: longer sentences and pieces of code are divided
_MIN_PROSE = 40  # characters: shorter paragraphs have the language of their turn
_BATCH = 2000  # characters for one call of sentencex: its time grows faster than its text
_WRAPPED = range(50, 121)  # characters of a full line, after which the line break only wraps the text

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
# The beginning of an item, a heading, a quotation or a row of a table, each a block of its own.
_MARKER = re.compile(
    r"""[ \t]*(?:(?:[-*+•‣◦–]|\(?[0-9]{1,3}[.)]|\(?[a-zA-Z]\)|(?P<heading>\#{1,6})|>+)[ \t]+
    |[0-9]{1,3}、|[（(]?[一二三四五六七八九十]{1,3}[、）)]|(?P<row>\|))""",
    re.X,
)
_WIDE = "[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]"
_WIDE_END = re.compile(rf"{_WIDE}\s*\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")
_LINE_BREAK = re.compile(r"\n")
_PLACES = (_LINE_BREAK, re.compile(r"[。！？；，、]|[.!?;:,]\s"), re.compile(r"\s"))


def split_units(conversation: Conversation, count: Count = estimate_tokens) -> tuple[Unit, ...]:
    """The units of a conversation, in order; they partition its text, and each lies within one turn.

    White space belongs to the unit before it (indentation to its line), a turn's header to its first unit. A code block
    is one unit of kind "code", or several, divided at blank lines, if it is longer than `LONGEST` tokens; a longer
    sentence is divided after a clause or word. `count` counts the tokens of a text.
    """
    text, units = conversation.text, []
    for turn in conversation.turns:
        for start, end, kind in _turn_parts(text, turn, count):
            units.append(Unit(len(units) + 1, start, end, turn.number, kind, count(text[start:end])))
    return tuple(units)


def _turn_parts(text: str, turn: Turn, count: Count) -> list[tuple[int, int, str]]:
    parts: list[tuple[int, int, str]] = []
    default = language(text[turn.content_start : turn.end])
    for start, end, kind in _blocks(text, turn.content_start, turn.end):
        separators = (_BLANK_LINES, _LINE_BREAK)
        code = kind == "code"
        spans = _divided(text, start, end, count, separators) if code else _prose(text, start, end, count, default)
        for span_start, span_end in spans:
            words = text[span_start:span_end]
            blank = not words.strip()
            # A smiley or a row of dashes is no sentence of its own.
            bare = kind == "sentence" and len(words) <= _WRAPPED.stop and not any(map(str.isalnum, words))
            if parts and (
                blank or (bare and parts[-1][2] == "sentence" and _fits(text[parts[-1][0] : span_end], count))
            ):
                parts[-1] = (parts[-1][0], span_end, parts[-1][2])
            elif not blank:
                parts.append((span_start if parts else turn.start, span_end, kind))
    return parts or [(turn.start, turn.end, "sentence")]


def _fits(words: str, count: Count) -> bool:
    """Whether a sentence stays about as long as the longest ones, also where it is nothing but smileys."""
    return len(words) * 4 <= LONGEST or count(words) <= LONGEST * 1.3


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    while opening := fence_opening(text, start, end):
        yield from _lines(text, start, opening.start())
        start = fence_end(text, opening, end) or end  # an unclosed fence contains the rest of the text
        yield opening.start(), start, "code"
    yield from _lines(text, start, end)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Paragraphs, items, headings and rows; lines are joined only at a break that wraps the text."""
    wrapped = True
    begin = start
    for line in _LINE.finditer(text, start, end):
        words = line[0].strip()
        if not words:
            wrapped = False
            continue
        marker = _MARKER.match(line[0])
        if begin < line.start() and (marker or not wrapped):
            yield begin, line.start(), "sentence"
            begin = line.start()
        alone = marker and (marker["heading"] or marker["row"])
        wrapped = len(words) in _WRAPPED and not alone and not _WIDE_END.search(words)
    if begin < end:
        yield begin, end, "sentence"


def _prose(text: str, start: int, end: int, count: Count, default: str) -> Iterator[Span]:
    marker = _MARKER.match(text, start, end)
    begin, start = start, marker.end() if marker else start
    words = text[start:end]
    code = language(words, default) if len(words) >= _MIN_PROSE or _WIDE_END.search(words) else default
    for stop in _sentence_ends(text, start, end, code):
        yield from _cut(text, begin, stop, count)
        begin = stop
    if begin < end:
        yield begin, end


def _sentence_ends(text: str, start: int, end: int, code: str) -> Iterator[int]:
    while start < end:
        stop = min(start + _BATCH, end)
        piece = _SURROGATE.sub("\ufffd", text[start:stop])  # sentencex needs valid UTF-8
        places = (start + sentence["end_index"] for sentence in sentencex.get_sentence_boundaries(code, piece))
        ends = [*sorted({place for place in places if start < place < stop}), stop]
        if stop < end and len(ends) > 1:
            ends.pop()  # the last sentence may continue: the next batch begins with it
        elif stop < end:
            ends = [_place(text, start + _BATCH // 2, stop)]
        for place in ends:
            if place <= start:  # within skipped white space
                continue
            while place < end and text[place].isspace():
                place += 1
            yield place
            start = place


def _cut(text: str, start: int, end: int, count: Count) -> Iterator[Span]:
    """Pieces of at most about `LONGEST` tokens, cut after a line, a clause or a word, else between characters."""
    # A text has at most as many tokens as bytes, and a character has at most four bytes.
    tokens = count(text[start:end]) if (end - start) * 4 > LONGEST else 0
    if tokens <= LONGEST:
        yield start, end
        return
    most = -(-(end - start) // -(-tokens // LONGEST))  # maximum characters of a piece
    while end - start > most:
        size = -(-(end - start) // -(-(end - start) // most))
        place = _place(text, start + size * 3 // 4, start + size)
        if count(text[start:place]) > LONGEST * 1.25 and place - start < end - start:
            yield from _cut(text, start, place, count)  # denser than the average
        else:
            yield start, place
        start = place
    yield start, end


def _place(text: str, low: int, high: int) -> int:
    places = ([match.end() for match in pattern.finditer(text, low, high)] for pattern in _PLACES)
    place = next((ends[-1] for ends in places if ends), high)
    while place > low + 1 and _within_character(text, place):
        place -= 1
    return place


def _within_character(text: str, place: int) -> bool:
    """Whether a cut would separate a letter and its accent, the parts of an emoji, or CR and LF."""
    before, after = text[place - 1], text[place]
    return (
        unicodedata.category(after)[0] == "M"
        or "\u200d" in (before, after)
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or before + after == "\r\n"
    )


def _divided(text: str, start: int, end: int, count: Count, separators: tuple[re.Pattern, ...]) -> Iterator[Span]:
    """The largest pieces of at most `LONGEST` tokens, cut after the first separator that makes them small enough."""
    if not separators or (end - start) * 4 <= LONGEST:
        yield from _cut(text, start, end, count)
        return
    ends = [match.end() for match in separators[0].finditer(text, start, end)]
    if not ends or ends[0] == end:
        yield from _divided(text, start, end, count, separators[1:])
        return
    begin, size, place = start, 0, start
    for stop in ends if ends[-1] == end else [*ends, end]:
        tokens = count(text[place:stop])
        if size and size + tokens > LONGEST:
            yield begin, place
            begin, size = place, 0
        if tokens > LONGEST:
            yield from _divided(text, place, stop, count, separators[1:])
            begin = stop
        else:
            size += tokens
        place = stop
    if begin < end:
        yield begin, end


# --- language

# The ISO 639-1 codes that py3langid distinguishes; Chinese, Japanese and Korean are recognised by their script.
_LANGUAGES = """ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id it lt lv mr ms nl no pl pt ro ru sk sl sr sv
sw ta te th tl tr uk ur vi"""
_NOT_PROSE = re.compile(r"`[^`\n]*`|\bhttps?://\S+|<[^<>\n]*>")
_SAMPLE = 4000  # characters, enough to recognise a language
_MIN_PROBABILITY = 0.45
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")


def language(text: str, default: str = "und") -> str:
    """The ISO 639-1 code of the main language of `text`; `default` if it is uncertain.

    Code in fences or backticks and URLs are ignored. Chinese, Japanese and Korean are recognised by their script, each
    character of which counts as four letters; the others by py3langid (BSD; Lui and Baldwin, 2012, langid.py).
    """
    return _language_of(_prose_sample(text)) or default


@lru_cache(256)  # the only paragraph of a turn is the turn; and people say the same again and again
def _language_of(sample: str) -> str:
    """The code of the main language of a sample; "" if it is uncertain."""
    kana, han, hangul = (len(script.findall(sample)) for script in (_KANA, _HAN, _HANGUL))
    dense = kana + han + hangul
    letters = len(_LETTER.findall(sample)) - dense
    if dense * 4 > letters:
        if hangul > kana + han:
            return "ko"
        return "ja" if kana * 10 > han else "zh"
    if not letters:
        return ""
    with _LOADING:
        identifier = _identifier()
    code, probability = identifier.classify(sample)
    return code if probability >= _MIN_PROBABILITY else ""


def _prose_sample(text: str) -> str:
    parts, start = [], 0
    while sum(map(len, parts)) < _SAMPLE and (opening := fence_opening(text, start, len(text))):
        parts.append(text[start : min(opening.start(), start + _SAMPLE)])
        start = fence_end(text, opening, len(text)) or len(text)
    parts.append(text[start : start + _SAMPLE])
    return _SURROGATE.sub(" ", _NOT_PROSE.sub(" ", "\n".join(parts)[:_SAMPLE]))


_LOADING = Lock()  # else every thread that comes before the model is there loads it too


@cache
def _identifier() -> "LanguageIdentifier":  # noqa: F821
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # late: it takes half a second

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LANGUAGES.split())
    return identifier
