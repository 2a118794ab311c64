"""Variants with another timeout, threshold, number of retries, delay or limit: one number at one place each.

A number is recognised by its name in the syntax tree: keyword of a call, default of a parameter, constant, comparison,
argument of `sleep`, or `range` of a retry loop. Its text is replaced by position. Integers stay integers and positive;
zero and negative numbers often mean "none" and stay.
"""

import ast
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, zip_longest
from typing import NamedTuple

from ...pyanalysis.analysis import Analysis
from ...pyanalysis.syntax import Code, edited, name_of, read_code
from ..procedure import Procedure
from . import Variation

VERSION = 1

# The original's multipliers and numbers of retries, the largest changes first.
MULTIPLIERS = tuple(map(Fraction, ("2", "0.5", "5", "1.5", "0.75", "10")))
RETRIES = (5, 1, 10, 2, 15)

_WORDS = {
    "retries": "retry retries attempt attempts try tries checks repeats",
    "timeout": "timeout timeouts deadline",
    "delay": "wait delay sleep interval backoff pause period cooldown grace jitter",
    "threshold": "threshold tolerance ratio share cutoff above below slow min minimum epsilon",
    "limit": "limit limits max maximum top quota cap most",
    "size": "size chunk batch buffer length window width samples",
    "workers": "workers threads processes concurrency parallelism",
    "age": "ttl age keep stale expiry expires retention seconds minutes hours days weeks daily weekly monthly",
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words.split()}
_ORDERINGS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class _Place(NamedTuple):
    """A number, its name, and the role of the name."""

    number: ast.Constant
    name: str
    role: str


def variations(procedure: Procedure, analysis: Analysis) -> list[Variation]:
    """Every place with its first new value, then every place with its second, and so on; the entry's places first."""
    code = read_code(procedure.source, procedure.entry)
    places = list(_places(code))
    inside = [code.entry.lineno <= place.number.lineno <= (code.entry.end_lineno or 0) for place in places]
    ranked = sorted(range(len(places)), key=lambda i: not inside[i])
    columns = zip_longest(*(_variations(code, places[i]) for i in ranked))
    return [variation for column in columns for variation in column if variation]


def role(name: str) -> str:
    """The role of a number with this name: "timeout" for `connect_timeout`; "" for a name without a role."""
    roles = [_ROLES[word] for word in name.lower().strip("_").split("_") if word in _ROLES]
    # the bounded thing (`max_retries`) is more specific than the bound
    return next((role for role in roles if role not in ("limit", "threshold")), roles[0] if roles else "")


def _variations(code: Code, place: _Place) -> list[Variation]:
    old = code.of(place.number)
    name = ascii(place.name)[1:-1][:40]
    values = {}
    for how, value in _others(place):
        text = f"{value:_}" if isinstance(value, int) and "_" in old else repr(value)
        values.setdefault(value, (how, text))
    return [
        Variation(
            site=f"{code.position(place.number)} {name}{how}",
            description=f"{place.name} in line {place.number.lineno}: {old} -> {text}",
            make=partial(edited, code, [(*code.span(place.number), text)], "parameters"),
        )
        for value, (how, text) in values.items()
        if value != place.number.value
    ]


def _others(place: _Place) -> list[tuple[str, int | float]]:
    base = place.number.value
    if isinstance(base, int):
        if place.role == "retries":
            return [(f"={count}", count) for count in RETRIES]
        # rounded half up, and never to 0, which often means "none"
        return [(f"*{float(m):g}", max(1, math.floor(base * m + Fraction(1, 2)))) for m in MULTIPLIERS]
    scaled = [(f"*{float(m):g}", float(f"{base * float(m):.12g}")) for m in MULTIPLIERS]
    return [(how, value) for how, value in scaled if 0 < value < math.inf]


def _places(code: Code) -> Iterator[_Place]:
    """Each number with a role, in the order of the source."""
    places: dict[tuple[int, int], _Place] = {}
    stack: list[ast.AST] = [code.tree]
    while stack:
        node = stack.pop()
        # before Python 3.12, the positions inside an f-string are unusable
        if isinstance(node, ast.JoinedStr):
            continue
        for name, value in _named(node):
            number = _number(value)
            if number is not None and (what := role(name)):
                places.setdefault((number.lineno, number.col_offset), _Place(number, name, what))
        stack += ast.iter_child_nodes(node)
    yield from (places[position] for position in sorted(places))


def _number(value: ast.expr | None) -> ast.Constant | None:
    """The number in `value`, or the first factor of a product such as `24 * 60 * 60`."""
    while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult) and _number(value.right) is not None:
        value = value.left
    is_number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
    return value if is_number and value.value > 0 else None


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Pairs of a name and the expression that is assigned to it or compared with it."""
    if isinstance(node, ast.Call):
        yield from ((keyword.arg or "", keyword.value) for keyword in node.keywords)
        if name_of(node.func).rpartition(".")[2] == "sleep":
            yield from (("sleep", value) for value in node.args[:1])
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        yield from ((a.arg, value) for a, value in zip(reversed(positional), reversed(node.defaults), strict=False))
        yield from ((a.arg, value) for a, value in zip(node.kwonlyargs, node.kw_defaults, strict=True))
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from ((name_of(target).rpartition(".")[2], node.value) for target in targets)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(operator, _ORDERINGS):
                yield from ((name_of(a).rpartition(".")[2], b) for a, b in ((left, right), (right, left)))
    elif isinstance(node, ast.For) and _retries(node):
        yield "attempts", node.iter.args[-1]


def _retries(loop: ast.For) -> bool:
    """Whether a loop over a range repeats until success: its variable says so, or a `try` in it leaves the loop."""
    is_range = isinstance(loop.iter, ast.Call) and name_of(loop.iter.func) == "range" and len(loop.iter.args) in (1, 2)
    if not is_range:
        return False
    tries = chain.from_iterable(ast.walk(part) for part in loop.body if isinstance(part, ast.Try))
    leaves = any(isinstance(node, ast.Break | ast.Return) for node in tries)
    return leaves or role(getattr(loop.target, "id", "")) == "retries"
