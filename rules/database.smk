"""The database and its exports: everything that was made, as tables. They are written from what exists."""


rule database:
    """Bring data/dreamflow.sqlite up to date with the results: tables, and full-text search."""

    # It is not an output: Snakemake would delete it, and what it is made from are thousands of files.
    input:
        others(),
    log:
        f"{DATA}/logs/database.log",
    localrule: True
    run:
        from dreamflow.database.build import write_database  # it loads what few rules need

        flow.job(log[0], lambda: flow.display.show(write_database(flow.plan, flow.display.show)))


rule parquet:
    """Write each table of the database as a Parquet file, data/export/parquet/<table>.parquet."""
    input:
        others(),
    log:
        f"{DATA}/logs/parquet.log",
    localrule: True
    run:
        from dreamflow.database.parquet import write_parquet

        flow.job(log[0], lambda: flow.display.show(write_parquet(flow.plan)))


rule datasets:
    """Write training data and chunks as dataset folders of Hugging Face, data/export/datasets/<name>/."""
    input:
        others(),
    log:
        f"{DATA}/logs/datasets.log",
    localrule: True
    run:
        from dreamflow.database.datasets import write_datasets

        flow.job(log[0], lambda: flow.display.show(write_datasets(flow.plan)))
