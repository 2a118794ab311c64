"""ATP, attention points: what an answer costs besides money."""

import re

WORDS_PER_BASE = 100  # a prompt of so many words doubles the cost
_CHARACTERS_PER_WORD = 2  # of scripts that put no spaces between words; Chinese text has 1.5 to 2 to a word
# Runs of Han characters, kana, and the punctuation of these scripts. Korean has spaces.
_UNSPACED = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+")
_WIDE_PUNCTUATION = re.compile("[\u3000-\u3004\u3008-\u303f\uff01-\uff65]+")


def count_words(text: str) -> int:
    """The number of words of a text: what stands between spaces; two characters of Chinese or Japanese are a word."""
    text = _WIDE_PUNCTUATION.sub(" ", text)
    runs = [-(-len(run) // _CHARACTERS_PER_WORD) for run in _UNSPACED.findall(text)]
    return sum(runs) + len((_UNSPACED.sub(" ", text) if runs else text).split())


def atp_cost(base: float, words: float) -> float:
    """The ATP of an answer by a model with this `atp` in models.yaml to a prompt of so many words."""
    return base * (1 + words / WORDS_PER_BASE)
