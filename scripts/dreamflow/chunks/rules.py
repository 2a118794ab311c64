"""Chunks without a model, from lexical cohesion and the form of conversations.

A chunk is a text in which the same words recur (Hearst, "TextTiling", Computational Linguistics 23, 1997). As in
Utiyama and Isahara, "A statistical model for domain-independent text segmentation" (ACL 2001), each chunk has its own
word distribution, and dynamic programming finds the best segmentation; the distribution is integrated out as in
Eisenstein and Barzilay, "Bayesian unsupervised topic segmentation" (EMNLP 2008), with the whole text as its prior:
words that occur everywhere count little, rare words that recur count much.

Each boundary adds evidence from the form of the conversation: a question and its answer stay together; a user's turn
that is short, begins with "and" or "那", or contains "it" continues the topic; a turn that is long, contains "by the
way", or follows a farewell or a pause begins a topic.

The confidence of a chunk is its probability among all segmentations (forward-backward, as for a hidden Markov model):
near 1 if the second best segmentation has the chunk too, low if other cuts are nearly as good.
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

# Chosen on the development half of tests/benchmarks/chunking.py; the README reports the other half.
PRIOR_STRENGTH = 40.0  # weight of the whole text in the distribution of a chunk, in words
COHESION = 0.15  # weight of the words relative to the form
BOUNDARY = -2.5  # evidence for each boundary
LENGTH = 2.5  # evidence for a boundary before a user's turn e times as long as the median
CONTINUES, REFERS_BACK, NEW_TOPIC, FAREWELL = -3.0, -2.5, 3.0, 1.0
SAME_SPEAKER, ANSWER, INSIDE_TURN, PARAGRAPH = -2.5, -8.0, -8.0, 2.0
PAUSE_SECONDS, PAUSE, LONGEST_PAUSE = 900.0, 1.0, 4.0

_TOO_SMALL = -1e4  # outweighs any words: a smaller chunk is made only if it is unavoidable
_SIGNS = {
    name: re.compile(pattern, re.X | re.I) for name, pattern in read_table(__file__, "words.yaml")["signs"].items()
}
_BLANK_LINE = re.compile(r"\n\r?\n\Z")


@dataclass(frozen=True)
class _Block:
    """Units (numbers, inclusive) that stay together, their terms, and the evidence for a boundary before them."""

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
    """Chunks, with labels and summaries, that partition units `first` to `last` (numbers, inclusive).

    A chunk has more than `max_tokens` only if it is a single unit, and fewer than `min_tokens` only if all units
    together have fewer or the size of a neighbour forces it. The same input always gives the same chunks.
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
    """Turns, or pieces of long turns that are small enough for chunks of the right size."""
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
            score = BOUNDARY + (0.0 if sizes[unit.turn] > max_tokens else INSIDE_TURN)
            score += PARAGRAPH * _begins_paragraph(text, unit)
        else:
            score = evidence[unit.turn]
        words = terms(text[max(unit.start, turn.content_start) : group[-1].end])
        blocks.append(_Block(unit.number, group[-1].number, sum(u.tokens for u in group), words, score))
    return blocks


def _begins_paragraph(text: str, unit: Unit) -> bool:
    return _BLANK_LINE.search(text, max(unit.start - 10, 0), unit.start) is not None or text[unit.start] == "#"


def _turn_evidence(conversation: Conversation, part: Sequence[Unit]) -> dict[int, float]:
    """By number of each turn in `part`: the evidence of its form for (above 0) or against a boundary before it."""
    turns = [conversation.turns[number - 1] for number in dict.fromkeys(unit.turn for unit in part)]
    texts = [conversation.text[turn.content_start : turn.end].strip() for turn in turns]
    lengths = [len(text) for turn, text in zip(turns, texts, strict=True) if turn.role == "user" and text]
    usual = median(lengths) if lengths else 0
    evidence = {}
    for i, (turn, text) in enumerate(zip(turns, texts, strict=True)):
        before, text_before = (turns[i - 1], texts[i - 1]) if i else (None, "")
        new_topic = _SIGNS["new_topic"].search(text[:200]) is not None
        score = BOUNDARY + NEW_TOPIC * new_topic + _pause(before, turn)
        if lengths and turn.role != "user":
            score += ANSWER
        elif lengths:
            score += LENGTH * min(max(math.log(max(len(text), 1) / usual), -1.5), 1.5)
            if not new_topic:
                score += CONTINUES * bool(_SIGNS["continues"].match(text))
                score += REFERS_BACK * bool(_SIGNS["refers_back"].search(text))
            score += SAME_SPEAKER * (before is not None and before.role == "user")
            score += FAREWELL * bool(_SIGNS["farewell"].search(text_before) and len(text_before) < 2 * usual)
        evidence[turn.number] = score
    return evidence


def _pause(before: Turn | None, turn: Turn) -> float:
    if before is None or before.time is None or turn.time is None:
        return 0.0
    try:
        seconds = (datetime.fromisoformat(turn.time) - datetime.fromisoformat(before.time)).total_seconds()
    except (ValueError, TypeError):  # not ISO 8601, or only one of the two has a time zone
        return 0.0
    return min(PAUSE * math.log(seconds / PAUSE_SECONDS), LONGEST_PAUSE) if seconds > PAUSE_SECONDS else 0.0


def _segment(blocks: Sequence[_Block], min_tokens: int, max_tokens: int) -> tuple[list[tuple[int, int]], list[float]]:
    """The best chunks as (first, last) indices of blocks, and the probability of each."""
    n = len(blocks)
    whole = Counter[str]()
    for block in blocks:
        whole.update(block.terms)
    total = sum(whole.values()) or 1
    prior = {term: PRIOR_STRENGTH * count / total for term, count in whole.items()}
    # ends[j]: (i, score) of each allowed chunk of blocks i..j-1.
    ends: list[list[tuple[int, float]]] = [[] for _ in range(n + 1)]
    for i in range(n):
        for j, score in _chunks_from(blocks, i, prior, min_tokens, max_tokens):
            ends[j].append((i, score))
    best, begins, forward = [0.0] + [-math.inf] * n, [0] * (n + 1), [0.0] * (n + 1)
    for j in range(1, n + 1):
        for i, score in ends[j]:
            if best[i] + score > best[j]:
                best[j], begins[j] = best[i] + score, i
        forward[j] = _log_sum([forward[i] + score for i, score in ends[j]])
    backward = [[] for _ in range(n)] + [[0.0]]
    after = [0.0] * (n + 1)
    for j in range(n, 0, -1):
        after[j] = _log_sum(backward[j])
        for i, score in ends[j]:
            backward[i].append(after[j] + score)
    cuts, confidences, j = [], [], n
    while j:
        i = begins[j]
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

    The score of the words is their log-probability when each is drawn from the chunk's words so far and the prior
    (Pólya's urn), so a chunk that repeats words is likely and a mixture of topics is not.
    """
    chunks = []
    counts: dict[str, int] = {}
    tokens = drawn = 0
    words = 0.0
    for j in range(i, len(blocks)):
        block = blocks[j]
        tokens += block.tokens
        if j > i and tokens > max_tokens:
            break
        for term, count in block.terms.items():
            before = counts.get(term, 0)
            share = prior[term]
            for more in range(count):
                words += math.log((before + more + share) / (drawn + PRIOR_STRENGTH) * PRIOR_STRENGTH / share)
                drawn += 1
            counts[term] = before + count
        score = COHESION * words + (blocks[i].evidence if i else 0.0)
        if tokens < min_tokens:
            score += _TOO_SMALL * (1 - tokens / min_tokens / 2)
        chunks.append((j + 1, score))
    return chunks


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
