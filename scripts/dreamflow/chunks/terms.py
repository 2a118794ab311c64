"""The words that a text is about, in any script, without a model: what cohesion and labels are counted from.

Scripts with spaces give words: lower case, without stop words and short numbers, with plural and verb endings
taken off. Chinese and Japanese have no spaces; there, pairs of neighbouring Han characters stand for words, which
is the usual choice where no dictionary is at hand (Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for
Chinese information retrieval", IRAL 2000). Runs of Katakana are words already, and Hiragana, which is mostly
grammar, is left out; so are Chinese pairs with a grammatical character.
"""

import re
from collections import Counter
from itertools import pairwise

from ..files import read_table

HAN = "\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KATAKANA = "\u30a1-\u30fa\u30fc\uff66-\uff9f"
_NO_WORDS = rf"\W_{HAN}\u3041-\u309f\u30a0-\u30ff\uff66-\uff9f"
_SHORT = "[A-Za-z0-9]{1,3}"
_TERM = re.compile(rf"{_SHORT}-{_SHORT}(?![\w-])|[{HAN}]+|[{KATAKANA}]{{2,}}|[^{_NO_WORDS}]+(?:['’][^\d{_NO_WORDS}]+)?")
_HAN_RUN = re.compile(rf"[{HAN}]+")

_LISTS = read_table(__file__, "words.yaml")
STOP_WORDS = frozenset(_LISTS["stop_words"].split())
GRAMMAR = frozenset(_LISTS["grammar"])
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ings", ""), ("ing", ""), ("edly", ""), ("ed", ""), ("es", ""), ("s", ""))


def stem(word: str) -> str:
    """`word` without the commonest English endings, so that "cups" meets "cup" and "baking" meets "baked"."""
    if len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.isascii():
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + instead
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def words(text: str) -> list[tuple[str, str]]:
    """(term, how it is written) for each word of `text` that may carry a topic, in order."""
    found = []
    for piece in _TERM.findall(text):
        if _HAN_RUN.fullmatch(piece):
            if len(piece) == 1 and piece not in GRAMMAR:
                found.append((piece, piece))
            found += [(pair, pair) for pair in map("".join, pairwise(piece)) if not _grammar(pair)]
        elif len(piece) >= 2:
            lower = piece.lower().replace("’", "'")
            if lower not in STOP_WORDS and not (lower.isdigit() and len(lower) < 3):
                found.append((stem(lower.removesuffix("'s")), piece))
    return found


def terms(text: str) -> Counter[str]:
    """How often each term stands in `text`."""
    return Counter(term for term, _ in words(text))


def _grammar(pair: str) -> bool:
    return pair[0] in GRAMMAR or pair[1] in GRAMMAR
