"""Generations: one rule for each stage of every family, one job for each generation.

What decides a result is in its digest (metadata.json: inputs_sha256). Parents are `ancient`: their times decide nothing.
"""

for stage in flow.layout.stages.values():

    rule:
        name:
            stage.name
        input:
            lambda wildcards: ancient(flow.look_up(flow.inputs, wildcards.gen_id)),
            pack=lambda wildcards: ancient(flow.packs.file(wildcards.gen_id)),
        output:
            prompt=f"{DATA}/gens/{stage.name}/{{gen_id}}/prompt.txt",
            raw=f"{DATA}/gens/{stage.name}/{{gen_id}}/raw.txt",
            parsed=f"{DATA}/gens/{stage.name}/{{gen_id}}/{stage.parsed_name}",
            metadata=f"{DATA}/gens/{stage.name}/{{gen_id}}/metadata.json",
        log:
            f"{DATA}/logs/{stage.name}/{{gen_id}}.log",
        localrule: True
        priority: lambda wildcards: flow.plan.priority(wildcards.gen_id)
        retries: 0  # whatever a profile says: calls have their own, see call_attempts
        resources:
            local_llm=lambda wildcards: flow.is_local(wildcards.gen_id),
        run:
            flow.make(wildcards.gen_id, log[0])
