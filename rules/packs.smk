"""Packs: groups of generations of a local model that one cluster job answers, with the model loaded once.

Without `pack` in the configuration no packs are formed, and local models answer in the main process.
"""


rule pack:
    """Put the answers of a pack's generations into the response store; their own jobs read them from the store."""
    input:
        lambda wildcards: flow.look_up(flow.pack_inputs, wildcards.pack_id),
        job=job_file("pack", flow.packs.job, f"{DATA}/packs/{{pack_id}}.json"),
    output:
        f"{DATA}/packs/{{pack_id}}.json",
    log:
        f"{DATA}/logs/pack/{{pack_id}}.log",
    wildcard_constraints:
        pack_id="p_[0-9a-f]+",
    priority: 1
    threads: lambda wildcards: flow.packs.threads(wildcards.pack_id)
    resources:
        mem_mb=lambda wildcards, attempt: flow.packs.memory_mb(wildcards.pack_id) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    run:
        flow.answer_pack(wildcards.pack_id, log[0])


use rule pack as pack_gpu with:
    wildcard_constraints:
        pack_id="g_[0-9a-f]+",
    resources:
        mem_mb=lambda wildcards, attempt: flow.packs.memory_mb(wildcards.pack_id) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=1,
