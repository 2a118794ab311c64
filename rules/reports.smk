"""Tables of a cohort's scores, its best essays, and tables over all cohorts."""


rule reports:
    """Write the tables and best essays of all cohorts from what exists, without asking any model."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "reports"),
    log:
        f"{DATA}/logs/reports.log",
    localrule: True
    run:
        flow.job(log[0], COHORTS.write_all_reports)


rule crate:
    """Write an RO-Crate of each cohort, data/export/crates/<cohort>/: inputs, generations, tables, and their provenance."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "crate"),
    log:
        f"{DATA}/logs/crate.log",
    localrule: True
    run:
        flow.job(log[0], COHORTS.write_crates)


rule cohort_reports:
    """Write the tables of a cohort's scores."""
    input:
        lambda wildcards: flow.look_up(COHORTS.leaves, wildcards.cohort),
        job=job_file("cohort_reports", COHORTS.cohort_job, f"{DATA}/cohorts/{{cohort}}/reports/{REPORT_FILES[0]}"),
    output:
        expand(f"{DATA}/cohorts/{{{{cohort}}}}/reports/{{name}}", name=REPORT_FILES),
    log:
        f"{DATA}/logs/cohort_reports/{{cohort}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: COHORTS.write_reports(wildcards.cohort), input)


rule results:
    """Write the best essays of a cohort as Markdown."""
    input:
        f"{DATA}/cohorts/{{cohort}}/reports/{REPORT_FILES[0]}",
        job=job_file("results", COHORTS.results_job, f"{DATA}/results/{{cohort}}"),
    output:
        directory(f"{DATA}/results/{{cohort}}"),
    log:
        f"{DATA}/logs/results/{{cohort}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: COHORTS.write_results(wildcards.cohort, output[0]))


rule cross_experiment:
    """Write tables over all evaluations in the project, of any cohort."""
    input:
        expand(f"{DATA}/cohorts/{{cohort}}/reports/{REPORT_FILES[0]}", cohort=COHORTS.cohorts),
    output:
        expand(f"{DATA}/7_cross_experiment/{{name}}", name=CROSS_FILES),
    log:
        f"{DATA}/logs/cross_experiment.log",
    localrule: True
    run:
        flow.job(log[0], lambda: COHORTS.write_cross(f"{DATA}/7_cross_experiment"))
