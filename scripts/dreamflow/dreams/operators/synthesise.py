"""Which procedures of other projects one could be crossed with: by category, tags, contexts, signature and code.

The first four weights are the original's (same category 0.3, shared tags 0.2, shared contexts 0.15, and 0.2 for
different categories with shared tags, since what is new comes from there); signature and code make them a whole.
Tags and contexts count by the share of them that is common (Jaccard), not each, so that long lists do not win:

    similarity = sum of weight * part, every part in 0-1
"""

import ast
from collections.abc import Mapping, Set

from ...pyanalysis.syntax import read_code
from ..novelty import distance
from ..procedure import Procedure

WEIGHTS = {"category": 0.3, "tags": 0.2, "contexts": 0.15, "cross_domain": 0.2, "signature": 0.05, "code": 0.1}

# Below this, two procedures share no tag, or one of many: a hybrid of them would have no common ground.
FLOOR = 0.25


def similarity(a: Procedure, b: Procedure) -> float:
    """How well a hybrid of two procedures may work out, 0-1; the weighted sum of `parts`."""
    return sum(WEIGHTS[name] * part for name, part in parts(a, b).items())


def parts(a: Procedure, b: Procedure) -> dict[str, float]:
    """What the similarity is made of, each in 0-1, by the names in `WEIGHTS`."""
    same_category = a.category == b.category
    return {
        "category": float(same_category),
        "tags": _shared(set(a.tags), set(b.tags)),
        "contexts": _shared(set(a.contexts), set(b.contexts)),
        "cross_domain": float(not same_category and bool(set(a.tags) & set(b.tags))),
        "signature": _shared(_signature(a), _signature(b)),
        "code": 1 - distance(a.source, b.source),
    }


def partners(procedure: Procedure, known: Mapping[str, Procedure]) -> list[tuple[str, float]]:
    """The procedures of other projects that reach the floor, with their similarity, the best first."""
    scores = [
        (name, similarity(procedure, other)) for name, other in known.items() if other.project != procedure.project
    ]
    return sorted(((name, score) for name, score in scores if score >= FLOOR), key=lambda pair: (-pair[1], pair[0]))


def _signature(procedure: Procedure) -> set[str]:
    """Names of the parameters, and the types of parameters and result."""
    entry = read_code(procedure.source, procedure.entry).entry
    arguments = [node for node in ast.walk(entry.args) if isinstance(node, ast.arg)]
    types = [*(argument.annotation for argument in arguments), entry.returns]
    return {argument.arg for argument in arguments} | {f": {ast.unparse(node)}" for node in types if node}


def _shared(a: Set[str], b: Set[str]) -> float:
    """The share of all elements that both have (Jaccard); 0 without elements."""
    return len(a & b) / len(a | b) if a | b else 0.0
