"""Tasks with exact graders: the answers of models, and how many are right."""

from dreamflow.distill.family import PROBE_FILES


use rule draft as answer with:
    output:
        prompt=f"{DATA}/gens/answer/{{gen_id}}/prompt.txt",
        raw=f"{DATA}/gens/answer/{{gen_id}}/raw.txt",
        parsed=f"{DATA}/gens/answer/{{gen_id}}/parsed.txt",
        metadata=f"{DATA}/gens/answer/{{gen_id}}/metadata.json",
    log:
        f"{DATA}/logs/answer/{{gen_id}}.log",


rule probe_report:
    """How many tasks each model solves, by kind."""
    input:
        lambda wildcards: flow.lessons.probe_files(wildcards.probe),
    output:
        expand(f"{DATA}/probes/{{{{probe}}}}/{{name}}", name=PROBE_FILES),
    log:
        f"{DATA}/logs/probe_report/{{probe}}.log",
    resources:
        cpu=1,  # code is run in the sandbox
    params:
        job=lambda wildcards: flow.lessons.probe_param(wildcards.probe),
    run:
        flow.attempt(log[0], lambda: flow.shown.append(flow.lessons.probe_report(wildcards.probe)))


rule probe:
    """Measure every configured model."""
    input:
        lambda wildcards: flow.asked("probe"),
