"""Cohorts: draft -> essay -> evaluation, one job a generation.

What decides a result is the plan row (`params`) and the parents' files (`input`), nothing else.
"""


rule draft:
    input:
        lambda wildcards: flow.inputs(wildcards.gen_id),
        pack=lambda wildcards: ancient(flow.pack_file(wildcards.gen_id)),  # waited for; its age changes no answer
    output:
        prompt=f"{DATA}/gens/draft/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/draft/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/draft/{{gen_id}}/parsed.txt",
        metadata=f"{DATA}/gens/draft/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/draft/{{gen_id}}.log",
    priority: lambda wildcards: flow.priority(wildcards.gen_id)
    retries: 0  # whatever a profile says: calls have their own, see call_attempts
    resources:
        local_llm=lambda wildcards: flow.is_local(wildcards.gen_id),
    params:
        row=lambda wildcards: flow.param(wildcards.gen_id),
    run:
        flow.make(wildcards.gen_id, log[0])


use rule draft as essay with:
    output:
        prompt=f"{DATA}/gens/essay/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/essay/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/essay/{{gen_id}}/parsed.txt",
        metadata=f"{DATA}/gens/essay/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/essay/{{gen_id}}.log",


use rule draft as evaluation with:
    output:
        prompt=f"{DATA}/gens/evaluation/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/evaluation/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/evaluation/{{gen_id}}/parsed.txt",
        metadata=f"{DATA}/gens/evaluation/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/evaluation/{{gen_id}}.log",


rule drafts:
    """All drafts."""
    input:
        lambda wildcards: flow.files("draft"),


rule essays:
    """All essays."""
    input:
        lambda wildcards: flow.files("essay"),


rule evaluations:
    """All evaluations."""
    input:
        lambda wildcards: flow.files("evaluation"),
