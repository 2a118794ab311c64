"""ATP, attention points: what an answer costs besides money."""

import re
from collections.abc import Iterable

from ..generation.model import Message

WORDS_PER_BASE = 100  # a prompt of so many words doubles the cost
_CHARACTERS_PER_WORD = 2  # of scripts that put no spaces between words; Chinese text has 1.5 to 2 to a word
# Runs of Han characters and kana. Korean has spaces.
_UNSPACED = re.compile("[\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+")


def count_words(text: str) -> int:
    """The number of words of a text: what stands between spaces; two characters of Chinese or Japanese are a word."""
    found = [] if text.isascii() else _UNSPACED.findall(text)  # a search takes three times as long as the rest
    runs = [-(-len(run) // _CHARACTERS_PER_WORD) for run in found]
    if not runs:
        return len(text.split())
    others = _UNSPACED.sub(" ", text).split()  # also single punctuation marks
    return sum(runs) + sum(any(map(str.isalnum, other)) for other in others)


def words_of(turns: Iterable[Message]) -> int:
    """The number of words of all turns of a chat."""
    return sum(count_words(turn.content) for turn in turns)


def atp_cost(base: float, words: float) -> float:
    """The ATP of an answer by a model with this `atp` in models.yaml to a prompt of so many words."""
    return base * (1 + words / WORDS_PER_BASE)
