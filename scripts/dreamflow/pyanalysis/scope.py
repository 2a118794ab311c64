"""The names of a function: which are local, and which types they can hold.

The types hold for any order of execution: they are the union over all bindings of a name. They are names of builtin
types ("int", "list", ...), never of a subclass; "?" is any type. Annotations and defaults do not count, since nothing
checks them at run time. A name with an empty set of types is never bound.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from . import types_of_builtins as table
from .types_of_builtins import CONTAINERS, IMMUTABLE, UNKNOWN, Types

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_KINDS = {ast.JoinedStr: "str", ast.Tuple: "tuple", ast.Lambda: "function", ast.List: "list", ast.ListComp: "list"}
_KINDS |= {ast.Set: "set", ast.SetComp: "set", ast.Dict: "dict", ast.DictComp: "dict"}
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


@dataclass
class Scope:
    """The names of one function. `inner` has the variables of the current comprehension, with their types."""

    locals: frozenset[str]
    parameters: frozenset[str]
    stable: frozenset[str]  # locals that stay bound after the first binding
    declared_global: frozenset[str]
    nonlocals: frozenset[str]  # locals that a nested function binds
    module_names: frozenset[str]  # names bound in the module
    module_stable: frozenset[str]  # module names that are always bound when the function runs
    shadowed: frozenset[str]  # names that hide the builtins of that name
    origins: Mapping[str, str]  # name -> its meaning: "os.path", "pathlib.Path()"
    declared: frozenset[str] = frozenset()  # calls with effects in the card, which the analysis does not inspect
    types: dict[str, Types] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()  # locals that only hold objects created at their bindings
    inner: dict[str, Types] = field(default_factory=dict)

    def is_builtin(self, node: ast.AST) -> bool:
        """Whether `node` is a name that means the builtin of that name."""
        hidden = isinstance(node, ast.Name) and (node.id in self.inner or node.id in self.locals | self.shadowed)
        return isinstance(node, ast.Name) and not hidden and hasattr(builtins, node.id)

    def origin(self, node: ast.AST) -> str | None:
        """The meaning of an expression with imports resolved: "os.path.join", "pathlib.Path()", or None."""
        if isinstance(node, ast.Name):
            return None if node.id in self.inner else self.origins.get(node.id) or (node.id * self.is_builtin(node))
        if isinstance(node, ast.Attribute):
            base = self.origin(node.value)
            return f"{base}.{node.attr}" if base else None
        if isinstance(node, ast.Call):
            base = self.origin(node.func)
            return f"{base}()" if base else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and self.origin(node.left) == "pathlib.Path()":
            return "pathlib.Path()"
        return None

    def type_of(self, node: ast.AST) -> Types:
        """The builtin types of an expression's value."""
        match node:
            case ast.Constant(value=value):
                return table.type_of_constant(value)
            case ast.Name(id=name):
                return self.inner[name] if name in self.inner else self.types.get(name, UNKNOWN)
            case _ if type(node) in _KINDS:
                return frozenset({_KINDS[type(node)]})
            case ast.BinOp(left=left, op=op, right=right):
                return table.binary(op, self.type_of(left), self.type_of(right))[0]
            case ast.UnaryOp(op=op, operand=operand):
                return table.unary(op, self.type_of(operand))[0]
            case ast.BoolOp(values=values):
                return frozenset().union(*map(self.type_of, values))
            case ast.IfExp(body=body, orelse=orelse):
                return self.type_of(body) | self.type_of(orelse)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                types = [self.type_of(operand) for operand in (left, *rights)]
                pairs = zip(ops, types, types[1:], strict=False)
                return frozenset().union(*(table.comparison(op, a, b)[0] for op, a, b in pairs))
            case ast.Subscript(value=value, slice=index):
                return table.subscript(self.type_of(value), isinstance(index, ast.Slice))
            case ast.Call():
                return self._type_of_call(node)
        return UNKNOWN

    def _type_of_call(self, node: ast.Call) -> Types:
        if dotted(node.func) in self.declared:
            return UNKNOWN
        if self.is_builtin(node.func):
            return table.builtin_result(node.func.id, [self.type_of(argument) for argument in node.args])
        if isinstance(node.func, ast.Attribute):
            return table.method_result(self.type_of(node.func.value), node.func.attr)
        return UNKNOWN

    def is_fresh(self, node: ast.AST) -> bool:
        """Whether an expression gives an immutable object, or a mutable object without any other reference."""
        types = self.type_of(node)
        if types <= IMMUTABLE or isinstance(node, _DISPLAYS):
            return True
        if isinstance(node, ast.IfExp):
            return self.is_fresh(node.body) and self.is_fresh(node.orelse)
        if isinstance(node, ast.BoolOp):
            return all(map(self.is_fresh, node.values))
        # Calls and operators in the table give new containers.
        return isinstance(node, ast.Call | ast.BinOp | ast.Subscript) and types <= IMMUTABLE | CONTAINERS


def dotted(node: ast.AST) -> str | None:
    """ "a.b.c" for a name with attributes, None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else None
    return None


def scope_of(module: ast.Module, function: ast.FunctionDef | ast.AsyncFunctionDef, declared: Iterable[str]) -> Scope:
    """The names of `function`, which is at the top level of `module`."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    parameters = frozenset(argument.arg for argument in every if argument)
    nodes = list(own_nodes(function.body))
    outside = frozenset(name for node in nodes if isinstance(node, ast.Global) for name in node.names)
    bound = (frozenset(name for node in nodes for name in bound_by(node)) | parameters) - outside
    everything = list(ast.walk(module))
    nonlocals = frozenset(name for node in everything if isinstance(node, ast.Nonlocal) for name in node.names) & bound
    unstable = nonlocals | frozenset(name for node in nodes for name in _unbound_by(node))

    anywhere = frozenset(name for node in everything if isinstance(node, ast.Global) for name in node.names)
    top = list(own_nodes(module.body))
    module_names = frozenset(name for node in top for name in bound_by(node)) | anywhere
    lasting = frozenset(name for node in module.body for name in _bound_at_once(node))
    lasting -= anywhere | frozenset(name for node in top for name in _unbound_by(node))
    star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in everything)

    scope = Scope(
        locals=bound,
        parameters=parameters,
        stable=bound - unstable,
        declared_global=outside,
        nonlocals=nonlocals,
        module_names=module_names,
        module_stable=lasting,
        shadowed=frozenset(dir(builtins)) if star else module_names | outside,
        origins={},
        declared=frozenset(declared),
    )
    scope.origins = _origins(scope, top, module_names, {})
    scope.origins = _origins(scope, nodes, bound, {name: o for name, o in scope.origins.items() if name not in bound})
    _infer(scope, nodes)
    return scope


def own_nodes(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes below `roots` that run in their scope, without the bodies of nested functions and classes."""
    stack = [*roots][::-1]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(_own_children(node)))


def _own_children(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, FUNCTIONS):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return [*getattr(node, "decorator_list", ()), *defaults]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.comprehension):
        return [node.iter, *node.ifs]  # its variables belong to the comprehension
    return list(ast.iter_child_nodes(node))


def bound_by(node: ast.AST) -> list[str]:
    """The names that this node itself binds (or unbinds) in its own scope."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name.partition(".")[0] for alias in names]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
    return []


def _unbound_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ExceptHandler) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del)):
        return bound_by(node)
    return []


def _bound_at_once(node: ast.stmt) -> list[str]:
    """The names that a statement of a module certainly binds."""
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
        return [node.target.id]
    return bound_by(node)


def _origins(scope: Scope, nodes: list[ast.AST], names: frozenset[str], outer: dict[str, str]) -> dict[str, str]:
    """The meaning of names that are bound once, by an import or to the result of a known call."""
    origins, counts = dict(outer), dict.fromkeys(names, 0)
    for node in nodes:
        for name in bound_by(node):
            counts[name] = counts.get(name, 0) + 1
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                origins[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign | ast.withitem) and (call := _called(node)):
            scope.origins = origins
            name, value = call
            if origin := scope.origin(value):
                origins[name] = origin
    parameters = scope.parameters if names is scope.locals else frozenset()
    return {
        name: o for name, o in origins.items() if name in outer or (counts.get(name) == 1 and name not in parameters)
    }


def _called(node: ast.Assign | ast.withitem) -> tuple[str, ast.expr] | None:
    target = node.optional_vars if isinstance(node, ast.withitem) else node.targets[0]
    value = node.context_expr if isinstance(node, ast.withitem) else node.value
    usable = isinstance(target, ast.Name) and isinstance(value, ast.Call | ast.BinOp)
    return (target.id, value) if usable else None


def _infer(scope: Scope, nodes: list[ast.AST]) -> None:
    """Set `types` and `fresh` of the scope: widen from empty sets until all bindings are covered."""
    bindings: list[tuple[str, ast.AST | Types, bool]] = []  # name, value or its types, whether it may be shared
    seen: set[int] = set()

    def bind(target: ast.AST, value: ast.AST | Types, shared: bool = False) -> None:
        if isinstance(target, ast.Name):
            seen.add(id(target))
            bindings.append((target.id, value, shared))
        elif isinstance(target, ast.Starred):
            bind(target.value, frozenset({"list"}))
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            starred = any(isinstance(part, ast.Starred) for part in (*parts, *target.elts))
            plain = len(parts) == len(target.elts) and not starred
            for position, element in enumerate(target.elts):
                bind(element, parts[position] if plain else UNKNOWN, shared)

    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                bind(target, node.value, len(node.targets) > 1)
        elif isinstance(node, ast.AnnAssign) and node.value:
            bind(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            load = ast.Name(node.target.id, ast.Load())
            bind(node.target, ast.BinOp(load, node.op, node.value))
        elif isinstance(node, ast.For):
            for target, types in elements(scope, node.target, node.iter):
                if isinstance(target, ast.Name):
                    bind(target, types)
        elif isinstance(node, ast.FunctionDef) and not node.decorator_list:
            bindings.append((node.name, frozenset({"function"}), False))
            seen.add(id(node))
    for node in nodes:
        if id(node) not in seen:
            bindings.extend((name, UNKNOWN, True) for name in bound_by(node))
    bindings.extend((name, UNKNOWN, True) for name in scope.parameters | scope.nonlocals)

    scope.types = {name: frozenset() for name in scope.locals}
    changed = True
    while changed:
        changed = False
        for name, value, _ in bindings:
            types = scope.types.get(name, UNKNOWN) | (value if isinstance(value, frozenset) else scope.type_of(value))
            if name in scope.locals and types != scope.types[name]:
                scope.types[name] = types
                changed = True
    shared = {
        name
        for name, value, several in bindings
        if isinstance(value, ast.AST)
        and not (scope.is_fresh(value) and (not several or scope.type_of(value) <= IMMUTABLE))
    }
    scope.fresh = frozenset(name for name, types in scope.types.items() if "?" not in types) - shared


def elements(scope: Scope, target: ast.expr, iterable: ast.expr) -> list[tuple[ast.expr, Types]]:
    """The targets that `for target in iterable` binds, with the types of their values."""
    if isinstance(iterable, ast.Call) and scope.is_builtin(iterable.func) and iterable.func.id not in scope.declared:
        parts = target.elts if isinstance(target, ast.Tuple) else []
        if iterable.func.id == "enumerate" and len(parts) == 2 and len(iterable.args) in (1, 2):
            counted = scope.type_of(iterable.args[1]) if len(iterable.args) == 2 else frozenset({"int"})
            number = frozenset({"int"}) if counted <= {"int", "bool"} else UNKNOWN
            return [(parts[0], number), *elements(scope, parts[1], iterable.args[0])]
        if iterable.func.id == "zip" and len(parts) == len(iterable.args) and not iterable.keywords:
            pairs = zip(parts, iterable.args, strict=True)
            return [bound for part, source in pairs for bound in elements(scope, part, source)]
    return [(target, table.element(scope.type_of(iterable)))]
