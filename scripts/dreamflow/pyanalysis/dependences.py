"""Why two statements of a block have to keep their order.

Two statements may change places if running them in either order gives the same in every state: neither changes what
the other reads or changes, their effects need no order, and neither can end early while the other does something
that can still be noticed then. Whole blocks follow: any order that keeps all ordered pairs is reached by such swaps.
"""

import ast

from .access import Statement
from .effects import ordered_effects
from .expressions import WORLD, Access

DATA, EFFECT, EXCEPTION, PLACE = "data", "effect", "exception", "place"
_LEAVING = {"break", "continue", "yield", "await"}


def why_in_place(statement: Statement) -> str | None:
    """Why nothing may move across a statement, or None."""
    node = statement.nodes[0]
    if statement.access.exits & _LEAVING:
        return f"{statement.step_id} may {' or '.join(sorted(statement.access.exits & _LEAVING))}"
    if statement.access.sees_frame:
        return f"{statement.step_id} can reach the variables of the function by other ways"
    if any(isinstance(part, ast.Return | ast.Raise) for part in statement.nodes):
        return f"nothing runs after {statement.step_id}"
    if any(isinstance(part, ast.Global | ast.Nonlocal | ast.Pass) for part in statement.nodes):
        return f"{statement.step_id} does nothing but at its place"
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return f"{statement.step_id} does nothing but at its place"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return f"{statement.step_id} is a remark on its place"
    return None


def conflicts(first: Statement, second: Statement, visible: frozenset[str]) -> list[tuple[str, str]]:
    """The reasons, each with its kind, why `first` has to stay before `second`; none if they may change places.

    The first reason is the most telling one: named variables, effects, early ends, and what may be shared unseen.
    `visible` are the local names that may be looked at after an exception in their block.
    """
    if reason := why_in_place(first) or why_in_place(second):
        return [(PLACE, reason)]
    a, b = first.access, second.access
    found = _data(first, second)
    if effects := ordered_effects(a.effects, b.effects):
        found.append((EFFECT, "order of effects: {}; {}".format(*effects)))
    for one, other in ((first, second), (second, first)):
        if reason := _early_end(one, other, visible):
            found.append((EXCEPTION, reason))
            break
    if WORLD in (a.changed & (b.seen | b.changed)) | (a.seen & b.changed):
        found.append((DATA, _shared(a, b, first.step_id, second.step_id)))
    return found


def _data(first: Statement, second: Statement) -> list[tuple[str, str]]:
    """Names and private objects that one of the two changes and the other uses."""
    a, b, one, two = first.access, second.access, first.step_id, second.step_id
    written, rewritten = a.writes | a.deletes, b.writes | b.deletes
    kinds = (
        (written & b.reads, "{two} reads {names}, which {one} writes"),
        (a.reads & rewritten, "{two} writes {names}, which {one} reads"),
        (written & rewritten, "{two} writes {names}, which {one} writes too"),
        ((a.changed & b.seen) - {WORLD}, "{two} looks into {names}, which {one} changes"),
        ((a.seen & b.changed) - {WORLD}, "{two} changes {names}, which {one} looks into"),
        ((a.changed & b.changed) - {WORLD}, "{two} changes {names}, which {one} changes too"),
    )
    found = [text.format(one=one, two=two, names=", ".join(sorted(names))) for names, text in kinds if names]
    return [(DATA, reason) for reason in found]


def _shared(a: Access, b: Access, one: str, two: str) -> str:
    if a.mutates:
        return f"{one} may change an object ({', '.join(sorted(a.mutates))}) that {two} may see"
    if b.mutates:
        return f"{two} may change an object ({', '.join(sorted(b.mutates))}) that {one} may see"
    return f"{one} and {two} may run code of unknown objects"


def _early_end(one: Statement, other: Statement, visible: frozenset[str]) -> str | None:
    """Why what `other` does must stay on its side of `one`, which may end early; None if it can move across."""
    a, b = one.access, other.access
    if not (a.may_raise or a.may_finalise or a.exits):
        return None
    what = "may raise" if a.may_raise else "may return" if "return" in a.exits else "may drop the last use of an object"
    if b.may_raise or b.may_finalise or b.exits:
        return f"{one.step_id} {what}, and {other.step_id} may end early too"
    if b.effects:
        return f"{one.step_id} {what}, and {other.step_id} has effects: {', '.join(sorted(b.effects))}"
    if WORLD in b.changed:
        return f"{one.step_id} {what}, and {other.step_id} changes what others see"
    if names := (b.writes | b.deletes | b.changed) & visible:
        return f"{one.step_id} {what}, and {', '.join(sorted(names))} of {other.step_id} may be looked at then"
    return None
