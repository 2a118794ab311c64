"""Find procedures of other projects for a hybrid: by category, tags, contexts, signature and code.

The first four weights are the original's (same category 0.3, shared tags 0.2, shared contexts 0.15, and 0.2 for
different categories with shared tags, the source of new ideas); signature and code fill the rest. Tags and contexts
count by the shared fraction (Jaccard), so that long lists have no advantage:

    similarity = sum of weight * part, every part in 0-1
"""

import ast
from collections.abc import Mapping, Set

from ...pyanalysis.syntax import read_code
from ..novelty import distance
from ..procedure import Procedure

WEIGHTS = {"category": 0.3, "tags": 0.2, "contexts": 0.15, "cross_domain": 0.2, "signature": 0.05, "code": 0.1}

# Below this, two procedures share no tag, or one of many: a hybrid would have no common ground.
FLOOR = 0.25


def similarity(a: Procedure, b: Procedure) -> float:
    """The chances of a hybrid of two procedures, 0-1: the weighted sum of `parts`."""
    return sum(WEIGHTS[name] * part for name, part in parts(a, b).items())


def parts(a: Procedure, b: Procedure) -> dict[str, float]:
    """The parts of the similarity, each in 0-1, by the names in `WEIGHTS`."""
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
    others = {name: other for name, other in known.items() if other.project != procedure.project}
    scores = [(name, similarity(procedure, other)) for name, other in others.items()]
    return sorted(((name, score) for name, score in scores if score >= FLOOR), key=lambda pair: (-pair[1], pair[0]))


def _signature(procedure: Procedure) -> set[str]:
    """The names of parameters, and the types of parameters and result."""
    entry = read_code(procedure.source, procedure.entry).entry
    arguments = [node for node in ast.walk(entry.args) if isinstance(node, ast.arg)]
    types = [*(argument.annotation for argument in arguments), entry.returns]
    return {argument.arg for argument in arguments} | {f": {ast.unparse(node)}" for node in types if node}


def _shared(a: Set[str], b: Set[str]) -> float:
    """The shared fraction of all elements (Jaccard); 0 without elements."""
    return len(a & b) / len(a | b) if a | b else 0.0
