"""Decide whether two statements of a block must keep their order, and why.

Two statements can change places if both orders give the same result in every state: neither changes what the other
reads or changes, their effects need no order, and neither can end early while the other does something visible. Any
order that keeps all ordered pairs follows by such swaps.
"""

import ast

from .access import Statement
from .effects import ordered_effects
from .expressions import WORLD, Access

DATA, EFFECT, EXCEPTION, PLACE = "data", "effect", "exception", "place"
_LEAVING = {"break", "continue", "yield", "await"}


def why_in_place(statement: Statement) -> str | None:
    """Why nothing may move across a statement, or None."""
    node, exits = statement.nodes[0], statement.access.exits & _LEAVING
    if exits:
        return f"{statement.step_id} may {' or '.join(sorted(exits))}"
    if statement.access.sees_frame:
        return f"{statement.step_id} can access the variables of the function in other ways"
    if any(isinstance(part, ast.Return | ast.Raise) for part in statement.nodes):
        return f"nothing runs after {statement.step_id}"
    declares = any(isinstance(part, ast.Global | ast.Nonlocal | ast.Pass) for part in statement.nodes)
    if declares or (isinstance(node, ast.AnnAssign) and node.value is None):
        return f"{statement.step_id} only has a meaning at its place"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return f"{statement.step_id} is a comment on its place"
    return None


def conflicts(first: Statement, second: Statement, visible: frozenset[str]) -> list[tuple[str, str]]:
    """The reasons, each with its kind, why `first` must stay before `second`; empty if they can change places.

    The clearest reasons come first: named variables, effects, early ends, and shared unknown objects. `visible` are the
    local names that may be read after an exception in their block.
    """
    if reason := why_in_place(first) or why_in_place(second):
        return [(PLACE, reason)]
    a, b = first.access, second.access
    reasons = _data(first, second)
    if effects := ordered_effects(a.effects, b.effects):
        reasons.append((EFFECT, "order of effects: {}; {}".format(*effects)))
    for ending, other in ((first, second), (second, first)):
        if reason := _early_end(ending, other, visible):
            reasons.append((EXCEPTION, reason))
            break
    if WORLD in (a.changed & (b.seen | b.changed)) | (a.seen & b.changed):
        reasons.append((DATA, _shared(a, b, first.step_id, second.step_id)))
    return reasons


def _data(first: Statement, second: Statement) -> list[tuple[str, str]]:
    """The names and private objects that one statement changes and the other uses."""
    a, b = first.access, second.access
    written, rewritten = a.writes | a.deletes, b.writes | b.deletes
    kinds = (
        (written & b.reads, "{second} reads {names}, which {first} writes"),
        (a.reads & rewritten, "{second} writes {names}, which {first} reads"),
        (written & rewritten, "{second} writes {names}, which {first} writes too"),
        ((a.changed & b.seen) - {WORLD}, "{second} looks into {names}, which {first} changes"),
        ((a.seen & b.changed) - {WORLD}, "{second} changes {names}, which {first} looks into"),
        ((a.changed & b.changed) - {WORLD}, "{second} changes {names}, which {first} changes too"),
    )
    ids = {"first": first.step_id, "second": second.step_id}
    texts = (text.format(**ids, names=", ".join(sorted(names))) for names, text in kinds if names)
    return [(DATA, text) for text in texts]


def _shared(a: Access, b: Access, first: str, second: str) -> str:
    if a.mutates:
        return f"{first} may change an object ({', '.join(sorted(a.mutates))}) that {second} may see"
    if b.mutates:
        return f"{second} may change an object ({', '.join(sorted(b.mutates))}) that {first} may see"
    return f"{first} and {second} may run code of unknown objects"


def _early_end(ending: Statement, other: Statement, visible: frozenset[str]) -> str | None:
    """Why `other` must not move across `ending`, which may end early; None if it may."""
    a, b, first, second = ending.access, other.access, ending.step_id, other.step_id
    if not (a.may_raise or a.may_finalise or a.exits):
        return None
    what = "may raise" if a.may_raise else "may return" if "return" in a.exits else "may drop the last use of an object"
    if b.may_raise or b.may_finalise or b.exits:
        return f"{first} {what}, and {second} may end early too"
    if b.effects:
        return f"{first} {what}, and {second} has effects: {', '.join(sorted(b.effects))}"
    if WORLD in b.changed:
        return f"{first} {what}, and {second} changes shared objects"
    if names := (b.writes | b.deletes | b.changed) & visible:
        return f"{first} {what}, and {', '.join(sorted(names))} of {second} may be read then"
    return None
