"""Descriptions of chunks without a model: labels, entities, a summary and the language.

Labels are the terms that are frequent in a chunk and rare in the other chunks (Spärck Jones, "A statistical
interpretation of term specificity", 1972); the summary is the sentence whose words are most similar to those of the
whole chunk (Radev, Jing and Budzikowska, "Centroid-based summarization of multiple documents", 2000), verbatim;
entities are recognised by their form.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ..generation.model import Json
from ..generation.parsers.fences import without_blocks
from .conversation import Conversation, Unit
from .terms import GRAMMAR, HAN, words
from .units import language

MOST_LABELS, MOST_ENTITIES, LONGEST_NAME, LONGEST_SUMMARY = 4, 12, 40, 300  # labels and names; characters
_HAN_RUN = re.compile(rf"[{HAN}]{{2,}}")
_GRAMMAR = re.compile(f"[{''.join(sorted(GRAMMAR))}]")
_IDENTIFIER = re.compile(
    r"`(?P<quoted>[^`\n]+)`"
    r"|(?<![\w.])(?P<code>[a-z]\w*(?:(?:\.|::)[a-z_]\w*)+|[a-z]\w*\(\)|[a-z]+_\w+|(?-i:[a-z]+[A-Z])\w*)",
    re.ASCII | re.IGNORECASE,
)
_QUOTED = re.compile(rf"[「『《“]([^「」『』《》“”\n]{{2,{LONGEST_NAME}}})[」』》”]")
_LETTERS = "A-Za-zÀ-ÖØ-öø-ÿ0-9_"  # names in other scripts have no capital letters
_CAPITAL = rf"[A-ZÀ-ÖØ-Þ](?:[{_LETTERS}&+]|['’-](?=[{_LETTERS}]))*"
_NAME = re.compile(
    rf"(?<![{_LETTERS}.])(?<![{_LETTERS}]['’-])(?<!\d )"
    rf"{_CAPITAL}(?:(?: (?:of|the|de|da|do|du|von|van|and|&))? {_CAPITAL}| [0-9][{_LETTERS}]*)*"
)
_BEGINS_SENTENCE = re.compile(r"(?:^|[.!?:。！？：;]|\n)[\s\"'“(*#>-]*\Z")


def describe(
    conversation: Conversation, units: Sequence[Unit], spans: Sequence[tuple[int, int]]
) -> list[dict[str, Json]]:
    """{labels, entities, summary, language} for each span of units (first, last numbers, inclusive)."""
    parts = [[(unit, _text_of(conversation, unit)) for unit in units[first - 1 : last]] for first, last in spans]
    texts = ["".join(text for _, text in part) for part in parts]
    counts = [_label_counts(text) for text in texts]
    spread = Counter(term for count in counts for term in count)
    descriptions = []
    for part, text, count in zip(parts, texts, counts, strict=True):
        weights = {term: n * math.log(1 + len(spans) / spread[term]) for term, n in count.items()}
        descriptions.append(
            {
                "labels": _labels(text, count, weights),
                "entities": entities(text),
                "summary": _summary(part, weights),
                "language": language(text),
            }
        )
    return descriptions


def entities(text: str) -> tuple[str, ...]:
    """At most 12 names by their form, in order: `identifiers`, 「quoted」 titles, Capitalised Names.

    A capitalised word at the beginning of a sentence is no name, nor is a word that also occurs in lower case.
    """
    prose = without_blocks(text)
    starts: dict[str, int] = {}
    for match in _IDENTIFIER.finditer(prose):
        starts.setdefault((match["quoted"] or match["code"]).strip(), match.start())
    for match in _QUOTED.finditer(prose):
        starts.setdefault(match[1].strip(), match.start())
    plain = _IDENTIFIER.sub(lambda match: " " * len(match[0]), prose)
    lower_case = set(re.findall(rf"(?<![{_LETTERS}])[a-zß-öø-ÿ][{_LETTERS}]*", plain))
    for match in _NAME.finditer(plain):
        name = match[0].removesuffix("'s").removesuffix("’s")
        if _BEGINS_SENTENCE.search(plain, max(match.start() - 8, 0), match.start()):
            first, _, rest = name.partition(" ")
            if first.lower() in lower_case or not words(first):
                name = rest if rest[:1].isupper() else ""
            elif not any(map(str.isupper, name[1:])):
                name = ""
        if len(name) > 1 and words(name) and name.lower() not in lower_case:
            starts.setdefault(name, match.start())
    names = sorted((start, name) for name, start in starts.items() if 1 < len(name) <= LONGEST_NAME)
    return tuple(name for _, name in names[:MOST_ENTITIES])


def _text_of(conversation: Conversation, unit: Unit) -> str:
    """A unit's text without the header of its turn."""
    return conversation.text[max(unit.start, conversation.turns[unit.turn - 1].content_start) : unit.end]


def _label_counts(text: str) -> Counter[str]:
    """The frequency of each term, and of each run of 2 to 4 Han characters without grammar, in a text."""
    counts = Counter(term for term, written in words(text) if not _HAN_RUN.fullmatch(written))
    for piece in _han_pieces(text):
        counts.update(piece[i : i + n] for n in (2, 3, 4) for i in range(len(piece) - n + 1))
    return counts


def _han_pieces(text: str) -> Iterator[str]:
    """Runs of Han characters between punctuation, other scripts and grammar."""
    for run in _HAN_RUN.findall(text):
        yield from _GRAMMAR.split(run)


def _labels(text: str, counts: Counter[str], weights: dict[str, float]) -> tuple[str, ...]:
    """The heaviest terms in their most frequent spelling; long terms first among equals, none a part of another.

    A run of Han characters is a label only if it occurs twice or alone, as word ends are unknown.
    """
    written: dict[str, Counter[str]] = {}
    for term, form in words(without_blocks(text)):
        if len(term) > 1 and not _HAN_RUN.fullmatch(term):
            written.setdefault(term, Counter())[form] += 1
    alone = {piece for piece in _han_pieces(text) if 2 <= len(piece) <= 4}
    known = {
        term: weight
        for term, weight in weights.items()
        if term in written or (_HAN_RUN.fullmatch(term) and (counts[term] > 1 or term in alone))
    }
    chosen: list[str] = []
    for term in sorted(known, key=lambda term: (-known[term] * math.sqrt(min(len(term), 4)), term)):
        form = term if _HAN_RUN.fullmatch(term) else min(written[term].items(), key=lambda item: (-item[1], item[0]))[0]
        form = form if any(map(str.isupper, form[1:])) else form.lower()
        if not any(form in other or other in form for other in chosen):
            chosen.append(form)
        if len(chosen) == MOST_LABELS:
            break
    return tuple(chosen)


def _summary(part: Sequence[tuple[Unit, str]], weights: dict[str, float]) -> str:
    """The line of a sentence that is most similar to the whole chunk, else the first line of the chunk.

    Division by the square root of a line's norm, not by the norm, prevents two-word questions from winning.
    """
    best, best_similarity = "", 0.0
    for unit, text in part:
        for line in text.splitlines() if unit.kind == "sentence" else ():
            counts = _label_counts(line)
            norm = math.sqrt(sum(n * n for n in counts.values()))
            similarity = (
                sum(n * weights.get(term, 0.0) for term, n in counts.items()) / math.sqrt(norm) if norm else 0.0
            )
            if similarity > best_similarity:
                best, best_similarity = line.strip(), similarity
    best = best or next((line.strip() for _, text in part for line in text.splitlines() if line.strip()), "")
    return best[:LONGEST_SUMMARY].rstrip()
