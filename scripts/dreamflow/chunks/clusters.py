"""C-clusters: groups of chunks of all conversations on the same theme, in any language, without a model.

Two chunks are similar as the mean of two cosines says: of their vectors (`embedding`), and of the terms of their texts
with, at five times the weight, their labels and entities (TF-IDF; Spärck Jones 1972). An edge joins two chunks if each
is among the other's three most similar ones (mutual nearest neighbours), and similar enough. The clusters are the
communities of this graph (Blondel et al., "Fast unfolding of communities in large networks", 2008; networkx, fixed
seed).

Measured with tests/benchmarks/clusters.py: texts are cut in two, and an edge should join the two halves of one.

    edges that do; halves that are joined   76 threads of our own   descriptions of 155 packages
    terms alone, cosine 0.2                 .80, .11                .38, .72
    now                                     .51, .74                .46, .75
    now, the nearest neighbour alone        .90, .57                .83, .62

Many of the other edges join near subjects, which is what clusters are for.

Without a model there are no contradictions: a generation names them (template cluster/cluster-v1, parser `cluster`).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from ..errors import DreamflowError
from ..files import read_json, sha256
from ..generation.layout import Layout
from ..generation.make import read_result
from ..generation.model import Generation, Json
from .conversation import Archive, ArchivedChunk
from .terms import terms

if TYPE_CHECKING:
    import networkx
    from numpy import ndarray
    from scipy.sparse import csr_array

Cluster = dict[str, Json]  # an item of clusters.json
Vectors = Mapping[str, Mapping[str, float]]  # by chunk id: the weight of each term
Embed = Callable[[Sequence[str]], "ndarray"]

_LABEL_WEIGHT = 5
_MAX_SHARE = 0.5  # terms in more than half of the chunks are ignored
_THEME_TERMS = 3
_NEAREST = 3  # neighbours of a chunk
_BLOCK = 4_000_000  # similarities at a time, 16 MB each way


def build_clusters(
    archives: Sequence[Archive], threshold: float = 0.25, smallest: int = 2, embed: Embed | None = None
) -> list[Cluster]:
    """The clusters of at least `smallest` chunks, larger clusters first; `threshold` is the minimum similarity of an
    edge. `embed` gives the vectors of texts, if not `embedding.embed`.

    `confidence` is the mean similarity of the edges inside a cluster; edges between clusters make them
    `related_clusters`.
    """
    import networkx  # late: most runs make no clusters

    if embed is None:
        from ..embedding import embed
    chunks = _chunks(archives)
    names, vectors = sorted(chunks), _vectors(chunks)
    meanings = embed([chunks[name]["content"] for name in names])
    graph = networkx.Graph()
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from(_edges(names, meanings, _matrix(names, vectors), threshold))
    communities = networkx.community.louvain_communities(graph, weight="weight", seed=0)
    groups = sorted(
        (sorted(group) for group in communities if len(group) >= smallest), key=lambda ids: (-len(ids), ids)
    )
    labels = [_labels(ids, chunks, vectors) for ids in groups]
    rows = {name: row for row, name in enumerate(names)}
    nearness = _nearness(labels, [meanings[[rows[name] for name in ids]].mean(axis=0) for ids in groups], embed)
    clusters = [
        _cluster(
            ids, chunks, graph, sorted(counts, key=lambda label, n=number: (-counts[label], -nearness[n][label], label))
        )
        for number, (ids, counts) in enumerate(zip(groups, labels, strict=True))
    ]
    cluster_of = {name: cluster["id"] for cluster in clusters for name in cluster["related_chunks"]}
    for cluster in clusters:
        near = {cluster_of.get(other) for name in cluster["related_chunks"] for other in graph.neighbors(name)}
        cluster["related_clusters"] = sorted(near - {None, cluster["id"]})
    check_clusters(clusters, archives)
    return clusters


def _chunks(archives: Sequence[Archive]) -> dict[str, ArchivedChunk]:
    return {chunk["id"]: chunk for archive in archives for chunk in archive["b_chunks"]}


def _vectors(chunks: Mapping[str, ArchivedChunk]) -> Vectors:
    """Term vectors of length 1."""
    counts = {}
    for name, chunk in chunks.items():
        count = counts[name] = terms(chunk["content"])
        for label in (*chunk["labels"], *chunk["entities"]):
            for term in terms(label):
                count[term] += _LABEL_WEIGHT
    spread = Counter(term for count in counts.values() for term in count)
    # Terms of a single chunk, and of most chunks, count for the length only.
    most = max(_MAX_SHARE * len(counts), 2)
    vectors = {}
    for name, count in counts.items():
        weights = {t: (1 + math.log(n)) * math.log(1 + len(counts) / spread[t]) for t, n in count.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        vectors[name] = {t: weight / length for t, weight in weights.items() if 1 < spread[t] <= most}
    return vectors


def _edges(
    names: Sequence[str], meanings: "ndarray", terms: "csr_array", threshold: float
) -> list[tuple[str, str, float]]:
    """(chunk, chunk, similarity) of each edge, sorted. `names` are those of the rows."""
    nearest = nearest_of(meanings, terms, _NEAREST)
    return [
        (names[a], names[b], similarity)
        for a, near in enumerate(nearest)
        for b, similarity in sorted(near.items())
        if a < b and a in nearest[b] and similarity >= threshold
    ]


def nearest_of(vectors: "ndarray", terms: "csr_array", number: int) -> list[dict[int, float]]:
    """The `number` most similar rows of each row, with their similarity: the mean of the cosines of both matrices,
    whose rows have length 1. It takes time for each pair, and memory for a block of them."""
    import numpy

    total = len(vectors)
    turned = terms.T.tocsr()
    found: list[dict[int, float]] = []
    for start in range(0, total, step := max(_BLOCK // max(total, 1), 1)):
        rows = slice(start, start + step)
        both = (vectors[rows] @ vectors.T + (terms[rows] @ turned).toarray()) / 2
        both[numpy.arange(len(both)), numpy.arange(start, start + len(both))] = -2  # not itself
        kept = min(number, total - 1)
        places = numpy.argpartition(-both, kept - 1, axis=1)[:, :kept] if kept else numpy.zeros((len(both), 0), int)
        values = numpy.take_along_axis(both, places, axis=1)
        for columns, similarities in zip(places.tolist(), values.tolist(), strict=True):
            found.append({b: round(value, 4) for b, value in zip(columns, similarities, strict=True)})
    return found


def _matrix(names: Sequence[str], vectors: Vectors) -> "csr_array":
    import numpy
    from scipy.sparse import csr_array

    columns = {term: column for column, term in enumerate(sorted({term for v in vectors.values() for term in v}))}
    entries = [(row, columns[t], weight) for row, name in enumerate(names) for t, weight in vectors[name].items()]
    rows, places, weights = zip(*entries, strict=True) if entries else ((), (), ())
    shape = (len(names), max(len(columns), 1))
    return csr_array((numpy.array(weights, numpy.float32), (rows, places)), shape=shape)


def _labels(ids: Sequence[str], chunks: Mapping[str, ArchivedChunk], vectors: Vectors) -> Counter[str]:
    """How many of these chunks have each label, in its most frequent form; without labels, their heaviest terms."""
    forms: dict[str, Counter] = defaultdict(Counter)
    for label in (label for name in ids for label in chunks[name]["labels"]):
        forms[label.casefold()][label] += 1
    if forms:
        return Counter({form.most_common(1)[0][0]: form.total() for form in forms.values()})
    weights: Counter = Counter()
    for name in ids:
        weights.update(vectors[name])
    heaviest = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return Counter({term: 1 for term, _ in heaviest[:_THEME_TERMS]})


def _nearness(
    labels: Sequence[Mapping[str, int]], centres: "Sequence[ndarray]", embed: Embed
) -> list[dict[str, float]]:
    """How near each label of a cluster is to the middle of the cluster."""
    texts = sorted({label for counts in labels for label in counts})
    vectors = dict(zip(texts, embed(texts), strict=True))
    return [
        {label: round(float(vectors[label] @ centre), 3) for label in counts}
        for counts, centre in zip(labels, centres, strict=True)
    ]


def _cluster(
    ids: Sequence[str], chunks: Mapping[str, ArchivedChunk], graph: "networkx.Graph", labels: Sequence[str]
) -> Cluster:
    members = [chunks[name] for name in ids]
    times = sorted(time for chunk in members for time in chunk["time_range"] or ())
    edges = [data["weight"] for *_, data in graph.subgraph(ids).edges(data=True)]
    return {
        "id": f"c_{sha256(' '.join(ids))[:12]}",
        "cluster_type": "topic",
        "theme": ", ".join(labels[:_THEME_TERMS]),
        "content": "\n".join(chunk["summary"] for chunk in members if chunk["summary"]),
        "related_chunks": list(ids),
        "related_clusters": [],
        "conversations": sorted({chunk["parent_id"] for chunk in members}),
        "participants": sorted({speaker for chunk in members for speaker in chunk["speakers"]}),
        "time_span": [times[0], times[-1]] if times else None,
        "confidence": round(mean(edges), 4) if edges else None,
        "contradictions": [],
        "contradictions_resolved": [],
        "gen_id": None,
    }


def plan_clusters(archives: Sequence[Archive], threshold: float, embed: Embed | None = None) -> dict[str, Json]:
    """The clusters, and by cluster id the texts of their chunks for a prompt."""
    clusters = build_clusters(archives, threshold, embed=embed)
    return {"clusters": clusters, "material": {cluster["id"]: cluster_units(cluster, archives) for cluster in clusters}}


def described_clusters(
    clusters: Sequence[Cluster], rows: Mapping[str, Generation], archives: Sequence[Archive], layout: Layout
) -> list[Cluster]:
    """The clusters with the descriptions of their generations. Raises a `DreamflowError` for an unknown chunk id."""
    by_id = {cluster["id"]: cluster for cluster in clusters}
    for gen_id, row in rows.items():
        folder, cluster_id = layout.generation(row.stage, gen_id), row.wildcards["cluster_id"]
        if read_result(folder).status == "ok":
            parsed = read_json(folder / layout.parsed_name(row.stage))
            by_id[cluster_id] = with_description(by_id[cluster_id], parsed, gen_id)
    check_clusters(list(by_id.values()), archives)
    return list(by_id.values())


def with_description(cluster: Cluster, parsed: Mapping[str, Json], gen_id: str) -> Cluster:
    """The cluster with theme, content and contradictions from a generation.

    Contradictions that a passage itself resolves (`resolved` says how) are listed separately.
    """
    return {
        **cluster,
        "theme": parsed["theme"],
        "content": parsed["summary"] or cluster["content"],
        "contradictions": [item for item in parsed["contradictions"] if not item["resolved"]],
        "contradictions_resolved": [item for item in parsed["contradictions"] if item["resolved"]],
        "gen_id": gen_id,
    }


def cluster_units(cluster: Cluster, archives: Sequence[Archive]) -> str:
    """The chunks of a cluster for the template cluster/cluster-v1: whole texts, each under its id and time."""
    chunks = _chunks(archives)
    parts = []
    for name in cluster["related_chunks"]:
        time = f", {chunks[name]['time_range'][0]}" if chunks[name]["time_range"] else ""
        quoted = "\n".join(f"> {line}" for line in chunks[name]["content"].strip().splitlines())
        parts.append(f"{name}{time}\n{quoted}")
    return "\n\n".join(parts)


def check_clusters(clusters: Sequence[Cluster], archives: Sequence[Archive]) -> None:
    """Raise a `DreamflowError` if a cluster or one of its contradictions names a chunk that does not exist."""
    known = _chunks(archives)
    for cluster in clusters:
        contradictions = [*cluster["contradictions"], *cluster["contradictions_resolved"]]
        for name in [*cluster["related_chunks"], *(item[side] for item in contradictions for side in "ab")]:
            if name not in known:
                raise DreamflowError(f"cluster {cluster['id']}: chunk {name} does not exist")
