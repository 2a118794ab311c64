"""What each statement of a function reads, changes and causes, and whether it can end early.

The walk follows the syntax tree in the order of execution. It determines for each expression what it reads, what it may
change, and whether it is *calm*: it runs only the interpreter's own code on builtin values, and cannot raise. Any other
expression may raise, and may run code of unknown objects (a property, `__add__`, `__hash__`), which can see and change
everything except the private state of the function.

Mutable state is named by regions: "x" is the content of a list, dict or set that is *private* (created here, held by
the name x only, never handed out); "*" is the rest of the world, with attributes and captured variables. All uses of a
name decide whether it is private, so the function is walked twice: the first walk collects the names that are handed
out or captured.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import types_of_builtins as table
from .calls import Calls
from .effects import UNKNOWN as UNKNOWN_EFFECT
from .expressions import Access, Declared, Names
from .scope import Scope, bound_by, own_nodes
from .types_of_builtins import IMMUTABLE

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Statement:
    """A step of the walk: one statement, or several on one line joined by ";"."""

    step_id: str
    block: str
    nodes: list[ast.stmt]
    control: tuple[str, ...]
    access: Access = field(default_factory=Access)


def statements_of(
    function: Function, scope: Scope, declared: Declared
) -> tuple[list[Statement], dict[str, frozenset[str]]]:
    """All statements of the function in document order; nested functions and classes are one statement each.

    The second value has for each block the local names that may be read after an exception inside it.
    """
    first = _Walk(function, scope, declared)
    first.block(function.body, "", ())
    shared = first.handed_out | first.found_captured | scope.parameters | scope.nonlocals
    private = frozenset() if first.frame_seen else scope.fresh - shared
    second = _Walk(function, scope, declared, private, scope.nonlocals | first.found_captured)
    second.block(function.body, "", ())
    return second.statements, second.visible_in


def group_lines(body: list[ast.stmt]) -> list[list[ast.stmt]]:
    """The statements of a block, in groups that share a line."""
    groups: list[list[ast.stmt]] = []
    for node in body:
        if groups and node.lineno == groups[-1][-1].end_lineno:
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _count_names(nodes: Iterable[ast.AST]) -> Counter[str]:
    return Counter(part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name))


class _Walk(Calls):
    """The walk over statements; see `Expressions` for its state."""

    def __init__(self, function: Function, scope: Scope, declared: Declared, *results: Names):
        super().__init__(scope, declared, *results)
        self.statements: list[Statement] = []
        self.visible_in: dict[str, frozenset[str]] = {}
        self.visible: frozenset[str] = frozenset()
        self.names = _count_names(function.body)
        self.guards = 0  # enclosing try and with statements
        self.loops = 0

    def block(self, body: list[ast.stmt], block: str, control: tuple[str, ...]) -> Access:
        """Walk the statements of a block; returns their combined access."""
        total = Access()
        self.visible_in[block] = self.visible
        for number, nodes in enumerate(group_lines(body), 1):
            step_id = f"{block}.{number}" if block else str(number)
            statement = Statement(step_id, block, nodes, control)
            self.statements.append(statement)
            for node in nodes:
                self._statement(node, statement)
            total.merge(statement.access)
        return total

    def _statement(self, node: ast.stmt, statement: Statement) -> None:
        visit = getattr(self, f"_do_{type(node).__name__.lower()}", None)
        if visit:
            visit(node, statement.access, statement)
        elif not isinstance(node, ast.Pass | ast.Global | ast.Nonlocal):  # a statement of a later Python
            statement.access.runs_code()
            statement.access.sees_frame = self.frame_seen = True

    def _inside(self, body: list[ast.stmt], suffix: str, acc: Access, statement: Statement) -> None:
        acc.merge(self.block(body, statement.step_id + suffix, (*statement.control, statement.step_id)))

    def _guarded(self, body: list[ast.stmt], suffix: str, acc: Access, statement: Statement) -> None:
        """Walk a branch of a try or with: after an exception in it, the function may continue outside."""
        before, inside = self.visible, _count_names(body)
        after = {name for name, count in self.names.items() if count > inside[name]}
        # In a loop, the branch itself runs again in the next iteration.
        self.visible = before | (self.scope.locals if self.loops else frozenset(after))
        self.guards += 1
        self._inside(body, suffix, acc, statement)
        self.guards -= 1
        self.visible = before

    def _do_expr(self, node: ast.Expr, acc: Access, _: Statement) -> None:
        self.look(node.value, acc, content=False)

    def _do_assign(self, node: ast.Assign, acc: Access, _: Statement) -> None:
        if pairs := _pairs(node):
            for _target, value in pairs:
                self.expr(value, acc)
            for target, _value in pairs:
                self.store(target, acc)
            return
        if all(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
            self.iterate(node.value, acc)
        else:
            self.expr(node.value, acc)
        for target in node.targets:
            self.store(target, acc)

    def _do_annassign(self, node: ast.AnnAssign, acc: Access, _: Statement) -> None:
        if node.value:  # annotations in a function are not evaluated
            self.expr(node.value, acc)
            self.store(node.target, acc)

    def _do_augassign(self, node: ast.AugAssign, acc: Access, _: Statement) -> None:
        if not isinstance(node.target, ast.Name):
            self.expr(node.value, acc)
            self.store(node.target, acc, reads=True)
            return
        load = ast.Name(node.target.id, ast.Load())
        left = self.scope.type_of(load)
        result, calm = table.binary(node.op, left, self.scope.type_of(node.value))
        use = self.expr if "?" in result else self.look
        use(load, acc)
        use(node.value, acc)
        if not left <= IMMUTABLE:
            self.change(load, acc)
        acc.runs_code(unless=calm)
        self.store(node.target, acc)

    def _do_delete(self, node: ast.Delete, acc: Access, _: Statement) -> None:
        for target in node.targets:
            self.store(target, acc, removes=True)

    def _do_return(self, node: ast.Return, acc: Access, _: Statement) -> None:
        acc.exits.add("return")
        handed_out = set(self.handed_out)
        self.expr(node.value, acc)
        if not self.guards:
            # The function ends here, so it may hand out what was private until now.
            leaving = (self.handed_out - handed_out) & self.private
            acc.seen |= leaving
            acc.changed |= leaving
            self.handed_out = handed_out
        self.bound = set(self.scope.stable)  # the next statements are unreachable

    def _do_raise(self, node: ast.Raise, acc: Access, _: Statement) -> None:
        acc.exits.add("raise")
        acc.effects.add("raise")
        self.expr(node.exc, acc)
        self.expr(node.cause, acc)
        acc.runs_code()
        self.bound = set(self.scope.stable)

    def _do_break(self, node: ast.Break | ast.Continue, acc: Access, _: Statement) -> None:
        acc.exits.add(type(node).__name__.lower())
        self.bound = set(self.scope.stable)

    _do_continue = _do_break

    def _do_assert(self, node: ast.Assert, acc: Access, _: Statement) -> None:
        self.truth(node.test, acc)
        self.expr(node.msg, acc)
        acc.effects.add("raise")
        acc.runs_code()

    def _do_import(self, node: ast.Import | ast.ImportFrom, acc: Access, _: Statement) -> None:
        if isinstance(node, ast.ImportFrom):
            modules = ["." * node.level + (node.module or "")]
        else:
            modules = [alias.name for alias in node.names]
        acc.imports.update(modules)
        acc.runs_code()
        standard = all(module.partition(".")[0] in sys.stdlib_module_names for module in modules)
        acc.effects |= {"read:files"} if standard else UNKNOWN_EFFECT
        for name in bound_by(node):
            self.bind(name, acc)

    _do_importfrom = _do_import

    def _do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, acc: Access, _: Statement) -> None:
        for decorator in node.decorator_list:
            self.expr(decorator, acc)
            acc.effects |= UNKNOWN_EFFECT
            acc.runs_code()
        parts = [part.annotation for part in ast.walk(node.args) if isinstance(part, ast.arg)]
        for annotation in (*parts, node.returns):
            self.expr(annotation, acc)
        self.capture(node, acc)
        self.bind(node.name, acc)

    _do_asyncfunctiondef = _do_functiondef

    def _do_classdef(self, node: ast.ClassDef, acc: Access, _: Statement) -> None:
        self.capture(node, acc)
        acc.effects |= UNKNOWN_EFFECT
        acc.runs_code()
        self.bind(node.name, acc)

    def _do_if(self, node: ast.If, acc: Access, statement: Statement) -> None:
        self.truth(node.test, acc)
        before = set(self.bound)
        self._inside(node.body, "", acc, statement)
        after, self.bound = self.bound, before
        self._inside(node.orelse, "e", acc, statement)
        self.bound &= after

    def _do_for(self, node: ast.For | ast.AsyncFor, acc: Access, statement: Statement) -> None:
        if isinstance(node, ast.AsyncFor):
            self.suspend("await", acc)
        source, before = Access(), set(self.bound)
        self.iterate(node.iter, source)
        self._enter_loop(node)
        names = self.store_elements(node.target, node.iter, source)
        for name in names:
            self.bind(name, source)
        if any(isinstance(part, ast.Attribute | ast.Subscript) for part in ast.walk(node.target)):
            self.store(node.target, source)
        body = self._loop_body(node, statement)
        if source.seen & body.changed:
            source.runs_code()  # the iterable changes during the loop: endless growth, or an exception
        acc.merge(source)
        acc.merge(body)
        self.bound = set(before)
        self._inside(node.orelse, "e", acc, statement)
        self.bound = before

    _do_asyncfor = _do_for

    def _do_while(self, node: ast.While, acc: Access, statement: Statement) -> None:
        before = set(self.bound)
        self._enter_loop(node)
        self.truth(node.test, acc)
        acc.may_raise = True  # it may never end, which affects the next statements like an exception
        acc.merge(self._loop_body(node, statement))
        self.bound = set(before)
        self._inside(node.orelse, "e", acc, statement)
        self.bound = before

    def _enter_loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        self.loops += 1
        # Everywhere in the loop, its names may hold an object of the previous iteration.
        self.used.update(name for part in own_nodes([node]) for name in bound_by(part))

    def _loop_body(self, node: ast.For | ast.AsyncFor | ast.While, statement: Statement) -> Access:
        body = Access()
        self._inside(node.body, "", body, statement)
        body.exits -= {"break", "continue"}
        self.loops -= 1
        return body

    def _do_with(self, node: ast.With | ast.AsyncWith, acc: Access, statement: Statement) -> None:
        if isinstance(node, ast.AsyncWith):
            self.suspend("await", acc)
        before = set(self.bound)
        for item in node.items:
            self.expr(item.context_expr, acc)
            acc.runs_code()
            if self.scope.origin(item.context_expr) is None:
                acc.effects |= UNKNOWN_EFFECT
            if item.optional_vars:
                self.store(item.optional_vars, acc)
        self._guarded(node.body, "", acc, statement)
        self.bound = before  # it may swallow an exception of its body

    _do_asyncwith = _do_with

    def _do_try(self, node: ast.Try, acc: Access, statement: Statement) -> None:
        before = set(self.bound)
        self._guarded(node.body, "", acc, statement)
        outcomes, after_body = [], self.bound
        for number, handler in enumerate(node.handlers, 1):
            self.bound = set(before)
            if handler.type:
                self.expr(handler.type, acc)
                acc.runs_code()
            if handler.name:
                self.bind(handler.name, acc)
                acc.deletes.add(handler.name)
                acc.may_finalise = True
            self._guarded(handler.body, f"x{number}", acc, statement)
            outcomes.append(self.bound)
        self.bound = after_body
        self._guarded(node.orelse, "e", acc, statement)
        outcomes.append(self.bound)
        self.bound = set(before)
        self._guarded(node.finalbody, "f", acc, statement)
        self.bound |= set.intersection(*outcomes)

    _do_trystar = _do_try

    def _do_match(self, node: ast.Match, acc: Access, statement: Statement) -> None:
        self.expr(node.subject, acc)
        acc.runs_code()
        before = set(self.bound)
        for number, case in enumerate(node.cases, 1):
            self.bound = set(before)
            for part in ast.walk(case.pattern):
                if isinstance(part, ast.MatchValue | ast.MatchClass):
                    self.expr(part.value if isinstance(part, ast.MatchValue) else part.cls, acc)
                elif isinstance(part, ast.MatchMapping):
                    for key in part.keys:
                        self.expr(key, acc)
                for name in bound_by(part) if isinstance(part, ast.pattern) else ():
                    self.bind(name, acc)
            if case.guard:
                self.truth(case.guard, acc)
            self._inside(case.body, f"c{number}", acc, statement)
        self.bound = before


def _pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """The assignments in `a, b = x, y`, if every target has its own value in the source."""
    target = node.targets[0]
    written = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(node.targets) == 1
    if not written or len(target.elts) != len(node.value.elts):
        return []
    if any(isinstance(part, ast.Starred) for part in (*target.elts, *node.value.elts)):
        return []
    return list(zip(target.elts, node.value.elts, strict=True))
