"""Generations: one rule for each stage of every family, one job for each generation.

What decides a result is in its digest (metadata.json: inputs_sha256), so the times of its parents decide nothing:
see `unless_stale`. What is measured by a job of this run (evidence) is an ordinary input.
"""


def unless_stale(find):
    """An input function whose files are `ancient` where the generation is up to date. Where it is not, they are ordinary
    inputs: Snakemake does not run a job behind one that runs, even a forced one, if all files between are ancient."""

    def files(wildcards):
        found = flow.look_up(find, wildcards.gen_id)
        return found if flow.is_stale(wildcards.gen_id) else ancient(found)

    return files


for stage in flow.layout.stages.values():

    rule:
        name:
            stage.name
        input:
            unless_stale(flow.inputs),
            pack=unless_stale(flow.packs.file),
            evidence=lambda wildcards: flow.look_up(flow.evidence, wildcards.gen_id),
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
