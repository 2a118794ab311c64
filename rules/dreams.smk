"""Procedures that dream: variant -> check -> sandbox test -> verdict -> journal, for each configured night.

`night` is a night's name and cycle, as its folder is called: demo/cycle-1.
"""

from dreamflow.dreams.family import NIGHT_FILES

DREAMS = flow.families["dreams"]
CHECKS = f"{DATA}/dreams/{{night}}/checks/{{procedure}}.json"
TESTS = f"{DATA}/dreams/{{night}}/tests/{{procedure}}.json"


rule analyse:
    """What the steps of a procedure read, write and do, and how they depend on each other."""
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
    """Whether the variants of a procedure are sound, what they change, and how new they are."""
    input:
        lambda wildcards: flow.look_up(DREAMS.variant_files, wildcards.night, wildcards.procedure),
        job=job_file("check", DREAMS.check_job, CHECKS),
    output:
        CHECKS,
    log:
        f"{DATA}/logs/check/{{night}}/{{procedure}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DREAMS.write_checks(wildcards.night, wildcards.procedure, output[0]))


rule sandbox_test:
    """How the variants of a procedure behave, beside the original, on the same inputs."""
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
    """What a night brought: tables, a journal to read, health, and what the next night should do."""
    input:
        lambda wildcards: flow.look_up(DREAMS.journal_sources, wildcards.night),
        job=job_file("journal", DREAMS.journal_job, f"{DATA}/dreams/{{night}}/{NIGHT_FILES[0]}"),
    output:
        expand(f"{DATA}/dreams/{{{{night}}}}/{{name}}", name=NIGHT_FILES),
    log:
        f"{DATA}/logs/journal/{{night}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: DREAMS.write_journal(wildcards.night))


rule dreams:
    """Every configured night over procedures."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "dreams"),


rule promote:
    """A patch for each variant in tier 1 that adds it as a procedure of its own; nothing is applied."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "promote"),
    log:
        f"{DATA}/logs/promote.log",
    localrule: True
    run:
        flow.job(log[0], DREAMS.promote)
