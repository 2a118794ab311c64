"""The rules of a cohort spec (DayDreaming's spec DSL): subsets, ties, pairs and tuples.

A rule makes a new axis of old ones. An axis knows for each of its levels which values that level gives to
which fields; so a tie, a pair or a tuple is expanded once a level, not once a row, and its name is in no row.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..config import show
from ..errors import ConfigError, Key, dotted

Scalar = str | int | float
Read = Callable[[Any, Key], tuple[list[Any], Key]]  # (value, key) -> (items, key with the file they come from)

_FORBIDDEN = {
    "to": "the key of a tie is already the name of its axis: delete 'to'",
    "expand": "tuples are always expanded: delete 'expand'",
}
_BALANCES = ("left", "right", "both")


class Axis(NamedTuple):
    """`levels`: for each level, in order, its values for `fields`. A joined axis has tuples as levels."""

    fields: tuple[str, ...]
    levels: dict[Any, tuple[Scalar, ...]]


@dataclass
class _Design:
    """Axes in the order of the product, and what became of those that are no longer among them."""

    axes: dict[str, Axis]
    read: Read
    tied: dict[str, str] = field(default_factory=dict)  # name -> the tie that it answers to now
    joined: dict[str, str] = field(default_factory=dict)  # name -> the pair or tuple that it is a part of
    later: dict[str, Key] = field(default_factory=dict)  # name -> the rule that makes it


def apply_rules(axes: Mapping[str, Axis], rules: Any, read: Read) -> dict[str, Axis]:
    """The axes that remain when the sections of `rules` are applied, in the order in which they come."""
    sections = {"subsets": _subset, "ties": _tie, "pairs": _pair, "tuples": _tuple}
    rules = mapping({} if rules is None else rules, ("rules",), f"a mapping with {', '.join(sections)}")
    known_keys(rules, ("rules",), (), tuple(sections))
    for section, entries in rules.items():
        mapping(entries, ("rules", section), "a mapping from names to rules")
    design = _Design(dict(axes), read, later=_made_by(rules))
    for section, entries in rules.items():
        for name, entry in entries.items():
            key: Key = ("rules", section, str(name))
            design.later = {made: rule for made, rule in design.later.items() if rule != key}
            sections[section](design, _text(name, key), entry, key)
    return design.axes


def _subset(design: _Design, name: str, entry: Any, key: Key) -> None:
    """Keep the listed levels, in the order of the axis."""
    found = _find(design, name, key)
    axis = design.axes[found]
    items, key = design.read(entry, key)
    listed = {_known(item, axis, name, (*key, place)) for place, item in enumerate(items)}
    levels = {level: values for level, values in axis.levels.items() if level in listed}
    design.axes[found] = axis._replace(levels=levels)


def _tie(design: _Design, name: str, entry: Any, key: Key) -> None:
    """All named axes take the same value: one that all of them have, in the order of the first."""
    if isinstance(entry, Mapping):
        known_keys(entry, key, ("axes",))
        entry, key = entry["axes"], (*key, "axes")
    names = names_list(entry, key)
    found = [_find(design, old, (*key, place)) for place, old in enumerate(names)]
    if len(set(found)) < len(found):
        raise ConfigError(f"{show(names)}: two of these are already tied; name only one of them", key)
    if name not in found:
        _new_name(design, name, key)
    first, *others = (design.axes[old] for old in found)
    levels = {
        level: sum((other.levels[level] for other in others), values)
        for level, values in first.levels.items()
        if all(level in other.levels for other in others)
    }
    if not levels:
        lists = "; ".join(f"{old}: {_some(design.axes[now].levels)}" for old, now in zip(names, found, strict=True))
        raise ConfigError(f"no level is common to all these axes ({lists}); give them one", key)
    _replace(design, found, name, Axis(sum((other.fields for other in others), first.fields), levels))
    design.tied.update({old: name for old in found if old != name})


def _pair(design: _Design, name: str, entry: Any, key: Key) -> None:
    """Only the allowed combinations of two axes, in the order listed."""
    known_keys(mapping(entry, key, "a mapping"), key, ("left", "right", "allowed"), ("balance",))
    sides = [_text(entry[side], (*key, side)) for side in ("left", "right")]
    found = [_find(design, sides[0], (*key, "left")), _find(design, sides[1], (*key, "right"))]
    if found[0] == found[1]:
        raise ConfigError(f"'left' and 'right' are the same axis {sides[0]!r}; a pair joins two axes", key)
    _new_name(design, name, key)
    left, right = (design.axes[old] for old in found)
    items, place = design.read(entry["allowed"], (*key, "allowed"))
    levels = {}
    for number, item in enumerate(items):
        _sized(item, 2, (*place, number), f"[{', '.join(sides)}]")
        one = _known(item[0], left, sides[0], (*place, number, 0))
        two = _known(item[1], right, sides[1], (*place, number, 1))
        levels[one, two] = left.levels[one] + right.levels[two]
    if entry.get("balance") is not None:
        _check_balance(levels, entry["balance"], (*key, "balance"))
    _replace(design, found, name, Axis(left.fields + right.fields, levels))
    design.joined.update(dict.fromkeys(found, name))


def _check_balance(pairs: Iterable[tuple[Any, Any]], balance: Any, key: Key) -> None:
    if balance not in _BALANCES:
        raise ConfigError(f"{show(balance)}{_hint(balance, _BALANCES)}; expected {', '.join(_BALANCES)}", key)
    for place, side in enumerate(("left", "right")):
        counts = Counter(pair[place] for pair in pairs)
        if balance in (side, "both") and len(set(counts.values())) > 1:
            listed = ", ".join(f"{show(level)} {times}x" for level, times in counts.most_common())
            raise ConfigError(f"the {side} values do not occur equally often in 'allowed': {listed}", key)


def _tuple(design: _Design, name: str, entry: Any, key: Key) -> None:
    """Fields that move together, their values listed; the new axis is the last of the product so far."""
    known_keys(mapping(entry, key, "a mapping"), key, ("axes", "items"))
    names = names_list(entry["axes"], (*key, "axes"))
    for place, axis in enumerate(names):
        _new_name(design, axis, (*key, "axes", place), "the levels of a tuple's axes come from its items")
    _new_name(design, name, key)
    if name in names:
        raise ConfigError("a tuple needs a name of its own, not that of one of its axes", key)
    items, place = design.read(entry["items"], (*key, "items"))
    levels = {}
    for number, item in enumerate(items):
        _sized(item, len(names), (*place, number), f"[{', '.join(names)}]")
        level = tuple(scalar(value, (*place, number, part)) for part, value in enumerate(item))
        levels[level] = level
    design.axes[name] = Axis(tuple(names), levels)
    design.joined.update(dict.fromkeys(names, name))


# What the rules share: axes by name, levels by value, shapes, and the words for what is wrong with them.


def _find(design: _Design, name: str, key: Key) -> str:
    """The name under which an axis is now among the axes: its own, or that of its tie."""
    asked = name
    while name in design.tied and name not in design.axes:
        name = design.tied[name]
    if name in design.axes:
        return name
    if name in design.joined:
        raise ConfigError(
            f"axis {asked!r} is already a part of {design.joined[name]!r}; name that one, or write this rule first", key
        )
    if name in design.later:
        raise ConfigError(
            f"axis {asked!r} is made further down, by {dotted(design.later[name])}: "
            "rules are applied in the order in which they are written, so write that one first",
            key,
        )
    return name_among(asked, design.axes, key)


def name_among(name: str, known: Iterable[str], key: Key) -> str:
    """`name` if it is one of the known axes."""
    if name not in known:
        raise ConfigError(f"there is no axis {name!r}{_hint(name, known)}; the axes are {_some(known)}", key)
    return name


def _new_name(design: _Design, name: str, key: Key, why: str = "choose another name") -> None:
    if name in design.axes or name in design.tied or name in design.joined:
        raise ConfigError(f"there is already an axis {name!r}; {why}", key)


def _replace(design: _Design, old: list[str], name: str, axis: Axis) -> None:
    """Put an axis where the earliest of the old ones was."""
    place = min(list(design.axes).index(gone) for gone in old)
    rest = [(kept, value) for kept, value in design.axes.items() if kept not in old]
    design.axes = dict([*rest[:place], (name, axis), *rest[place:]])


def _made_by(rules: Mapping[str, Any]) -> dict[str, Key]:
    """The names that rules make, to tell who comes too early; wrong shapes are left to the rule itself."""
    made = {}
    for section in ("ties", "pairs", "tuples"):
        for name, entry in rules.get(section, {}).items():
            axes = entry.get("axes") if section == "tuples" and isinstance(entry, Mapping) else None
            parts = [part for part in axes if isinstance(part, str)] if isinstance(axes, list) else []
            made.update(dict.fromkeys([name, *parts], ("rules", section, str(name))))
    return made


def _known(value: Any, axis: Axis, name: str, key: Key) -> Any:
    """`value` as a level of an axis."""
    level = _level(value, key)
    if level in axis.levels:
        return level
    text = str(level)
    typed = next((known for known in axis.levels if not isinstance(known, type(level)) and str(known) == text), None)
    if typed is not None:
        kinds = f"{show(level)} is {_kind(level)} here, but {_kind(typed)} in {name!r}"
        raise ConfigError(f"{kinds}; write both alike (values from CSV and TXT files are text)", key)
    raise ConfigError(
        f"{name!r} has no level {show(level)}{_hint(level, axis.levels)}; its levels are {_some(axis.levels)}", key
    )


def _level(value: Any, key: Key) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_level(part, (*key, place)) for place, part in enumerate(value))
    return scalar(value, key)


def scalar(value: Any, key: Key) -> Scalar:
    """A single value: text or a number."""
    if isinstance(value, str):
        if not value.strip():
            raise ConfigError("a blank value; write one or delete the entry", key)
        if value.startswith("@file:"):
            raise ConfigError(f"{show(value)} inside a list; an include stands for a whole list", key)
        return value
    if isinstance(value, bool):
        raise ConfigError(f"YAML reads this value as {show(value)}; put it in quotes to keep it as text", key)
    if isinstance(value, int | float):
        return value
    raise ConfigError(f"{_kind(value)} ({show(value)}); expected one text or number", key)


def _sized(item: Any, size: int, key: Key, shape: str) -> None:
    if not isinstance(item, list | tuple):
        raise ConfigError(f"{_kind(item)} ({show(item)}); expected a list {shape}", key)
    if len(item) != size:
        raise ConfigError(f"{show(item)} has {len(item)} values; expected {size}: {shape}", key)


def _text(value: Any, key: Key) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{show(value)}; expected a name (text)", key)
    return value


def names_list(value: Any, key: Key) -> list[str]:
    """A list of different names, at least one."""
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{_kind(value)} ({show(value)}); expected a list of names", key)
    for place, name in enumerate(value):
        if _text(name, (*key, place)) in value[:place]:
            raise ConfigError(f"{name!r} is named twice; delete one", (*key, place))
    return value


def mapping(value: Any, key: Key, expected: str) -> Mapping[str, Any]:
    """`value` if it is a mapping."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{_kind(value)} ({show(value)}); expected {expected}", key)
    return value


def known_keys(value: Mapping[str, Any], key: Key, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Complain of a key that is not known, and of one that is missing."""
    known = required + optional
    for name in value:
        if name not in known:
            what = _FORBIDDEN.get(name) or f"unknown key{_hint(name, known)}; the keys are {', '.join(known)}"
            raise ConfigError(what, (*key, name))
    for name in required:
        if name not in value:
            raise ConfigError(f"{name!r} is missing; the keys are {', '.join(known)}", key)


def _hint(value: Any, known: Iterable[Any]) -> str:
    texts = {item if isinstance(item, str) else show(item): item for item in known}
    close = get_close_matches(value if isinstance(value, str) else show(value), texts, n=1)
    return f" (did you mean {show(texts[close[0]])}?)" if close else ""


def _some(values: Iterable[Any]) -> str:
    listed = [show(value) for value in values]
    return ", ".join(listed[:8]) + (f", … ({len(listed)} in all)" if len(listed) > 8 else "")


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None:
        return "nothing"
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else "a " + type(value).__name__
