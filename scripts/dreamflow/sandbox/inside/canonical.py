"""One text for equal values: the comparison of results, arguments, calls and files of two programs uses it."""

import hashlib
import os
import re
import types
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

Value = Any  # a value of the program

MOST_ITEMS = 1_000  # items taken from an iterator
_MOST_VALUES = 200_000  # nested values; further values are shown by type only
_DEEPEST = 100
_DEEPEST_FOLDER = 50
_LONGEST = 20_000  # characters; a longer text is cut, with a digest of the whole

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (type(None), bool, int, str, bytes, complex, range, type(Ellipsis), type(NotImplemented))
_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_CONTAINERS = {list: "[]", tuple: "()", set: "{}", frozenset: "{}", deque: "[]"}


class Recorded:
    """A stand-in that is compared by its name only."""

    name: str


def canonical(value: Value) -> str:
    """A text for `value` and its type, the same for equal values of two processes.

    Sets are sorted, the order of dicts counts. Objects are shown by type and attributes, functions and classes by name;
    iterators are consumed. At most 20,000 characters, with a digest if the text was longer.
    """
    return shorten(_Writer().write(value, ()))


def shorten(text: str, longest: int = _LONGEST) -> str:
    """`text`, or its beginning with the length and a digest of the whole."""
    if len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:longest]}… ({len(text)} characters, sha256 {digest[:16]})"


def type_name(kind: type) -> str:
    """The name of a type, with its module unless this is builtins or the program."""
    module = getattr(kind, "__module__", None)
    return kind.__qualname__ if module in (None, "builtins", "procedure") else f"{module}.{kind.__qualname__}"


def files_below(folder: Path) -> str:
    """All files, links and folders below `folder`, one per line: path, type, size and digest."""
    lines = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        lines += [f"{(here / name).relative_to(folder)}/" for name in folders if not (here / name).is_symlink()]
        if len(here.parts) - len(folder.parts) >= _DEEPEST_FOLDER:
            folders.clear()
        links = [here / name for name in [*folders, *names] if (here / name).is_symlink()]
        lines += [f"{link.relative_to(folder)} -> {link.readlink()}" for link in links]
        lines += [_file_line(here / name, folder) for name in names if not (here / name).is_symlink()]
    return shorten("\n".join(sorted(lines)))


def _file_line(path: Path, folder: Path) -> str:
    name = path.relative_to(folder)
    if not path.is_file():  # reading a pipe or a device would block
        return f"{name} (no regular file)"
    executable = ", executable" if path.stat().st_mode & 0o100 else ""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"{name} ({error.strerror}{executable})"
    return f"{name} ({path.stat().st_size} bytes, sha256 {digest[:16]}{executable})"


class _Writer:
    """Writes one value; counts its parts, so that shared parts cannot grow without end."""

    def __init__(self) -> None:
        self.left = _MOST_VALUES

    def write(self, value: Value, above: tuple[int, ...]) -> str:
        self.left -= 1
        if id(value) in above:
            return f"<the value {len(above) - above.index(id(value))} levels above>"
        if len(above) >= _DEEPEST or self.left < 0:
            return f"<{type_name(type(value))}, not looked into>"
        try:
            return self.known(value, (*above, id(value)))
        except MemoryError:
            raise
        except Exception as error:  # a property or a __repr__ of the program
            return f"<{type_name(type(value))} that raises {type_name(type(error))} when looked at>"

    def known(self, value: Value, above: tuple[int, ...]) -> str:
        kind = type(value)
        if kind in _PLAIN:
            return repr(value)
        if kind is float:
            return "nan" if value != value else repr(value)
        if isinstance(value, Recorded):
            return f"<fake {value.name}>"
        if isinstance(value, Enum):
            return f"{type_name(kind)}.{value.name}"
        if isinstance(value, _CALLABLE):
            return f"<{'class' if isinstance(value, type) else 'function'} {getattr(value, '__qualname__', '?')}>"
        if isinstance(value, types.ModuleType):
            return f"<module {value.__name__}>"
        if isinstance(value, BaseException):
            return f"{type_name(kind)}{self.items(value.args, above, '()')}"
        if isinstance(value, dict):
            pairs = [f"{self.write(key, above)}: {self.write(item, above)}" for key, item in value.items()]
            return self.named(value, "{" + ", ".join(pairs) + "}", dict, above)
        for base, marks in _CONTAINERS.items():
            if isinstance(value, base):
                return self.named(value, self.items(value, above, marks), base, above)
        if isinstance(value, Iterator) and not hasattr(value, "read"):
            return f"{type_name(kind)}{self.consumed(value, above)}"
        for base in (int, float, str, bytes):
            if isinstance(value, base):
                return self.named(value, base.__repr__(value), base, above)
        return self.object(value, above)

    def items(self, values: Iterable[Value], above: tuple[int, ...], marks: str) -> str:
        texts = [self.write(item, above) for item in values]
        if marks == "{}":
            texts.sort()
        if marks == "{}" and not texts:
            return "set()"  # an empty dict is {}
        comma = "," if marks == "()" and len(texts) == 1 else ""
        return f"{marks[0]}{', '.join(texts)}{comma}{marks[1]}"

    def named(self, value: Value, text: str, base: type, above: tuple[int, ...]) -> str:
        """The name, content and attributes of a value whose class is derived from a built-in type."""
        if type(value) is base and base in (dict, list, tuple, set):
            return text
        factory = f" of {self.write(value.default_factory, above)}" if hasattr(value, "default_factory") else ""
        return f"{type_name(type(value))}{factory}({text}){self.attributes(value, above)}"

    def consumed(self, values: Iterator, above: tuple[int, ...]) -> str:
        texts = []
        try:
            for item in islice(values, MOST_ITEMS):
                texts.append(self.write(item, above))
        except Exception as error:
            texts.append(f"raises {type_name(type(error))}: {error}")
        return f"<{', '.join(texts)}{', …' if len(texts) == MOST_ITEMS else ''}>"

    def object(self, value: Value, above: tuple[int, ...]) -> str:
        kind = type(value)
        for way in ("to_dict", "tolist"):  # tables and arrays, whose repr omits their middle
            if kind.__module__ != "procedure" and hasattr(kind, way):
                dtype = getattr(value, "dtype", "")
                return f"{type_name(kind)}({f'{dtype} ' if dtype else ''}{self.write(getattr(value, way)(), above)})"
        if attributes := self.attributes(value, above):
            return type_name(kind) + attributes
        if kind.__repr__ is object.__repr__:
            return f"{type_name(kind)}()"
        text = _ADDRESS.sub("", repr(value))  # dates, decimals, paths, patterns
        return text if text.startswith((kind.__name__, type_name(kind), "<")) else f"{type_name(kind)} {text}"

    def attributes(self, value: Value, above: tuple[int, ...]) -> str:
        names = set(getattr(value, "__dict__", ()))
        for kind in type(value).__mro__:
            if kind.__module__ == "procedure":  # other classes keep caches in their slots
                slots = kind.__dict__.get("__slots__", ())
                names.update([slots] if isinstance(slots, str) else slots)
        held = [(name, getattr(value, name)) for name in sorted(names) if hasattr(value, name)]
        return f"({', '.join(f'{name}={self.write(item, above)}' for name, item in held)})" if held else ""
