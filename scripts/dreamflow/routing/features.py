"""What a prompt looks like, as numbers: its shape (length, digits, symbols) and what it is about (latent topics)."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

TOPICS = 20
MINIMUM_TEXTS = 30  # fewer prompts than this have no topics
MAXIMUM_TERMS = 5000
SHAPE = 6
_TERM = r"[぀-ヿ㐀-鿿가-힯]|\w\w+"  # a CJK character is a term
_DIGITS, _SYMBOLS = re.compile(r"\d"), re.compile(r"[^\w\s.,;:!?'\"]")
_SHAPE_WEIGHT = 0.3  # of a shape feature, beside a topic vector of length 1


class Topics(NamedTuple):
    """Latent topics of prompts: TF-IDF reduced by a singular value decomposition. All of it can be written as JSON."""

    terms: list[str]
    idf: list[float]
    components: list[list[float]]  # a row a topic


def fit_topics(texts: Sequence[str], topics: int = TOPICS) -> Topics | None:
    """Topics of these prompts; None for fewer than MINIMUM_TEXTS prompts or too few terms.

    Source: latent semantic analysis (Deerwester et al. 1990, Indexing by Latent Semantic Analysis).
    """
    if len(texts) < MINIMUM_TEXTS:
        return None
    from sklearn.decomposition import TruncatedSVD

    vectorizer = _vectorizer(min_df=2, max_df=0.6, max_features=MAXIMUM_TERMS)
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # no term occurs in two prompts
        return None
    if (count := min(topics, *(size - 1 for size in matrix.shape))) < 1:
        return None
    components = TruncatedSVD(count, random_state=0).fit(matrix).components_
    return Topics(vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist(), components.tolist())


def features(texts: Sequence[str], topics: Topics | None) -> Any:
    """A matrix, a row a prompt: SHAPE columns of its shape, then its topics scaled to length 1."""
    import numpy as np

    rows = np.array([shape(text) for text in texts], dtype=float).reshape(len(texts), SHAPE) * _SHAPE_WEIGHT
    if topics is None or not texts:
        return rows
    vectorizer = _vectorizer(vocabulary={term: place for place, term in enumerate(topics.terms)})
    vectorizer.idf_ = np.array(topics.idf)
    projected = vectorizer.transform(texts) @ np.array(topics.components).T
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    return np.hstack([rows, projected / np.maximum(length, 1e-9)])


def shape(text: str) -> tuple[float, ...]:
    """Words, digits, symbols, length of the words, lines and "not", each centred and scaled by fixed constants."""
    words = text.split()
    length = max(len(text), 1)
    return (
        math.log1p(len(words)) - 4,
        math.log1p(len(_DIGITS.findall(text))) - 1,
        20 * len(_SYMBOLS.findall(text)) / length - 0.5,
        min(length / max(len(words), 1), 12) / 2 - 3,
        math.log1p(text.count("\n")) - 1.5,
        float("not" in {word.lower() for word in words}),
    )


def _vectorizer(**settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, token_pattern=_TERM, **settings)
