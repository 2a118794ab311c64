"""Read CSV files that people write: UTF-8 with or without a BOM, any line ends, maybe compressed (.gz)."""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DreamflowError
from ..files import read_text

Row = dict[str, str]
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MOST_PROBLEMS = 20


def read_rows(path: Path, required: Sequence[str]) -> tuple[list[str], list[tuple[int, Row]]]:
    """The columns of a CSV file and its rows, each with its line. Cells are stripped, empty rows are left out.

    An empty file has no columns. Raises a `DreamflowError` for a file that is no such table.
    """
    text = _text(path).removeprefix("\ufeff")
    records = _records(path, text)
    _, header = next(records, (1, []))
    columns = [name.strip() for name in header]
    if not any(columns):
        return [], []
    missing = [name for name in required if name not in columns]
    if missing:
        known = ", ".join(filter(None, columns))
        raise DreamflowError(f"{path}:1: no column {missing[0]!r} (columns are separated by commas); it has: {known}")
    repeated = next((name for place, name in enumerate(columns) if name and name in columns[:place]), None)
    if repeated:
        raise DreamflowError(f"{path}:1: {repeated}: the column is there twice; rename or delete one")
    rows = []
    for line, record in records:
        cells = [cell.strip() for cell in record]
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            problem = f"{len(cells)} cells, but {len(columns)} columns; put quotes around a text with commas"
            raise DreamflowError(f"{path}:{line}: {problem}")
        if any(cells):
            cells += [""] * (len(columns) - len(cells))
            rows.append((line, dict(zip(columns, cells, strict=False))))
    return columns, rows


def _text(path: Path) -> str:
    if path.suffix != ".gz":
        return read_text(path)
    try:
        return gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise DreamflowError(f"{path}: cannot be read as compressed UTF-8 text: {error}") from None


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The first line and the cells of each record."""
    reader = csv.reader(io.StringIO(text, newline=""))
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DreamflowError(f"{path}:{line}: not a line of CSV: {error}") from None


def number(text: str) -> float | None:
    """The number in a cell; None if it is not a finite number in plain digits."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) != float("inf") else None


def raise_all(problems: Sequence[str]) -> None:
    """Raise one `DreamflowError` with the first of these problems, if there are any."""
    if problems:
        more = [f"... and {len(problems) - _MOST_PROBLEMS:,} more"] if len(problems) > _MOST_PROBLEMS else []
        raise DreamflowError("\n".join([*problems[:_MOST_PROBLEMS], *more]))


def place_of(path: Path, line: int, root: Path) -> str:
    """`file:line`, below `root` if the file is there."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{shown.as_posix()}:{line}"
