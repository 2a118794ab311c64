"""What docs/database.md says of the tables, from their definitions."""

from collections.abc import Iterable
from pathlib import Path

from ..families import FAMILIES
from ..family import World
from ..generation.catalog import Catalog
from ..generation.layout import Layout
from ..settings import Settings
from .core import core_sources
from .schema import Column, Source, Table, View


def described_tables() -> str:
    """All tables and views as Markdown, those of the core first."""
    settings = Settings()
    world = World(settings, Layout(Path(settings.data_root)), {}, Catalog(Path(settings.raw_root), {}))
    core = list(core_sources(world))
    parts = [("Of every project", core)]
    parts += [(f"Of {family.name}", list(family(world).sources())) for family in FAMILIES]
    return "\n\n".join(f"### {title}\n\n{_sources(sources)}" for title, sources in parts if sources)


def _sources(sources: Iterable[Source]) -> str:
    items = [item for source in sources for item in (*source.tables, *source.views)]
    return "\n\n".join(_table(item) if isinstance(item, Table) else _view(item) for item in items)


def _table(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    searched = f"; searched: {', '.join(f'`{name}`' for name in table.search.columns)}" if table.search else ""
    return f"**`{table.name}`**: {table.about} Key: {key}{searched}.\n\n{_columns(table.columns.items())}"


def _view(view: View) -> str:
    return f"**`{view.name}`** (view): {view.about}\n\n{_columns(view.columns.items())}"


def _columns(columns: Iterable[tuple[str, Column]]) -> str:
    columns = list(columns)
    described = "\n".join(f"- `{name}` ({column.type}): {column.about}" for name, column in columns if column.about)
    others = ", ".join(f"`{name}`" for name, column in columns if not column.about)
    return "\n\n".join(filter(None, (described, others and f"Columns as in the files: {others}.")))
