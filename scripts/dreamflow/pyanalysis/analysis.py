"""Dependency analysis of a procedure: its steps, what each does, and which of them may change places.

A step is a statement of the function, at any level of nesting (statements joined by ";" are one step, nested functions
and classes are not looked into). Two steps of a block are ordered by an edge unless it is shown that they may change
places; see `access` for what is looked at, `dependences` for the rules. All that is not known counts as a reason to
stay: the default is "not safe".

Taken for granted: memory, stack and the digits of printed integers suffice; nobody looks at line numbers, at frames
of tracebacks or of callers, or at the order in which variables die when the function ends; and calls that a card
declares do what it says.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any

import networkx

from ..errors import DreamflowError
from .access import Statement, statements_of
from .dependences import conflicts
from .scope import scope_of
from .source import parse_python

_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
_LINE = re.compile(r"\r\n|\r|\n")  # what ends a line for Python; `splitlines` knows more


@dataclass(frozen=True)
class Step:
    """One statement of the procedure. Sets tell of the whole statement, those inside it included.

    `step_id` says where it stands: "2" is the second statement of the function, "2.1" the first one in the body of
    it, "2e.1" in its else, "2x1.1" in its first except, "2f.1" in its finally, "2c1.1" in its first case. `block` is
    the part before the last dot ("" for the function itself).
    `start` and `end` are lines of the module, from 1. A step begins right after the one before it, or after the line
    that opens the block, so blank lines, comments and decorators above a statement belong to it; comments below that
    are indented as its body belong to it too. So the steps of a block follow each other without gap or overlap. The
    statement itself begins at `line`, of which `text` is the text.
    Locations are names, "self.a.b" for attributes and "d[]" for any element of d. `writes` are names (re)bound and
    attributes or elements set, those deleted included; `mutates` are names through which an object may be changed.
    `exits`: it may leave its block other than by an exception of some call (return, break, continue, raise, yield).
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
    """Steps in document order, the same by block, and their order: an edge a -> b says that a must stay before b.

    Edges join steps of one block and carry `why`, a list of reasons for people, and `kinds`, what sort each is:
    data, effect, exception or place. Not only neighbours are joined: every pair that may not change places is.
    """

    entry: str
    source: str
    steps: tuple[Step, ...]
    blocks: Mapping[str, tuple[Step, ...]]
    graph: networkx.DiGraph


def analyse(source: str, entry: str, effects: Mapping[str, Sequence[str]] = _NONE) -> Analysis:
    """The analysis of the function `entry` of a module.

    `effects` says what calls do, by dotted name as written: these have just these effects, change no argument, and
    raise only if "raise" is among the words. () stands for a pure function, which gives the same for equal arguments.
    """
    try:
        module = parse_python(source)
    except (SyntaxError, ValueError) as error:
        raise DreamflowError(f"procedure {entry}: not Python: {error}") from None
    functions = [
        node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry
    ]
    if not functions:
        raise DreamflowError(f"procedure {entry}: its source defines no function of that name at the top level")
    function = functions[-1]
    found, visible = statements_of(function, scope_of(module, function, effects), effects)

    lines = _LINE.split(source)
    blocks: dict[str, list[Step]] = {}
    graph = networkx.DiGraph()
    by_block: dict[str, list[Statement]] = {}
    steps = []
    for statement in found:
        before = blocks.setdefault(statement.block, [])
        step = _step(statement, lines, before[-1].end if before else None)
        before.append(step)
        steps.append(step)
        by_block.setdefault(statement.block, []).append(statement)
        graph.add_node(step.step_id)
    for block, statements in by_block.items():
        for one, other in combinations(statements, 2):
            if reasons := conflicts(one, other, visible[block]):
                kinds, why = zip(*reasons, strict=True)
                graph.add_edge(one.step_id, other.step_id, why=list(why), kinds=list(kinds))
    return Analysis(
        entry=entry,
        source=source,
        steps=tuple(steps),
        blocks=MappingProxyType({block: tuple(inside) for block, inside in blocks.items()}),
        graph=graph,
    )


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
        reads=frozenset(access.reads),
        writes=frozenset(access.writes),
        deletes=frozenset(access.deletes),
        mutates=frozenset(access.mutates),
        effects=frozenset(access.effects),
        may_raise=access.may_raise,
        exits=bool(access.exits),
        control=statement.control,
        imports=tuple(sorted(access.imports)),
    )


def _start(node: ast.stmt, lines: list[str], previous_end: int | None) -> int:
    """The first line that belongs to a statement: the one after the statement before it, or after its block's head."""
    if previous_end is not None:
        return previous_end + 1
    decorators = getattr(node, "decorator_list", [])
    start = min(part.lineno for part in (node, *decorators))
    if lines[start - 1][: node.col_offset].strip():
        return start  # on the line of the head itself: `if x: y = 1`
    while _is_remark(lines[start - 2]):
        start -= 1
    return start


def _end(node: ast.stmt, lines: list[str]) -> int:
    """The last line that belongs to a statement: comments as deep as its body are its own."""
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


def movable(analysis: Analysis, one: str, other: str) -> bool:
    """Whether two steps of a block may change places, all that lies between them staying consistent."""
    if one == other or one not in analysis.graph or other not in analysis.graph:
        return False
    if one.rpartition(".")[0] != other.rpartition(".")[0]:
        return False
    graph = analysis.graph
    return not networkx.has_path(graph, one, other) and not networkx.has_path(graph, other, one)


def reorderable_pairs(analysis: Analysis) -> list[tuple[str, str]]:
    """The pairs of steps of one block that no chain of dependences orders, in document order."""
    found = []
    for steps in analysis.blocks.values():
        after = _after(analysis, steps)
        names = [step.step_id for step in steps]
        found += [(one, other) for one, other in combinations(names, 2) if other not in after[one]]
    return found


def permutations(analysis: Analysis, block: str, limit: int) -> list[tuple[str, ...]]:
    """At most `limit` other orders of a block that keep all dependences, those with the fewest swaps first."""
    original = tuple(step.step_id for step in analysis.blocks[block])
    seen, queue = {original}, [original]
    for order in queue:  # grows: every order is one swap of neighbours away from one before it
        for place in range(len(order) - 1):
            one, other = order[place : place + 2]
            swapped = (*order[:place], other, one, *order[place + 2 :])
            if len(queue) > limit:
                return queue[1 : limit + 1]
            ordered = analysis.graph.has_edge(one, other) or analysis.graph.has_edge(other, one)
            if not ordered and swapped not in seen:
                seen.add(swapped)
                queue.append(swapped)
    return queue[1 : limit + 1]


def independent_groups(analysis: Analysis) -> list[tuple[str, ...]]:
    """Sets of steps of a block, at least two each, that could be done at the same time: no chain orders any two.

    Each is maximal, stands in document order, and can be brought together by a safe permutation. Of the many there
    can be, those are given that are grown from each step, downwards and then upwards. Steps that may leave the
    block are in none.
    """
    found: list[tuple[str, ...]] = []
    for steps in analysis.blocks.values():
        after = _after(analysis, steps)
        names = [step.step_id for step in steps if not step.exits]
        for place, name in enumerate(names):
            group = [name]
            for other in (*names[place + 1 :], *reversed(names[:place])):
                if all(other not in after[one] and one not in after[other] for one in group):
                    group.append(other)
            ordered = tuple(sorted(group, key=names.index))
            if len(ordered) > 1 and ordered not in found:
                found.append(ordered)
    return found


def _after(analysis: Analysis, steps: Sequence[Step]) -> dict[str, set[str]]:
    """For each step of a block those that a chain of dependences keeps behind it."""
    after: dict[str, set[str]] = {}
    for step in reversed(steps):
        direct = set(analysis.graph.successors(step.step_id))
        after[step.step_id] = direct.union(*(after[other] for other in direct))
    return after


def as_json(analysis: Analysis) -> dict[str, Any]:
    """The analysis as plain JSON values: the file that people read."""
    steps = []
    for step in analysis.steps:
        values = dict(vars(step))
        steps.append({key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()})
        steps[-1] |= {"control": list(step.control), "imports": list(step.imports)}
    return {
        "entry": analysis.entry,
        "steps": steps,
        "edges": [
            {"before": one, "after": other, "why": data["why"], "kinds": data["kinds"]}
            for one, other, data in analysis.graph.edges(data=True)
        ],
        "reorderable": [list(pair) for pair in reorderable_pairs(analysis)],
        "independent": [list(group) for group in independent_groups(analysis)],
    }
