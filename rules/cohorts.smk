"""Cohorts: their generations, their members, and the concepts of their combinations."""

from dreamflow.reports import CROSS_FILES, REPORT_FILES

COHORTS = flow.families["cohorts"]


rule cohorts:
    """Make all generations, tables and results of every cohort."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "cohorts"),


rule drafts:
    """Make all drafts."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "drafts"),


rule essays:
    """Make all essays."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "essays"),


rule evaluations:
    """Make all evaluations."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "evaluations"),


rule combo_mappings:
    """List the concepts of each combination; rows are added and never changed."""
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
    """List the generations of a cohort."""
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
