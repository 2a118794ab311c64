"""One cycle of all work: `snakemake night`. Its phases are runs of Snakemake of their own (scripts/dreamflow/nights)."""


rule night:
    """Run one cycle of all work within the limits of `night`, and write its journal."""
    input:
        lambda wildcards: flow.look_up(night_preview) if DRY else [],
    log:
        f"{DATA}/logs/night.log",
    localrule: True
    run:
        flow.job(log[0], lambda: run_night(flow.plan, night_caller()))
