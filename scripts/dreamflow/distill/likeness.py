"""How alike texts are: the Jaccard index of their sets of character 5-grams, |A & B| / |A | B|, from 0 to 1.

Case and runs of whitespace do not count. Of a text with more than 500 different 5-grams, the 500 with the smallest
digests stand for all (a bottom-k sketch; Broder 1997, "On the resemblance and containment of documents"), so that the
index is exact for short texts and an estimate for long ones.
"""

import heapq
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from scipy.sparse import csr_array

_GRAM = 5  # characters
_MOST = 500  # 5-grams that stand for a text
_ROWS = 256  # texts that are compared with all others at a time


def plain(text: str) -> str:
    """`text` as it is compared: without case, and with one space for each run of whitespace."""
    return " ".join(text.casefold().split())


def grams(text: str) -> set[str]:
    """The 5-grams of a text; a shorter text is its own gram, an empty one has none."""
    text = plain(text)
    found = {text[at : at + _GRAM] for at in range(max(1, len(text) - _GRAM + 1))} - {""}
    if len(found) <= _MOST:
        return found
    return set(heapq.nsmallest(_MOST, found, key=lambda gram: (crc32(gram.encode("utf-8", "surrogatepass")), gram)))


def nearest_earlier(texts: Sequence[str]) -> list[float]:
    """For each text, how alike the most alike of those before it is; 0 for the first."""
    return [float(row[:number].max(initial=0.0)) for number, row in enumerate(_likeness(texts))]


def near_duplicates(texts: Sequence[str], least: float) -> list[list[int]]:
    """For each text, the numbers of the others that are alike by `least` (above 0, at most 1) or more, in order."""
    return [
        [int(other) for other in np.flatnonzero(row >= least) if other != number]
        for number, row in enumerate(_likeness(texts))
    ]


def _likeness(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """For each text, how alike it and each of all texts are; empty texts are alike to none but each other."""
    sets = [grams(text) for text in texts]
    columns: dict[str, int] = {}
    indices = [columns.setdefault(gram, len(columns)) for found in sets for gram in sorted(found)]
    sizes = np.array([len(found) for found in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shape = (len(sets), max(1, len(columns)))
    there = csr_array((np.ones(len(indices), dtype=np.int32), indices, starts), shape=shape)
    transposed = there.T.tocsr()
    for first in range(0, len(sets), _ROWS):
        both = (there[first : first + _ROWS] @ transposed).toarray()
        either = sizes[first : first + _ROWS, None] + sizes[None, :] - both
        yield from np.where(either > 0, both / np.maximum(either, 1), 1.0)
