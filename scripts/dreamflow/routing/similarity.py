"""Contexts by similarity: a prompt has the context of the earlier prompts that it is most like.

Texts are vectors of term weights, (1 + ln count) x idf, of length 1 (Salton and Buckley, "Term-weighting approaches in
automatic text retrieval", 1988). A context is the mean of its texts (Rocchio's classifier: Manning, Raghavan and
Schütze, "Introduction to Information Retrieval", 2008, 14.2), and a prompt belongs to the nearest by cosine. Fitting
uses scikit-learn; a fitted classifier is plain data, so that a run that only routes does not import it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..generation.model import Json
from .contexts import terms

Vector = Mapping[str, float]

NOTHING_ALIKE = "novel"  # the context of a prompt that shares no term with any context
_EXAMPLES = 30  # texts kept for reasons, per context
_SHOWN = 60  # characters of an example in a reason
_DIMENSIONS = 50  # of the space that texts are clustered in


@dataclass(frozen=True)
class TfidfContexts:
    """A fitted classifier. `centroids` are unit vectors by context; `examples` have texts (cut) and their vectors."""

    idf: Vector
    centroids: Mapping[str, Vector]
    examples: Mapping[str, Sequence[tuple[str, Vector]]]

    @classmethod
    def fit(
        cls, texts: Sequence[str], contexts: Sequence[str] | None = None, *, clusters: int = 8, seed: int = 0
    ) -> "TfidfContexts":
        """Learn from earlier prompts with their contexts; or, without, from `clusters` groups of similar prompts, named
        after the two terms that tell them from the others.

        The order of the texts and the seed decide ties; the same arguments give the same classifier. Texts without
        words teach nothing; without any texts, all prompts are `NOTHING_ALIKE`.
        """
        rows = [(text, list(terms(text))) for text in texts]
        known = [place for place, (_, words) in enumerate(rows) if words]
        if not known:
            return cls({}, {}, {})
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer=lambda words: words, sublinear_tf=True)
        matrix = vectorizer.fit_transform([rows[place][1] for place in known])
        names = vectorizer.get_feature_names_out()
        idf = dict(zip(names.tolist(), vectorizer.idf_.tolist(), strict=True))
        labels = _cluster(matrix, clusters, seed) if contexts is None else [contexts[place] for place in known]
        everywhere = dict(_items(matrix.mean(axis=0).A1, names))
        centroids: dict[str, Vector] = {}
        examples: dict[str, Sequence[tuple[str, Vector]]] = {}
        for label in sorted(set(labels)):
            rows_of = [row for row, own in enumerate(labels) if own == label]
            weights = dict(_items(matrix[rows_of].mean(axis=0).A1, names))
            mean = _unit(weights)
            name = str(label) if contexts is not None else _name(weights, everywhere, centroids)
            centroids[name] = mean
            vectors = [(rows[known[row]][0][:_SHOWN], _vector(rows[known[row]][1], idf)) for row in rows_of]
            examples[name] = sorted(vectors, key=lambda example: -_dot(example[1], mean))[:_EXAMPLES]
        return cls(idf, centroids, examples)

    def assign(self, text: str) -> tuple[str, str]:
        """Return the nearest context, and the cosine with the nearest kept example as the reason. Of equally near
        contexts, the first by name; `NOTHING_ALIKE` for a text that shares no term with any."""
        vector = _vector(terms(text), self.idf)
        cosines = {name: _dot(vector, centroid) for name, centroid in self.centroids.items()}
        nearest = max(sorted(cosines), key=cosines.__getitem__, default=None)
        if nearest is None or cosines[nearest] <= 0:
            return NOTHING_ALIKE, "shares no word with earlier prompts"
        example, near = max(self.examples[nearest], key=lambda example: _dot(vector, example[1]))
        return nearest, f"cosine {cosines[nearest]:.2f}; {_dot(vector, near):.2f} with '{' '.join(example.split())}'"

    def as_dict(self) -> dict[str, Json]:
        """Return the classifier as JSON."""
        return {"idf": self.idf, "centroids": self.centroids, "examples": self.examples}

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> "TfidfContexts":
        """Return the classifier that `as_dict` described."""
        return cls(content["idf"], content["centroids"], content["examples"])


def _vector(words: Sequence[str], idf: Vector) -> dict[str, float]:
    counts = Counter(word for word in words if word in idf)
    return _unit({word: (1 + math.log(count)) * idf[word] for word, count in counts.items()})


def _unit(vector: Vector) -> dict[str, float]:
    length = math.sqrt(math.fsum(value * value for value in vector.values()))
    return {word: value / length for word, value in vector.items()} if length else {}


def _dot(left: Vector, right: Vector) -> float:
    return math.fsum(value * right[word] for word, value in left.items() if word in right)


def _items(weights: Json, names: Json) -> list[tuple[str, float]]:
    return [(str(names[place]), float(weights[place])) for place in weights.nonzero()[0]]


def _cluster(matrix: Json, clusters: int, seed: int) -> list[int]:
    """Return the number of each row's group of similar rows, by k-means in a space of latent topics."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    # Equal texts cannot be told apart, so there are no more groups than different rows.
    different = len({tuple(matrix[row].indices) + tuple(matrix[row].data) for row in range(matrix.shape[0])})
    clusters = max(1, min(clusters, different))
    if clusters == 1:
        return [0] * matrix.shape[0]
    if min(matrix.shape) > _DIMENSIONS:
        matrix = normalize(TruncatedSVD(_DIMENSIONS, random_state=seed).fit_transform(matrix))
    return KMeans(clusters, n_init=4, random_state=seed).fit_predict(matrix).tolist()


def _name(weights: Vector, everywhere: Vector, taken: Mapping[str, Vector]) -> str:
    """Return a new name made of the terms that are heavier here than everywhere: two, or more if these are taken."""
    ordered = sorted(weights, key=lambda word: (everywhere[word] - weights[word], word))
    names = ("-".join(ordered[:count]) for count in range(2, len(ordered) + 1))
    return next((name for name in names if name not in taken), f"{'-'.join(ordered[:2])}-{len(taken) + 1}")
