"""The database data/dreamflow.sqlite: everything that was made, as tables with full-text search.

It is derived from files and may be deleted: `snakemake database` makes it again. `schema` has the types of tables and
their sources, `build` writes the file, `search` reads it.
"""
