"""The results of operators, builtins and methods on values of builtin types, and which of them cannot raise.

"Cannot raise" ignores exhausted memory, stack or digits of a printed integer. Elements of containers have an unknown
type, so comparing, hashing or printing them may raise (and may run their code).
"""

import ast

from ..files import read_table

Types = frozenset[str]


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


UNKNOWN: Types = frozenset({"?"})
SCALARS: Types = words("int float complex bool str bytes none ellipsis")
CONTAINERS: Types = words("list dict set")
IMMUTABLE: Types = SCALARS | words("tuple frozenset range function")  # their elements may still change
KNOWN: Types = IMMUTABLE | CONTAINERS
ITERABLE: Types = words("str bytes list dict set tuple frozenset range")
_WHOLE: Types = frozenset({"int", "bool"})
_REAL: Types = _WHOLE | {"float"}
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)
_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)


def _is(types: Types, allowed: Types | set[str]) -> bool:
    return bool(types) and types <= allowed


def type_of_constant(value: object) -> Types:
    """The type of a literal."""
    name = "none" if value is None else "ellipsis" if value is ... else type(value).__name__
    return frozenset({name})


def binary(op: ast.operator, left: Types, right: Types) -> tuple[Types, bool]:
    """Types of `left op right`, and whether it cannot raise."""
    pairs = [_binary(op, a, b) for a in left for b in right]
    return frozenset(result for result, _ in pairs), bool(pairs) and all(calm for _, calm in pairs)


def _binary(op: ast.operator, left: str, right: str) -> tuple[str, bool]:
    pair = {left, right}
    if pair <= _WHOLE:
        if isinstance(op, _ARITHMETIC):
            return "int", True
        if isinstance(op, _BITS):
            return ("bool" if pair == {"bool"} else "int"), True
        if isinstance(op, ast.FloorDiv | ast.Mod | ast.LShift | ast.RShift):
            return "int", False
        return ("float" if isinstance(op, ast.Div) else "?"), False
    if pair <= _REAL and not isinstance(op, ast.Pow):
        # A huge int does not fit into a float, so a mixture may raise.
        numeric = isinstance(op, (*_ARITHMETIC, ast.Div, ast.FloorDiv, ast.Mod))
        return ("float" if numeric else "?"), pair == {"float"} and isinstance(op, _ARITHMETIC)
    if left == right and left in ("str", "bytes", "list", "tuple") and isinstance(op, ast.Add):
        return left, True
    if isinstance(op, ast.Mult) and pair & _WHOLE and len(sequence := pair & {"str", "list", "tuple"}) == 1:
        return sequence.pop(), False
    if pair == {"set"} and isinstance(op, (*_BITS, ast.Sub)):
        return "set", False
    return "?", False


def unary(op: ast.unaryop, operand: Types) -> tuple[Types, bool]:
    """Types of `op operand`, and whether it cannot raise."""
    if isinstance(op, ast.Not):
        return frozenset({"bool"}), has_truth(operand)
    if _is(operand, _WHOLE):
        return frozenset({"int"}), True
    if _is(operand, _REAL) and not isinstance(op, ast.Invert):
        return frozenset("int" if name == "bool" else name for name in operand), True
    return UNKNOWN, False


def comparison(op: ast.cmpop, left: Types, right: Types) -> tuple[Types, bool]:
    """Types of `left op right`, and whether it cannot raise."""
    if isinstance(op, ast.Is | ast.IsNot):
        return frozenset({"bool"}), True
    if isinstance(op, ast.In | ast.NotIn):
        text = _is(left, {"str"}) and _is(right, {"str"})
        return frozenset({"bool"}), text or (_is(left, _WHOLE) and _is(right, {"range"}))
    if isinstance(op, ast.Eq | ast.NotEq):
        calm = _is(left, SCALARS) and _is(right, SCALARS)
    else:
        calm = any(_is(left, kind) and _is(right, kind) for kind in (_REAL, {"str"}, {"bytes"}))
    return (frozenset({"bool"}) if calm else UNKNOWN), calm


def subscript(value: Types, is_slice: bool) -> Types:
    """Types of an element or a slice."""
    if is_slice and _is(value, {"str", "bytes", "list", "tuple", "range"}):
        return value
    return frozenset({"str"}) if _is(value, {"str"}) else UNKNOWN


def element(iterable: Types) -> Types:
    """Types of the items of an iteration."""
    gives = {"str": "str", "bytes": "int", "range": "int"}
    return frozenset(gives.get(name, "?") for name in iterable)


def has_truth(types: Types) -> bool:
    """Whether `bool(x)` runs only code of builtin types."""
    return _is(types, KNOWN)


_TABLE = read_table(__file__, "builtins.yaml")
_ALWAYS = {name: result for result, names in _TABLE["functions"].items() for name in names.split()}


def builtin_result(name: str, arguments: list[Types]) -> Types:
    """Types of the result of the builtin function or type `name`; empty if it has none yet."""
    if name in _ALWAYS:
        return frozenset({_ALWAYS[name]})
    if not all(arguments):
        return frozenset()
    if name in ("str", "repr"):
        plain = len(arguments) < 2 and all(_is(types, SCALARS) for types in arguments)
        return frozenset({"str"}) if plain else UNKNOWN
    if name in ("min", "max") and len(arguments) > 1 and all(_is(types, SCALARS) for types in arguments):
        return frozenset().union(*arguments)
    if name == "abs" and len(arguments) == 1 and _is(arguments[0], _REAL):
        return frozenset("int" if kind == "bool" else kind for kind in arguments[0])
    return UNKNOWN


def builtin_is_calm(name: str, arguments: list[Types]) -> bool:
    """Whether a call of the builtin `name` with these positional arguments cannot raise or run unknown code."""
    if len(arguments) == 0:
        return name in ("list", "tuple", "set", "frozenset", "dict", "str", "int", "float", "bool", "object")
    first = arguments[0]
    if name in ("min", "max") and len(arguments) > 1:
        return any(all(_is(types, kind) for types in arguments) for kind in (_REAL, {"str"}))
    if name == "range":
        return len(arguments) < 3 and all(_is(types, _WHOLE) for types in arguments)
    if len(arguments) > 1:
        return False
    allowed = {
        "len": ITERABLE - {"range"},  # the length of a range may be too large, for `list` too
        "list": ITERABLE - {"range"},
        "tuple": ITERABLE - {"range"},
        "set": {"str", "bytes", "set", "frozenset"},
        "frozenset": {"str", "bytes", "set", "frozenset"},
        "dict": {"dict"},
        "sorted": {"str", "bytes"},
        "any": {"str", "bytes"},
        "all": {"str", "bytes"},
        "bool": KNOWN,
        "str": SCALARS,
        "repr": SCALARS,
        "hash": SCALARS,
        "int": _WHOLE,
        "float": {"float", "bool"},
        "abs": _REAL,
    }
    return name in ("callable", "type") or _is(first, allowed.get(name, frozenset()))


_RESULTS = {
    kind: {name: result for result, names in methods.items() for name in names.split()}
    for kind, methods in _TABLE["methods"].items()
}
CHANGING = words("append extend insert remove clear sort reverse pop popitem setdefault update add discard")
CHANGING |= {"difference_update", "intersection_update"}
COPYING = words("extend update join union intersection difference issubset issuperset isdisjoint")
VIEWS = frozenset({"keys", "values", "items"})
_CALM_TEXT = {  # numbers of arguments by name
    name: tuple(map(int, counts.split())) for counts, names in _TABLE["calm_text"].items() for name in names.split()
}


def has_method(receiver: Types, name: str) -> bool:
    """Whether the receiver has builtin types only, and the table has this method for any of them."""
    return _is(receiver, KNOWN) and any(name in _RESULTS.get(kind, ()) for kind in receiver)


def method_result(receiver: Types, name: str) -> Types:
    """Types of the result of a method; empty if it has none yet."""
    if not receiver:
        return receiver
    if not has_method(receiver, name):
        return UNKNOWN
    return frozenset(_RESULTS[kind][name] for kind in receiver if name in _RESULTS.get(kind, ()))


def method_is_calm(receiver: Types, name: str, arguments: list[Types]) -> bool:
    """Whether a call of the method with these positional arguments cannot raise or run unknown code."""
    if _is(receiver, {"str"}):
        return len(arguments) in _CALM_TEXT.get(name, ()) and all(_is(types, {"str"}) for types in arguments)
    if _is(receiver, {"list"}) and name == "append":
        return len(arguments) == 1
    if _is(receiver, {"list"}) and name == "extend":
        return len(arguments) == 1 and _is(arguments[0], ITERABLE - {"range"})
    takes_nothing = {"list": {"copy", "reverse"}, "dict": {"copy", *VIEWS}, "set": {"copy"}}
    return not arguments and any(_is(receiver, {kind}) and name in calm for kind, calm in takes_nothing.items())
