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

HAN = "\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KATAKANA = "\u30a1-\u30fa\u30fc\uff66-\uff9f"
_NO_WORDS = rf"\W_{HAN}\u3041-\u309f\u30a0-\u30ff\uff66-\uff9f"
_SHORT = "[A-Za-z0-9]{1,3}"
_TERM = re.compile(rf"{_SHORT}-{_SHORT}(?![\w-])|[{HAN}]+|[{KATAKANA}]{{2,}}|[^{_NO_WORDS}]+(?:['’][^\d{_NO_WORDS}]+)?")
_HAN_RUN = re.compile(rf"[{HAN}]+")

STOP_WORDS = frozenset(
    """a about above actually after again against ago all almost alone along already also although always am an and
    another any anybody anyone anything are aren't around as ask at away back be because become been before begin
    being below best better between big bit both but by call came can can't cannot case come could couldn't day did
    didn't do does doesn't doing don't done down during each either else end enough especially etc even ever every
    everything exactly example far few find first for found from full further gave get give given go goes going gone
    good got had hardly has hasn't have haven't having he hello help her here hers hi him his how however i i'd i'll
    i'm i've idea if in indeed instead into is isn't it it's its itself just keep kind know last late later least
    less let let's like likely little long look lot made mainly make many may maybe me mean means might mine more
    most mostly much must my myself near nearly need needs never new next nice no nobody none nor normal not nothing
    now of off often ok okay old on once one ones only onto or other others otherwise our out over own part per
    perhaps please point possible pretty probably put quite rather really right said same say second see seem seems
    several shall she should show since small so some somebody someone something sometimes soon still such sure take
    tell than thank thanks that that's the their them then there these they thing things think this those though
    three through thus till time to together too toward try two under until up upon us use used useful using usual
    usually very want was wasn't way we well went were weren't what what's when where whether which while who whole
    whose why will with within without won't work worth would wouldn't write yes yet you you'd you'll you're you've
    your yours yourself we're we've we'll they're they've she's he's who's there's here's""".split()  # noqa: SIM905  (a list literal would fill a page)
)
# Characters that make a pair of Han characters grammar rather than a topic.
GRAMMAR = frozenset(
    "的了是在不我你您他她它们这那有和就都也要会能吗呢吧啊很还一个把被给对从到用可以什么怎为与或及而但如果"
    "让没去来说再才又先后最更太比些样种点时候着过得地好想该只需其所以之于并且因但等里上下中前每请谢"
)
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
