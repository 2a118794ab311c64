"""What expressions read, change and cause, and whether they can raise; see `access` for the whole analysis.

The evaluation of a name has two forms: *looking* at an object (its length, its elements) leaves it private; using it as
a value hands it out, because the receiver may keep it. One class walks all expressions: they share its state.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import types_of_builtins as table
from .effects import UNKNOWN as UNKNOWN_EFFECT
from .scope import FUNCTIONS, Scope, dotted, elements
from .types_of_builtins import CONTAINERS, IMMUTABLE, ITERABLE, SCALARS, UNKNOWN, Types, words

Names = frozenset[str]
Declared = Mapping[str, Sequence[str]]  # effects of calls by dotted name, from a card

WORLD = "*"
# These can read or change the variables of the function itself.
_FRAME_BUILTINS = words("exec eval locals globals vars dir compile __import__ breakpoint")
_FRAME_ATTRIBUTES = words("_getframe currentframe f_locals f_back")
_FRAME_CALLS = words("inspect.stack inspect.trace sys.settrace sys.setprofile")
_ITERATORS = frozenset({"enumerate", "zip", "reversed"})


@dataclass
class Access:
    """The combined access of a statement and its parts. `seen` and `changed` are regions, see `access`."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    mutates: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    effects: set[str] = field(default_factory=set)
    exits: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    may_raise: bool = False
    may_finalise: bool = False  # may drop the last reference to an object, which runs its __del__
    sees_frame: bool = False

    def merge(self, other: "Access") -> None:
        """Add another access."""
        for name, value in vars(other).items():
            if isinstance(value, set):
                getattr(self, name).update(value)
            elif value:
                setattr(self, name, True)

    def runs_code(self, unless: bool = False) -> None:
        """Record that code of unknown objects may run, and raise."""
        if not unless:
            self.may_raise = True
            self.seen.add(WORLD)
            self.changed.add(WORLD)


class Expressions:
    """The walk over expressions. `bound` are locals that are certainly bound here, `used` may hold an object already.

    `private` and `captured` are results of the first walk; `handed_out`, `found_captured` and `frame_seen` are results
    of this walk.
    """

    def __init__(self, scope: Scope, declared: Declared, private: Names = frozenset(), captured: Names = frozenset()):
        self.scope, self.declared, self.private, self.captured = scope, declared, private, captured
        self.bound = set(scope.parameters & scope.stable)
        self.used = set(scope.parameters)
        self.handed_out: set[str] = set()
        self.found_captured: set[str] = set()
        self.frame_seen = False

    def bind(self, name: str, acc: Access, surely: bool = True) -> None:
        """Bind a name (or unbind it)."""
        acc.writes.add(name)
        if name in self.captured or name not in self.scope.locals:
            acc.changed.add(WORLD)
        if name in self.used and not self.scope.types.get(name, UNKNOWN) <= SCALARS:
            acc.may_finalise = True
            acc.seen.add(WORLD)
            acc.changed.add(WORLD)
        self.used.add(name)
        if surely and name in self.scope.stable:
            self.bound.add(name)

    def store(self, target: ast.expr, acc: Access, reads: bool = False, removes: bool = False) -> None:
        """Store into a target of an assignment, loop, with or `del`; with `reads` for `x.n += 1`."""
        if isinstance(target, ast.Name):
            if removes:
                acc.deletes.add(target.id)
                acc.may_raise = True
            self.bind(target.id, acc)
        elif isinstance(target, ast.Starred):
            self.store(target.value, acc)
        elif isinstance(target, ast.Tuple | ast.List):
            acc.runs_code()  # the number of elements may differ
            for part in target.elts:
                self.store(part, acc, removes=removes)
        else:
            if isinstance(target, ast.Subscript):
                self.change(target.value, acc)
                self.expr(target.slice, acc)
            else:
                self.expr(target.value, acc)
                acc.mutates |= self.roots(target.value)
            acc.runs_code()
            place = self.place(target)
            for places, wanted in ((acc.writes, True), (acc.reads, reads), (acc.deletes, removes)):
                if place and wanted:
                    places.add(place)
            if self.scope.origin(target.value) == "os.environ":
                acc.effects.add("write:environment")

    def store_elements(self, target: ast.expr, iterable: ast.expr, acc: Access) -> dict[str, Types]:
        """Store into the targets of `for target in iterable`; returns the certainly bound names, with types."""
        names: dict[str, Types] = {}
        for part, types in elements(self.scope, target, iterable):
            pair = isinstance(part, ast.Tuple) and len(part.elts) == 2 and self._view_of_dict(iterable) == "items"
            for inner in part.elts if pair else [part]:
                stored = (n.id for n in ast.walk(inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
                names |= dict.fromkeys(stored, types if inner is part and isinstance(inner, ast.Name) else UNKNOWN)
                if not isinstance(inner, ast.Name):
                    acc.runs_code()
        return names

    def change(self, node: ast.expr, acc: Access) -> None:
        """Change the object that `node` gives."""
        acc.mutates |= self.roots(node)
        self.look(node, acc)
        if isinstance(node, ast.Name) and node.id in self.private and node.id not in self.scope.inner:
            acc.changed.add(node.id)
        elif isinstance(node, ast.Name) or not self.scope.is_fresh(node):
            acc.changed.add(WORLD)

    def roots(self, node: ast.AST) -> set[str]:
        """The name that leads to an object, unless its value is immutable."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
            if isinstance(node, ast.Call):
                node = node.func
                if not isinstance(node, ast.Attribute):
                    return set()
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.scope.inner or self.scope.is_builtin(node):
            return set()
        imported = not (self.scope.origin(node) or "()").endswith("()")
        return set() if imported or self.scope.type_of(node) <= SCALARS | {"function", "range"} else {node.id}

    def place(self, node: ast.AST) -> str | None:
        """ "a.b[]" for a chain of attributes and subscripts on a name."""
        if isinstance(node, ast.Name):
            return None if node.id in self.scope.inner or self.scope.is_builtin(node) else node.id
        if isinstance(node, ast.Attribute | ast.Subscript) and (base := self.place(node.value)):
            return f"{base}.{node.attr}" if isinstance(node, ast.Attribute) else f"{base}[]"
        return None

    def capture(self, node: ast.AST, acc: Access) -> None:
        """Capture by a nested function, class or generator, which may read its free variables at any time."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        self.found_captured |= names & self.scope.locals
        acc.reads |= names & (self.scope.locals | self.scope.module_names)
        if isinstance(node, FUNCTIONS):
            for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                self.expr(default, acc)
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) or (isinstance(part, ast.Name) and part.id in _FRAME_ATTRIBUTES):
                self._note_frame(part, acc)

    def _note_frame(self, node: ast.Name | ast.Attribute, acc: Access) -> None:
        name = node.id if isinstance(node, ast.Name) else node.attr
        own = name in _FRAME_ATTRIBUTES or self.scope.origin(node) in _FRAME_CALLS
        if own or (name in _FRAME_BUILTINS and self.scope.is_builtin(node)):
            acc.sees_frame = self.frame_seen = True

    def expr(self, node: ast.AST | None, acc: Access) -> None:
        """Evaluate for the value, which is handed out."""
        if node is None or isinstance(node, ast.Constant):
            return
        visit = getattr(self, f"_{type(node).__name__.lower()}", None)
        if visit is None:  # an expression of a later Python version
            acc.runs_code()
            acc.sees_frame = self.frame_seen = True
        else:
            visit(node, acc)

    def look(self, node: ast.expr, acc: Access, content: bool = True) -> None:
        """Evaluate to look at the object, or (without `content`) only at its identity."""
        if not isinstance(node, ast.Name):
            self.expr(node, acc)
            if content and not self.scope.is_fresh(node):
                acc.seen.add(WORLD)
            return
        self._mention(node, acc)
        if content and not self.scope.type_of(node) <= IMMUTABLE:
            acc.seen.add(node.id if node.id in self.private and node.id not in self.scope.inner else WORLD)

    def truth(self, node: ast.expr, acc: Access) -> None:
        """Evaluate as a condition."""
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self.truth(value, acc)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.truth(node.operand, acc)
        else:
            self.look(node, acc)
            acc.runs_code(unless=table.has_truth(self.scope.type_of(node)))

    def iterate(self, node: ast.expr, acc: Access) -> None:
        """Evaluate and iterate over all elements."""
        if isinstance(node, ast.GeneratorExp):
            self._comprehension(node, acc)
        elif self._view_of_dict(node):
            self.look(node.func.value, acc)
        elif self._is_call_of(node, _ITERATORS) and not node.keywords:
            sources = node.args[:1] if node.func.id == "enumerate" else node.args
            for argument in node.args:
                if isinstance(argument, ast.Starred) or argument not in sources:
                    self.expr(argument, acc)
                    if not self.scope.type_of(argument) <= {"int", "bool"}:
                        acc.runs_code()
                else:
                    self.iterate(argument, acc)
            if node.func.id == "reversed" or not node.args:
                acc.runs_code()
        else:
            self.look(node, acc)
            if not self.scope.type_of(node) <= ITERABLE:
                acc.runs_code()
                acc.mutates |= self.roots(node)  # iteration consumes an iterator

    def _view_of_dict(self, node: ast.AST) -> str | None:
        """ "items", "keys" or "values" for a call of this method on a dict, else None."""
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not (node.args or node.keywords)
        if call and node.func.attr in table.VIEWS and self.scope.type_of(node.func.value) == {"dict"}:
            return None if dotted(node.func) in self.declared else node.func.attr
        return None

    def _is_call_of(self, node: ast.AST, names: frozenset[str]) -> bool:
        builtin = isinstance(node, ast.Call) and self.scope.is_builtin(node.func)
        return builtin and node.func.id in names and node.func.id not in self.declared

    def _mention(self, node: ast.Name, acc: Access) -> None:
        name = node.id
        if name in self.scope.inner:
            return
        self._note_frame(node, acc)
        if self.scope.is_builtin(node):
            return
        acc.reads.add(name)
        if name in self.scope.locals:
            acc.may_raise |= name not in self.bound
            if name in self.scope.nonlocals:
                acc.seen.add(WORLD)
        else:
            acc.seen.add(WORLD)
            acc.may_raise |= name not in self.scope.module_stable

    def _name(self, node: ast.Name, acc: Access) -> None:
        self._mention(node, acc)
        if node.id not in self.scope.inner and self.scope.type_of(node) & CONTAINERS:
            self.handed_out.add(node.id)

    def _attribute(self, node: ast.Attribute, acc: Access) -> None:
        self._note_frame(node, acc)
        self.expr(node.value, acc)
        acc.runs_code()
        if place := self.place(node):
            acc.reads.add(place)
        if self.scope.origin(node) == "os.environ":
            acc.effects.add("read:environment")

    def _subscript(self, node: ast.Subscript, acc: Access) -> None:
        self.look(node.value, acc)
        self.expr(node.slice, acc)
        if place := self.place(node):
            acc.reads.add(place)
        bounds = [node.slice.lower, node.slice.upper, node.slice.step] if isinstance(node.slice, ast.Slice) else []
        positions = all(bound is None or self.scope.type_of(bound) <= {"int", "bool", "none"} for bound in bounds[:2])
        calm = bool(bounds) and positions and bounds[2] is None
        if not calm or not self.scope.type_of(node.value) <= {"str", "bytes", "list", "tuple", "range"}:
            acc.runs_code()

    def _slice(self, node: ast.Slice, acc: Access) -> None:
        for bound in (node.lower, node.upper, node.step):
            self.expr(bound, acc)

    def _binop(self, node: ast.BinOp, acc: Access) -> None:
        left, right = self.scope.type_of(node.left), self.scope.type_of(node.right)
        result, calm = table.binary(node.op, left, right)
        use = self.expr if "?" in result else self.look
        use(node.left, acc)
        use(node.right, acc)
        divisor = isinstance(node.op, ast.FloorDiv | ast.Mod) and isinstance(node.right, ast.Constant)
        if divisor and type(node.right.value) is int and node.right.value and left <= {"int", "bool"}:
            calm = True
        acc.runs_code(unless=calm)

    def _unaryop(self, node: ast.UnaryOp, acc: Access) -> None:
        if isinstance(node.op, ast.Not):
            self.truth(node.operand, acc)
            return
        self.expr(node.operand, acc)
        acc.runs_code(unless=table.unary(node.op, self.scope.type_of(node.operand))[1])

    def _boolop(self, node: ast.BoolOp, acc: Access) -> None:
        for value in node.values:
            self.expr(value, acc)
            if not self.scope.type_of(value) <= IMMUTABLE:
                acc.seen.add(WORLD)
        acc.runs_code(unless=all(table.has_truth(self.scope.type_of(value)) for value in node.values[:-1]))

    def _ifexp(self, node: ast.IfExp, acc: Access) -> None:
        self.truth(node.test, acc)
        self.expr(node.body, acc)
        self.expr(node.orelse, acc)

    def _compare(self, node: ast.Compare, acc: Access) -> None:
        operands = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            types = self.scope.type_of(left), self.scope.type_of(right)
            calm = table.comparison(op, *types)[1]
            if isinstance(op, ast.Is | ast.IsNot):
                self.look(left, acc, content=False)
                self.look(right, acc, content=False)
            elif isinstance(op, ast.In | ast.NotIn):
                self.expr(left, acc)
                self.look(right, acc)
                written = getattr(right, "elts", None)
                if written and all(isinstance(part, ast.Constant) for part in written) and types[0] <= SCALARS:
                    calm = bool(types[0])
            else:
                use = self.look if "?" not in types[0] | types[1] else self.expr
                use(left, acc)
                use(right, acc)
            acc.runs_code(unless=calm)

    def _joinedstr(self, node: ast.JoinedStr, acc: Access) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.look(part.value, acc)
                self.expr(part.format_spec, acc)
                types = self.scope.type_of(part.value)
                if part.format_spec or not types or not types <= SCALARS:
                    acc.runs_code()

    def _namedexpr(self, node: ast.NamedExpr, acc: Access) -> None:
        self.expr(node.value, acc)
        self.bind(node.target.id, acc, surely=False)

    def _starred(self, node: ast.Starred, acc: Access) -> None:
        self.iterate(node.value, acc)

    def _list(self, node: ast.List | ast.Tuple, acc: Access) -> None:
        for part in node.elts:
            self.expr(part, acc)

    _tuple = _list

    def _set(self, node: ast.Set, acc: Access) -> None:
        for part in node.elts:
            self.expr(part, acc)
            self._hash(part, acc)

    def _dict(self, node: ast.Dict, acc: Access) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self.look(value, acc)
                acc.runs_code()
            else:
                self.expr(key, acc)
                self._hash(key, acc)
                self.expr(value, acc)

    def _hash(self, node: ast.expr, acc: Access) -> None:
        types = self.scope.type_of(node)
        acc.runs_code(unless=bool(types) and types <= SCALARS)

    def _lambda(self, node: ast.Lambda, acc: Access) -> None:
        self.capture(node, acc)

    def _generatorexp(self, node: ast.GeneratorExp, acc: Access) -> None:
        self.expr(node.generators[0].iter, acc)
        self.capture(node, acc)
        acc.runs_code()

    def _comprehension(self, node: ast.AST, acc: Access) -> None:
        outer = self.scope.inner
        for part in node.generators:
            self.iterate(part.iter, acc)
            if part.is_async:
                self.suspend("await", acc)
            self.scope.inner = self.scope.inner | self.store_elements(part.target, part.iter, acc)
            for test in part.ifs:
                self.truth(test, acc)
        if isinstance(node, ast.DictComp):
            self.expr(node.key, acc)
            self._hash(node.key, acc)
            self.expr(node.value, acc)
        else:
            self.expr(node.elt, acc)
            if isinstance(node, ast.SetComp):
                self._hash(node.elt, acc)
        self.scope.inner = outer

    _listcomp = _setcomp = _dictcomp = _comprehension

    def _yield(self, node: ast.Yield | ast.YieldFrom | ast.Await, acc: Access) -> None:
        self.expr(node.value, acc)
        self.suspend("await" if isinstance(node, ast.Await) else "yield", acc)

    _yieldfrom = _await = _yield

    def suspend(self, how: str, acc: Access) -> None:
        """Suspend the function: any other code may run before it continues."""
        acc.exits.add(how)
        acc.effects |= UNKNOWN_EFFECT
        acc.runs_code()
