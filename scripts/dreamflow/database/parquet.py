"""The tables and views of the database as Parquet files, for pandas, Polars and DuckDB."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DreamflowError
from ..files import remove_leftovers, temporary
from .build import FILE, all_sources, update_database
from .schema import Column

if TYPE_CHECKING:
    import pyarrow

    from ..plan import Plan

FOLDER = "export/parquet"
ROWS = 20_000  # of a row group
MISSING = "Parquet files need pyarrow: pip install -r envs/export.txt"


def write_parquet(plan: "Plan") -> str:
    """Bring the database up to date and write its tables; returns a line for the screen."""
    root, sources = plan.world.layout.root, all_sources(plan)
    update_database(root / FILE, sources)
    tables = {item.name: item.columns for source in sources for item in (*source.tables, *source.views)}
    rows = export(root / FILE, tables, root / FOLDER)
    return f"{len(tables)} files, {rows:,} rows: {root / FOLDER}"


def export(database: Path, tables: Mapping[str, Mapping[str, Column]], folder: Path) -> int:
    """Write each table or view into `<folder>/<name>.parquet`, and remove files of other tables; returns how many rows
    there are."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    for path in folder.glob("*.parquet"):
        if path.stem not in tables:
            path.unlink()
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return sum(_write(connection, name, columns, folder) for name, columns in tables.items())


def _write(connection: sqlite3.Connection, name: str, columns: Mapping[str, Column], folder: Path) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise DreamflowError(MISSING) from None
    kinds = {"TEXT": pyarrow.string(), "INTEGER": pyarrow.int64(), "REAL": pyarrow.float64()}
    schema = pyarrow.schema([(column, kinds[about.type]) for column, about in columns.items()])
    names = ", ".join(f"[{column}]" for column in columns)
    cursor = connection.execute(f"SELECT {names} FROM [{name}]")  # noqa: S608  (our own names)
    path, count = folder / f"{name}.parquet", 0
    half = temporary(path)
    try:
        with ParquetWriter(half, schema, compression="zstd") as writer:
            while rows := cursor.fetchmany(ROWS):
                writer.write_table(_table(name, rows, schema))
                count += len(rows)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return count


def _table(name: str, rows: Sequence[tuple], schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow

    arrays = []
    for cells, field in zip(zip(*rows, strict=True), schema, strict=True):
        try:
            arrays.append(pyarrow.array(cells, type=field.type))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise DreamflowError(f"table {name}, column {field.name}: not a {field.type} ({error})") from None
    return pyarrow.table(arrays, schema=schema)
