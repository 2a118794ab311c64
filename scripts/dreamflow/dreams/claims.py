"""Whether a variant keeps what its kind claims about dependences, found without asking the operator that made it.

What a variant adds is taken away again (threads, the new parameter at its default). What is left has to be the base:
the same statements, those of a block in an order that the base's dependence graph, made anew, allows.
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
    """A claim does not hold; the message says why."""


def broken_claim(analysis: Analysis, source: str, kind: str, adds: Sequence[str]) -> str:
    """Why the claim of a variant of this kind does not hold; empty if it does. It defines the entry as a function.

    `analysis` is the base's, made from its source.
    """
    try:
        base = read_code(analysis.source, analysis.entry)
        variant = parse_python(source)
        entry = next(n for n in reversed(variant.body) if isinstance(n, ast.FunctionDef) and n.name == analysis.entry)
        # What a variant of this kind adds is taken away; `groups` are the statements that it runs at the same time.
        if kind == "conditional":
            _decide(base, entry, _remove_parameters(entry, adds))
        groups = _without_pools(base, variant, entry) if kind == "parallelise" else []
        if _outside(variant, entry) != _outside(base.tree, base.entry) or _head(entry) != _head(base.entry):
            raise _Broken("more has changed than the steps of the entry point")
        _Comparison(base, analysis).check(entry, groups)
    except _Broken as reason:
        return str(reason)
    return ""


def _without_pools(base: Code, variant: ast.Module, entry: ast.FunctionDef) -> list[list[ast.stmt]]:
    """Replace every new pool by its work in turn; returns the statements that are put in the place of each."""
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
                groups.append(_in_turn(statement))
                block[place : place + 1] = groups[-1]
    if not groups:
        raise _Broken("nothing runs at the same time")
    return groups


def _blocks(entry: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    blocks = [entry.body]
    for block in blocks:  # grows while it is read
        yield block
        blocks += [inner for statement in block for inner in inner_blocks(statement)]


def _called(node: ast.AST | None) -> str:
    return name_of(node.func) if isinstance(node, ast.Call) else ""


def _in_turn(pool: ast.With) -> list[ast.stmt]:
    """The statements that a `with` of futures stands for, in the order in which it takes the results."""
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
            raise _Broken(f"line {statement.lineno} is no part of a plain group of futures")
    if work:
        raise _Broken("a result is never taken")
    return results


def _submitted(submit: ast.Call) -> ast.expr:
    function, *arguments = submit.args
    if isinstance(function, ast.Lambda) and not arguments and not submit.keywords:
        return function.body
    values = [function, *arguments, *(keyword.value for keyword in submit.keywords)]
    if not all(isinstance(value, ast.Name | ast.Constant) for value in values):
        raise _Broken(f"arguments in line {submit.lineno} are computed before earlier steps have ended")
    return ast.Call(function, arguments, submit.keywords)


def _remove_parameters(entry: ast.FunctionDef, adds: Sequence[str]) -> dict[str, bool]:
    """Take the added parameters out of the entry; returns their defaults."""
    defaults = {}
    pairs = list(zip(entry.args.kwonlyargs, entry.args.kw_defaults, strict=True))
    for arg, default in pairs:
        if arg.arg in adds and isinstance(default, ast.Constant):
            defaults[arg.arg] = bool(default.value)
    entry.args.kwonlyargs = [arg for arg, _ in pairs if arg.arg not in defaults]
    entry.args.kw_defaults = [default for arg, default in pairs if arg.arg not in defaults]
    if not defaults:
        raise _Broken("no declared keyword parameter with a constant default")
    return defaults


def _decide(base: Code, entry: ast.FunctionDef, defaults: dict[str, bool]) -> None:
    """Replace every `if` that asks for an added parameter by what it does at the default."""
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
                # even what never runs makes names local, and a function a generator
                scope = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)
                if bound_names(dropped) - local or any(isinstance(node, scope) for node in own_nodes(dropped)):
                    raise _Broken(f"the other branch of line {statement.lineno} changes what names mean")
                block[place : place + 1] = taken


def _outside(tree: ast.Module, entry: ast.FunctionDef) -> list[str]:
    return [ast.dump(node) for node in tree.body if node is not entry]


def _head(statement: ast.stmt) -> list[str]:
    """All of a statement but the blocks inside it."""
    inner = {id(part) for block in inner_blocks(statement) for part in block}
    found = [type(statement).__name__]
    for name, value in ast.iter_fields(statement):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.ExceptHandler | ast.match_case):
                found += _head(part)
            elif id(part) not in inner:
                found.append(f"{name}: {ast.dump(part) if isinstance(part, ast.AST) else part!r}")
    return found


class _Comparison:
    """Finds which statement of the base each statement of a variant is, and whether the orders agree."""

    def __init__(self, base: Code, analysis: Analysis) -> None:
        self.base, self.analysis = base, analysis
        self.steps = {
            id(base.statements[line]): step
            for line, step in steps_by_line(base, analysis).items()
            if line in base.statements
        }
        self.original: dict[int, ast.stmt] = {}

    def check(self, entry: ast.FunctionDef, groups: list[list[ast.stmt]]) -> None:
        """Raise `_Broken` unless `entry` is the base's in a permitted order, and groups are independent there."""
        self.block(self.base.entry.body, entry.body)
        for group in groups:
            for one, other in combinations((self.original[id(statement)] for statement in group), 2):
                if not movable(self.analysis, self.step_id(one), self.step_id(other)):
                    raise _Broken(f"line {other.lineno} depends on line {one.lineno}, or the other way round")

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
            raise _Broken(f"there are other steps than in the base, from line {base[0].lineno} on")
        else:
            for old, new in zip(base, variant, strict=True):
                if _head(old) != _head(new):
                    raise _Broken(f"line {old.lineno} of the base has changed")
                for inner, new_inner in zip(inner_blocks(old), inner_blocks(new), strict=True):
                    self.block(inner, new_inner)

    def order(self, first: ast.stmt, second: ast.stmt) -> None:
        """Raise `_Broken` if the base needs `first` before `second`."""
        edge = (self.step_id(first), self.step_id(second))
        if self.analysis.graph.has_edge(*edge):
            why = "; ".join(self.analysis.graph.edges[edge]["why"])
            raise _Broken(f"line {second.lineno} runs before line {first.lineno}: {why}")

    def step_id(self, statement: ast.stmt) -> str:
        if id(statement) not in self.steps:
            raise _Broken(f"line {statement.lineno} holds several statements, which cannot be told apart")
        return self.steps[id(statement)].step_id
