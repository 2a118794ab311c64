"""The topical words of a text in any script, without a model: the basis of cohesion and labels.

In scripts with spaces the terms are words: in lower case, without stop words and short numbers, without plural and verb
endings. In Chinese and Japanese they are pairs of neighbouring Han characters, the usual choice without a dictionary
(Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information retrieval", IRAL 2000), without
pairs that have a grammatical character, and runs of Katakana. Hiragana, which is mostly grammar, is left out.
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
UNLIKE_NOUNS = frozenset(
    word for name in ("unlike_nouns", "unlike_nouns_zh", "unlike_nouns_ja") for word in _LISTS[name].split()
)
DATES = frozenset(_LISTS["dates"].split())
BEFORE = {
    kind: frozenset(_LISTS[f"before_{kind}"].split()) for kind in ("nouns", "one", "verbs", "adjectives", "verbs_zh")
}
OBJECTS = frozenset(_LISTS["objects_after_verbs"].split())
AFTER_NOUNS = frozenset(_LISTS["after_nouns"].split())
FUNCTION_WORDS = frozenset(_LISTS["function_words"].split())
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ings", ""), ("ing", ""), ("edly", ""), ("ed", ""), ("es", ""), ("s", ""))


def stem(word: str) -> str:
    """`word` without the commonest English endings: "cups" becomes "cup", "baking" and "baked" become equal."""
    if len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.isascii():
        return word
    for ending, replacement in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + replacement
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def words(text: str) -> list[tuple[str, str]]:
    """(term, spelling) for each topical word of `text`, in order."""
    pairs = []
    for piece in _TERM.findall(text):
        if _HAN_RUN.fullmatch(piece):
            if len(piece) == 1 and piece not in GRAMMAR:
                pairs.append((piece, piece))
            pairs += [(pair, pair) for pair in map("".join, pairwise(piece)) if GRAMMAR.isdisjoint(pair)]
        elif len(piece) >= 2:
            lower = piece.lower().replace("’", "'")
            if lower not in STOP_WORDS and not (lower.isdigit() and len(lower) < 3):
                pairs.append((stem(lower.removesuffix("'s")), piece))
    return pairs


def terms(text: str) -> Counter[str]:
    """The frequency of each term in `text`."""
    return Counter(term for term, _ in words(text))
