"""Cohorts: their generations, what they consist of, and which concepts their combinations have."""

from dreamflow.reports import CROSS_FILES, REPORT_FILES

COHORTS = flow.families["cohorts"]


rule drafts:
    """All drafts."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "drafts"),


rule essays:
    """All essays."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "essays"),


rule evaluations:
    """All evaluations."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "evaluations"),


rule combo_mappings:
    """Which concepts each combination has: rows are added, never changed."""
    input:
        job=job_file("combo_mappings", COHORTS.combos_job, f"{DATA}/combo_mappings.csv"),
    output:
        update(f"{DATA}/combo_mappings.csv"),
    log:
        f"{DATA}/logs/combo_mappings.log",
    localrule: True
    run:
        flow.job(log[0], lambda: COHORTS.write_combos(output[0], flow.now))


rule membership:
    """Which generations a cohort consists of."""
    input:
        job=job_file("membership", COHORTS.cohort_job, f"{DATA}/cohorts/{{cohort}}/manifest.json"),
    output:
        manifest=f"{DATA}/cohorts/{{cohort}}/manifest.json",
        membership=f"{DATA}/cohorts/{{cohort}}/membership.csv",
    log:
        f"{DATA}/logs/membership/{{cohort}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: COHORTS.write_membership(wildcards.cohort, output.manifest, output.membership))
