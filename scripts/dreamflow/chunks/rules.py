"""Chunks without any model: lexical cohesion and the manners of conversations.

A chunk is a stretch in which the same words come back (Hearst, "TextTiling", Computational Linguistics 23, 1997).
As in Utiyama and Isahara, "A statistical model for domain-independent text segmentation" (ACL 2001), each chunk has
its own word distribution, and dynamic programming finds the best of all segmentations; the distribution is
integrated out as in Eisenstein and Barzilay, "Bayesian unsupervised topic segmentation" (EMNLP 2008), with the
whole text as its prior: words that stand everywhere say nothing, rare words that return say much.

To this score, each boundary adds what the form of the conversation says: a question and its answer stay together;
a user's turn that is short, that begins with "and" or "那", or that speaks of "it", goes on; one that is long, that
says "by the way", that follows a farewell or a pause, begins anew.

The sum over all segmentations (forward and backward, as for a hidden Markov model) gives the probability of each
chunk, which is its confidence: near 1 where the second best segmentation has the chunk too, low where other cuts
would have been nearly as good. It is a probability under this model, not under the reader's.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from ..files import read_table
from .conversation import Chunk, Conversation, Turn, Unit
from .describe import describe
from .terms import terms

# Chosen on the development half of tests/benchmarks/chunking.py; its other half is what the README reports.
PRIOR_STRENGTH = 40.0  # how many words the whole text counts for in the distribution of a chunk
COHESION = 0.15  # weight of the words against the form
BOUNDARY = -2.5  # each boundary must earn this
LENGTH = 2.5  # a user's turn e times as long as the median speaks for a boundary by this much
GOES_ON, POINTS_BACK, BEGINS_ANEW, FAREWELL = -3.0, -2.5, 3.0, 1.0
SAME_SPEAKER, ANSWER, INSIDE_TURN, PARAGRAPH = -2.5, -8.0, -8.0, 2.0
PAUSE_SECONDS, PAUSE, LONGEST_PAUSE = 900.0, 1.0, 4.0

_TOO_SMALL = -1e4  # weighs more than any words: a smaller chunk is only made where there is no other way
_SIGNS = {
    name: re.compile(pattern, re.X | re.I) for name, pattern in read_table(__file__, "words.yaml")["signs"].items()
}
_BLANK_LINE = re.compile(r"\n\r?\n\Z")


@dataclass(frozen=True)
class _Block:
    """Units (numbers, inclusive) that are never parted, what they say, and what speaks for a cut before them."""

    first: int
    last: int
    tokens: int
    terms: Counter[str]
    evidence: float


def chunk_by_rules(
    conversation: Conversation,
    units: Sequence[Unit],
    first: int,
    last: int,
    min_tokens: int = 100,
    max_tokens: int = 800,
) -> list[Chunk]:
    """Units `first` to `last` (numbers, inclusive) as chunks that partition them, with labels and a summary each.

    A chunk has more than `max_tokens` only if it is a single unit, and fewer than `min_tokens` only if all units
    together have fewer or a neighbour's size leaves no other way. The same input always gives the same chunks.
    """
    part = units[first - 1 : last]
    if not part:
        return []
    blocks = _blocks(conversation, part, min_tokens, max_tokens)
    cuts, confidences = _segment(blocks, min_tokens, max_tokens)
    spans = [(blocks[i].first, blocks[j].last) for i, j in cuts]
    made_by = {"method": "rules", "quality_level": "basic"}
    return [
        Chunk(*span, **described, confidence=confidence, made_by=made_by)
        for span, described, confidence in zip(spans, describe(conversation, units, spans), confidences, strict=True)
    ]


def _blocks(conversation: Conversation, part: Sequence[Unit], min_tokens: int, max_tokens: int) -> list[_Block]:
    """Turns, or pieces of long turns: small enough that chunks of the right size can always be made of them."""
    text, turns = conversation.text, conversation.turns
    limit = max((max_tokens - 2 * min_tokens) // 3, 1)
    groups: list[list[Unit]] = []
    for unit in part:
        group = groups[-1] if groups else None
        begins = not group or group[-1].turn != unit.turn or _begins_paragraph(text, unit)
        if begins or sum(u.tokens for u in group) + unit.tokens > limit:
            groups.append([unit])
        else:
            group.append(unit)
    evidence = _turn_evidence(conversation, part)
    sizes = Counter[int]()
    for unit in part:
        sizes[unit.turn] += unit.tokens
    blocks = []
    for before, group in zip([None, *groups], groups, strict=False):
        unit, turn = group[0], turns[group[0].turn - 1]
        if before and before[-1].turn == unit.turn:
            speaks = BOUNDARY + (0.0 if sizes[unit.turn] > max_tokens else INSIDE_TURN)
            speaks += PARAGRAPH * _begins_paragraph(text, unit)
        else:
            speaks = evidence[unit.turn]
        words = terms(text[max(unit.start, turn.content_start) : group[-1].end])
        blocks.append(_Block(unit.number, group[-1].number, sum(u.tokens for u in group), words, speaks))
    return blocks


def _begins_paragraph(text: str, unit: Unit) -> bool:
    return _BLANK_LINE.search(text, max(unit.start - 10, 0), unit.start) is not None or text[unit.start] == "#"


def _turn_evidence(conversation: Conversation, part: Sequence[Unit]) -> dict[int, float]:
    """For each turn of `part`, by number, what its form says for (above 0) or against a boundary before it."""
    turns = [conversation.turns[number - 1] for number in dict.fromkeys(unit.turn for unit in part)]
    said = [conversation.text[turn.content_start : turn.end].strip() for turn in turns]
    asked = [len(words) for turn, words in zip(turns, said, strict=True) if turn.role == "user" and words]
    usual = median(asked) if asked else 0
    evidence = {}
    for i, (turn, words) in enumerate(zip(turns, said, strict=True)):
        before, before_words = (turns[i - 1], said[i - 1]) if i else (None, "")
        anew = _SIGNS["begins_anew"].search(words[:200]) is not None
        speaks = BOUNDARY + BEGINS_ANEW * anew + _pause(before, turn)
        if asked and turn.role != "user":
            speaks += ANSWER
        elif asked:
            speaks += LENGTH * min(max(math.log(max(len(words), 1) / usual), -1.5), 1.5)
            if not anew:
                speaks += GOES_ON * bool(_SIGNS["goes_on"].match(words))
                speaks += POINTS_BACK * bool(_SIGNS["points_back"].search(words))
            speaks += SAME_SPEAKER * (before is not None and before.role == "user")
            speaks += FAREWELL * bool(_SIGNS["farewell"].search(before_words) and len(before_words) < 2 * usual)
        evidence[turn.number] = speaks
    return evidence


def _pause(before: Turn | None, turn: Turn) -> float:
    if before is None or before.time is None or turn.time is None:
        return 0.0
    try:
        seconds = (datetime.fromisoformat(turn.time) - datetime.fromisoformat(before.time)).total_seconds()
    except (ValueError, TypeError):  # a time of some other form, or only one of the two has a time zone
        return 0.0
    return min(PAUSE * math.log(seconds / PAUSE_SECONDS), LONGEST_PAUSE) if seconds > PAUSE_SECONDS else 0.0


def _segment(blocks: Sequence[_Block], min_tokens: int, max_tokens: int) -> tuple[list[tuple[int, int]], list[float]]:
    """The best chunks as (first, last) block, from 0, and the probability of each."""
    n = len(blocks)
    whole = Counter[str]()
    for block in blocks:
        whole.update(block.terms)
    total = sum(whole.values()) or 1
    prior = {term: PRIOR_STRENGTH * count / total for term, count in whole.items()}
    # ends[j]: (i, score) of each chunk of blocks i..j-1 that is allowed.
    ends: list[list[tuple[int, float]]] = [[] for _ in range(n + 1)]
    for i in range(n):
        for j, score in _chunks_from(blocks, i, prior, min_tokens, max_tokens):
            ends[j].append((i, score))
    best, came, forward = [0.0] + [-math.inf] * n, [0] * (n + 1), [0.0] * (n + 1)
    for j in range(1, n + 1):
        for i, score in ends[j]:
            if best[i] + score > best[j]:
                best[j], came[j] = best[i] + score, i
        forward[j] = _log_sum([forward[i] + score for i, score in ends[j]])
    backward = [[] for _ in range(n)] + [[0.0]]
    after = [0.0] * (n + 1)
    for j in range(n, 0, -1):
        after[j] = _log_sum(backward[j])
        for i, score in ends[j]:
            backward[i].append(after[j] + score)
    cuts, confidences, j = [], [], n
    while j:
        i = came[j]
        score = next(score for start, score in ends[j] if start == i)
        cuts.append((i, j - 1))
        share = math.exp(min(forward[i] + score + after[j] - forward[n], 0.0))
        confidences.append(round(share, 4))
        j = i
    return cuts[::-1], confidences[::-1]


def _chunks_from(
    blocks: Sequence[_Block], i: int, prior: dict[str, float], min_tokens: int, max_tokens: int
) -> list[tuple[int, float]]:
    """(j, score) of the chunks of blocks i..j-1 that are not too large.

    The words' score is the logarithm of their probability when each is drawn from what the chunk said so far and
    the prior (Pólya's urn), so a chunk that repeats itself is likely and a mixture of topics is not.
    """
    found = []
    counts: dict[str, int] = {}
    tokens = drawn = 0
    words = 0.0
    for j in range(i, len(blocks)):
        block = blocks[j]
        tokens += block.tokens
        if j > i and tokens > max_tokens:
            break
        for term, count in block.terms.items():
            had = counts.get(term, 0)
            share = prior[term]
            for more in range(count):
                words += math.log((had + more + share) / (drawn + PRIOR_STRENGTH) * PRIOR_STRENGTH / share)
                drawn += 1
            counts[term] = had + count
        score = COHESION * words + (blocks[i].evidence if i else 0.0)
        if tokens < min_tokens:
            score += _TOO_SMALL * (1 - tokens / min_tokens / 2)
        found.append((j + 1, score))
    return found


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
