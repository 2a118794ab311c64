"""The cohort spec: axes, rules and an order of fields in YAML or JSON -> rows (DayDreaming's spec DSL).

    axes:                     name -> its levels, a list or "@file:items/levels.csv" (csv, yaml, json, txt)
    rules:                    subsets, ties, pairs, tuples: see `rules.py`; applied in the order written
    output: {field_order: }   the fields that come first in a row

The rows are the product of the axes that the rules leave, the last axis changing fastest. An include lies in
the folder of the spec or below it. Messages name the file, the key and what was expected there.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path, PurePosixPath
from typing import Any

from ..config import in_file, show, under
from ..errors import ConfigError, Key
from ..files import read_text
from ..yaml_file import parse_document
from .rules import Axis, Scalar, apply_rules, known_keys, mapping, name_among, names_list, scalar

Row = dict[str, Scalar]

_INCLUDE = "@file:"
_LIST = f'expected a list, or "{_INCLUDE}NAME" with a csv, yaml, json or txt file beside the spec'


@dataclass(frozen=True)
class Rows:
    """The rows of a spec. They are made when they are looked at, since a list of them would be larger than the plan.

    `fields` are those of the axes, one after the other, and `ordered` the same in the order of a row.
    """

    axes: tuple[Axis, ...]
    fields: tuple[str, ...]
    ordered: tuple[str, ...]

    def __len__(self) -> int:
        return math.prod(len(axis.levels) for axis in self.axes)

    def __iter__(self) -> Iterator[Row]:
        places = [self.fields.index(name) for name in self.ordered]
        for levels in product(*(axis.levels.values() for axis in self.axes)):
            values = tuple(chain.from_iterable(levels))
            yield dict(zip(self.ordered, [values[place] for place in places], strict=True))

    def renamed(self, names: Mapping[str, str]) -> "Rows":
        """The same rows with other names for fields."""
        fields, ordered = ([names.get(name, name) for name in each] for each in (self.fields, self.ordered))
        return Rows(self.axes, tuple(fields), tuple(ordered))


def load_spec(path: Path | str) -> dict[str, Any]:
    """The mapping in a spec file, `.yaml`, `.yml` or `.json`."""
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path}: a folder; expected a spec file such as {path / 'config.yaml'}")
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise ConfigError(f"{path}: {path.suffix or 'no suffix'}; expected a .yaml, .yml or .json file")
    value = parse_document(read_text(path), path)
    with in_file(path):
        return dict(mapping({} if value is None else value, (), "a mapping with axes, rules and output"))


def compile_spec(spec: Mapping[str, Any], where: Path | str) -> Rows:
    """The rows of a spec. `where` is its file: every message begins with it, and includes lie beside it."""
    with in_file(where):
        return _compile(spec, partial(_read_list, folder=Path(where).parent))


def _compile(spec: Mapping[str, Any], read: partial) -> Rows:
    given = mapping(spec.get("axes"), ("axes",), "a mapping from axis names to their levels")
    axes = {name: _axis(name, levels, read) for name, levels in given.items()}
    axes = apply_rules(axes, spec.get("rules"), read)
    if not axes:
        raise ConfigError("no axes; expected a mapping from axis names to their levels", ("axes",))
    fields = [name for axis in axes.values() for name in axis.fields]
    ordered = fields if spec.get("output") is None else _field_order(spec["output"], fields)
    return Rows(tuple(axes.values()), tuple(fields), tuple(ordered))


def _axis(name: Any, levels: Any, read: partial) -> Axis:
    key: Key = ("axes", str(name))
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(
            f"{show(name)} is not the name of an axis; expected text (in quotes, if it looks like a number)", key
        )
    items, key = read(levels, key)
    values = [scalar(item, (*key, place)) for place, item in enumerate(items)]
    return Axis((name,), {value: (value,) for value in values})


def _field_order(output: Any, fields: list[str]) -> list[str]:
    """The fields that `output.field_order` names, then the others."""
    output = mapping(output, ("output",), "a mapping with field_order")
    known_keys(output, ("output",), ("field_order",))
    first = names_list(output["field_order"], ("output", "field_order"))
    for place, name in enumerate(first):
        name_among(name, fields, ("output", "field_order", place))
    return [*first, *(name for name in fields if name not in first)]


# Lists, inline or included.


def _read_list(value: Any, key: Key, folder: Path) -> tuple[list[Any], Key]:
    """The items of a list or of the file that it includes, and the key to complain about, with that file."""
    if isinstance(value, str) and value.startswith(_INCLUDE):
        name = value.removeprefix(_INCLUDE)
        with under(*key):
            value = _read_include(_include_path(name, folder))
        key = (*key, PurePosixPath(name))
    if not isinstance(value, list):
        raise ConfigError(f"{show(value)}; {_LIST}", key)
    if not value:
        raise ConfigError("the list is empty; expected at least one entry", key)
    return value, key


def _include_path(name: str, folder: Path) -> Path:
    """The file of an include. A spec may come from anywhere, so it is not let out of its own folder."""
    inside = PurePosixPath(name)
    outside = f"{_INCLUDE}{name}: an include must lie in the folder of the spec ({folder})"
    if not name.isprintable() or not inside.name or inside.is_absolute() or ".." in inside.parts or "\\" in name:
        raise ConfigError(f"{outside}: expected a relative path without '..', with '/' between folders")
    path = folder / inside
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{outside}, but a link leads it to {path.resolve()}; copy the file instead")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    return path


def _read_include(path: Path) -> Any:
    suffix, text = path.suffix.lower(), read_text(path).removeprefix("\ufeff")
    if suffix == ".csv":
        return _csv_items(text, path)
    if suffix == ".txt":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if suffix in (".yaml", ".yml", ".json"):
        return parse_document(text, path)
    raise ConfigError(f"{path}: {suffix or 'no suffix'}; expected a .csv, .yaml, .yml, .json or .txt file")


def _csv_items(text: str, path: Path) -> list[Any]:
    """One column: its values, blank rows skipped. More columns: a tuple a row; a blank cell is an error."""
    rows = _csv_rows(text, path)
    _, header = next(rows, (1, []))
    if not header or not all(header):
        raise ConfigError(f"{path}:1: the first line must be a header that names every column")
    if len(header) == 1:
        rows = ((line, cells) for line, cells in rows if any(cells))
    items: list[Any] = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise ConfigError(f"{path}:{line}: {len(cells)} cells; the header has {len(header)} columns")
        if not all(cells):
            raise ConfigError(f"{path}:{line}: the cell in column {header[cells.index('')]!r} is blank; fill it in")
        items.append(tuple(cells) if len(header) > 1 else cells[0])
    if not items:
        raise ConfigError(f"{path}: a header without rows; the first line of a CSV file names its columns")
    return items


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)  # strict: an open quote would swallow the rest
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None
