"""The database and its exports: everything that was made, as tables. They are written from what exists."""


rule database:
    """Bring data/dreamflow.sqlite up to date with the results: tables, and full-text search."""
    # It is not an output: Snakemake would delete it, and what it is made from are thousands of files.
    log:
        f"{DATA}/logs/database.log",
    localrule: True
    run:
        from dreamflow.database.build import write_database  # it loads what few rules need

        flow.job(log[0], lambda: flow.display.show(write_database(flow.plan)))
