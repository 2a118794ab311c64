"""C-clusters: chunks of many conversations that are about the same thing, found without a model.

Each chunk is a vector of the terms of its text and, five times as heavy, of its labels and entities (TF-IDF; Spärck
Jones 1972). Chunks whose cosine reaches the threshold are joined by an edge, and the clusters are the communities of
that graph (Blondel et al., "Fast unfolding of communities in large networks", 2008; networkx, fixed seed).

Measured on 76 threads (English, Chinese, Japanese, mixed; tests/benchmarks/threads) that were cut in two: at the
threshold 0.2, 80% of the edges join two halves of one thread, and 16% of the halves find each other; at 0.1, 47% and
37%. Words alone miss what is said in other words: clusters are few and mostly right, not complete.

No such measure finds contradictions: they are empty until a generation names them (template cluster/cluster-v1,
parser `cluster`), see `named`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
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

Cluster = dict[str, Json]  # an item of clusters.json

THRESHOLD = 0.2  # cosine from which two chunks are about the same thing
_LABEL_WEIGHT = 5
_MOST_SHARED = 0.5  # a term that more than half of the chunks have says nothing of any
_THEME_TERMS = 3


def build_clusters(archives: Sequence[Archive], threshold: float = THRESHOLD, smallest: int = 2) -> list[Cluster]:
    """The clusters of at least `smallest` chunks, larger ones first.

    `confidence` is the mean cosine of the edges inside, `related_clusters` are those to which an edge leads.
    """
    import networkx  # late: most runs make no clusters

    chunks = {chunk["id"]: chunk for archive in archives for chunk in archive["b_chunks"]}
    vectors = _vectors(chunks)
    graph = networkx.Graph()
    graph.add_nodes_from(sorted(chunks))
    graph.add_weighted_edges_from(_edges(vectors, threshold))
    groups = networkx.community.louvain_communities(graph, weight="weight", seed=0)
    found = sorted((sorted(group) for group in groups if len(group) >= smallest), key=lambda ids: (-len(ids), ids))
    clusters = [_cluster(ids, chunks, vectors, graph) for ids in found]
    place = {name: cluster["id"] for cluster in clusters for name in cluster["related_chunks"]}
    for cluster in clusters:
        near = {place.get(other) for name in cluster["related_chunks"] for other in graph.neighbors(name)}
        cluster["related_clusters"] = sorted(near - {None, cluster["id"]})
    check_clusters(clusters, archives)
    return clusters


def _vectors(chunks: Mapping[str, ArchivedChunk]) -> dict[str, dict[str, float]]:
    """Term vectors of length 1."""
    counts = {}
    for name, chunk in chunks.items():
        count = terms(chunk["content"])
        for said in (*chunk["labels"], *chunk["entities"]):
            for term in terms(said):
                count[term] += _LABEL_WEIGHT
        counts[name] = count
    spread = Counter(term for count in counts.values() for term in count)
    vectors = {}
    for name, count in counts.items():
        weights = {t: (1 + math.log(n)) * math.log(1 + len(counts) / spread[t]) for t, n in count.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        # A term of one chunk is like no other, and one of most chunks is like all: they count for the length only.
        shared = max(_MOST_SHARED * len(counts), 2)
        vectors[name] = {t: weight / length for t, weight in weights.items() if 1 < spread[t] <= shared}
    return vectors


def _edges(vectors: Mapping[str, Mapping[str, float]], threshold: float) -> list[tuple[str, str, float]]:
    """(chunk, chunk, cosine) of each pair whose cosine reaches the threshold, in a fixed order."""
    from scipy.sparse import csr_array, triu

    names = sorted(vectors)
    columns = {term: column for column, term in enumerate(sorted({term for v in vectors.values() for term in v}))}
    rows = [row for row, name in enumerate(names) for _ in vectors[name]]
    places = [columns[term] for name in names for term in vectors[name]]
    weights = [weight for name in names for weight in vectors[name].values()]
    matrix = csr_array((weights, (rows, places)), shape=(len(names), max(len(columns), 1)))
    cosines = triu(matrix @ matrix.T, k=1).tocoo()
    found = zip(cosines.row.tolist(), cosines.col.tolist(), cosines.data.tolist(), strict=True)
    return sorted((names[a], names[b], round(cosine, 6)) for a, b, cosine in found if cosine >= threshold)


def _cluster(
    ids: Sequence[str],
    chunks: Mapping[str, ArchivedChunk],
    vectors: Mapping[str, Mapping[str, float]],
    graph: "networkx.Graph",
) -> Cluster:
    members = [chunks[name] for name in ids]
    labels: dict[str, Counter] = defaultdict(Counter)
    for label in (label for chunk in members for label in chunk["labels"]):
        labels[label.casefold()][label] += 1
    common = sorted(labels.values(), key=lambda forms: (-forms.total(), min(forms)))[:_THEME_TERMS]
    weights: Counter = Counter()
    for name in ids:
        weights.update(vectors[name])
    by_terms = [term for term, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:_THEME_TERMS]]
    times = sorted(time for chunk in members for time in chunk["time_range"] or ())
    edges = [data["weight"] for *_, data in graph.subgraph(ids).edges(data=True)]
    return {
        "id": f"c_{sha256(' '.join(ids))[:12]}",
        "cluster_type": "topic",
        "theme": ", ".join(forms.most_common(1)[0][0] for forms in common) or ", ".join(by_terms),
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


def plan_clusters(archives: Sequence[Archive], threshold: float) -> dict[str, Json]:
    """The clusters, and the chunks of each as a model is shown them, by its id."""
    clusters = build_clusters(archives, threshold)
    return {"clusters": clusters, "material": {cluster["id"]: cluster_units(cluster, archives) for cluster in clusters}}


def described_clusters(
    clusters: Sequence[Cluster], rows: Mapping[str, Generation], archives: Sequence[Archive], layout: Layout
) -> list[Cluster]:
    """The clusters with what their generations say about them. Raises a `DreamflowError` for an unknown chunk id."""
    by_id = {cluster["id"]: cluster for cluster in clusters}
    for gen_id, row in rows.items():
        folder, cluster_id = layout.generation(row.stage, gen_id), row.wildcards["cluster_id"]
        if read_result(folder).status == "ok":
            by_id[cluster_id] = named(by_id[cluster_id], read_json(folder / layout.parsed_name(row.stage)), gen_id)
    check_clusters(list(by_id.values()), archives)
    return list(by_id.values())


def named(cluster: Cluster, parsed: Mapping[str, Json], gen_id: str) -> Cluster:
    """The cluster with what a generation says about it: theme, content and contradictions between its chunks.

    Contradictions that a passage itself resolves (`resolved` says how) are kept apart.
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
    chunks = {chunk["id"]: chunk for archive in archives for chunk in archive["b_chunks"]}
    parts = []
    for name in cluster["related_chunks"]:
        time = f", {chunks[name]['time_range'][0]}" if chunks[name]["time_range"] else ""
        quoted = "\n".join(f"> {line}" for line in chunks[name]["content"].strip().splitlines())
        parts.append(f"{name}{time}\n{quoted}")
    return "\n\n".join(parts)


def check_clusters(clusters: Sequence[Cluster], archives: Sequence[Archive]) -> None:
    """Raise a `DreamflowError` if a cluster or one of its contradictions names a chunk that does not exist."""
    known = {chunk["id"] for archive in archives for chunk in archive["b_chunks"]}
    for cluster in clusters:
        contradictions = [*cluster["contradictions"], *cluster["contradictions_resolved"]]
        for name in [*cluster["related_chunks"], *(item[side] for item in contradictions for side in "ab")]:
            if name not in known:
                raise DreamflowError(f"cluster {cluster['id']}: there is no chunk {name}")
