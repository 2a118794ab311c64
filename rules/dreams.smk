"""Nights over procedures: variant -> check -> sandbox test -> verdict -> journal.

The wildcard `night` is the name and cycle of a night, like its folder: demo/cycle-1.
"""

from dreamflow.dreams.family import NIGHT_FILES

DREAMS = flow.families["dreams"]
CHECKS = f"{DATA}/dreams/{{night}}/checks/{{procedure}}.json"
TESTS = f"{DATA}/dreams/{{night}}/tests/{{procedure}}.json"


rule analyse:
    """Analyse the steps of a procedure and their dependences."""
    input:
        lambda wildcards: flow.look_up(DREAMS.procedure_files, wildcards.procedure),
    output:
        analysis=f"{DATA}/dreams/analysis/{{procedure}}.json",
        drawing=f"{DATA}/dreams/analysis/{{procedure}}.svg",
    log:
        f"{DATA}/logs/analyse/{{procedure}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DREAMS.write_analysis(wildcards.procedure, output.analysis, output.drawing))


rule check:
    """Check the variants of a procedure: soundness, changes and novelty."""
    input:
        lambda wildcards: flow.look_up(DREAMS.variant_files, wildcards.night, wildcards.procedure),
        job=job_file("check", DREAMS.check_job, CHECKS),
    output:
        CHECKS,
    log:
        f"{DATA}/logs/check/{{night}}/{{procedure}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DREAMS.write_checks(wildcards.night, wildcards.procedure, output[0]), input)


rule sandbox_test:
    """Compare the behaviour of a procedure's variants with the original on the same inputs."""
    input:
        checks=CHECKS,
        job=job_file("sandbox_test", DREAMS.test_job, TESTS),
    output:
        TESTS,
    log:
        f"{DATA}/logs/sandbox_test/{{night}}/{{procedure}}.log",
    priority: 1
    conda:
        "../envs/sandbox.yaml"
    resources:
        cpu=1,
        mem_mb=4000,
        runtime=60,
    script:
        "../scripts/sandbox_test.py"


rule journal:
    """Write the results of a night: tables, journal, health, and the limits of the next cycle."""
    input:
        lambda wildcards: flow.look_up(DREAMS.journal_sources, wildcards.night),
        job=job_file("journal", DREAMS.journal_job, f"{DATA}/dreams/{{night}}/{NIGHT_FILES[0]}"),
    output:
        expand(f"{DATA}/dreams/{{{{night}}}}/{{name}}", name=NIGHT_FILES),
    log:
        f"{DATA}/logs/journal/{{night}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DREAMS.write_journal(wildcards.night), input)


rule dreams:
    """Run every configured night over procedures."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "dreams"),


rule promote:
    """Write a patch for each variant in tier 1 that adds it as a procedure; apply nothing."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "promote"),
    log:
        f"{DATA}/logs/promote.log",
    localrule: True
    run:
        flow.job(log[0], DREAMS.promote)
