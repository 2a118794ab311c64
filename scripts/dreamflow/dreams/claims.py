"""Check what a variant claims about dependences, without trust in the operator that made it.

The additions of the variant are removed (threads, the new parameter at its default). The rest must equal the base: the
same statements, and in each block an order that the dependence graph of the base allows.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from ..pyanalysis.analysis import Analysis, movable
from ..pyanalysis.scope import own_nodes
from ..pyanalysis.source import parse_python
from ..pyanalysis.syntax import Code, bound_names, inner_blocks, name_of, read_code, steps_by_line

_EXECUTORS = {"ThreadPoolExecutor", "ProcessPoolExecutor"}


class _Broken(Exception):
    """A claim does not hold; the message is the reason."""


def broken_claim(analysis: Analysis, source: str, kind: str, adds: Sequence[str]) -> str:
    """Why the claim of a variant of this kind does not hold; empty if it does.

    `analysis` is the one of the base. The variant must define the entry as a function.
    """
    try:
        base = read_code(analysis.source, analysis.entry)
        variant = parse_python(source)
        entry = next(n for n in reversed(variant.body) if isinstance(n, ast.FunctionDef) and n.name == analysis.entry)
        if kind == "conditional":
            _apply_defaults(base, entry, _remove_parameters(entry, adds))
        parallel = _remove_pools(base, variant, entry) if kind == "parallelise" else []
        if _outside(variant, entry) != _outside(base.tree, base.entry) or _head(entry) != _head(base.entry):
            raise _Broken("code outside the steps of the entry point has changed")
        _Comparison(base, analysis).check(entry, parallel)
    except _Broken as reason:
        return str(reason)
    return ""


def _remove_pools(base: Code, variant: ast.Module, entry: ast.FunctionDef) -> list[list[ast.stmt]]:
    """Replace every new pool by its statements in sequence; returns these statements for each pool."""
    imported = [
        node for node in variant.body if isinstance(node, ast.ImportFrom) and node.module == "concurrent.futures"
    ]
    executors = {a.asname or a.name for node in imported for a in node.names if a.name in _EXECUTORS}
    known = {ast.dump(node) for node in base.tree.body}
    variant.body = [node for node in variant.body if node not in imported or ast.dump(node) in known]
    pools = {ast.dump(node) for node in own_nodes(base.entry.body) if isinstance(node, ast.With)}
    groups: list[list[ast.stmt]] = []
    for block in _blocks(entry):
        for place, statement in enumerate(block):
            is_pool = isinstance(statement, ast.With) and _called(statement.items[0].context_expr) in executors
            if is_pool and ast.dump(statement) not in pools:
                groups.append(_in_sequence(statement))
                block[place : place + 1] = groups[-1]
    if not groups:
        raise _Broken("no steps run at the same time")
    return groups


def _blocks(entry: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    blocks = [entry.body]
    for block in blocks:  # the list grows during the loop
        yield block
        blocks += [inner for statement in block for inner in inner_blocks(statement)]


def _called(node: ast.AST | None) -> str:
    return name_of(node.func) if isinstance(node, ast.Call) else ""


def _in_sequence(pool: ast.With) -> list[ast.stmt]:
    """The statements that a `with` of futures runs, in the order of their results."""
    name = name_of(pool.items[0].optional_vars) if pool.items[0].optional_vars else ""
    work: dict[str, ast.expr] = {}
    results = []
    for statement in pool.body:
        value = getattr(statement, "value", None)
        called = _called(value)
        if called == f"{name}.submit" and isinstance(statement, ast.Assign) and not results:
            work[name_of(statement.targets[0])] = _submitted(value)
        elif called.endswith(".result") and not value.args and called.removesuffix(".result") in work:
            statement.value = work.pop(called.removesuffix(".result"))
            results.append(statement)
        else:
            raise _Broken(f"line {statement.lineno} is not part of a plain group of futures")
    if work:
        raise _Broken("the result of a future is not used")
    return results


def _submitted(submit: ast.Call) -> ast.expr:
    function, *arguments = submit.args
    if isinstance(function, ast.Lambda) and not arguments and not submit.keywords:
        return function.body
    values = [function, *arguments, *(keyword.value for keyword in submit.keywords)]
    if not all(isinstance(value, ast.Name | ast.Constant) for value in values):
        raise _Broken(f"arguments in line {submit.lineno} are computed before the previous steps end")
    return ast.Call(function, arguments, submit.keywords)


def _remove_parameters(entry: ast.FunctionDef, adds: Sequence[str]) -> dict[str, bool]:
    """Remove the added parameters from the entry; returns their defaults."""
    defaults = {}
    pairs = list(zip(entry.args.kwonlyargs, entry.args.kw_defaults, strict=True))
    for arg, default in pairs:
        if arg.arg in adds and isinstance(default, ast.Constant):
            defaults[arg.arg] = bool(default.value)
    entry.args.kwonlyargs = [arg for arg, _ in pairs if arg.arg not in defaults]
    entry.args.kw_defaults = [default for arg, default in pairs if arg.arg not in defaults]
    if not defaults:
        raise _Broken("it declares no keyword parameter with a constant default")
    return defaults


def _apply_defaults(base: Code, entry: ast.FunctionDef, defaults: dict[str, bool]) -> None:
    """Replace every `if` on an added parameter by the branch that its default selects."""
    local = bound_names(base.entry.body)
    for block in _blocks(entry):
        for place in reversed(range(len(block))):
            statement = block[place]
            if not isinstance(statement, ast.If):
                continue
            negated = isinstance(statement.test, ast.UnaryOp) and isinstance(statement.test.op, ast.Not)
            name = name_of(statement.test.operand if negated else statement.test)
            if name in defaults:
                taken, dropped = statement.body, statement.orelse
                if defaults[name] == negated:
                    taken, dropped = dropped, taken
                # a branch that never runs still makes names local, or the function a generator
                scope = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)
                if bound_names(dropped) - local or any(isinstance(node, scope) for node in own_nodes(dropped)):
                    raise _Broken(f"the other branch of line {statement.lineno} changes the scope of names")
                block[place : place + 1] = taken


def _outside(tree: ast.Module, entry: ast.FunctionDef) -> list[str]:
    return [ast.dump(node) for node in tree.body if node is not entry]


def _head(statement: ast.stmt) -> list[str]:
    """All of a statement except its inner blocks."""
    inner = {id(part) for block in inner_blocks(statement) for part in block}
    head = [type(statement).__name__]
    for name, value in ast.iter_fields(statement):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.ExceptHandler | ast.match_case):
                head += _head(part)
            elif id(part) not in inner:
                head.append(f"{name}: {ast.dump(part) if isinstance(part, ast.AST) else part!r}")
    return head


class _Comparison:
    """Maps each statement of a variant to its statement in the base, and compares their orders."""

    def __init__(self, base: Code, analysis: Analysis) -> None:
        self.base, self.analysis = base, analysis
        self.steps = {
            id(base.statements[line]): step
            for line, step in steps_by_line(base, analysis).items()
            if line in base.statements
        }
        self.original: dict[int, ast.stmt] = {}

    def check(self, entry: ast.FunctionDef, groups: list[list[ast.stmt]]) -> None:
        """Raise `_Broken` unless `entry` is the base in a permitted order, with independent steps in each group."""
        self.block(self.base.entry.body, entry.body)
        for group in groups:
            for first, second in combinations((self.original[id(statement)] for statement in group), 2):
                if not movable(self.analysis, self.step_id(first), self.step_id(second)):
                    raise _Broken(f"line {first.lineno} and line {second.lineno} are not independent")

    def block(self, base: list[ast.stmt], variant: list[ast.stmt]) -> None:
        dumps = defaultdict(list)
        for place, statement in enumerate(base):
            dumps[ast.dump(statement)].append(place)
        order = [dumps[dump].pop(0) if dumps.get(dump) else None for dump in map(ast.dump, variant)]
        if None not in order and len(order) == len(base):
            for place, statement in zip(order, variant, strict=True):
                pairs = zip(ast.walk(base[place]), ast.walk(statement), strict=True)
                self.original |= {id(new): old for old, new in pairs if isinstance(old, ast.stmt)}
            for later, earlier in combinations(order, 2):
                if later > earlier:
                    self.order(base[earlier], base[later])
        elif len(base) != len(variant):
            raise _Broken(f"the number of steps differs from the base, from line {base[0].lineno} on")
        else:
            for old, new in zip(base, variant, strict=True):
                if _head(old) != _head(new):
                    raise _Broken(f"line {old.lineno} of the base has changed")
                for inner, new_inner in zip(inner_blocks(old), inner_blocks(new), strict=True):
                    self.block(inner, new_inner)

    def order(self, first: ast.stmt, second: ast.stmt) -> None:
        """Raise `_Broken` if `first` must run before `second` in the base."""
        edge = (self.step_id(first), self.step_id(second))
        if self.analysis.graph.has_edge(*edge):
            why = "; ".join(self.analysis.graph.edges[edge]["why"])
            raise _Broken(f"line {second.lineno} runs before line {first.lineno}: {why}")

    def step_id(self, statement: ast.stmt) -> str:
        if id(statement) not in self.steps:
            raise _Broken(f"line {statement.lineno} has several statements, which the analysis cannot separate")
        return self.steps[id(statement)].step_id
