"""What a cohort consists of, its tables, its best essays, and tables over all cohorts."""

from pathlib import Path

from dreamflow.files import canonical
from dreamflow.reports import CROSS_FILES, REPORT_FILES

# The libraries of tables and statistics are imported where they are used: they would double the time to start.


rule combo_mappings:
    """Which concepts each combination has: rows are added, never changed."""
    output:
        update(f"{DATA}/combo_mappings.csv"),
    log:
        f"{DATA}/logs/combo_mappings.log",
    params:
        combos=canonical(sorted(flow.combos())),
    run:
        from dreamflow.cohorts.combos import extend_mappings

        extend_mappings(Path(output[0]), flow.combos().values(), flow.now)


rule membership:
    """Which generations a cohort consists of."""
    output:
        manifest=f"{DATA}/cohorts/{{cohort}}/manifest.json",
        membership=f"{DATA}/cohorts/{{cohort}}/membership.csv",
    log:
        f"{DATA}/logs/membership/{{cohort}}.log",
    params:
        cohort=lambda wildcards: flow.cohort_param(wildcards.cohort),
    run:
        from dreamflow.reports.membership import write_manifest, write_membership

        write_manifest(flow.cohorts[wildcards.cohort], output.manifest)
        write_membership(flow.cohorts[wildcards.cohort], output.membership)


rule reports:
    """The tables of a cohort's scores."""
    input:
        lambda wildcards: flow.leaves(wildcards.cohort),
    output:
        expand(f"{DATA}/cohorts/{{{{cohort}}}}/reports/{{name}}", name=REPORT_FILES),
    log:
        f"{DATA}/logs/reports/{{cohort}}.log",
    params:
        cohort=lambda wildcards: flow.cohort_param(wildcards.cohort),
    run:
        from dreamflow.reports.tables import write_reports

        write_reports(flow.cohorts[wildcards.cohort], DATA, f"{DATA}/cohorts/{wildcards.cohort}/reports")


rule results:
    """The best essays of a cohort, as Markdown."""
    input:
        f"{DATA}/cohorts/{{cohort}}/reports/{REPORT_FILES[0]}",
    output:
        directory(f"{DATA}/results/{{cohort}}"),
    log:
        f"{DATA}/logs/results/{{cohort}}.log",
    params:
        top=lambda wildcards: flow.results_param(wildcards.cohort),
    run:
        from dreamflow.reports.results import write_results

        flow.shown.append(write_results(flow.cohorts[wildcards.cohort], DATA, output[0], flow.top_n))


rule cross_experiment:
    """Tables over every evaluation that lies in the project, of whichever cohort."""
    input:
        expand(f"{DATA}/cohorts/{{cohort}}/reports/{REPORT_FILES[0]}", cohort=flow.cohorts),
    output:
        expand(f"{DATA}/7_cross_experiment/{{name}}", name=CROSS_FILES),
    log:
        f"{DATA}/logs/cross_experiment.log",
    run:
        from dreamflow.reports.cross import write_cross

        write_cross(DATA, f"{DATA}/7_cross_experiment")
