"""Dependency analysis of a procedure: its steps, their effects, and which steps can change places.

A step is a statement of the function, at any level of nesting (statements joined by ";" are one step; nested functions
and classes are not inspected). An edge orders two steps of a block unless the analysis proves that they can change
places; see `access` for the observations, `dependences` for the rules. Anything unknown counts as a reason to stay.

Assumptions: memory, stack and the digits of printed integers suffice; no code reads line numbers, frames of tracebacks
or callers, or the order in which variables are deleted at the end of the function; declared calls match the card.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

import networkx

from ..errors import DreamflowError
from ..generation.model import Json
from .access import Statement, statements_of
from .dependences import conflicts
from .scope import scope_of
from .source import parse_python

_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
_LINE = re.compile(r"\r\n|\r|\n")  # Python's line breaks; `splitlines` has more


@dataclass(frozen=True)
class Step:
    """One statement of the procedure. Sets describe the whole statement with its inner statements.

    `step_id` is its place: "2" is the second statement of the function, "2.1" the first in its body, "2e.1" in its
    else, "2x1.1" in its first except, "2f.1" in its finally, "2c1.1" in its first case. `block` is the part before the
    last dot ("" for the function itself).
    `start` and `end` are lines of the module, from 1. A step starts right after the previous step, or after the line
    that opens the block, so blank lines, comments and decorators above a statement belong to it; comments below with
    the indentation of its body belong to it too. So the steps of a block cover it without gap or overlap. The statement
    itself begins at `line`, with the text `text`.
    Locations are names, "self.a.b" for attributes and "d[]" for any element of d. `writes` are names (re)bound and
    attributes or elements set or deleted; `mutates` are names through which an object may be changed. `exits`: it may
    leave its block other than by an exception of a call (return, break, continue, raise, yield).
    """

    step_id: str
    block: str
    kind: str
    start: int
    end: int
    line: int
    text: str
    reads: frozenset[str]
    writes: frozenset[str]
    deletes: frozenset[str]
    mutates: frozenset[str]
    effects: frozenset[str]
    may_raise: bool
    exits: bool
    control: tuple[str, ...]
    imports: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Analysis:
    """Steps in document order and by block, and their order: an edge a -> b means that a must stay before b.

    Edges join steps of one block. They have `why`, a list of reasons for people, and `kinds`, the kind of each reason:
    data, effect, exception or place. Every pair that cannot change places has an edge, not only neighbours.
    """

    entry: str
    source: str
    steps: tuple[Step, ...]
    blocks: Mapping[str, tuple[Step, ...]]
    graph: networkx.DiGraph


def analyse(source: str, entry: str, effects: Mapping[str, Sequence[str]] = _NONE) -> Analysis:
    """The analysis of the function `entry` of a module. Raises `DreamflowError` for invalid source.

    `effects` declares calls by dotted name as written: such a call has only these effects, changes no argument, and
    raises only if "raise" is among them. () declares a pure function, with equal results for equal arguments.
    """
    try:
        module = parse_python(source)
    except (SyntaxError, ValueError) as error:
        raise DreamflowError(f"procedure {entry}: not valid Python: {error}") from None
    functions = [
        node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry
    ]
    if not functions:
        raise DreamflowError(f"procedure {entry}: its source defines no function of that name at the top level")
    function = functions[-1]
    statements, visible = statements_of(function, scope_of(module, function, effects), effects)

    lines = _LINE.split(source)
    graph = networkx.DiGraph()
    by_block: dict[str, list[tuple[Statement, Step]]] = {}
    steps = []
    for statement in statements:
        before = by_block.setdefault(statement.block, [])
        steps.append(_step(statement, lines, before[-1][1].end if before else None))
        before.append((statement, steps[-1]))
        graph.add_node(steps[-1].step_id)
    for block, pairs in by_block.items():
        for (first, _), (second, _) in combinations(pairs, 2):
            if reasons := conflicts(first, second, visible[block]):
                kinds, why = zip(*reasons, strict=True)
                graph.add_edge(first.step_id, second.step_id, why=list(why), kinds=list(kinds))
    blocks = {block: tuple(step for _, step in pairs) for block, pairs in by_block.items()}
    return Analysis(entry, source, tuple(steps), MappingProxyType(blocks), graph)


def _step(statement: Statement, lines: list[str], previous_end: int | None) -> Step:
    first, last, access = statement.nodes[0], statement.nodes[-1], statement.access
    elif_ = isinstance(first, ast.If) and lines[first.lineno - 1].lstrip().startswith("elif")
    return Step(
        step_id=statement.step_id,
        block=statement.block,
        kind="elif" if elif_ else type(first).__name__.lower(),
        start=first.lineno if elif_ else _start(first, lines, previous_end),
        end=_end(last, lines),
        line=first.lineno,
        text=lines[first.lineno - 1].encode()[first.col_offset :].decode().strip(),
        **{name: frozenset(getattr(access, name)) for name in ("reads", "writes", "deletes", "mutates", "effects")},
        may_raise=access.may_raise,
        exits=bool(access.exits),
        control=statement.control,
        imports=tuple(sorted(access.imports)),
    )


def _start(node: ast.stmt, lines: list[str], previous_end: int | None) -> int:
    """The first line of a statement: after the previous statement, or after the head of its block."""
    if previous_end is not None:
        return previous_end + 1
    decorators = getattr(node, "decorator_list", [])
    start = min(part.lineno for part in (node, *decorators))
    if lines[start - 1][: node.col_offset].strip():
        return start  # on the line of the head: `if x: y = 1`
    while _is_remark(lines[start - 2]):
        start -= 1
    return start


def _end(node: ast.stmt, lines: list[str]) -> int:
    """The last line of a statement, with the comments below that have the indentation of its body."""
    body = getattr(node, "body", None)
    end = reached = node.end_lineno
    depth = body[0].col_offset if body and isinstance(body[0], ast.stmt) and body[0].lineno > node.lineno else None
    while depth is not None and reached < len(lines) and _is_remark(line := lines[reached]):
        reached += 1
        if line.strip():
            if len(line) - len(line.lstrip()) < depth:
                break
            end = reached
    return end


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def movable(analysis: Analysis, first: str, second: str) -> bool:
    """Whether two steps of a block can change places, and still keep their order with all steps in between."""
    if first == second or first not in analysis.graph or second not in analysis.graph:
        return False
    if first.rpartition(".")[0] != second.rpartition(".")[0]:
        return False
    graph = analysis.graph
    return not networkx.has_path(graph, first, second) and not networkx.has_path(graph, second, first)


def reorderable_pairs(analysis: Analysis) -> list[tuple[str, str]]:
    """The pairs of steps of one block that no chain of dependences orders, in document order."""
    pairs = []
    for steps in analysis.blocks.values():
        after = _after(analysis, steps)
        names = [step.step_id for step in steps]
        pairs += [(first, second) for first, second in combinations(names, 2) if second not in after[first]]
    return pairs


def permutations(analysis: Analysis, block: str, limit: int) -> list[tuple[str, ...]]:
    """At most `limit` other orders of a block that keep all dependences, those with the fewest swaps first."""
    original = tuple(step.step_id for step in analysis.blocks[block])
    seen, queue = {original}, [original]
    for order in queue:  # the list grows: every new order is one swap of neighbours away from a previous order
        for place in range(len(order) - 1):
            first, second = order[place : place + 2]
            swapped = (*order[:place], second, first, *order[place + 2 :])
            if len(queue) > limit:
                return queue[1 : limit + 1]
            ordered = analysis.graph.has_edge(first, second) or analysis.graph.has_edge(second, first)
            if not ordered and swapped not in seen:
                seen.add(swapped)
                queue.append(swapped)
    return queue[1 : limit + 1]


def independent_groups(analysis: Analysis) -> list[tuple[str, ...]]:
    """Sets of at least two steps of a block that can run at the same time: no chain orders any two of them.

    Each set is maximal, in document order, and can be brought together by a safe permutation. Only sets that grow from
    a step, downwards and then upwards, are listed. Steps that may leave the block are in no set.
    """
    groups: list[tuple[str, ...]] = []
    for steps in analysis.blocks.values():
        after = _after(analysis, steps)
        names = [step.step_id for step in steps if not step.exits]
        for place, name in enumerate(names):
            group = [name]
            for other in (*names[place + 1 :], *reversed(names[:place])):
                if all(other not in after[member] and member not in after[other] for member in group):
                    group.append(other)
            ordered = tuple(sorted(group, key=names.index))
            if len(ordered) > 1 and ordered not in groups:
                groups.append(ordered)
    return groups


def _after(analysis: Analysis, steps: Sequence[Step]) -> dict[str, set[str]]:
    """For each step of a block, the steps that a chain of dependences keeps after it."""
    after: dict[str, set[str]] = {}
    for step in reversed(steps):
        direct = set(analysis.graph.successors(step.step_id))
        after[step.step_id] = direct.union(*(after[other] for other in direct))
    return after


def as_json(analysis: Analysis) -> Json:
    """The analysis as plain JSON values."""
    plain = {frozenset: sorted, tuple: list}
    steps = [
        {name: plain.get(type(value), lambda same: same)(value) for name, value in vars(step).items()}
        for step in analysis.steps
    ]
    return {
        "entry": analysis.entry,
        "steps": steps,
        "edges": [{"before": a, "after": b, **data} for a, b, data in analysis.graph.edges(data=True)],
        "reorderable": [list(pair) for pair in reorderable_pairs(analysis)],
        "independent": [list(group) for group in independent_groups(analysis)],
    }
