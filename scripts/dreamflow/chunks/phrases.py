"""Key phrases of passages: what a passage is about in one to three words, unlike the passages beside it.

Candidates are runs of words that can be a noun and what stands before it; they are ranked by the nearness of their
embedding to that of the passage, and by their frequency here and not elsewhere; each further phrase has to differ from
those before it (EmbedRank with maximal marginal relevance; Bennani-Smires et al., "Simple unsupervised keyphrase
extraction using sentence embeddings", CoNLL 2018). Whether an English word is a noun is not looked up: the words before
it tell ("the cost", "to pay"), all over the conversation.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .chinese import tagged
from .terms import FUNCTION_WORDS, GRAMMAR, HAN, KATAKANA, STOP_WORDS, UNLIKE_NOUNS, stem

if TYPE_CHECKING:
    import numpy

MOST = 4  # labels of a passage
CANDIDATES = 10  # phrases of a passage that are embedded
_LONGEST = 40  # characters of a phrase

# Chosen on passages of tests/benchmarks/describing.py with other seeds than the one that is reported.
NEAR, FREQUENT, RARE, LONGER, ALIKE = 1.0, 0.16, 0.1, 0.07, 0.6

_WORD = rf"[^\W_{HAN}{KATAKANA}\u3041-\u309f]"
_TOKEN = re.compile(
    rf"(?P<word>{_WORD}+(?:(?:['’.+#&-]|(?<=\w)_)(?=\w){_WORD}+)*[+#]{{0,2}})"
    rf"|(?P<wide>[{HAN}{KATAKANA}\u3041-\u309f]+)|(?P<other>[^\s])"
)
_DETERMINERS = frozenset(
    """the a an my your his her our their its this these those some any no each every of in on for with from about by at
    into between without per via as than using another other all both many few several most more""".split()
)
_BEFORE_VERBS = frozenset(
    """to i you we they he she it who can could will would should may might must don't doesn't didn't won't can't please
    let's let not cannot i'll you'll we'll i'd you'd and-then never always also help just""".split()
)
_NOUN_ENDINGS = re.compile(r"(?:tion|sion|ment|ness|ity|ism|ist|ship|ance|ence|ure|logy|graphy|er|or|age|ery|ics|ware)s?$")
_OTHER_ENDINGS = re.compile(r"(?:ly|ous|ful|ive|able|ible|less|ize|ise|ify|ish|ed|ing)$")
_JAPANESE = re.compile(rf"(?:[{HAN}]{{2,}}|[{KATAKANA}]{{2,}})(?:[{HAN}]+|[{KATAKANA}]{{2,}})*")
_HAN_RUN = re.compile(rf"[{HAN}]{{2,}}")
_KANA = re.compile("[\u3041-\u309f]")

Phrases = Counter[tuple[str, ...]]


def noun_likeness(texts: Sequence[str]) -> Mapping[str, float]:
    """Above 0 for words that stand where nouns do more often than where verbs do; of the words of some texts."""
    likeness: dict[str, float] = defaultdict(float)
    for text in texts:
        before = "."
        for match in _TOKEN.finditer(text):
            word = match["word"].lower().replace("’", "'") if match["word"] else match[0]
            if match["word"] and word not in STOP_WORDS:
                likeness[word] += (before in _DETERMINERS) - (before in _BEFORE_VERBS)
            before = word
    return likeness


def phrases(sentences: Sequence[str], language: str, likeness: Mapping[str, float]) -> Phrases:
    """How often each candidate (its words) occurs in the sentences of a passage."""
    found: Phrases = Counter()
    for text in sentences:
        for run in _runs(text, language):
            for length in (1, 2, 3):
                for start in range(len(run) - length + 1):
                    phrase = tuple(run[start : start + length])
                    if _is_phrase(phrase, likeness):
                        found[phrase] += 1
    return found


def _runs(text: str, language: str) -> Iterator[list[str]]:
    """Runs of words that nothing divides: no mark, no function word."""
    run: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match["word"]
        if word and not _is_function(word, language):
            run.append(word)
            continue
        if run:
            yield run
        run = []
        if match["wide"]:
            yield from _wide_runs(match["wide"], language)
    if run:
        yield run


def _is_function(word: str, language: str) -> bool:
    lower = word.lower().replace("’", "'")
    if lower in STOP_WORDS or lower.removesuffix("'s") in STOP_WORDS or (len(lower) < 2 and not word.isupper()):
        return True
    return language not in ("en", "zh", "ja", "ko", "und") and lower in FUNCTION_WORDS


def _wide_runs(text: str, language: str) -> Iterator[list[str]]:
    """Chinese nouns and what stands before them, or Japanese nouns, which are runs of characters."""
    if language == "ja" or (language != "zh" and _KANA.search(text)):
        for match in _JAPANESE.finditer(text):
            if not GRAMMAR_JA.match(match[0]):
                yield [match[0]]
        return
    run: list[str] = []
    for chinese in _HAN_RUN.findall(text):
        for word, tag in tagged(chinese):
            noun = tag[0] == "n" or tag in ("vn", "l", "j", "i", "eng", "an")
            if noun and not (len(word) == 1 or (GRAMMAR & set(word) and len(word) < 3)):
                run.append(word)
            else:
                yield from _chinese_run(run)
                run = []
        yield from _chinese_run(run)
        run = []


GRAMMAR_JA = re.compile(r"(?:場合|以下|以上|必要|利用|使用|可能|通常|現在|際|次|他|等|全|以外|一部|同様|自分|自身|方法|多数|一般|実際|対応|実行|上記|下記)+$")


def _chinese_run(run: Sequence[str]) -> Iterator[list[str]]:
    """A run whose words are written together: 软件包, 管理系统 and 软件包管理系统."""
    if run:
        yield list(run)


def _is_phrase(phrase: Sequence[str], likeness: Mapping[str, float]) -> bool:
    last = phrase[-1].lower()
    if sum(map(len, phrase)) + len(phrase) > _LONGEST or not all(any(map(str.isalpha, word)) for word in phrase[-1:]):
        return False
    if _HAN_RUN.search(last):
        return len("".join(phrase)) <= 10
    lower = [word.lower().replace("’", "'") for word in phrase]
    if len(set(map(stem, lower))) < len(lower):
        return False
    if lower[-1] in UNLIKE_NOUNS or any(word in UNLIKE_NOUNS for word in lower[:-1]) or len(last) < 3 and not phrase[-1].isupper():
        return False
    if len(lower) > 1 and lower[0].endswith("ly"):
        return False
    if any(map(str.isupper, phrase[-1][1:])):
        return True
    score = max(-3.0, min(likeness.get(lower[-1], 0.0), 3.0))
    score += 1.0 * bool(_NOUN_ENDINGS.search(last)) - 1.2 * bool(_OTHER_ENDINGS.search(last))
    # What stands before another word of the phrase is no verb either.
    first = likeness.get(lower[0], 0.0)
    return score > -0.5 and (len(lower) == 1 or first > -1.5)


def spelling(phrase: Sequence[str], separate: bool) -> str:
    """A phrase as it is shown: in lower case, unless it has capitals inside or is written with one everywhere."""
    shown = [word if any(map(str.isupper, word[1:])) or not separate else word for word in phrase]
    return "".join(shown) if _HAN_RUN.search("".join(phrase)) else " ".join(shown)


def ranked(
    counts: Sequence[Phrases], lower_case: Mapping[str, int]
) -> list[list[tuple[str, int, float]]]:
    """For each passage the (phrase, count, rarity from 0 to 1) that are worth to be embedded, the best first."""
    folded = [_folded(count, lower_case) for count in counts]
    spread = Counter(key for one in folded for key in one)
    most = math.log(1 + len(counts))
    results = []
    for one in folded:
        rows = [(form, n, math.log(1 + len(counts) / spread[key]) / most) for key, (form, n) in one.items()]
        rows.sort(key=lambda row: (-_weight(row[0], row[1], row[2]), row[0]))
        results.append(rows[:CANDIDATES])
    return results


def _weight(form: str, count: int, rarity: float) -> float:
    return FREQUENT * math.log1p(count) + RARE * rarity + LONGER * min(form.count(" "), 2) * (count > 1)


def _folded(count: Phrases, lower_case: Mapping[str, int]) -> dict[tuple[str, ...], tuple[str, int]]:
    """By the stems of its words: the most frequent spelling of a phrase, and how often it occurs in any."""
    forms: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for phrase, n in count.items():
        shown = [word.lower() if lower_case.get(word.lower()) or not _is_proper(word, n) else word for word in phrase]
        joined = "".join(shown) if _HAN_RUN.search(phrase[0]) else " ".join(shown)
        forms[tuple(stem(word.lower()) for word in phrase)][joined] += n
    return {
        key: (min(names.items(), key=lambda item: (-item[1], item[0]))[0], names.total()) for key, names in forms.items()
    }


def _is_proper(word: str, count: int) -> bool:
    return word[:1].isupper()


def chosen(
    rows: Sequence[tuple[str, int, float]], vectors: "numpy.ndarray", about: "numpy.ndarray"
) -> tuple[str, ...]:
    """At most `MOST` phrases, none a part of another; `vectors` are those of `rows`, `about` that of the passage."""
    if not rows:
        return ()
    worth = [
        NEAR * float(vector @ about) + _weight(*row) for row, vector in zip(rows, vectors, strict=True)
    ]
    alike = vectors @ vectors.T
    picked: list[int] = []
    left = set(range(len(rows)))
    while left and len(picked) < MOST:
        best = max(
            left, key=lambda n: (worth[n] - ALIKE * max((float(alike[n, p]) for p in picked), default=0.0), -n)
        )
        left.discard(best)
        form = rows[best][0].lower()
        if not any(_within(form, rows[p][0].lower()) for p in picked):
            picked.append(best)
    return tuple(rows[n][0] for n in picked)


def _within(one: str, other: str) -> bool:
    """Whether one phrase has words of the other."""
    if _HAN_RUN.search(one) or _HAN_RUN.search(other):
        return one in other or other in one
    return bool({stem(word) for word in one.split()} & {stem(word) for word in other.split()})
