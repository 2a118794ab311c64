"""The known effects of calls, in the words of a card's `effects:`.

Soundness does not depend on the table of library calls: every call may raise and may run code of its arguments, unless
it is a plain call on values of known builtin types. The table makes the effects readable ("write:files" instead of
"unknown"), and the `effects:` of cards add to it.
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

# The effects of methods on their usual objects; the receiver is unknown, so "unknown" stays.
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
    """The effects of `open` with this mode; None if the mode is not a constant."""
    if mode is None or "+" in mode:
        return _CALLS["open"]
    return frozenset({"read:files"} if set(mode) <= set("rbt") else {"write:files"})


def ordered_effects(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The effects of two steps that must keep their order; empty without effects in a step, or if both only read."""
    first, second = set(first) - {"raise"}, set(second) - {"raise"}
    if not first or not second or all(word.startswith("read:") for word in first | second):
        return []
    return [", ".join(sorted(first)), ", ".join(sorted(second))]
