"""Procedures that dream: variant -> check -> sandbox test -> verdict -> journal, for each configured night.

`night` is a night's name and cycle, as its folder is called: demo/cycle-1.
"""

from dreamflow.dreams.family import NIGHT_FILES


rule analyse:
    """What the steps of a procedure read, write and do, and how they depend on each other."""
    input:
        lambda wildcards: flow.nights.procedure_files(wildcards.procedure),
    output:
        analysis=f"{DATA}/dreams/analysis/{{procedure}}.json",
        drawing=f"{DATA}/dreams/analysis/{{procedure}}.svg",
    log:
        f"{DATA}/logs/analyse/{{procedure}}.log",
    run:
        from dreamflow.dreams.night import write_analysis

        write_analysis(flow.plan.procedures[wildcards.procedure], output.analysis, output.drawing)


use rule draft as match with:
    output:
        prompt=f"{DATA}/gens/match/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/match/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/match/{{gen_id}}/parsed.txt",
        metadata=f"{DATA}/gens/match/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/match/{{gen_id}}.log",


use rule draft as variant with:
    output:
        prompt=f"{DATA}/gens/variant/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/variant/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/variant/{{gen_id}}/parsed.py",
        metadata=f"{DATA}/gens/variant/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/variant/{{gen_id}}.log",


rule check:
    """Whether the variants of a procedure are sound, what they change, and how new they are."""
    input:
        lambda wildcards: flow.nights.variant_files(wildcards.night, wildcards.procedure),
    output:
        f"{DATA}/dreams/{{night}}/checks/{{procedure}}.json",
    log:
        f"{DATA}/logs/check/{{night}}/{{procedure}}.log",
    params:
        job=lambda wildcards: flow.nights.check_param(wildcards.night, wildcards.procedure),
    run:
        flow.nights.check(wildcards.night, wildcards.procedure, output[0])


rule sandbox_test:
    """How the variants of a procedure behave, beside the original, on the same inputs."""
    input:
        f"{DATA}/dreams/{{night}}/checks/{{procedure}}.json",
    output:
        f"{DATA}/dreams/{{night}}/tests/{{procedure}}.json",
    log:
        f"{DATA}/logs/sandbox_test/{{night}}/{{procedure}}.log",
    priority: 1
    conda:
        "../envs/sandbox.yaml"
    resources:
        cpu=1,
        mem_mb=4000,
        runtime=60,
    params:
        job=lambda wildcards: flow.nights.test_param(wildcards.night, wildcards.procedure),
    script:
        "../scripts/sandbox_test.py"


use rule draft as verdict with:
    output:
        prompt=f"{DATA}/gens/verdict/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/verdict/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/verdict/{{gen_id}}/parsed.json",
        metadata=f"{DATA}/gens/verdict/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/verdict/{{gen_id}}.log",


rule journal:
    """What a night brought: tables, a journal to read, health, and what the next night should do."""
    input:
        lambda wildcards: flow.nights.files(wildcards.night),
    output:
        expand(f"{DATA}/dreams/{{{{night}}}}/{{name}}", name=NIGHT_FILES),
    log:
        f"{DATA}/logs/journal/{{night}}.log",
    params:
        job=lambda wildcards: flow.nights.param(wildcards.night),
    run:
        flow.shown.append(flow.nights.journal(wildcards.night))


rule dreams:
    """Every configured night over procedures."""
    input:
        lambda wildcards: flow.nights.targets(),


rule promote:
    """A patch for each variant in tier 1 that adds it as a procedure of its own; nothing is applied."""
    input:
        lambda wildcards: flow.nights.targets(),
    log:
        f"{DATA}/logs/promote.log",
    run:
        flow.nights.promote()
