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
from .terms import AFTER_NOUNS, BEFORE, FUNCTION_WORDS, GRAMMAR, HAN, KATAKANA, OBJECTS, STOP_WORDS, UNLIKE_NOUNS, stem

if TYPE_CHECKING:
    import numpy

MOST = 4  # labels of a passage
CANDIDATES = 8  # phrases of a passage that are embedded
_LONGEST = 40  # characters of a phrase

# Chosen on passages of tests/benchmarks/describing.py with other seeds than the one that is reported.
NEAR, FREQUENT, RARE, LONGER, ALIKE, WORTH = 1.0, 0.16, 0.1, 0.07, 0.6, 0.6

_WORD = rf"[^\W_{HAN}{KATAKANA}\u3041-\u309f]"
_TOKEN = re.compile(
    rf"(?P<word>{_WORD}+(?:(?:['’.+#&-]|(?<=\w)_)(?=\w){_WORD}+)*[+#]{{0,2}})"
    rf"|(?P<wide>[{HAN}{KATAKANA}\u3041-\u309f]+)|(?P<other>[^\s])"
)
_NOUN_ENDINGS = re.compile(
    r"(?:tion|sion|ment|ness|ity|ism|ist|ship|ance|ence|ure|logy|graphy|er|or|age|ery|ics|ware)s?$"
)
_OTHER_ENDINGS = re.compile(r"(?:ly|ous|ful|ive|able|ible|less|ize|ise|ify|ish|ed|ing)$")
_JAPANESE = re.compile(rf"(?:[{HAN}]{{2,}}|[{KATAKANA}]{{2,}})(?:[{HAN}]+|[{KATAKANA}]{{2,}})*")
_HAN_RUN = re.compile(rf"[{HAN}]{{2,}}")
_KANA = re.compile("[\u3041-\u309f]")

_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|(?<!\w)~?/[\w./-]+|\w+(?:/\w+){2,}")
_ENDS = frozenset('.!?:;|•-–—("“”')
_SOUND = re.compile(
    r"(?:[hea]+|[aeou]+h+|u+[hm]+|h+[aeiou]+|m*h+m+|l+o+l+|w+o+w+|(?:ha|he|ja|lo)+l?h?|y+[aeu]+[aphs]+|x+d+|[a-z]?([a-z])\1{2,}[a-z]?)",
    re.I,
)

Phrases = Counter[tuple[str, ...]]


def noun_likeness(texts: Sequence[str]) -> Mapping[str, float]:
    """Above 0 for words that stand where nouns do more often than where verbs and adjectives do; of some texts."""
    likeness: dict[str, float] = defaultdict(float)
    for text in texts:
        before, run = ".", []
        for word in [*(match[0].lower().replace("’", "'") for match in _TOKEN.finditer(text)), "."]:
            if _HAN_RUN.search(word):
                _add_chinese(likeness, word)
            elif word[0].isalpha() and word not in STOP_WORDS:
                run.append(word)
                continue
            if run:
                # "a pass pays": what follows one thing with an s is its verb
                acts = len(run) > 1 and (before in BEFORE["one"] or word in OBJECTS)
                acts = acts and re.search(r"[^s]s$", run[-1]) is not None
                likeness[run[-2 if acts else -1]] += before in BEFORE["nouns"]
                likeness[run[-1]] += 0.7 * (word in AFTER_NOUNS) - 3.0 * (word == "than") - acts
                likeness[run[0]] -= before in BEFORE["verbs"]
                if len(run) == 1:
                    commands = before in ".!?:" and word in BEFORE["nouns"]  # "Bake at"
                    likeness[run[0]] -= 0.7 * (before in BEFORE["adjectives"]) + 0.7 * commands
            before, run = word, []
    return likeness


def _add_chinese(likeness: dict[str, float], text: str) -> None:
    for run in _HAN_RUN.findall(text):
        words = tagged(run)
        for place, (word, _) in enumerate(words):
            before, kind = words[place - 1] if place else ("", "")
            after = words[place + 1][0] if place + 1 < len(words) else ""
            likeness[word] += (kind in ("m", "q") or before == "的") + 0.7 * (after in ("的", "是", "有"))
            likeness[word] -= before != "" and before in BEFORE["verbs_zh"]


def capitals_of(texts: Sequence[str]) -> Mapping[str, int]:
    """How often each word has a capital within sentences, less how often it has none."""
    found: Counter[str] = Counter()
    for text in texts:
        for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+(?![\w'’])|(?<![\w'’])[a-z]{2,}(?![\w'’])", text):
            found[word.capitalize()] += 1 if word[0].isupper() else -1
    return +found


def phrases(
    sentences: Sequence[str], language: str, likeness: Mapping[str, float], capitals: Mapping[str, int]
) -> Phrases:
    """How often each candidate (its words) occurs in the sentences of a passage. `likeness` and `capitals` are those
    of the conversation. A phrase ends where its run of words does, or before what is no noun."""
    found: Phrases = Counter()
    for text in sentences:
        for run in _runs(text, language, likeness, capitals):
            heads = [_is_head(word, likeness) for word in run]
            for place in range(1, len(run)):
                if run[place].endswith("s") and likeness.get(run[place].lower(), 0.0) <= 0:
                    heads[place] &= likeness.get(run[place - 1].lower(), 0.0) < 1
            for end in range(1, len(run) + 1):
                if not heads[end - 1] or (end < len(run) and heads[end]):
                    continue
                for start in range(end - 1, max(end - 4, -1), -1):
                    if _is_phrase(run[start:end], likeness):
                        found[tuple(run[start:end])] += 1
    return found


def _runs(text: str, language: str, likeness: Mapping[str, float], capitals: Mapping[str, int]) -> Iterator[list[str]]:
    """Runs of words that nothing divides: no mark, no function word. The first word of a sentence loses its capital
    unless others have it too."""
    run: list[str] = []
    begins = True
    for match in _TOKEN.finditer(_ADDRESS.sub(" . ", text)):
        word = match["word"]
        if word and not _is_function(word, language):
            ordinary = begins and word[0].isupper() and word[1:].islower() and not capitals.get(word)
            run.append(word.lower() if ordinary else word)
            begins = False
            continue
        if run:
            yield run
        run = []
        begins = match[0] in _ENDS or (begins and not word)
        if match["wide"]:
            yield from _wide_runs(match["wide"], language, likeness)
    if run:
        yield run


def _is_function(word: str, language: str) -> bool:
    lower = word.lower().replace("’", "'")
    if lower in STOP_WORDS or lower.removesuffix("'s") in STOP_WORDS or (len(lower) < 2 and not word.isupper()):
        return True
    return language not in ("en", "zh", "ja", "ko", "und") and lower in FUNCTION_WORDS


def _wide_runs(text: str, language: str, likeness: Mapping[str, float]) -> Iterator[list[str]]:
    """Chinese nouns and what stands before them, or Japanese nouns, which are runs of characters."""
    if language == "ja" or (language != "zh" and _KANA.search(text)):
        for match in _JAPANESE.finditer(text):
            if match[0] not in UNLIKE_NOUNS:
                yield [match[0]]
        return
    run: list[str] = []
    for chinese in _HAN_RUN.findall(text):
        for word, tag in tagged(chinese):
            noun = tag[0] == "n" or tag in ("vn", "eng") or (tag[0] in "valij" and likeness.get(word, 0.0) > 0.5)
            if noun and len(word) > 1 and word not in UNLIKE_NOUNS and not (GRAMMAR & set(word) and len(word) < 3):
                run.append(word)
            else:
                yield run
                run = []
        yield run
        run = []


def _is_head(word: str, likeness: Mapping[str, float]) -> bool:
    """Whether a word can be the noun that a phrase ends with."""
    lower = word.lower().replace("’", "'")
    if lower in UNLIKE_NOUNS or _SOUND.fullmatch(lower) or not any(map(str.isalpha, lower)):
        return False
    if _HAN_RUN.search(word) or any(map(str.isupper, word[1:])):
        return True
    if len(word) < 3:
        return False
    score = max(-3.0, min(likeness.get(lower, 0.0), 3.0))
    score += 1.0 * bool(_NOUN_ENDINGS.search(lower)) - 1.2 * bool(_OTHER_ENDINGS.search(lower))
    return score > -0.5


def _is_phrase(phrase: Sequence[str], likeness: Mapping[str, float]) -> bool:
    """Whether words of a run, of which the last is a noun, are a phrase."""
    if sum(map(len, phrase)) + len(phrase) > _LONGEST:
        return False
    if _HAN_RUN.search(phrase[-1]):
        return len("".join(phrase)) <= 10
    lower = [word.lower().replace("’", "'") for word in phrase]
    if lower[0][0].isdigit() and not any(map(str.isupper, phrase[0])):
        return False
    if len(lower) == 1:
        return True
    if (
        len(set(map(stem, lower))) < len(lower)
        or not UNLIKE_NOUNS.isdisjoint(filter(str.islower, phrase[:-1]))
        or lower[0].endswith("ly")
    ):
        return False
    if _SOUND.fullmatch(lower[0]) or (phrase[0].islower() and phrase[-1][0].isupper()):
        return False
    return likeness.get(lower[0], 0.0) > -1.5  # else it is a verb


def ranked(counts: Sequence[Phrases]) -> list[list[tuple[str, int, float]]]:
    """For each passage the (phrase, count, rarity from 0 to 1) that are worth to be embedded, the best first."""
    folded = [_folded(count) for count in counts]
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


def _folded(count: Phrases) -> dict[tuple[str, ...], tuple[str, int]]:
    """By the stems of its words: the most frequent spelling of a phrase, and how often it occurs in any."""
    forms: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for phrase, n in count.items():
        shown = "".join(phrase) if _HAN_RUN.search(phrase[0]) else " ".join(phrase)
        forms[tuple(stem(word.lower()) for word in phrase)][shown] += n
    return {
        key: (min(names.items(), key=lambda item: (-item[1], item[0]))[0], names.total())
        for key, names in forms.items()
    }


def chosen(rows: Sequence[tuple[str, int, float]], vectors: "numpy.ndarray", about: "numpy.ndarray") -> tuple[str, ...]:
    """At most `MOST` phrases, none a part of another; `vectors` are those of `rows`, `about` that of the passage."""
    if not rows:
        return ()
    worth = [NEAR * float(vector @ about) + _weight(*row) for row, vector in zip(rows, vectors, strict=True)]
    alike = vectors @ vectors.T
    picked: list[int] = []
    left = set(range(len(rows)))
    while left and len(picked) < MOST:
        best = max(left, key=lambda n: (worth[n] - ALIKE * max((float(alike[n, p]) for p in picked), default=0.0), -n))
        left.discard(best)
        if len(picked) > 1 and worth[best] < WORTH * worth[picked[0]]:
            continue
        form = rows[best][0].lower()
        if not any(_within(form, rows[p][0].lower()) for p in picked):
            picked.append(best)
    return tuple(rows[n][0] for n in picked)


def _within(one: str, other: str) -> bool:
    """Whether one phrase has words of the other."""
    if _HAN_RUN.search(one) or _HAN_RUN.search(other):
        return one in other or other in one
    return bool({_root(word) for word in one.split()} & {_root(word) for word in other.split()})


def _root(word: str) -> str:
    return stem(re.sub(r"['’]s$", "", word)).removesuffix("s")
