"""Generations: a rule for each stage of every family, a job for each generation.

A digest (metadata.json: inputs_sha256) decides whether a generation is stale; the times of its parents do not matter.
"""


def generation_inputs(wildcards):
    """The files that a generation reads. If it is up to date, they are `ancient`, except for evidence, which a job of this
    run may measure. If it is stale, they are ordinary inputs: Snakemake does not run a job after the job that it depends
    on, even if forced, when all files between them are ancient."""
    gen_id = wildcards.gen_id
    files = flow.look_up(flow.inputs, gen_id)
    return [*(files if flow.is_stale(gen_id) else map(ancient, files)), *flow.evidence(gen_id)]


for stage in flow.layout.stages.values():

    rule:
        name:
            stage.name
        input:
            generation_inputs,
        output:
            prompt=f"{DATA}/gens/{stage.name}/{{gen_id}}/prompt.txt",
            raw=f"{DATA}/gens/{stage.name}/{{gen_id}}/raw.txt",
            parsed=f"{DATA}/gens/{stage.name}/{{gen_id}}/{stage.parsed_name}",
            metadata=f"{DATA}/gens/{stage.name}/{{gen_id}}/metadata.json",
        log:
            f"{DATA}/logs/{stage.name}/{{gen_id}}.log",
        priority: lambda wildcards: flow.plan.priority(wildcards.gen_id)
        retries: 0  # in every profile: calls have their own retries, see call_attempts
        localrule: True
        resources:
            local_llm=lambda wildcards: flow.is_local(wildcards.gen_id),
        run:
            flow.make(wildcards.gen_id, log[0])
