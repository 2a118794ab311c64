"""The likeness of texts: the Jaccard index of their sets of character 5-grams, |A & B| / |A | B|, from 0 to 1.

Case and runs of whitespace are ignored. A text with more than 500 different 5-grams is represented by the 500 with the
smallest digests (a bottom-k sketch; Broder 1997, "On the resemblance and containment of documents"): the index is exact
for short texts and an estimate for long ones.
"""

import heapq
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from scipy.sparse import csr_array

_GRAM = 5  # characters
_MAX_GRAMS = 500  # of a text
_BLOCK = 256  # texts that are compared with all others at once


def plain(text: str) -> str:
    """Return `text` without case, and with one space for each run of whitespace."""
    return " ".join(text.casefold().split())


def grams(text: str) -> set[str]:
    """Return the 5-grams of a text. A shorter text is its own gram; an empty text has none."""
    text = plain(text)
    all_grams = {text[at : at + _GRAM] for at in range(max(1, len(text) - _GRAM + 1))} - {""}
    if len(all_grams) <= _MAX_GRAMS:
        return all_grams
    return set(
        heapq.nsmallest(_MAX_GRAMS, all_grams, key=lambda gram: (crc32(gram.encode("utf-8", "surrogatepass")), gram))
    )


def nearest_earlier(texts: Sequence[str]) -> list[float]:
    """Return the likeness of each text to the most similar earlier text; 0 for the first."""
    return [float(row[:number].max(initial=0.0)) for number, row in enumerate(_likeness(texts))]


def near_duplicates(texts: Sequence[str], min_likeness: float) -> list[list[int]]:
    """Return for each text the numbers of the others with a likeness of at least `min_likeness` (above 0), in order."""
    return [
        [int(other) for other in np.flatnonzero(row >= min_likeness) if other != number]
        for number, row in enumerate(_likeness(texts))
    ]


def _likeness(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the likeness of each text to all texts. Empty texts are like each other only."""
    sets = [grams(text) for text in texts]
    columns: dict[str, int] = {}
    indices = [columns.setdefault(gram, len(columns)) for text_grams in sets for gram in sorted(text_grams)]
    sizes = np.array([len(text_grams) for text_grams in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shape = (len(sets), max(1, len(columns)))
    matrix = csr_array((np.ones(len(indices), dtype=np.int32), indices, starts), shape=shape)
    transposed = matrix.T.tocsr()
    for first in range(0, len(sets), _BLOCK):
        both = (matrix[first : first + _BLOCK] @ transposed).toarray()
        either = sizes[first : first + _BLOCK, None] + sizes[None, :] - both
        yield from np.where(either > 0, both / np.maximum(either, 1), 1.0)
