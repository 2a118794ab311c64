"""Whether chunks on the same theme are joined: python tests/benchmarks/clusters.py [--demo]

Texts are cut in two, and an edge should join the two halves of one text. 76 threads are our own (threads/*.yaml). The
descriptions of the installed Python packages are other people's: up to eight paragraphs of each with at least six.
Precision is the share of edges that join two halves; it is a lower bound of those that are right, since several texts
are about near subjects. Recall is the share of the halves that are joined. With --demo it shows the clusters of the
conversations of the demo, which a person has to judge.
"""

import argparse
import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from dreamflow.chunks import clusters
from dreamflow.chunks.making import basic_archive
from dreamflow.chunks.readers import list_conversations
from dreamflow.chunks.units import split_units
from dreamflow.embedding import embed

THREADS = Path(__file__).parent / "threads"
DEMO = Path(__file__).parents[2] / "data/1_raw/conversations"
PARAGRAPHS, CHARACTERS = (6, 8), 1500

Edges = Iterable[tuple[str, str]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="show the clusters of the demo")
    if parser.parse_args().demo:
        show_demo()
        return
    for name, texts in (("threads", threads()), ("packages", packages())):
        chunks = {
            f"{number}.{half}": chunk(text) for number, pair in enumerate(texts) for half, text in enumerate(pair)
        }
        print(f"{name}: {len(texts)} texts in two halves")
        for method, edges in methods(chunks).items():
            found = set(edges)
            right = sum(a.split(".")[0] == b.split(".")[0] for a, b in found)
            shares = f"precision {right / len(found):.2f}  recall {right / len(texts):.2f}"
            print(f"  {method:32} edges {len(found):5,}  {shares}")


def methods(chunks: dict[str, Any]) -> dict[str, Edges]:
    """The edges of each method."""
    vectors = clusters._vectors(chunks)
    names = sorted(vectors)
    terms = clusters._matrix(names, vectors)
    cosines = (terms @ terms.T).tocoo()
    entries = zip(cosines.row.tolist(), cosines.col.tolist(), cosines.data.tolist(), strict=True)
    found: dict[str, Edges] = {
        "terms, cosine 0.2": [(names[a], names[b]) for a, b, cosine in entries if a < b and cosine >= 0.2]
    }
    made = embed([chunks[name]["content"] for name in names])
    for nearest in (1, 3):
        for threshold in (0.25, 0.35):
            clusters._NEAREST = nearest
            edges = clusters._edges(names, made, terms, threshold)
            found[f"{nearest} nearest, similarity {threshold}"] = [(a, b) for a, b, _ in edges]
    return found


def chunk(text: str) -> dict[str, Any]:
    """As much of an archive's chunk as clusters look at, without labels."""
    return {"content": text, "labels": [], "entities": []}


def threads() -> list[tuple[str, str]]:
    """The halves of our own threads."""
    found = []
    for path in sorted(THREADS.glob("*.yaml")):
        for thread in yaml.safe_load(path.read_text(encoding="utf-8")):
            turns = [" ".join(turn.values()) for turn in thread["turns"]]
            found.append(halves(turns))
    return found


def packages() -> list[tuple[str, str]]:
    """The halves of the descriptions of installed packages."""
    found = {}
    for package in importlib.metadata.distributions():
        paragraphs = [part for part in re.split(r"\n\s*\n", package.metadata.get_payload() or "") if is_prose(part)]
        if len(paragraphs) >= PARAGRAPHS[0]:
            found[package.metadata["Name"].lower()] = halves(paragraphs[: PARAGRAPHS[1]])
    return [found[name] for name in sorted(found)]


def is_prose(text: str) -> bool:
    """Whether a paragraph has sentences, and is no table, picture or list of badges."""
    return len(re.findall("[a-z]{3,}", text)) >= 12 and not text.strip().startswith(("[!", ".. image", "<", "|"))


def halves(parts: list[str]) -> tuple[str, str]:
    """The first and the second half of a text, each cut to the same length."""
    middle = len(parts) // 2
    first, second = ("\n\n".join(half)[:CHARACTERS] for half in (parts[:middle], parts[middle:]))
    return first, second


def show_demo() -> None:
    """Print the clusters of the demo's conversations."""
    known = list_conversations(DEMO)
    archives = [basic_archive(talk, split_units(talk), [], None) for talk in known.values()]
    summaries: dict[str, str] = {part["id"]: part["summary"] for archive in archives for part in archive["b_chunks"]}
    show: Callable[[str], None] = print
    for cluster in clusters.build_clusters(archives):
        show(f"\n{cluster['theme']}  ({len(cluster['conversations'])} conversations)")
        for name in cluster["related_chunks"]:
            show(f"  {name:40} {' '.join(summaries[name].split())[:110]}")


if __name__ == "__main__":
    main()
