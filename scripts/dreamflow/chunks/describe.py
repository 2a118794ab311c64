"""Descriptions of chunks without a model: a summary, labels, entities and the language.

The summary is the sentence that says best what a chunk is about, verbatim (see sentences.py); labels are its key
phrases (see phrases.py); entities are names by their form (see names.py).
"""

from collections.abc import Sequence

from ..embedding import embed
from ..generation.model import Json
from .conversation import Conversation, Unit
from .names import entities
from .phrases import capitals_of, chosen, noun_likeness, phrases, ranked
from .sentences import candidates_of, embedded, middle, sentences_of, summary
from .units import language

_TOGETHER = 256  # chunks whose sentences are embedded at once


def describe(
    conversation: Conversation, units: Sequence[Unit], spans: Sequence[tuple[int, int]]
) -> list[dict[str, Json]]:
    """{labels, entities, summary, language} for each span of units (first, last numbers, inclusive)."""
    parts = [units[first - 1 : last] for first, last in spans]
    texts = ["".join(_text_of(conversation, unit) for unit in part) for part in parts]
    languages = [language(text) for text in texts]
    said = [sentences_of(conversation, part) for part in parts]
    sentences = [[sentence.text for sentence in one] for one in said]
    everything = [text for one in sentences for text in one]
    likeness = noun_likeness(everything)
    capitals = capitals_of(everything)
    counts = [phrases(one, code, likeness, capitals) for one, code in zip(sentences, languages, strict=True)]
    rows = ranked(counts)
    descriptions = []
    for begin in range(0, len(parts), _TOGETHER):
        these = range(begin, min(begin + _TOGETHER, len(parts)))
        candidates = [candidates_of(said[n]) for n in these]
        wanted = [*(text for one in candidates for text in embedded(one)), *(row[0] for n in these for row in rows[n])]
        places = {text: place for place, text in enumerate(dict.fromkeys(wanted))}
        vectors = embed(list(places))
        for n, one in zip(these, candidates, strict=True):
            own = vectors[[places[text] for text in embedded(one)]]
            code = "".join(_text_of(conversation, unit) for unit in parts[n] if unit.kind == "code")
            descriptions.append(
                {
                    "labels": chosen(rows[n], vectors[[places[row[0]] for row in rows[n]]], middle(own, one)),
                    "entities": entities(texts[n], languages[n]),
                    "summary": summary(said[n], one, own, code),
                    "language": languages[n],
                }
            )
    return descriptions


def _text_of(conversation: Conversation, unit: Unit) -> str:
    """A unit's text without the header of its turn."""
    return conversation.text[max(unit.start, conversation.turns[unit.turn - 1].content_start) : unit.end]
