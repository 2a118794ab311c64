"""Reduce the text of a call step by step, to counterexamples that people can read."""

import ast
from collections.abc import Iterator
from copy import deepcopy

from ..pyanalysis.source import parse_python


def smaller(call: str) -> list[str]:
    """The calls one step smaller than `call`: a number nearer to 0, a shorter text, fewer items, a keyword less.

    All are shorter, or equally long with a smaller number. The shortest are first.
    """
    tree = parse_python(call, mode="eval").body
    texts = {text for text in map(ast.unparse, _steps(tree, top=True)) if len(text) <= len(call) and text != call}
    return sorted(texts, key=lambda text: (len(text), text))


def _steps(node: ast.expr, top: bool = False) -> Iterator[ast.expr]:
    """Every way to reduce one part of an expression; `top` is the call itself, which stays."""
    if isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _constants(node.value))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BinOp):  # [1] * 1000, 'a' * 10000
        yield node.left
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for positions in _fewer(len(node.elts)):
            if positions or not isinstance(node, ast.Set):
                yield _with(node, elts=[node.elts[at] for at in positions])
    elif isinstance(node, ast.Dict):
        for positions in _fewer(len(node.keys)):
            yield _with(node, keys=[node.keys[at] for at in positions], values=[node.values[at] for at in positions])
    elif isinstance(node, ast.Call):
        for at in range(len(node.keywords)):
            yield _with(node, keywords=[*node.keywords[:at], *node.keywords[at + 1 :]])
        if not top and len(node.args) == 1:
            yield node.args[0]
    for name in ("args", "elts", "values", "keywords", "operand", "left"):
        yield from _inner(node, name)


def _inner(node: ast.expr, name: str) -> Iterator[ast.expr]:
    """`node` with one part inside `name` reduced by one step."""
    part = getattr(node, name, None)
    for at, item in enumerate(part if isinstance(part, list) else []):
        if isinstance(item, ast.keyword):
            changed = (ast.keyword(item.arg, step) for step in _steps(item.value))
        else:
            changed = _steps(item) if item is not None else iter(())
        for step in changed:
            yield _with(node, **{name: [*part[:at], step, *part[at + 1 :]]})
    if isinstance(part, ast.expr):
        yield from (_with(node, **{name: step}) for step in _steps(part))


def _with(node: ast.expr, **parts: object) -> ast.expr:
    changed = deepcopy(node)
    for name, part in parts.items():
        setattr(changed, name, part)
    return changed


def _fewer(count: int) -> Iterator[list[int]]:
    """The positions to keep of `count` items: none, each half, all but one (of the first ten)."""
    if count:
        yield []
    if count > 2:
        yield list(range(count // 2))
        yield list(range(count // 2, count))
    if count > 1:
        yield from ([at for at in range(count) if at != left_out] for left_out in range(min(count, 10)))


def _constants(value: object) -> list[object]:
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int):
        return list(dict.fromkeys(near for near in (0, 1, value // 2, value - 1) if near < value))
    if isinstance(value, float):
        return [near for near in (0.0, float(int(value))) if near != value] if abs(value) < 1e15 else [0.0]
    if isinstance(value, str | bytes) and value:
        halves = (value[:0], value[: len(value) // 2], value[len(value) // 2 :], value[1:], value[:-1])
        return list(dict.fromkeys(half for half in halves if half != value))
    return []
