"""Trust: outcomes of all families -> trust of each model and context -> the routing table for `model: auto`.

Cycle n adds the outcomes that no earlier cycle has. A night begins the next cycle; by day `snakemake trust` renews the last.
"""

from dreamflow.trust.family import TRUST_FILES

TRUST = flow.families["trust"]
TRUST_CYCLE = f"{DATA}/trust/cycle-{{trust_cycle}}"


rule outcomes:
    """Collect the outcomes of a cycle from the results of all families, and compare ways to sort them into contexts."""
    input:
        lambda wildcards: TRUST.earlier(wildcards.trust_cycle, "outcomes.csv"),
        lambda wildcards: flow.always(TRUST.file(wildcards.trust_cycle, "outcomes.csv")),
    output:
        csv=f"{TRUST_CYCLE}/outcomes.csv",
        contexts=f"{TRUST_CYCLE}/contexts.md",
    log:
        f"{DATA}/logs/outcomes/cycle-{{trust_cycle}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: flow.display.show(TRUST.write_outcomes(int(wildcards.trust_cycle))))


rule trust_table:
    """Update trust by the outcomes of a cycle, with a record of every change; write the routing table and the state."""
    input:
        f"{TRUST_CYCLE}/outcomes.csv",
        lambda wildcards: TRUST.earlier(wildcards.trust_cycle, "reputation.jsonl"),
        job=job_file("trust_table", TRUST.job, f"{TRUST_CYCLE}/reputation.jsonl"),
    output:
        expand(f"{TRUST_CYCLE}/{{name}}", name=TRUST_FILES, allow_missing=True),
    log:
        f"{DATA}/logs/trust_table/cycle-{{trust_cycle}}.log",
    localrule: True
    run:
        flow.job(log[0], lambda: TRUST.update(int(wildcards.trust_cycle)))


rule trust:
    """Learn from all outcomes so far which model can be trusted with what."""
    input:
        lambda wildcards: flow.look_up(flow.targets, "trust"),
