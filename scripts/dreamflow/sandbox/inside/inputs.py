"""Generate calls to test a procedure, from the annotations and defaults of its parameters.

An input is the text of a call. Each kind of parameter gives texts of expressions: edge cases, and a strategy of
hypothesis for more. Constants of the program and names of the card's files are among the strings and numbers: a program
often branches on them.
"""

import ast
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from itertools import zip_longest
from typing import Any, NamedTuple

from .call import Json, Module
from .canonical import Value

Annotation = Any  # a type, a special form of typing, or anything else that a program annotates with

_SURPLUS = 3  # generated calls per requested call: the original may reject some
_DEEPEST = 4  # classes within classes
_ALPHABET = "abcXYZ019 _-./:,=é\n"

_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_LISTS += (collections.abc.MutableSequence, collections.abc.Iterator)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_FLOATS = ("0.0", "1.0", "-1.5", "0.1", "1e9", "float('nan')", "float('inf')")
_FIXED: dict[Annotation, tuple[str, ...]] = {
    bool: ("True", "False"),
    complex: ("0j", "1 + 2j"),
    bytes: ("b''", "b'a'", "b'\\x00\\xff'", "b'a' * 10000"),
    decimal.Decimal: ("Decimal('0')", "Decimal('1')", "Decimal('-1.50')", "Decimal('NaN')"),
    Fraction: ("Fraction(0)", "Fraction(1)", "Fraction(-1, 3)"),
    uuid.UUID: ("UUID(int=0)", "UUID(int=1)"),
    types.NoneType: ("None",),
    None: ("None",),
}
_MIX = ("None", "1", "'a'", "0", "-1", "''", "[]", "[1, 2]", "['a', 'b']", "{}", "{'a': 1}", "True", "1.5")


class Kind(NamedTuple):
    """Texts of values of one annotation: edge cases, the second of them an ordinary value, and a strategy for more."""

    edges: Sequence[str]
    more: Any  # a strategy of hypothesis, which is loaded late

    @property
    def ordinary(self) -> str:
        return self.edges[min(1, len(self.edges) - 1)]


def send_inputs(job: Mapping[str, Json], _: str, send: Callable) -> None:
    """Report the texts of about three times `count` different calls, edge cases first."""
    module = Module(job)
    try:
        module.load(compile(job["source"], "procedure.py", "exec", dont_inherit=True))
        entry = module.names[job["entry"]]
    except BaseException:  # its first call will report the error
        send({"report": {"inputs": []}})
        return
    send({"report": {"inputs": _calls(entry, Kinds(module), job)}})


def _calls(entry: Callable, kinds: "Kinds", job: Mapping[str, Json]) -> list[str]:
    hints = _hints(entry)
    parameters = [p for p in inspect.signature(entry).parameters.values() if p.kind is not p.VAR_KEYWORD]
    # By name: a parameter with a list as its default cannot be a key of a dictionary.
    given = {p.name: kinds.parameter(p, hints.get(p.name, p.empty)) for p in parameters}
    omitted = {p.name for p in parameters if p.default is not p.empty or p.kind is p.VAR_POSITIONAL}
    base = {name: kind.ordinary for name, kind in given.items() if name not in omitted}
    edges = [_text(job["entry"], parameters, base)]
    for row in zip_longest(*(kind.edges for kind in given.values())):
        for name, text in zip(given, row, strict=True):
            if text is not None:
                edges.append(_text(job["entry"], parameters, {**base, name: text}))
    most = job["count"] * _SURPLUS
    texts = [_text(job["entry"], parameters, drawn) for drawn in _drawn(job["seed"], given, omitted, most)]
    edges = list(dict.fromkeys(edges))
    first = edges[: max(1, job["count"] // 2)]
    mixed = (text for row in zip_longest(texts, edges[len(first) :]) for text in row if text is not None)
    return list(dict.fromkeys([*first, *mixed]))[:most]


def _drawn(number: int, given: Mapping[str, Kind], omitted: Collection[str], most: int) -> list[dict[str, str]]:
    """Arguments from hypothesis, the same for the same seed `number`."""
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis import given as drawing
    from hypothesis import strategies as st

    required = {name: kind.more for name, kind in given.items() if name not in omitted}
    optional = {name: kind.more for name, kind in given.items() if name in omitted}
    drawings: list[dict[str, str]] = []

    @seed(number)
    @settings(
        max_examples=most, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @drawing(st.fixed_dictionaries(required, optional=optional))
    def collect(drawn: dict[str, str]) -> None:
        drawings.append(drawn)

    if given:
        collect()
    return drawings


def _text(entry: str, parameters: Sequence[inspect.Parameter], texts: Mapping[str, str]) -> str:
    """The call: parameters without a default by position, the others by name."""
    parts = []
    for parameter in sorted(parameters, key=lambda parameter: parameter.kind):
        by_name = parameter.kind is parameter.KEYWORD_ONLY or (
            parameter.default is not parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        )
        if text := texts.get(parameter.name):
            parts.append(f"{parameter.name}={text}" if by_name else text)
    return f"{entry}({', '.join(parts)})"


def _hints(entry: Callable) -> dict[str, Annotation]:
    try:
        return typing.get_type_hints(entry, include_extras=True)
    except (NameError, TypeError, AttributeError):  # annotations without a meaning at run time
        return {}


class Kinds:
    """The kinds of parameters of one module; they use its classes and constants."""

    def __init__(self, module: Module) -> None:
        from hypothesis import strategies as st

        self.st, self.environment = st, module.environment()
        constants = _constants(module.job["source"])
        words = [*module.job["files"], *(value for value in constants if isinstance(value, str) and len(value) <= 40)]
        self.words = [repr(word) for word in dict.fromkeys(words)][:30]
        numbers = [value for value in constants if type(value) is int and abs(value) <= 10_000]
        self.numbers = list(dict.fromkeys(near for value in numbers for near in (value, value - 1, value + 1)))[:30]

    def parameter(self, parameter: inspect.Parameter, annotation: Annotation) -> Kind:
        """The kind of a parameter by its annotation, else by its default, else a mix."""
        default = parameter.default
        if _is_function(annotation):
            text = f"recorder({parameter.name!r})"
            return Kind((text,), self.st.just(text))
        if annotation is parameter.empty and default is not parameter.empty:
            annotation = Any if default is None else type(default)
        kind = self.of(Any if annotation is parameter.empty else annotation)
        if parameter.kind is not parameter.VAR_POSITIONAL:
            return kind
        texts = self.st.lists(kind.more, max_size=3).map(", ".join)
        return Kind((kind.edges[0], ", ".join(kind.edges[:2])), texts)

    def of(self, annotation: Annotation, depth: int = 0) -> Kind:
        origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
        if annotation in (Any, object):
            return self.mix()
        if hasattr(annotation, "__supertype__"):
            return self.of(annotation.__supertype__, depth)
        if origin is typing.Annotated:
            return self.of(args[0], depth)
        if origin in (typing.Union, types.UnionType):
            return self.union([self.of(part, depth) for part in args])
        if origin is typing.Literal:
            return self.fixed([self.literal(value) for value in args])
        if origin in _FIXED:
            return self.fixed(_FIXED[origin])
        if origin in (int, float, str):
            return {int: self.integers, float: self.floats, str: self.strings}[origin]()
        if origin in (*_LISTS, *_SETS, frozenset, tuple, *_DICTS):
            return self.container(origin, args, depth)
        if isinstance(origin, type) and not args:
            return self.of_class(origin, depth)
        if isinstance(annotation, typing.TypeVar):
            parts = annotation.__constraints__ or ((annotation.__bound__,) if annotation.__bound__ else (Any,))
            return self.union([self.of(part, depth) for part in parts])
        return self.unknown(annotation)

    def integers(self) -> Kind:
        some = self.st.integers(-5, 20) | self.st.integers(-1000, 1000)
        if self.numbers:
            some |= self.st.sampled_from(self.numbers)
        edges = ("0", "1", "-1", *map(str, self.numbers[:3]), "1000")
        return Kind(tuple(dict.fromkeys(edges)), some.map(repr))

    def floats(self) -> Kind:
        some = self.st.floats(-1000, 1000, width=32).map(repr) | self.st.sampled_from(_FLOATS)
        return Kind(_FLOATS, some | self.integers().more.map(lambda text: f"{text}.0"))

    def strings(self) -> Kind:
        some = self.st.text(_ALPHABET, max_size=12).map(repr)
        if self.words:
            some |= self.st.sampled_from(self.words)
        edges = ("''", *self.words[:3], "'a'", "' '", "'é\\n'", "'a' * 10000")
        return Kind(tuple(dict.fromkeys(edges)), some)

    def mix(self) -> Kind:
        """Values of many types, for parameters without annotation."""
        return self.union([self.fixed(_MIX), self.strings(), self.integers()])

    def fixed(self, texts: Sequence[str]) -> Kind:
        return Kind(tuple(texts), self.st.sampled_from(list(texts)))

    def union(self, kinds: Sequence[Kind]) -> Kind:
        rows = zip_longest(*(kind.edges for kind in kinds))
        edges = dict.fromkeys(text for row in rows for text in row if text is not None)
        return Kind(tuple(edges), self.st.one_of(*(kind.more for kind in kinds)))

    def literal(self, value: Value) -> str:
        return f"{self.name(type(value))}.{value.name}" if isinstance(value, enum.Enum) else repr(value)

    def container(self, origin: type, args: tuple, depth: int) -> Kind:
        """Lists, sets, tuples and dicts: empty, with one, three and a thousand items."""
        st = self.st
        if origin is tuple and args and args[-1] is not Ellipsis:
            parts = [self.of(part, depth) for part in args if part != ()]
            rows = zip(*(_cycled(kind.edges) for kind in parts), strict=True)
            edges = list(dict.fromkeys(_tuple(row) for row in rows)) or ["()"]
            return Kind(edges, st.tuples(*(kind.more for kind in parts)).map(_tuple))
        if origin in _DICTS:
            keys, values = (self.of(part, depth) for part in (args or (str, Any)))
            pairs = st.lists(st.tuples(keys.more, values.more), max_size=4)
            edges = [f"{{{key}: {value}}}" for key, value in zip(keys.edges, _cycled(values.edges), strict=False)]
            texts = pairs.map(lambda drawn: "{" + ", ".join(f"{key}: {value}" for key, value in drawn) + "}")
            return Kind(["{}", *edges], texts)
        kind = self.of(args[0] if args else Any, depth)
        inner = _tuple if origin is tuple else lambda texts: f"[{', '.join(texts)}]"
        wrap = {frozenset: "frozenset", **dict.fromkeys(_SETS, "set"), collections.abc.Iterator: "iter"}.get(origin, "")
        single = inner([kind.ordinary])
        texts = [inner([]), single, inner(kind.edges[:3]), inner(kind.edges[2::-1]), f"{single} * 1000"]
        edges = list(dict.fromkeys(f"{wrap}({text})" if wrap else text for text in texts))
        drawn = st.lists(kind.more, max_size=6).map(inner)
        return Kind(edges, drawn.map(lambda text: f"{wrap}({text})") if wrap else drawn)

    def of_class(self, cls: type, depth: int) -> Kind:
        """Classes of the program and of the standard library."""
        name = self.name(cls)
        if issubclass(cls, pathlib.PurePath):
            words = self.strings()
            edges = ("Path('.')", *(f"Path({word})" for word in words.edges[1:]))
            return Kind(edges, words.more.map("Path({})".format))
        if name is None or depth >= _DEEPEST:
            return self.fixed(["None"])
        if issubclass(cls, enum.Enum):
            return self.fixed([f"{name}.{member.name}" for member in cls])
        if cls in (datetime.datetime, datetime.date):
            return self.dates(name, ", 12, 30" if cls is datetime.datetime else "")
        if cls is datetime.timedelta:
            seconds, text = self.integers(), f"{name}(seconds={{}})".format
            return Kind([text(edge) for edge in seconds.edges], seconds.more.map(text))
        if dataclasses.is_dataclass(cls):
            missing = dataclasses.MISSING
            init = [field for field in dataclasses.fields(cls) if field.init]
            fields = {f.name: f.default is not missing or f.default_factory is not missing for f in init}
            return self.built(name, fields, _hints(cls), depth)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self.built(name, {field: field in cls._field_defaults for field in cls._fields}, _hints(cls), depth)
        if typing.is_typeddict(cls):
            fields = {key: key in cls.__optional_keys__ for key in cls.__annotations__}
            return self.built("dict", fields, _hints(cls), depth)
        return self.unknown(cls)

    def dates(self, name: str, hours: str) -> Kind:
        st = self.st
        days = ("2024, 2, 29", "2024, 1, 1", "1970, 1, 1", "1999, 12, 31", "9999, 12, 31")
        edges = [f"{name}({day}{hours})" for day in days]
        more = st.dates(datetime.date(1970, 1, 1), datetime.date(2100, 1, 1))
        return Kind(edges, more.map(lambda day: f"{name}({day.year}, {day.month}, {day.day}{hours})"))

    def built(self, name: str, fields: Mapping[str, bool], hints: Mapping[str, Annotation], depth: int) -> Kind:
        """Calls of a class by its fields; fields with a default may be omitted."""
        kinds = {field: self.of(hints.get(field, Any), depth + 1) for field in fields}
        required = {field: kind for field, kind in kinds.items() if not fields[field]}

        def text(values: Mapping[str, str]) -> str:
            return f"{name}({', '.join(f'{field}={values[field]}' for field in kinds if field in values)})"

        ordinary = {field: kind.ordinary for field, kind in required.items()}
        edges = [text({**ordinary, field: edge}) for field, kind in kinds.items() for edge in kind.edges[:4]]
        optional = {field: kind.more for field, kind in kinds.items() if fields[field]}
        drawn = self.st.fixed_dictionaries({field: kind.more for field, kind in required.items()}, optional=optional)
        return Kind(list(dict.fromkeys([text(ordinary), *edges])), drawn.map(text))

    def unknown(self, annotation: Annotation) -> Kind:
        """Values that hypothesis generates, if their repr evaluates to an equal value."""
        try:
            texts = self.st.from_type(annotation).map(repr).filter(self.is_readable)
            texts.validate()
        except Exception:  # hypothesis raises many kinds for types that it cannot make
            return self.mix()
        return Kind(("None",), self.st.one_of(texts, self.st.just("None")))

    def is_readable(self, text: str) -> bool:
        try:
            return repr(eval(text, dict(self.environment))) == text  # noqa: S307  (inside the sandbox)
        except Exception:
            return False

    def name(self, cls: type) -> str | None:
        """The name of a class in the text of an input, if it has one."""
        if self.environment.get(cls.__name__) is cls:
            return cls.__name__
        holder = self.environment.get(cls.__module__)
        return f"{cls.__module__}.{cls.__name__}" if getattr(holder, cls.__name__, None) is cls else None


def _is_function(annotation: Annotation) -> bool:
    parts = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    return any(
        (typing.get_origin(part) or part) is collections.abc.Callable or part is typing.Callable
        for part in (annotation, *parts)
    )


def _tuple(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _cycled(texts: Sequence[str]) -> list[str]:
    """The first eight of the texts, repeated if they are fewer."""
    return [texts[at % len(texts)] for at in range(8)]


def _constants(source: str) -> list[Value]:
    """The strings and numbers in a program, in order, without docstrings."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documents]
