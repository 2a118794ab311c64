"""What calls do to the world, as far as it is known without running them: the words of a card's `effects:`.

Soundness does not rest on the table of library calls: every call that is not a plain one on values of known builtin
type may raise and may run code of its arguments, whatever the table says. The table makes the effects readable
("write:files" rather than "unknown"), and cards add to it by `effects:`.
"""

import builtins
from collections.abc import Iterable

from ..files import read_table

_TABLE = read_table(__file__, "effects.yaml")
_CALLS = {
    name: frozenset(effects.split()) - {"none"} for effects, names in _TABLE["calls"].items() for name in names.split()
}
_CALLS |= {
    name: frozenset()
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}

# What a method called so does on the objects that usually have it; the receiver is unknown, so "unknown" stays.
_HINTS = {name: frozenset(effects.split()) for effects, names in _TABLE["methods"].items() for name in names.split()}

UNKNOWN = frozenset({"unknown"})


def effects_of_call(name: str) -> frozenset[str]:
    """The effects of calling `name`, a dotted name with imports resolved ("os.path.join", "open().read")."""
    if name in _CALLS:
        return _CALLS[name]
    module = name
    while "." in module:
        module = module.rpartition(".")[0]
        if module + "." in _CALLS:
            return _CALLS[module + "."]
    return UNKNOWN | _HINTS.get(name.rpartition(".")[2], frozenset())


def effects_of_open(mode: str | None) -> frozenset[str]:
    """The effects of `open` with this mode; None is one that is not written out."""
    if mode is None or "+" in mode:
        return _CALLS["open"]
    return frozenset({"read:files"} if set(mode) <= set("rbt") else {"write:files"})


def ordered_effects(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The effects of two steps if they have to keep their order, else nothing: two reads do not, all others do."""
    first, second = set(first) - {"raise"}, set(second) - {"raise"}
    if not first or not second or all(word.startswith("read:") for word in first | second):
        return []
    return [", ".join(sorted(first)), ", ".join(sorted(second))]
